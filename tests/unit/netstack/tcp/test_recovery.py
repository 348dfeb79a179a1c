"""Loss recovery, rule by rule."""

from __future__ import annotations

from netstack.tcp import recovery, scoreboard
from netstack.tcp.congestion import Reno
from netstack.tcp.recovery import CWR, DISORDER, LOSS, OPEN, RECOVERY, Recovery
from netstack.tcp.rtt import RttEstimator
from netstack.tcp.scoreboard import unwrap
from tests.unit.netstack.tcp.flow import MS, MSS, SECOND, START

T0 = 10 * SECOND
RTT = 100 * MS


def position(segments: int) -> int:
    return START + segments * MSS


def blocks(*pairs: tuple[int, int]) -> list[tuple[int, int]]:
    return [(position(start), position(end)) for start, end in pairs]


class Sender:
    """A Recovery with ten segments sent at T0, a millisecond apart, and a round trip of 100 ms known."""

    def __init__(self, segments: int = 10, sack: bool = True) -> None:
        self.cc = Reno(MSS)
        self.rtt = RttEstimator()
        self.rtt.sample(RTT, T0 - SECOND)
        self.recovery = Recovery(self.cc, self.rtt, START, MSS, sack)
        for number in range(segments):
            self.recovery.sent(position(number), position(number + 1), T0 + number * MS)

    def ack(self, number: int, at_ns: int, *sacked: tuple[int, int], echo_ns: int = -1, ece: bool = False) -> int:
        return self.recovery.acked(position(number), blocks(*sacked), at_ns, echo_ns, ece, True)

    def resend(self, at_ns: int) -> list[tuple[int, int]]:
        """What it wants to send again and may, in segments."""
        out = []
        while self.recovery.allowance(at_ns) and (where := self.recovery.next_retransmit(MSS)):
            self.recovery.sent(*where, at_ns)
            out.append(((where[0] - START) // MSS, (where[1] - START) // MSS))
        return out


def test_unwrap_finds_the_nearest() -> None:
    near = 3 * (1 << 32) + 10
    assert unwrap(12, near) == near + 2
    assert unwrap(0xFFFFFFFF, near) == near - 11
    assert unwrap(near & 0xFFFFFFFF, near) == near


def test_slow_start_doubles() -> None:
    s = Sender()
    assert s.recovery.allowance(T0) == 0
    s.ack(10, T0 + RTT)
    assert s.cc.cwnd == 20 * MSS and s.recovery.allowance(T0 + RTT) == 20 * MSS
    assert s.recovery.deadline_ns == -1


def test_three_segments_beyond_a_hole_are_a_loss() -> None:
    s = Sender()
    s.ack(0, T0 + RTT + 1 * MS, (1, 2))
    s.ack(0, T0 + RTT + 2 * MS, (1, 3))
    assert s.recovery.state == DISORDER and not s.recovery.lost_bytes
    s.ack(0, T0 + RTT + 3 * MS, (1, 4))
    assert s.recovery.state == RECOVERY
    assert s.resend(T0 + RTT + 3 * MS) == [(0, 1)]
    assert s.cc.ssthresh == 5 * MSS


def test_few_segments_beyond_a_hole_are_a_loss_after_a_quarter_of_a_round_trip() -> None:
    s = Sender(3)
    s.ack(0, T0 + RTT + 1 * MS, (1, 3))
    assert s.recovery.state == DISORDER
    deadline = s.recovery.deadline_ns
    assert deadline == T0 + (RTT - 1 * MS) + (RTT - 1 * MS) // 4  # sent + RACK.rtt + min_rtt / 4
    assert s.recovery.expire(deadline - 1) == recovery.NOTHING
    assert s.recovery.expire(deadline) == recovery.SEND
    assert s.resend(deadline) == [(0, 1)]


def test_limited_transmit() -> None:
    """Each segment that arrives behind a hole lets a new one go (RFC 3042)."""
    s = Sender()
    for number in (1, 2):
        s.ack(0, T0 + RTT + number * MS, (1, 1 + number))
        assert s.recovery.allowance(T0 + RTT) >= number * MSS
    s = Sender(sack=False)
    for number in (1, 2):
        s.ack(0, T0 + RTT + number * MS)
        assert s.recovery.allowance(T0 + RTT) >= number * MSS


def test_duplicates_without_sack() -> None:
    s = Sender(sack=False)
    for number in range(3):
        assert not s.recovery.lost_bytes
        s.ack(0, T0 + RTT + number * MS)
    assert s.recovery.state == RECOVERY and s.resend(T0 + RTT) == [(0, 1)]
    s.ack(4, T0 + 2 * RTT)  # a partial acknowledgement: the next hole
    assert s.resend(T0 + 2 * RTT) == [(4, 5)]
    s.ack(10, T0 + 3 * RTT)
    assert s.recovery.state == OPEN and s.cc.ssthresh == 5 * MSS and s.cc.cwnd <= 6 * MSS


def test_reduction_is_in_proportion() -> None:
    """In a repair two segments arrive for one that goes, until the window is at its half (RFC 6937)."""
    s = Sender(10)
    now = T0 + RTT
    s.ack(0, now, (1, 4))
    out = len(s.resend(now))
    sent_new = 0
    for end in range(5, 11):
        now += MS
        s.ack(0, now, (1, end))
        while s.recovery.allowance(now):
            s.recovery.sent(s.recovery.nxt, s.recovery.nxt + MSS, now)
            sent_new += 1
    assert out == 1
    assert out + sent_new == 5
    s.ack(10 + sent_new, now + RTT)
    assert s.recovery.state == OPEN and s.cc.ssthresh == 5 * MSS
    assert s.cc.cwnd == 6 * MSS  # and a whole window was acknowledged


def test_lost_retransmission_is_found_by_what_was_sent_after_it() -> None:
    s = Sender(10)
    now = T0 + RTT + 10 * MS
    s.ack(0, now, (1, 10))
    assert s.resend(now) == [(0, 1)]
    s.recovery.sent(position(10), position(11), now + MS)
    s.ack(0, now + MS + RTT, (1, 11))
    assert s.resend(now + MS + RTT) == [(0, 1)]
    assert s.recovery.timeouts == 0


def test_probe_of_the_tail() -> None:
    s = Sender(2)
    deadline = s.recovery.deadline_ns
    assert deadline == T0 + MS + 2 * RTT + 2 * MS
    assert s.recovery.expire(deadline) == recovery.PROBE
    assert s.recovery.probe_range() == (position(1), position(2))
    s.recovery.sent(position(1), position(2), deadline, True)
    assert s.recovery.deadline_ns == deadline + s.rtt.rto_ns  # one probe, then the timeout
    # The first was lost, too: the probe's SACK shows it.
    s.ack(0, deadline + RTT, (1, 2))
    assert s.resend(deadline + RTT) == [(0, 1)]


def test_probe_that_repaired_a_loss_costs_window() -> None:
    s = Sender(2)
    deadline = s.recovery.deadline_ns
    s.recovery.expire(deadline)
    s.recovery.sent(position(1), position(2), deadline, True)
    s.ack(2, deadline + RTT)
    assert s.cc.cwnd >= 10 * MSS  # not known yet which copy that was
    s.recovery.sent(position(2), position(3), deadline + RTT)
    s.ack(3, deadline + 2 * RTT)
    assert s.cc.cwnd < 8 * MSS and s.recovery.state == OPEN


def test_probe_for_nothing_is_told_by_dsack() -> None:
    s = Sender(2)
    deadline = s.recovery.deadline_ns
    s.recovery.expire(deadline)
    s.recovery.sent(position(1), position(2), deadline, True)
    s.ack(2, deadline + 10 * MS)
    s.ack(2, deadline + RTT, (1, 2))
    s.recovery.sent(position(2), position(3), deadline + RTT)
    s.ack(3, deadline + 2 * RTT)
    assert s.cc.ssthresh > 1 << 40


def test_timeout_and_backoff() -> None:
    s = Sender(2)
    s.recovery.expire(s.recovery.deadline_ns)  # the probe, which is lost
    s.recovery.sent(*s.recovery.probe_range() or (0, 0), T0 + 3 * RTT, True)
    rto = s.rtt.rto_ns
    assert rto == RTT + max(4 * (RTT // 2), 200 * MS)
    waits = []
    before = T0 + 3 * RTT
    for count in range(1, 5):
        deadline = s.recovery.deadline_ns
        waits.append(deadline - before)
        before = deadline
        assert s.recovery.expire(deadline) == recovery.TIMEOUT
        assert s.recovery.timeouts == count and s.cc.cwnd == MSS
        assert s.resend(deadline) == [(0, 1)]
    assert waits == [rto, 2 * rto, 4 * rto, 8 * rto]
    assert s.recovery.oldest_sent_ns == T0
    assert s.cc.ssthresh == 5 * MSS  # once
    s.ack(1, before + RTT, echo_ns=before)
    assert s.rtt.backoffs == 0 and s.recovery.timeouts == 0
    assert s.resend(before + RTT) == [(1, 2)]
    s.ack(2, before + 2 * RTT, echo_ns=before + RTT)
    assert s.recovery.state == OPEN


def test_without_timestamps_the_backoff_stays_until_a_sample_is_sure() -> None:
    s = Sender(1)
    s.recovery.expire(s.recovery.deadline_ns)
    deadline = s.recovery.deadline_ns
    assert s.recovery.expire(deadline) == recovery.TIMEOUT
    s.resend(deadline)
    backed_off = s.rtt.rto_ns
    s.ack(1, deadline + RTT)
    assert s.rtt.rto_ns == backed_off  # Karn: which copy was it?
    s.recovery.sent(position(1), position(2), deadline + 2 * RTT)
    s.ack(2, deadline + 3 * RTT)
    assert s.rtt.rto_ns < backed_off


def time_out(s: Sender) -> int:
    """The probe and the timeout of a path that stands still; when."""
    s.recovery.expire(s.recovery.deadline_ns)
    deadline = s.recovery.deadline_ns
    assert s.recovery.expire(deadline) == recovery.TIMEOUT and s.recovery.state == LOSS
    assert s.resend(deadline) == [(0, 1)]
    return deadline


def test_spurious_timeout_by_timestamp() -> None:
    s = Sender(10)
    at = time_out(s)
    s.ack(1, at + 10 * MS, echo_ns=T0)
    assert s.recovery.state == OPEN and not s.recovery.lost_bytes
    assert s.cc.cwnd >= 10 * MSS and s.cc.ssthresh > 1 << 40 and s.rtt.backoffs == 0


def test_spurious_timeout_by_what_was_not_sent_again() -> None:
    s = Sender(10)
    at = time_out(s)
    s.ack(1, at + 10 * MS)  # may be the copy
    assert s.recovery.state == LOSS
    s.resend(at + 10 * MS)
    s.ack(4, at + 11 * MS)  # segment 3 was sent once only
    assert s.recovery.state == OPEN and s.cc.ssthresh > 1 << 40


def test_spurious_repair_by_dsack() -> None:
    s = Sender(10)
    now = T0 + RTT + 3 * MS
    s.ack(0, now, (1, 4))
    s.resend(now)
    reduced = s.cc.ssthresh
    s.ack(10, now + 20 * MS)  # the original was late
    assert s.recovery.state == OPEN and s.cc.ssthresh == reduced
    s.ack(10, now + RTT, (0, 1))
    assert s.cc.ssthresh > 1 << 40 and s.cc.cwnd >= 10 * MSS
    assert s.recovery.dsacks == 1


def test_true_timeout_is_not_taken_back() -> None:
    s = Sender(10)
    at = time_out(s)
    s.ack(1, at + RTT, echo_ns=at)
    assert s.recovery.state == LOSS and s.cc.ssthresh == 5 * MSS
    assert s.resend(at + RTT) == [(1, 2), (2, 3)]  # slow start
    s.ack(2, at + 2 * RTT, echo_ns=at + RTT)
    assert s.resend(at + 2 * RTT) == [(3, 4), (4, 5)]  # the second of the last two is on its way


def test_reneging_is_forgiven() -> None:
    s = Sender(3)
    s.ack(0, T0 + RTT, (1, 3))
    s.ack(1, T0 + RTT + MS)  # and what of the other two?
    assert s.recovery.pipe == 0
    deadline = s.recovery.deadline_ns
    assert s.recovery.expire(deadline) == recovery.TIMEOUT
    assert s.recovery.sacked_bytes == 0 and s.recovery.lost_bytes == 2 * MSS
    assert s.resend(deadline) == [(1, 2)]


def test_ecn_reduces_once_a_round_trip() -> None:
    s = Sender(10)
    s.ack(1, T0 + RTT, ece=True)
    assert s.recovery.state == CWR and s.cc.ssthresh == 5 * MSS and s.recovery.cwr_needed()
    assert not s.recovery.cwr_needed()
    for number in range(2, 10):
        s.ack(number, T0 + RTT + number * MS, ece=True)
    assert s.cc.ssthresh == 5 * MSS
    s.ack(10, T0 + RTT + 10 * MS)
    assert s.recovery.state == OPEN and s.cc.cwnd == 5 * MSS


def test_idle_window_shrinks_to_the_initial_one() -> None:
    s = Sender(10)
    s.ack(10, T0 + RTT)
    assert s.cc.cwnd == 20 * MSS
    assert s.recovery.allowance(T0 + RTT + 100 * SECOND) == 10 * MSS


def test_window_that_nobody_uses_does_not_grow() -> None:
    s = Sender(2)
    now = T0
    for number in range(2, 200):
        now += RTT
        s.ack(number, now)
        s.recovery.sent(position(number), position(number + 1), now)
    assert s.cc.cwnd == 10 * MSS


def test_segments_too_big_for_the_path() -> None:
    s = Sender(4)
    s.recovery.lose_all(500)
    assert s.recovery.lost_bytes == 4 * MSS and s.cc.cwnd == 10 * MSS and s.cc.ssthresh > 1 << 40
    assert s.recovery.next_retransmit(500) == (START, START + 500)
    assert s.recovery.next_retransmit(1 << 20) == (START, position(4))


def test_reordering_window_widens_with_dsack_and_comes_back() -> None:
    s = Sender(10)
    r = s.recovery
    r.reordering_seen = True
    start = r._reorder_window_ns()
    s.ack(0, T0 + RTT, (-1, 0))
    assert r._reorder_window_ns() == min(2 * start, s.rtt.srtt_ns)
    s.ack(0, T0 + RTT, (-1, 0))  # the same round
    assert r._reorder_window_ns() == min(2 * start, s.rtt.srtt_ns)


def test_peer_cannot_make_ranges_without_end() -> None:
    r = Sender(0).recovery
    r.cc.cwnd = 1 << 24
    r.sent(START, START + 60_000, T0)
    for at in range(START + 1, START + 60_000, 2):
        r.acked(START, [(at, at + 1)], T0 + RTT)
    assert len(r.ranges) <= scoreboard.MAX_SPLIT + 2
    for number in range(scoreboard.MAX_RANGES + 1):
        r.sent(r.nxt, r.nxt + 1, T0 + number)
    assert r.allowance(T0) == 0


def test_window_that_fell_too_low_grows_in_the_repair() -> None:
    """Below the new window, each acknowledgement that goes on lets a segment more go than has arrived (RFC 6937)."""
    s = Sender(10)
    now = T0 + RTT + 10 * MS
    s.ack(0, now, (6, 10))  # six are lost, and nothing else is there: far below half
    assert s.recovery.state == RECOVERY and s.recovery.pipe == 0
    first = s.resend(now)
    assert len(first) == 4  # as much as has arrived
    s.ack(1, now + RTT, (6, 10))
    assert len(s.resend(now + RTT)) == 2


def test_echoes_of_a_repair_are_no_new_loss() -> None:
    """Without SACK, what was sent again for nothing comes back as duplicates (RFC 6582, 3.2, step 1)."""
    s = Sender(10, sack=False)
    at = T0 + SECOND
    assert s.recovery.expire(at) == recovery.TIMEOUT
    s.resend(at)
    s.ack(10, at + RTT)
    assert s.recovery.state == OPEN
    s.recovery.sent(position(10), position(11), at + RTT)
    for number in range(5):
        s.ack(10, at + RTT + number * MS)
    assert s.recovery.state < RECOVERY and not s.recovery.lost_bytes


def test_answer_that_comes_too_soon_is_for_the_first_copy() -> None:
    """Without timestamps: RACK does not take it for the second one's (RFC 8985, 6.2, step 2)."""
    s = Sender(10)
    now = T0 + RTT + 3 * MS
    s.ack(0, now, (1, 4))
    assert s.resend(now) == [(0, 1)]
    s.ack(4, now + 1 * MS)  # the original
    assert not s.recovery.lost_bytes  # 4 to 9 were sent before the copy, and are not late for all that


def test_copy_that_went_after_new_data_at_one_time_is_later() -> None:
    """One reading of the clock serves all segments of a call; the order in which they went counts."""
    s = Sender(10)
    now = T0 + RTT + 10 * MS
    s.recovery.sent(position(10), position(11), now)
    s.ack(0, now, (1, 10))
    assert s.resend(now) == [(0, 1)]
    s.ack(0, now + RTT, (1, 11))
    assert not s.recovery.lost_bytes


def test_rest_of_a_lost_burst_is_sent_again() -> None:
    s = Sender(0)
    r = s.recovery
    r.sent(position(0), position(8), T0)
    r.sent(position(8), position(12), T0 + MS)
    s.ack(0, T0 + RTT + MS, (8, 12))
    assert r.lost_bytes == 8 * MSS
    s.ack(2, T0 + RTT + 2 * MS, (8, 12))  # two of them were late
    assert r.next_retransmit(1 << 20) == (position(2), position(8))
