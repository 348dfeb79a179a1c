"""Windows: Reno (RFC 5681), CUBIC (RFC 9438), HyStart++ (RFC 9406)."""

from __future__ import annotations

import pytest

from netstack.tcp.congestion import INFINITE, Congestion, Reno, initial_window
from netstack.tcp.cubic import Cubic

MS = 1_000_000
SECOND = 1000 * MS
MSS = 1000
RTT = 100 * MS

BOTH = pytest.mark.parametrize("kind", [Cubic, Reno], ids=["cubic", "reno"])


def a_round(cc: Congestion, now_ns: int, rtt_ns: int = RTT, in_flight: int = 0) -> None:
    """A whole window is acknowledged, two segments at a time."""
    flight = in_flight or cc.cwnd
    for _ in range(flight // (2 * MSS)):
        cc.on_ack(2 * MSS, now_ns, rtt_ns, flight)


def test_initial_window() -> None:
    assert initial_window(1460) == 14600
    assert initial_window(536) == 5360
    assert initial_window(9000) == 18000


@BOTH
def test_slow_start(kind: type[Congestion]) -> None:
    cc = kind(MSS)
    for number in range(4):
        a_round(cc, number * RTT)
    assert cc.cwnd == 160 * MSS


def test_reno_adds_a_segment_a_round_and_halves() -> None:
    cc = Reno(MSS)
    cc.ssthresh = cc.cwnd
    for number in range(10):
        a_round(cc, number * RTT)
    assert 19 * MSS <= cc.cwnd <= 20 * MSS
    cc.cwnd = 20 * MSS
    cc.on_loss(SECOND, 20 * MSS)
    assert cc.ssthresh == 10 * MSS and cc.cwnd == 20 * MSS
    cc.recovered()
    assert cc.cwnd == 10 * MSS


@BOTH
def test_not_below_two_segments(kind: type[Congestion]) -> None:
    cc = kind(MSS)
    for _ in range(20):
        cc.on_loss(0, cc.cwnd)
        cc.recovered()
    assert cc.cwnd == 2 * MSS
    cc.on_rto(0, MSS, True)
    assert cc.cwnd == MSS and cc.ssthresh == 2 * MSS


@BOTH
def test_undo(kind: type[Congestion]) -> None:
    cc = kind(MSS)
    a_round(cc, 0)
    cc.on_rto(SECOND, cc.cwnd, True)
    cc.undo()
    assert cc.cwnd == 20 * MSS and cc.ssthresh == INFINITE
    cc.on_ecn(SECOND, cc.cwnd)
    reduced = cc.ssthresh
    cc.undo()
    assert cc.ssthresh == reduced


@BOTH
def test_unused_window_stays(kind: type[Congestion]) -> None:
    cc = kind(MSS)
    cc.ssthresh = cc.cwnd
    for number in range(50):
        a_round(cc, number * RTT, in_flight=4 * MSS)
    assert cc.cwnd == 10 * MSS


@BOTH
def test_idle(kind: type[Congestion]) -> None:
    cc = kind(MSS)
    cc.cwnd = 160 * MSS
    cc.restart(2 * SECOND, SECOND)
    assert cc.cwnd == 40 * MSS
    cc.restart(1000 * SECOND, SECOND)
    assert cc.cwnd == 10 * MSS


def test_cubic_is_flat_at_the_old_window_and_steep_beyond() -> None:
    cc = Cubic(MSS)
    cc.cwnd = 1000 * MSS
    cc.on_loss(0, cc.cwnd)
    cc.recovered()
    assert cc.cwnd == 700 * MSS
    k = (300 / 0.4) ** (1 / 3)  # 9.1 s
    windows = []
    for number in range(int(2 * k * SECOND / RTT)):
        a_round(cc, number * RTT)
        windows.append(cc.cwnd)
    middle = len(windows) // 2
    assert abs(windows[middle] - 1000 * MSS) < 30 * MSS
    assert windows[5] - windows[0] > 10 * (windows[middle + 3] - windows[middle - 2])
    assert windows[-1] > 1250 * MSS
    assert windows == sorted(windows)


def test_cubic_is_reno_where_that_is_faster() -> None:
    """Short round trips and small windows (RFC 9438, 4.3)."""
    cc = Cubic(MSS)
    cc.cwnd = 20 * MSS
    cc.on_loss(0, cc.cwnd)
    cc.recovered()
    for number in range(40):
        a_round(cc, number * MS, MS)
    assert cc.cwnd > 14 * MSS + 40 * 0.5 * MSS


def test_cubic_makes_room_for_others() -> None:
    cc = Cubic(MSS)
    cc.cwnd = 1000 * MSS
    cc.on_loss(0, cc.cwnd)
    cc.recovered()
    cc.on_loss(SECOND, cc.cwnd)  # before the old peak: fast convergence
    cc.recovered()
    assert abs(cc.cwnd - 490 * MSS) < 2
    a_round(cc, 2 * SECOND)
    k = ((0.85 * 700 - 490) / 0.4) ** (1 / 3)
    for number in range(int(k * 10)):
        a_round(cc, 2 * SECOND + number * RTT)
    assert abs(cc.cwnd - 0.85 * 700 * MSS) < 25 * MSS


def test_cubic_does_not_count_time_without_use() -> None:
    cc = Cubic(MSS)
    cc.cwnd = 100 * MSS
    cc.on_loss(0, cc.cwnd)
    cc.recovered()
    a_round(cc, 0)
    for number in range(600):
        cc.on_ack(MSS, number * RTT, RTT, 10 * MSS)  # a minute at less than the window
    before = cc.cwnd
    a_round(cc, 600 * RTT)
    assert cc.cwnd < before + 10 * MSS


def test_hystart_leaves_when_round_trips_grow() -> None:
    cc = Cubic(MSS)
    now = 0
    rtt = RTT
    rounds = 0
    while cc.ssthresh == INFINITE and rounds < 20:
        rounds += 1
        now += rtt
        a_round(cc, now, rtt)
        if cc.cwnd > 100 * MSS:
            rtt += RTT // 4
    assert rounds < 13
    assert cc.cwnd < 1000 * MSS


def test_hystart_comes_back_from_a_passing_delay() -> None:
    cc = Cubic(MSS)
    for number, rtt in enumerate([RTT, RTT, RTT, 2 * RTT, RTT, RTT, RTT]):
        a_round(cc, number * RTT, rtt)
    assert cc.ssthresh == INFINITE
    assert cc.cwnd > 600 * MSS
