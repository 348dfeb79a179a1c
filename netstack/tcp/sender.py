"""The sending half of a connection: when data goes and in which portions (RFC 9293, 3.7.4 and 3.8.6; RFC 1122,
4.2.3.4), zero windows, urgent data. What was lost and how much the network takes is `recovery`'s.

One call sends up to 64 KiB as one row of segments that the device cuts. Positions are sequence numbers that do not
wrap; `tx` begins with the first byte that is not acknowledged, and the FIN has the position behind its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import WouldBlock
from netstack.poll import OUT, WRNORM
from netstack.tcp.alarm import Alarm
from netstack.tcp.congestion import Congestion, Reno
from netstack.tcp.cubic import Cubic
from netstack.tcp.output import ECT0
from netstack.tcp.queue import ByteQueue
from netstack.tcp.receiver import DELAY_NS
from netstack.tcp.recovery import NOTHING, PROBE, TIMEOUT, Recovery
from netstack.tcp.rtt import RttEstimator
from netstack.wire.tcp import ACK, CWR, FIN, PSH, URG

if TYPE_CHECKING:
    from netstack.tcp.tcb import Tcb

CONGESTION: Final[dict[str, type[Congestion]]] = {"reno": Reno, "cubic": Cubic}
BURST: Final = 65535 - 60 - 60  # of one row of segments, with the largest headers
FIRST_BUFFER: Final = 87040  # what Linux' send buffer comes to with the handshake
PROBE_NS: Final = 200_000_000  # the shortest wait of a probe or of data held back


class Sender:
    """wnd        the peer's window, from rec.una on; wl1, wl2 the segment that has told it (RFC 9293, 3.10.7.4)
    max_wnd    the widest window seen
    scale      shift of the peer's window
    mss        data bytes of a full segment; burst of the longest row of them
    fin        a FIN follows the data
    urgent     position behind the urgent byte; below rec.una for none
    full       somebody found no room, or little
    probes     probes of a closed window that nobody has answered; waits counts all since probing_ns, when it closed
    """

    __slots__ = (
        "_forced", "_small_end", "alarm", "burst", "fin", "full", "last_data_ns", "max_wnd", "mss", "probes",
        "probing_ns", "rec", "rtt", "scale", "segments", "tcb", "tx", "urgent", "waits", "wl1", "wl2", "wnd",
    )  # fmt: skip

    def __init__(self, tcb: Tcb, start: int, window: int, scale: int, mss: int, sack: bool) -> None:
        stack = tcb.stack
        self.tcb = tcb
        self._forced = False
        self.tx = ByteQueue(start)
        self.rtt = RttEstimator()
        congestion = CONGESTION.get(tcb.socket.options.congestion, Cubic)
        self.rec = Recovery(congestion(mss), self.rtt, start, mss, sack)
        self.rec.idle_restart = bool(stack.settings.tcp_slow_start_after_idle)
        self.rec.tail_probe = bool(stack.settings.tcp_early_retrans)
        self.wnd = self.max_wnd = window
        self.wl1 = self.wl2 = 0
        self.scale = scale
        self.mss = mss
        self.burst = longest_row(mss)
        self.fin = False
        self.urgent = start - 1
        self.full = False
        self.probes = self.waits = 0
        self.probing_ns = 0
        self.segments = 0
        self.last_data_ns = stack.now_ns
        self._small_end = start
        self.alarm = Alarm(stack.timers, self._ring)
        options = tcb.socket.options
        if not options.send_locked:
            options.send_buffer = max(options.send_buffer, min(FIRST_BUFFER, stack.settings.tcp_wmem[2]))

    # What the owner does.

    def send(self, data: bytes | memoryview, oob: bool, more: bool) -> int:
        """Take what there is room for."""
        tx = self.tx
        buffer = self.tcb.socket.options.send_buffer
        queued = tx.end - tx.start
        size = len(data)
        room = buffer - queued
        if size > room:
            self.full = True
            if room <= 0:
                raise WouldBlock
            data = memoryview(data)[:room]
            oob, size = False, room
        elif (queued + size) * 3 > buffer * 2:
            self.full = True
        tx.append(data)
        if oob and size:
            self.urgent = tx.end
        self.push(more)
        return size

    def writable(self) -> bool:
        """A third of the buffer is free, and not more waits to be sent than TCP_NOTSENT_LOWAT allows."""
        tx = self.tx
        options = self.tcb.socket.options
        if (tx.end - tx.start) * 3 <= options.send_buffer * 2:
            low = options.notsent_low
            if low < 0:
                low = self.tcb.stack.settings.tcp_notsent_lowat
            if tx.end - self.rec.nxt < low or not low:
                return True
        self.full = True
        return False

    def unsent(self) -> int:
        return max(self.tx.end - self.rec.nxt, 0)

    # Sending.

    def push(self, more: bool = False) -> None:
        """Send what may be sent, lost data first."""
        rec = self.rec
        tcb = self.tcb
        now_ns = tcb.stack.now_ns
        if tcb.path.too_big:
            self.path_changed()
        tx = self.tx
        while tx.end > rec.nxt or rec.lost_bytes or (self.fin and tx.end == rec.nxt):
            allowance = rec.allowance(now_ns)
            if not allowance:
                break
            if rec.lost_bytes:
                lost = rec.next_retransmit(min(allowance, self.burst))
                if lost is not None:
                    if lost[0] >= rec.una + self.wnd and lost[0] != rec.una:
                        break  # the window has shrunk (RFC 9293, 3.8.6)
                    if not self.resend(lost[0], lost[1], now_ns):
                        break
                    continue
            size, fin = self._next(allowance, more)
            if not size and not fin:
                break
            if not self._emit(rec.nxt, size, fin, now_ns):
                break
        self.arm(now_ns)

    def push_held(self) -> None:
        """TCP_NODELAY was set: what TCP_CORK or MSG_MORE holds back goes now, too."""
        self._forced = self.tcb.socket.options.nodelay
        self.push()
        self._forced = False

    def _next(self, allowance: int, more: bool) -> tuple[int, bool]:
        """How much new data goes next, and whether the FIN goes with it."""
        tx, rec = self.tx, self.rec
        nxt = rec.nxt
        waiting = tx.end - nxt
        room = rec.una + self.wnd - nxt
        mss = self.mss
        if self.max_wnd < 2 * mss:
            mss = self._segment()
        size = min(waiting, room, allowance, self.burst)
        if self.urgent > nxt:
            size = min(size, mss)
        if size < 0 or waiting < 0:
            return 0, False
        rest = size % mss
        last = size == waiting
        if rest and not (last and self._small_may_go(nxt + size, more)):
            # Less than a segment: only the end of what there is, or half of the widest window (RFC 9293, 3.8.6.2.1).
            if size != room or rest != size or size < self.max_wnd >> 1:
                size -= rest
            last = False
        return size, last and self.fin and room > size

    def _segment(self) -> int:
        """The size of a segment: not more than half of the widest window of a peer with a small one."""
        half = self.max_wnd >> 1 if self.max_wnd > 536 else self.max_wnd
        return max(min(half, self.mss), 1)

    def _small_may_go(self, end: int, more: bool) -> bool:
        """Nagle's algorithm with Minshall's change, TCP_NODELAY, TCP_CORK, MSG_MORE (tcp(7))."""
        if self.fin or self.urgent > self.rec.nxt or self._forced:
            return True
        options = self.tcb.socket.options
        if more or options.cork:
            return False
        return options.nodelay or self._small_end <= self.rec.una

    def _emit(self, start: int, size: int, fin: bool, now_ns: int, probe: bool = False) -> bool:
        """New data, from rec.nxt on."""
        tcb, rec, tx, mss = self.tcb, self.rec, self.tx, self.mss
        end = start + size
        flags = ACK
        if size > mss:
            flags |= PSH  # of several segments the last, so that who puts them together need not wait for more
        if end == tx.end:
            if size:
                flags |= PSH
            if fin:
                flags |= FIN
            if size % mss:
                self._small_end = end
        ecn = 0
        if tcb.ecn:
            ecn = ECT0
            if rec.cwr_needed():
                flags |= CWR
        urgent = self.urgent - start
        if urgent > 0:
            flags |= URG
        else:
            urgent = 0
        data = tx.slice(start, size) if size else b""
        sent = tcb.emit(start, flags, data, mss if size > mss else 0, min(urgent, 0xFFFF), ecn)
        if not sent and tcb.path.too_big:
            return self.path_changed()
        self.segments += -(-size // mss)
        self.last_data_ns = now_ns
        if size and now_ns - tcb.rcv.last_data_ns < DELAY_NS:
            tcb.rcv.pingpong = True  # the owner answers what it has got
        rec.sent(start, end + fin, now_ns, probe)
        return True

    def resend(self, start: int, end: int, now_ns: int, probe: bool = False) -> bool:
        """Once more what was sent before; without a mark for ECN (RFC 3168, 6.1.5)."""
        tcb, tx, mss = self.tcb, self.tx, self.mss
        size = min(end, tx.end) - start
        flags = ACK
        if size > mss or (size and start + size == tx.end):
            flags |= PSH
        if end > tx.end:
            flags |= FIN
        urgent = self.urgent - start
        if urgent > 0:
            flags |= URG
            size = min(size, mss)
            end = start + size + (end > tx.end and start + size == tx.end)
        else:
            urgent = 0
        data = tx.slice(start, size) if size else b""
        sent = tcb.emit(start, flags, data, mss if size > mss else 0, min(urgent, 0xFFFF))
        if not sent and tcb.path.too_big:
            return self.path_changed()
        self.segments += -(-size // mss)
        tcb.stack.counters.tcp["RetransSegs"] += -(-size // mss) or 1
        self.rec.sent(start, end, now_ns, probe)
        return True

    # Acknowledgements.

    def acked(
        self, ack: int, seq: int, window: int, blocks: list[tuple[int, int]], echo_ns: int, ece: bool, plain: bool,
    ) -> None:  # fmt: skip
        """An acceptable acknowledgement; `plain` is one without data, SYN or FIN."""
        tcb, rec = self.tcb, self.rec
        now_ns = tcb.stack.now_ns
        same = window == self.wnd
        if seq > self.wl1 or (seq == self.wl1 and (ack > self.wl2 or window > self.wnd)) or ack > rec.una:
            self.wl1 = seq
            self.wl2 = ack
            if not same:
                self.wnd = window
                if window > self.max_wnd:
                    self.max_wnd = window
        if self.waits:
            self.probes = 0  # who answers may keep its window closed for as long as it likes (RFC 9293, 3.8.6.1)
            if window or ack > rec.una:
                self.waits = 0
        advanced = rec.acked(ack, blocks, now_ns, echo_ns, ece, plain and same)
        if advanced:
            if ack == rec.nxt:
                self.alarm.clear()  # recovery's; a probe of the window has a time of its own
            tx = self.tx
            tx.drop(min(ack, tx.end))
            tcb.path.flow.confirm()
            self._grow()
            if self.full and self.writable():
                self.full = False
                tcb.socket.notify(OUT | WRNORM)

    def _grow(self) -> None:
        """The buffer keeps up with the window (tcp_moderate_rcvbuf has no part in it; tcp_wmem bounds it)."""
        options = self.tcb.socket.options
        wanted = 4 * self.rec.cc.cwnd
        if wanted > options.send_buffer and not options.send_locked:
            options.send_buffer = max(min(wanted, self.tcb.stack.settings.tcp_wmem[2]), options.send_buffer)

    # Time.

    def arm(self, now_ns: int) -> None:
        """Set the timer to what is next: recovery's, or a probe of a closed window."""
        rec = self.rec
        deadline_ns = rec.deadline_ns
        if deadline_ns < 0 and (self.tx.end > rec.nxt or (self.fin and self.tx.end == rec.nxt)):
            if not self.waits:
                self.probing_ns = now_ns
            deadline_ns = self.alarm.deadline_ns
            if deadline_ns < 0 or rec.una != rec.nxt:
                deadline_ns = now_ns + self._probe_wait_ns()
        self.alarm.set(deadline_ns)

    def _probe_wait_ns(self) -> int:
        if self.wnd:
            return PROBE_NS  # what TCP_CORK or a small window holds back (tcp(7); RFC 9293, 3.8.6.2.1)
        return min(max(self.rtt.rto_ns, PROBE_NS) << min(self.waits, 20), 120_000_000_000)

    def _ring(self) -> None:
        tcb, rec = self.tcb, self.rec
        now_ns = tcb.stack.now_ns
        if rec.una == rec.nxt:
            self._probe_window(now_ns)
            return
        what = rec.expire(now_ns)
        if what == TIMEOUT and tcb.gives_up(rec.timeouts, rec.oldest_sent_ns):
            return
        if what == PROBE:
            self._probe_tail(now_ns)
        if what == NOTHING:
            self.arm(now_ns)
        else:
            self.push()

    def _probe_tail(self, now_ns: int) -> None:
        """A tail loss probe (RFC 8985, 7.3): new data, or the last segment again."""
        rec = self.rec
        nxt = rec.nxt
        size = min(self.tx.end - nxt, rec.una + self.wnd - nxt, self.mss)
        if size > 0:
            self._emit(nxt, size, False, now_ns, probe=True)
            return
        last = rec.probe_range()
        if last is not None:
            self.resend(last[0], last[1], now_ns, probe=True)

    def _probe_window(self, now_ns: int) -> None:
        """The window is closed, or too small for what waits (RFC 9293, 3.8.6.1): send what it takes, or ask."""
        tcb, rec, tx = self.tcb, self.rec, self.tx
        size = min(tx.end - rec.nxt, self.wnd, self.mss)
        if self.wnd > 0 and (size or self.fin):
            self._emit(rec.nxt, size, self.fin and self.wnd > size and rec.nxt + size == tx.end, now_ns)
            self.push()
            return
        if not size and not self.fin and rec.nxt == tx.end:
            return
        self.probes += 1
        self.waits += 1
        if tcb.gives_up(self.probes - 1, self.probing_ns, probing=True):
            return
        tcb.emit(rec.una - 1, ACK)
        tcb.count("TCPWinProbe")
        self.alarm.set(now_ns + self._probe_wait_ns())

    # The path.

    def path_changed(self) -> bool:
        """The path's MTU is another one: segments change their size, and what was too big goes again."""
        tcb, rec = self.tcb, self.rec
        tcb.path.too_big = False
        mss = tcb.current_mss()
        if mss == self.mss:
            return False
        smaller = mss < self.mss
        self.mss = mss
        self.burst = longest_row(mss)
        if smaller and rec.nxt > rec.una:
            rec.lose_all(mss)
        else:
            rec.set_mss(mss)
        return True


def longest_row(mss: int) -> int:
    """Whole segments; one alone, on a wire with very large frames."""
    return max(BURST - BURST % mss, mss)
