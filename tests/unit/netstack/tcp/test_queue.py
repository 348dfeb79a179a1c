"""Queues of bytes against a plain bytes object, and data out of order against a set of positions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netstack.tcp.queue import ByteQueue
from netstack.tcp.reassembly import PIECES_AT_MOST, OutOfOrder

SIZES = st.one_of(st.integers(0, 20), st.sampled_from([2047, 2048, 3000, 20000]))


@given(
    start=st.integers(0, 1 << 33),
    steps=st.lists(st.tuples(st.sampled_from(["append", "drop", "slice", "hold"]), SIZES, SIZES), max_size=40),
)
def test_queue_is_a_piece_of_a_stream(start: int, steps: list[tuple[str, int, int]]) -> None:
    queue = ByteQueue(start)
    model, base = b"", start
    held: list[tuple[memoryview, bytes]] = []
    for turn, (what, first, second) in enumerate(steps):
        if what == "append":
            data = bytes((turn + at) & 255 for at in range(first))
            queue.append(memoryview(data) if turn & 1 else data)
            model += data
        elif what == "drop":
            count = min(first, len(model))
            queue.drop(base + count)
            model, base = model[count:], base + count
        else:
            offset = min(first, len(model))
            got = queue.slice(base + offset, second)
            assert bytes(got) == model[offset : offset + second]
            if what == "hold":
                held.append((memoryview(got), bytes(got)))
        assert (queue.start, queue.end, len(queue)) == (base, base + len(model), len(model))
    assert bytes(queue.slice(base, len(model))) == model
    for view, data in held:  # what somebody holds never changes
        assert view == data


def test_small_pieces_are_put_together() -> None:
    queue = ByteQueue()
    for _ in range(100_000):
        queue.append(b"x")
    assert len(queue._pieces) < 10
    for at in range(0, 100_000, 1000):
        queue.drop(at)
    assert len(queue) == 1000


def test_large_pieces_are_not_copied() -> None:
    queue = ByteQueue()
    one, two = bytes(50_000), bytes(60_000)
    queue.append(one)
    queue.append(two)
    assert queue.slice(0, 50_000) is one and queue.slice(50_000, 60_000) is two
    part = queue.slice(60_000, 40_000)
    assert isinstance(part, memoryview) and part.obj is two


PIECES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), max_size=30)


def stream(start: int, end: int) -> bytes:
    return bytes(position * 7 & 255 for position in range(start, end))


@given(pieces=PIECES, first=st.integers(1, 10))
def test_pieces_come_out_in_order(pieces: list[tuple[int, int]], first: int) -> None:
    order = OutOfOrder()
    there: set[int] = set()
    for start, size in pieces:
        new = set(range(start, start + size))
        order.doubled = None
        order.add(start, stream(start, start + size))
        assert (order.doubled is not None) == bool(there & new)
        there |= new
        assert order.bytes == len(there)
        low, high = order.ranges[0]  # the range that changed last is told first (RFC 2018, 4)
        assert low <= start and start + size <= high
        covered: list[int] = sorted(at for low, high in order.ranges for at in range(low, high))
        assert covered == sorted(there)
    end = first
    while end in there:
        end += 1
    first = min([first, *there]) if there and min(there) <= first else first
    taken = b"".join(order.take(first))
    expected = first
    while expected in there:
        expected += 1
    assert taken == stream(first, expected)
    assert order.bytes == len([at for at in there if at >= expected])


def test_peer_that_sends_every_other_byte_is_bounded() -> None:
    order = OutOfOrder()
    for at in range(0, 10 * PIECES_AT_MOST, 2):
        order.add(at + 2, b"x")
    assert order.bytes <= PIECES_AT_MOST
    assert len(order.blocks()) <= 4


def test_doubled_range_is_told_once_and_first() -> None:
    order = OutOfOrder()
    order.add(100, bytes(50))
    order.add(200, bytes(50))
    order.add(120, bytes(50))
    assert order.blocks() == [(120, 150), (100, 170), (200, 250)]
    assert order.blocks() == [(100, 170), (200, 250)]
