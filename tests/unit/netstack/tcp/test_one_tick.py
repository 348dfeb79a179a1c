"""Several segments sent at one reading of the clock: a driver reads it once for a whole batch of frames."""

from __future__ import annotations

from netstack.tcp.congestion import Reno
from netstack.tcp.recovery import RECOVERY, Recovery
from netstack.tcp.rtt import RttEstimator

US = 1000


def test_retransmission_is_not_lost_because_of_what_was_sent_before_it_in_the_same_tick() -> None:
    now_ns = 1_000_000_000
    rec = Recovery(Reno(1000), RttEstimator(), 0, 1000, True)
    rec.sent(0, 9000, now_ns)
    now_ns += 50 * US
    rec.sent(9000, 10_000, now_ns)
    rec.acked(0, [(1000, 9000)], now_ns)
    assert rec.state == RECOVERY and rec.next_retransmit(1000) == (0, 1000)
    rec.sent(0, 1000, now_ns)
    now_ns += 50 * US
    rec.acked(0, [(1000, 10_000)], now_ns)  # the answer to what was sent just before the retransmission
    assert rec.next_retransmit(1000) is None


def test_retransmission_is_lost_when_something_sent_after_it_in_the_same_tick_arrives() -> None:
    now_ns = 1_000_000_000
    rec = Recovery(Reno(1000), RttEstimator(), 0, 1000, True)
    rec.sent(0, 9000, now_ns)
    now_ns += 50 * US
    rec.acked(0, [(1000, 9000)], now_ns)
    rec.sent(0, 1000, now_ns)
    rec.sent(9000, 10_000, now_ns)
    now_ns += 100 * US
    rec.acked(0, [(1000, 10_000)], now_ns)
    assert rec.next_retransmit(1000) == (0, 1000)
