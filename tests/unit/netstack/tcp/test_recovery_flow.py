"""Loss recovery over a path that misbehaves: everything arrives, in bounded time, at a decent rate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.tcp.congestion import Reno
from netstack.tcp.cubic import Cubic
from netstack.tcp.recovery import OPEN
from tests.unit.netstack.tcp.flow import MS, MSS, SECOND, Flow, random_fate

BOTH = pytest.mark.parametrize("kind", [Cubic, Reno], ids=["cubic", "reno"])


def finished(flow: Flow) -> float:
    """Runs it to its end; how long it took in seconds."""
    flow.run()
    assert flow.sender.una == flow.end == flow.receiver.next
    assert flow.sender.deadline_ns == -1
    assert not flow.sender.ranges and not flow.sender.pipe
    return (flow.now_ns - SECOND) / SECOND


def sent_twice(flow: Flow) -> float:
    total = sum(end - start for _, start, end in flow.sent)
    return total / (flow.sender.una - 5000) - 1


@BOTH
def test_clean_path_is_filled_and_nothing_is_sent_twice(kind: type[Cubic]) -> None:
    flow = Flow(2_000_000, rate=2_000_000, cc=kind(MSS))
    assert finished(flow) < 1.1
    assert sent_twice(flow) == 0 and flow.sender.state == OPEN


@BOTH
def test_short_queue_costs_little(kind: type[Cubic]) -> None:
    flow = Flow(4_000_000, rate=2_000_000, cc=kind(MSS))
    flow.queue_bytes = 40_000
    assert finished(flow) < 2.3
    assert sent_twice(flow) < 0.05
    assert flow.counts["timeout"] == 0


@BOTH
@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_rate_under_random_loss(kind: type[Cubic], loss: float) -> None:
    """Not less than six tenths of what Mathis et al. expect of Reno: MSS / RTT * sqrt(3 / 2p)."""
    size = 3_000_000
    flow = Flow(size, rate=10_000_000, cc=kind(MSS))
    flow.fate = random_fate(3, loss)
    expected = MSS / 0.020 * (1.5 / loss) ** 0.5
    assert size / finished(flow) > 0.6 * expected
    assert sent_twice(flow) < loss * 1.6


def test_reordering_is_learnt() -> None:
    flow = Flow(4_000_000, rate=2_000_000)
    flow.fate = random_fate(1, reorder=0.1)
    assert finished(flow) < 2.6
    assert flow.sender.reordering_seen
    assert sent_twice(flow) < 0.01


def test_large_bursts_are_split_where_the_peer_says() -> None:
    flow = Flow(2_000_000, rate=20_000_000, burst=44)
    flow.fate = lambda number, start, end: [] if number in (30, 33, 34, 90) else [0]
    finished(flow)
    again = [(start, end) for at, start, end in sorted(flow.sent, key=lambda one: one[1])]
    assert flow.sender.retransmits == 4, again
    assert flow.counts["timeout"] == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    kind=st.sampled_from([Cubic, Reno]),
    size=st.integers(1, 150_000),
    rate=st.sampled_from([0, 50_000, 2_000_000]),
    delay_ms=st.sampled_from([0, 1, 40]),
    queue=st.sampled_from([0, 10_000]),
    burst=st.sampled_from([1, 3, 44]),
    sack=st.booleans(),
    timestamps=st.booleans(),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    misfortune=st.tuples(*[st.sampled_from([0.0, 0.05, 0.3])] * 3),
)
def test_everything_arrives(
    seed: int, kind: type[Cubic], size: int, rate: int, delay_ms: int, queue: int, burst: int, sack: bool,
    timestamps: bool, loss: float, misfortune: tuple[float, float, float],
) -> None:  # fmt: skip
    flow = Flow(size, delay_ns=delay_ms * MS, rate=rate, cc=kind(MSS), sack=sack, timestamps=timestamps, burst=burst)
    flow.queue_bytes = queue
    flow.fate = random_fate(seed, loss, misfortune[0], misfortune[1])
    flow.ack_fate = random_fate(seed + 1, misfortune[2])
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, len(flow.sender.ranges))

    flow.on_ack = watch
    seconds = finished(flow)
    assert seconds < 3600
    assert most <= size // MSS + 4


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_acknowledgement_breaks_the_sums(data: Any) -> None:
    """What a peer may say that knows no shame: SACK blocks of any kind, echoes of any time."""
    flow = Flow(100_000, burst=9)
    sender = flow.sender
    position = st.integers(4000, 60_000)
    for _ in range(data.draw(st.integers(1, 40))):
        flow.now_ns += data.draw(st.sampled_from([0, 1, MS, 50 * MS, 2 * SECOND]))
        if data.draw(st.booleans()):
            flow.push()
        elif data.draw(st.booleans()):
            flow.expire()
        ack = data.draw(st.integers(sender.una, sender.nxt))
        blocks = data.draw(st.lists(st.tuples(position, position), max_size=4))
        echo_ns = data.draw(st.sampled_from([-1, 0, 1, flow.now_ns, flow.now_ns + SECOND]))
        before = sender.una
        flow.receiver.next = sender.nxt
        assert sender.acked(ack, blocks, flow.now_ns, echo_ns, data.draw(st.booleans()), data.draw(st.booleans())) == (
            ack - before
        )
        flow.check()
        assert (sender.deadline_ns >= 0) == (sender.una < sender.nxt)
