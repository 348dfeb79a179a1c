"""Fragments: any order, duplicates, overlaps (RFC 5722), bounds of time and memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.packet import Packet
from netstack.wire import ether, icmp, icmp6, ipv4, ipv6
from tests.unit.netstack.two_hosts import IP, IP6, MACS, Wire, frame4, frame6

DATA = bytes(range(256)) * 20


def part(wire: Wire, version: int, offset: int, end: int, last: int, ident: int = 1, tos: int = 0) -> bytes:
    """The fragment DATA[offset:end] of DATA[:last]."""
    payload = DATA[offset:end]
    if version == 4:
        flags = ipv4.MF if end < last else 0
        return frame4(wire.a, IP[1], IP[0], 200, payload, flags=flags, offset=offset, ident=ident, tos=tos)
    head = ipv6.pack_fragment(200, offset, end < last, ident)
    return frame6(wire.a, IP6[1], IP6[0], ipv6.FRAGMENTS, head + payload)


def give(wire: Wire, frames: list[bytes]) -> list[Packet]:
    got = wire.a.listen(200)
    got.clear()
    for frame in frames:
        wire.a.stack.receive(wire.a.iface, frame)
    return got


CUTS = st.lists(st.integers(1, 639), max_size=12).map(lambda cuts: [0, *sorted({cut * 8 for cut in cuts})])


@settings(max_examples=60, deadline=None)
@given(CUTS, st.randoms(use_true_random=False), st.sampled_from([4, 6]), st.integers(0, 7))
def test_any_order_and_duplicates_make_the_packet(cuts: list[int], random: object, version: int, tail: int) -> None:
    wire = WIRE
    size = 5120 - tail
    cuts = [cut for cut in cuts if cut < size]
    pieces = list(zip(cuts, [*cuts[1:], size], strict=True))
    frames = [part(wire, version, start, end, size) for start, end in pieces]
    if len(frames) == 1:
        return
    again = frames[: len(frames) // 2]
    order = [*frames[1:], *again[1:]]
    random.shuffle(order)  # type: ignore[attr-defined]
    order.append(frames[0])
    got = give(wire, order)
    assert [bytes(packet.payload) for packet in got] == [DATA[:size]]
    assert bytes(got[0].raw[-size:]) == DATA[:size] and got[0].proto == 200
    assert len(wire.a.stack.reassembly) == 0 and wire.a.stack.reassembly.bytes == 0


WIRE = Wire()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "pieces",
    [
        [(0, 800), (792, 1600), (1600, 2000)],
        [(0, 800), (400, 480), (800, 2000)],
        [(800, 1600), (0, 1608), (1600, 2000)],
        [(1600, 2000), (0, 800), (2000, 2400)],
        [(0, 800), (0, 400), (800, 2000)],
    ],
)
def test_overlaps_lose_the_packet(version: int, pieces: list[tuple[int, int]]) -> None:
    wire = Wire()
    frames = [part(wire, version, start, end, 2000 if end != 2400 else 4000) for start, end in pieces]
    assert not give(wire, frames)
    counters = wire.a.stack.counters.ip if version == 4 else wire.a.stack.counters.ip6
    assert counters["ReasmFails"] >= 1
    whole = [part(wire, version, 0, 800, 2000, ident=2), part(wire, version, 800, 2000, 2000, ident=2)]
    assert len(give(wire, whole)) == 1


def test_two_ends_of_one_packet() -> None:
    wire = Wire()
    frames = [part(wire, 4, 800, 1600, 1600), part(wire, 4, 1600, 2000, 2000), part(wire, 4, 0, 800, 2000)]
    assert not give(wire, frames)


def errors(wire: Wire) -> list[tuple[int, int, int]]:
    """Version, type and code of the ICMP messages that went out."""
    found = []
    for frame in wire.a.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP4:
            packet = ipv4.parse(parsed.payload)
            message = icmp.parse(packet.payload)
            found.append((4, message.kind, message.code))
        elif parsed.kind == ether.IP6:
            six = ipv6.parse(parsed.payload)
            if six.next_header == ipv6.ICMPV6 and six.payload[0] < 128:
                found.append((6, six.payload[0], six.payload[1]))
    return found


@pytest.mark.parametrize(("version", "limit"), [(4, 30), (6, 60)])
def test_time_runs_out(version: int, limit: int) -> None:
    wire = Wire()
    stack = wire.a.stack
    stack.neighbors.add(wire.a.iface, IP[1], MACS[1])
    stack.neighbors.add(wire.a.iface, IP6[1], MACS[1])
    give(wire, [part(wire, version, 0, 800, 2000, 1), part(wire, version, 800, 2000, 2000, 2)])
    wire.run(limit - 1)
    assert len(stack.reassembly) == 2
    wire.a.frames.clear()
    wire.run(2)
    assert len(stack.reassembly) == 0 and stack.reassembly.bytes == 0
    kind = (4, icmp.TIME_EXCEEDED, 1) if version == 4 else (6, icmp6.TIME_EXCEEDED, 1)
    assert errors(wire) == [kind]  # only about the one whose beginning is there


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    wire = Wire()
    stack = wire.a.stack
    stack.settings.ipfrag_high_thresh = 100_000
    for ident in range(1, 300):
        give(wire, [part(wire, 4, 0, 1400, 3000, ident)])
        assert stack.reassembly.bytes <= 100_000
    assert give(wire, [part(wire, 4, 1400, 3000, 3000, 299)])  # the newest is still there
    assert not give(wire, [part(wire, 4, 1400, 3000, 3000, 1)])


def test_one_packet_alone_is_bounded_by_its_size() -> None:
    wire = Wire()
    stack = wire.a.stack
    stack.settings.ipfrag_high_thresh = 1000
    give(wire, [part(wire, 4, at, at + 8, 5120) for at in range(0, 5112, 16)])
    assert len(stack.reassembly) == 1


def test_no_packet_is_larger_than_can_be() -> None:
    wire = Wire()
    beyond = frame4(wire.a, IP[1], IP[0], 200, bytes(1400), offset=65528 - 1000)
    assert not give(wire, [beyond])
    start = frame4(wire.a, IP[1], IP[0], 200, bytes(1400), flags=ipv4.MF, options=b"\x01" * 20)
    assert not give(wire, [start, frame4(wire.a, IP[1], IP[0], 200, bytes(64100), offset=1400)])
    assert len(wire.a.stack.reassembly) == 0


def test_congestion_marks_are_kept() -> None:
    wire = Wire()
    frames = [part(wire, 4, 0, 800, 2000, tos=2), part(wire, 4, 800, 2000, 2000, tos=3)]
    assert give(wire, frames)[0].tos == 3
    assert not give(wire, [part(wire, 4, 0, 800, 2000, tos=0), part(wire, 4, 800, 2000, 2000, tos=3)])


def test_an_atomic_fragment_is_a_whole_packet() -> None:
    wire = Wire()
    (packet,) = give(wire, [part(wire, 6, 0, 800, 800)])
    assert packet.payload == DATA[:800] and len(wire.a.stack.reassembly) == 0
