"""What of the data sent has arrived, what is lost, and how much may be sent (RFC 8985, 6675, 6937, 5682, 4015).

Theory of operation. Positions are sequence numbers that do not wrap (`scoreboard.unwrap`), so they compare as
integers. `Recovery` is told of every range sent (`sent`; a range is what went to the device at once, up to 64 KiB of
many segments), of every acknowledgement (`acked`) and of its timer (`expire` at `deadline_ns`), and answers what is to
be sent again (`next_retransmit`) and how much may go (`allowance`). It sends nothing and arms nothing itself:

    after any call:  allowance(now) > 0?  next_retransmit(limit) first, then new data; tell each by sent()
    then:            the timer of the connection stands at deadline_ns (-1: none)
    at that time:    expire(now): NOTHING, SEND (as above), PROBE (one segment, whatever the window: new data if there
                     is some and the peer has room, otherwise probe_range(); sent(..., probe=True)), or TIMEOUT (as
                     SEND; `timeouts` counts the row of them, for tcp_retries2 and TCP_USER_TIMEOUT)

SYN is not of it: a Recovery begins with the position after the SYN. FIN takes one position, as data does.
Probes of a zero window are the sender's own: they are not told here until the peer has opened the window.

Losses are found by RACK (in order of sending, by time) where the peer knows SACK, else by three duplicate
acknowledgements (RFC 6582). A repair is taken back when it proves to have been for nothing: the timestamp echoed is
older than the first retransmission (Eifel, RFC 3522), DSACK says of all that was sent again that it was there before,
or after a timeout something arrives that was not sent again (F-RTO, RFC 5682).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netstack.tcp.congestion import Congestion
from netstack.tcp.rtt import RttEstimator
from netstack.tcp.scoreboard import IN_FLIGHT, MAX_RANGES, NEVER, SACKED, Scoreboard

NOTHING: Final = 0
SEND: Final = 1
PROBE: Final = 2
TIMEOUT: Final = 3

# States, numbered as tcpi_ca_state is.
OPEN: Final = 0
DISORDER: Final = 1
CWR: Final = 2
RECOVERY: Final = 3
LOSS: Final = 4

DUP_THRESH: Final = 3
MAX_BLOCKS: Final = 4
MAX_REORDER_MULT: Final = 64
REORDER_ROUNDS: Final = 16  # repairs for which a wider reordering window is kept (RFC 8985, 6.2, step 4)
DELAYED_ACK_NS: Final = 200_000_000  # how long a lone segment's acknowledgement may take (RFC 8985, 7.2: WCDelAckT)
FIRST_PROBE_NS: Final = 1_000_000_000  # without a round trip measured
MILLISECOND: Final = 1_000_000


class Recovery(Scoreboard):
    """The sender's knowledge of one connection. Attributes to read, beside those of `Scoreboard`:

    state             OPEN, DISORDER, CWR, RECOVERY or LOSS
    timeouts          retransmission timeouts in a row
    retransmitted_bytes retransmits delivered_bytes dsacks reordering_seen   totals for TCP_INFO
    idle_restart tail_probe   to be written: tcp_slow_start_after_idle, tcp_early_retrans
    """

    __slots__ = (
        "_dsack_round", "_duplicates", "_flight", "_flight_end", "_frto", "_last_sent_ns", "_probe_again",
        "_probe_base_ns", "_probe_end", "_prr_delivered", "_prr_flight", "_prr_out", "_rack_end", "_rack_ns",
        "_rack_rtt_ns", "_recover", "_reorder_left", "_reorder_mult", "_reorder_ns", "_repair_ns", "_rto_base_ns",
        "_stamp_ns", "_undo_bytes", "_undo_mark", "_want_cwr", "cc", "delivered_bytes", "dsacks", "idle_restart",
        "mss", "reordering_seen", "retransmits", "retransmitted_bytes", "rtt", "sack_ok", "state",
        "tail_probe", "timeouts",
    )  # fmt: skip

    def __init__(self, cc: Congestion, rtt: RttEstimator, start: int, mss: int, sack: bool) -> None:
        super().__init__(start)
        self.cc = cc
        self.rtt = rtt
        self.mss = mss
        self.sack_ok = sack
        self.state = OPEN
        self.timeouts = 0
        self.retransmitted_bytes = self.retransmits = self.delivered_bytes = self.dsacks = 0
        self.reordering_seen = False
        self.idle_restart = self.tail_probe = True
        self._recover = start - 1  # the repair is over when this is acknowledged
        self._duplicates = 0  # acknowledgements in a row, of a peer without SACK
        self._flight = 0  # the most in flight ...
        self._flight_end = start  # ... since what was sent then was acknowledged
        self._last_sent_ns = self._stamp_ns = 0  # the latter as ranges have it
        self._want_cwr = False
        # RACK: of what was delivered, the range that was sent last
        self._rack_ns = self._rack_end = -1
        self._rack_rtt_ns = 0
        self._reorder_ns = -1  # when the next range counts as lost, should it not arrive
        self._reorder_mult = 1
        self._reorder_left = 0
        self._dsack_round = -1
        # tail loss probe
        self._probe_end = -1  # nxt when the probe went, until that is acknowledged
        self._probe_again = False  # it was a retransmission
        self._probe_base_ns = self._rto_base_ns = 0
        # proportional rate reduction
        self._prr_delivered = self._prr_out = self._prr_flight = 0
        # taking a repair back
        self._undo_mark = -1  # una when it began; -1: it stands
        self._undo_bytes = 0  # sent again and not known to be for nothing
        self._repair_ns = -1  # when something was first sent again
        self._frto = False

    # Sending

    def allowance(self, now_ns: int) -> int:
        """How many bytes the congestion window lets go now, new or again: 0, or a segment at least."""
        cc = self.cc
        pipe = self.pipe
        if not pipe:
            if self.una == self.nxt and self._last_sent_ns and self.idle_restart:
                idle_ns = now_ns - self._last_sent_ns
                if idle_ns > self.rtt.rto_ns:
                    cc.restart(idle_ns, self.rtt.rto_ns)
                    self._last_sent_ns = now_ns
        elif self._duplicates:
            pipe = max(pipe - self._duplicates * self.mss, 0 if self.lost_bytes else self.mss)  # a repair goes at once
        room = cc.cwnd - pipe
        return room if room >= self.mss and len(self.ranges) < MAX_RANGES else 0

    def next_retransmit(self, limit: int) -> tuple[int, int] | None:
        """The first range that is lost and was not sent again: (start, end), at most `limit` bytes. Tell `sent`."""
        return self.first_lost(limit) if self.lost_bytes else None

    def sent(self, start: int, end: int, now_ns: int, probe: bool = False) -> None:
        """[start, end) has gone to the device: new data (start == nxt), or a retransmission (end <= nxt)."""
        again = start < self.nxt
        if start == self.una or probe:
            self._rto_base_ns = now_ns
        # One reading of the clock may serve many segments, and the order in which they were sent is what RACK goes by:
        # a retransmission counts as later than everything before it, and what follows is not earlier.
        stamp_ns = max(now_ns, self._stamp_ns + again)
        self._stamp_ns = stamp_ns
        if again:
            self.resend(start, end, stamp_ns)
            size = end - start
            self.retransmits += -(-size // self.mss)
            self.retransmitted_bytes += size
            self._undo_bytes += size
            if self._repair_ns < 0:
                self._repair_ns = now_ns
        else:
            self.append(end, stamp_ns)
            self._probe_base_ns = now_ns
        if self.pipe > self._flight:
            self._flight = self.pipe
            self._flight_end = self.nxt
        self._last_sent_ns = now_ns
        if self.state == RECOVERY or self.state == CWR:
            self._prr_out += end - start
        if probe:
            self._probe_end = self.nxt
            self._probe_again = again

    def probe_range(self) -> tuple[int, int] | None:
        """The last segment that was sent, for a PROBE without new data (RFC 8985, 7.3)."""
        if not self.ranges:
            return None
        last = self.ranges[-1]
        return max(last.start, last.end - self.mss), last.end

    def cwr_needed(self) -> bool:
        """Once after a reduction: with ECN the next new data carries CWR (RFC 3168, 6.1.2)."""
        wanted, self._want_cwr = self._want_cwr, False
        return wanted

    # Acknowledgements

    def acked(
        self, ack: int, blocks: Sequence[tuple[int, int]], now_ns: int, echo_ns: int = -1, ece: bool = False,
        duplicate: bool = False,
    ) -> int:  # fmt: skip
        """An acceptable acknowledgement: una <= ack <= nxt (the caller has checked). Returns the bytes that it newly
        acknowledges, ack - una.

        blocks     SACK blocks as (start, end) positions, in the order of the option; anything may be in them
        echo_ns    when the segment whose timestamp is echoed was sent, in whole milliseconds; -1 without
        ece        the ECE bit (only when ECN was agreed on)
        duplicate  no data, the window unchanged, no FIN or SYN: counts as a duplicate if ack == una (RFC 5681, 2)
        """
        advanced = ack - self.una
        self.begin()
        doubled = False
        if blocks:
            doubled = self._take_dsack(ack, blocks)
        if advanced:
            self.advance(ack)
            self.timeouts = 0
            self._rto_base_ns = self._probe_base_ns = now_ns
        if blocks and self.sack_ok:
            for start, end in blocks[:MAX_BLOCKS]:
                if ack < start < end <= self.nxt:
                    self.sack(start, end)
        delivered = self.delivered
        if not self.sack_ok:
            delivered = self._count_duplicates(advanced, duplicate)
        self.delivered_bytes += delivered
        rtt_ns = self._measure(advanced, now_ns, echo_ns) if delivered else 0

        if self._probe_end >= 0 and ack >= self._probe_end:
            self._end_probe(ack, advanced, doubled, duplicate, now_ns)
        if self.state >= RECOVERY or doubled:
            self._look_back(advanced, echo_ns, doubled)
        if self.state >= CWR and ack >= self._recover:
            self._leave()
        lost_before = self.lost_bytes
        if self.sack_ok:
            if self.sacked_bytes or self._reorder_ns >= 0 or self.state >= RECOVERY or self._probe_end >= 0:
                self._detect(now_ns)
        elif self._duplicates >= DUP_THRESH and self.state < RECOVERY and ack > self._recover:
            self.lose_first(self.mss)  # not for the echoes of the last repair (RFC 6582, 3.2, step 1)
        elif advanced and self.state == RECOVERY:
            self.lose_first(self.mss)  # a partial acknowledgement: the next hole (RFC 6582, 3.2)
        if self.lost_bytes and self.state < RECOVERY:
            self._enter(RECOVERY, now_ns)
        elif ece and self.state < CWR:
            self._enter(CWR, now_ns)
        elif self.state <= DISORDER:
            self.state = DISORDER if self.sacked_bytes or self._duplicates else OPEN

        if self.state == RECOVERY or self.state == CWR:
            self._reduce(
                delivered, bool(advanced) and self.lost_bytes <= lost_before, not self.sack_ok and advanced > 0
            )
        elif advanced or (delivered and self.reordering_seen):
            # Behind a hole the window stands still, unless holes are the rule.
            self.cc.on_ack(delivered, now_ns, rtt_ns, self._flight)
        if ack >= self._flight_end:
            self._flight = self.pipe
            self._flight_end = self.nxt
        return advanced

    def _take_dsack(self, ack: int, blocks: Sequence[tuple[int, int]]) -> bool:
        """Whether the first block reports data that had arrived before (RFC 2883, 4)."""
        start, end = blocks[0]
        if start >= end or end > self.nxt or end - start > 1 << 30:
            return False
        if end > ack and not (len(blocks) > 1 and blocks[1][0] <= start and end <= blocks[1][1]):
            return False
        self.dsacks += 1
        if 0 <= self._undo_mark < end:
            self._undo_bytes -= end - start
        if self._dsack_round < 0 or ack >= self._dsack_round:  # RFC 8985, 6.2, step 4
            self._dsack_round = self.nxt
            self._reorder_mult = min(self._reorder_mult + 1, MAX_REORDER_MULT)
        self._reorder_left = REORDER_ROUNDS
        return True

    def _count_duplicates(self, advanced: int, duplicate: bool) -> int:
        """Each duplicate acknowledgement of a peer without SACK says that a segment has arrived somewhere; returns the
        bytes delivered."""
        before = self._duplicates
        if not advanced:
            if not duplicate or self.una == self.nxt:
                return 0
            self._duplicates = before + 1
            return self.mss
        self._duplicates = max(before + 1 + advanced // -self.mss, 0) if self.state >= CWR else 0
        return max(advanced - before * self.mss, min(advanced, self.mss))

    def _measure(self, advanced: int, now_ns: int, echo_ns: int) -> int:
        """Round trip and RACK's newest delivered range; returns the round trip of the latter, 0 for none."""
        sent_ns, end = self.newest_ns, self.newest_end
        rtt_ns = 0
        if self.again_ns < 0:
            if sent_ns >= 0:
                rtt_ns = max(now_ns - sent_ns, 1)
                self.rtt.sample(now_ns - self.oldest_ns, now_ns, rtt_ns)
        else:
            # Sent more than once: which copy has arrived? (Karn; RFC 8985, 6.2, step 2.)
            again_ns = self.again_ns
            if advanced and 0 <= echo_ns <= now_ns:
                self.rtt.sample(now_ns - echo_ns, now_ns)
            if (
                again_ns >= sent_ns
                and now_ns - again_ns >= self.rtt.min_rtt_ns
                and not (0 <= echo_ns < again_ns // MILLISECOND * MILLISECOND)
            ):
                sent_ns, end = again_ns, self.again_end
        if sent_ns > self._rack_ns or (sent_ns == self._rack_ns and end > self._rack_end):
            self._rack_ns = sent_ns
            self._rack_end = end
            self._rack_rtt_ns = max(now_ns - sent_ns, 0)
        if self.reordered:
            self.reordering_seen = True
        return rtt_ns

    # Losses

    def _reorder_window_ns(self) -> int:
        """How much later than its successors a range may arrive (RFC 8985, 6.2, step 4)."""
        if not self.reordering_seen and (self.state >= RECOVERY or self.sacked_bytes > (DUP_THRESH - 1) * self.mss):
            return 0
        return min(self._reorder_mult * (self.rtt.min_rtt_ns >> 2), self.rtt.srtt_ns)

    def _detect(self, now_ns: int) -> None:
        """RFC 8985, 6.2, step 5."""
        self._reorder_ns = -1
        if self._rack_ns < 0:
            return
        patience_ns = self._rack_rtt_ns + self._reorder_window_ns()
        waiting_ns = self.lose_older(self._rack_ns, self._rack_end, now_ns - patience_ns)
        if waiting_ns >= 0:
            self._reorder_ns = waiting_ns + patience_ns

    def _enter(self, state: int, now_ns: int) -> None:
        """A loss, or a router's mark: the window begins to shrink, unless it does so already."""
        flight = self.nxt - self.una
        if self.state != CWR:
            if state == CWR:
                self.cc.on_ecn(now_ns, flight)
            else:
                self.cc.on_loss(now_ns, flight)
            self._prr_delivered = self._prr_out = 0
            self._prr_flight = flight
            self._want_cwr = True
        self.state = state
        self._recover = self.nxt
        if state == RECOVERY:
            self._undo_mark = self.una
            if self._probe_end < 0 or not self._probe_again:
                self._undo_bytes = 0
                self._repair_ns = -1
            self._probe_end = -1

    def _reduce(self, delivered: int, safe: bool, force: bool) -> None:
        """Proportional rate reduction (RFC 6937, 3.1): what may be sent for what has been delivered. `safe`: the repair
        goes on and no more is lost, so a window that has fallen too low may grow (RFC 6937bis: SSRB, else CRB).
        `force`: a segment may go in any case, as the first of a repair may."""
        cc = self.cc
        self._prr_delivered += delivered
        pipe = max(self.pipe - self._duplicates * self.mss, 0)
        if pipe > cc.ssthresh:
            count = -(-self._prr_delivered * cc.ssthresh // max(self._prr_flight, 1)) - self._prr_out
        else:
            count = max(self._prr_delivered - self._prr_out, delivered)
            if safe:
                count += self.mss
            count = min(cc.ssthresh - pipe, count)
        if self.state == RECOVERY and count < self.mss and (force or not self._prr_out):
            count = self.mss
        cc.cwnd = max(pipe + max(count, 0), self.mss)

    def _leave(self) -> None:
        """All that was sent before the loss was found has been acknowledged."""
        if self.state != LOSS:
            self.cc.recovered()
        if self._reorder_left and self.state >= RECOVERY:
            self._reorder_left -= 1
            if not self._reorder_left:
                self._reorder_mult = 1
        self._settle()

    def _settle(self) -> None:
        self.state = DISORDER if self.sacked_bytes else OPEN
        self._duplicates = 0
        self._frto = False
        self._repair_ns = -1

    def _look_back(self, advanced: int, echo_ns: int, doubled: bool) -> None:
        """Was the repair for nothing? A DSACK may say so after its end, too."""
        if self._undo_mark < 0:
            return
        repair_ns = self._repair_ns
        if doubled and self._undo_bytes <= 0:
            spurious = True
        elif self.state < RECOVERY or not self.delivered:
            return
        elif repair_ns < 0:
            spurious = not self.lost_bytes  # all has arrived before it was sent again
        else:
            spurious = (
                bool(advanced) and self.again_ns >= 0 and 0 <= echo_ns < repair_ns // MILLISECOND * MILLISECOND
            ) or (self._frto and self.oldest_ns < repair_ns)
        if not spurious:
            return
        self.cc.undo()
        self._undo_mark = -1
        if self.state >= RECOVERY:
            if self.state == LOSS:
                self.rtt.undo_backoff()
            else:
                self.reordering_seen = True
            self.found()
            self._settle()

    def _end_probe(self, ack: int, advanced: int, doubled: bool, duplicate: bool, now_ns: int) -> None:
        """What the acknowledgement of a tail loss probe tells (RFC 8985, 7.4.2)."""
        if not self._probe_again or doubled:
            self._probe_end = -1
        elif ack > self._probe_end:
            self._probe_end = -1  # the probe has repaired a loss: the window pays for it
            self._undo_mark = -1
            if self.state < CWR:
                self.cc.on_loss(now_ns, self.nxt - self.una)
                self.cc.recovered()
                self._want_cwr = True
        elif not advanced and not self.delivered and duplicate:
            self._probe_end = -1  # both copies have arrived
        if self._probe_end < 0 and self.state < RECOVERY:
            self._repair_ns = -1

    # Time

    @property
    def deadline_ns(self) -> int:
        """When `expire` is wanted; -1 for never."""
        if self.una == self.nxt:
            return -1
        deadline_ns = self._rto_base_ns + self.rtt.rto_ns
        if self._reorder_ns >= 0:
            return min(self._reorder_ns, deadline_ns)
        if self._may_probe():
            return min(self._probe_base_ns + self._probe_timeout_ns(), deadline_ns)
        return deadline_ns

    def _may_probe(self) -> bool:
        return self.sack_ok and self.tail_probe and self.state == OPEN and not self.sacked_bytes and self._probe_end < 0

    def _probe_timeout_ns(self) -> int:
        """RFC 8985, 7.2."""
        srtt_ns = self.rtt.srtt_ns
        if not srtt_ns:
            return FIRST_PROBE_NS
        return 2 * srtt_ns + (DELAYED_ACK_NS if self.nxt - self.una <= self.mss else 2 * MILLISECOND)

    def expire(self, now_ns: int) -> int:
        """`deadline_ns` has come: NOTHING, SEND, PROBE or TIMEOUT. Earlier calls do no harm."""
        deadline_ns = self.deadline_ns
        if deadline_ns < 0 or now_ns < deadline_ns:
            return NOTHING
        if 0 <= self._reorder_ns <= now_ns:
            self._detect(now_ns)
            if not self.lost_bytes:
                return NOTHING
            if self.state < RECOVERY:
                self._enter(RECOVERY, now_ns)
            if self.state == RECOVERY:
                self._reduce(0, False, False)
            return SEND
        if self._may_probe():
            self._probe_end = self.nxt
            self._probe_again = False
            self._rto_base_ns = now_ns
            return PROBE
        self._time_out(now_ns)
        return TIMEOUT

    def _time_out(self, now_ns: int) -> None:
        """RFC 6298, 5.4 to 5.7, and RFC 8985, 6.3."""
        first = self.state <= DISORDER or self.una >= self._recover or (self.state == LOSS and not self.timeouts)
        if self.ranges[0].state == SACKED:
            self.renege()
        self.lose_if_older(now_ns - self._rack_rtt_ns - self._reorder_window_ns() if self.sack_ok else NEVER)
        self.cc.on_rto(now_ns, self.nxt - self.una, first)
        self.cc.cwnd = self.pipe + self.mss
        if first:
            self._undo_mark = self.una
            self._undo_bytes = 0
            self._repair_ns = -1
            self._frto = True
        self._want_cwr = True
        self.state = LOSS
        self._recover = self.nxt
        self._reorder_ns = self._probe_end = -1
        self._duplicates = self._flight = 0
        self.timeouts += 1
        self.rtt.backoff()
        self._rto_base_ns = now_ns

    # The path

    def set_mss(self, mss: int) -> None:
        """What a segment carries has changed (path MTU, options)."""
        if mss != self.mss:
            self.mss = mss
            self.cc.set_mss(mss)

    def lose_all(self, mss: int) -> None:
        """Segments were too big for the path (RFC 1191, 6.4): all is to be sent again in smaller ones, at the same
        rate."""
        self.set_mss(mss)
        for entry in self.ranges:
            if entry.state == IN_FLIGHT:
                self.lose(entry)
        if self.lost_bytes and self.state < RECOVERY:
            self.state = LOSS
            self._recover = self.nxt
            self._undo_mark = -1
            self._frto = False
