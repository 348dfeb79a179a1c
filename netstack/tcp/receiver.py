"""The receiving half of a connection: data in order, the window, when acknowledgements are sent (RFC 9293, 3.8.6;
RFC 1122, 4.2.3.2; RFC 5681, 4.2; tcp(7) for what Linux does).

Positions are sequence numbers that do not wrap, as everywhere here. The socket's `rx` begins behind the peer's SYN, so
that its end is the next byte expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.tcp.alarm import Alarm
from netstack.tcp.reassembly import OutOfOrder

if TYPE_CHECKING:
    from netstack.tcp.tcb import Tcb

DELAY_NS: Final = 40_000_000  # of an acknowledgement that may ride on data
QUICK: Final = 16  # segments acknowledged at once at the start, and after a pause
SMALL: Final = 2048  # data below this is copied: a small view would keep its whole frame
MAX_FIELD: Final = 0xFFFF


class Receiver:
    """nxt     the next position expected, after a FIN the one behind it
    edge       where the window that the peer knows ends; never taken back (RFC 9293, 3.8.6)
    acked      `nxt` as the last acknowledgement said it
    scale      shift of our window (RFC 7323, 2)
    mss        size of the largest segment that has come: what "two segments" means for an acknowledgement
    pending    an acknowledgement is owed
    pingpong   the owner answers what it reads: an acknowledgement can wait for the answer
    fin_at     position of a FIN that has come too early; -1
    """

    __slots__ = (
        "_copied", "_copied_ns", "_copied_to", "acked", "delay", "edge", "fin_at", "last_data_ns",
        "mss", "nxt", "order", "pending", "pingpong", "quick", "scale", "segments", "tcb",
    )  # fmt: skip

    def __init__(self, tcb: Tcb, start: int, window: int, scale: int, mss: int) -> None:
        self.tcb = tcb
        self.nxt = start
        self.acked = start
        self.edge = start + window
        self.scale = scale
        self.mss = mss
        self.order = OutOfOrder()
        self.pending = False
        self.pingpong = False
        self.quick = QUICK
        self.fin_at = -1
        self.segments = 0
        now_ns = tcb.stack.now_ns
        self.last_data_ns = now_ns
        self._copied_to = start
        self._copied_ns = now_ns
        self._copied = 10 * mss
        self.delay = Alarm(tcb.stack.timers, self.acknowledge)

    # The window.

    @property
    def capacity(self) -> int:
        """How much may wait for the owner: half of the buffer, whose other half is for overhead (tcp_adv_win_scale)."""
        options = self.tcb.socket.options
        capacity = options.receive_buffer >> 1
        return min(capacity, options.window_clamp) if options.window_clamp else capacity

    def window(self) -> int:
        """The window field of a segment that leaves now: `edge` moves on, but not by crumbs (RFC 9293, 3.8.6.2.2)."""
        nxt, edge, scale = self.nxt, self.edge, self.scale
        rx = self.tcb.socket.rx
        capacity = self.capacity
        wanted = rx.start + capacity
        if wanted - edge >= min(capacity >> 1, self.mss) and wanted > nxt:
            field = (wanted - nxt) >> scale
        else:
            field = max(-(-(edge - nxt) >> scale), 0)
        if field > MAX_FIELD:
            field = MAX_FIELD
        reach = nxt + (field << scale)
        if reach > edge:
            self.edge = reach
        return field

    def consumed(self) -> None:
        """The owner has read: an acknowledgement that waited for it goes, or one that opens the window."""
        tcb = self.tcb
        rx = tcb.socket.rx
        now_ns = tcb.stack.now_ns
        if now_ns - self._copied_ns > tcb.snd.rtt.srtt_ns + 1_000_000:
            self._tune(now_ns, rx.start)
        if tcb.socket.closed:
            return
        if self.pending and (self.nxt - self.acked > self.mss or rx.start == rx.end and not self.pingpong):
            self.acknowledge()
            return
        current = max(self.edge - self.nxt, 0)
        capacity = self.capacity
        if 2 * current <= capacity:
            wanted = rx.start + capacity - self.nxt
            if wanted >= 2 * current and wanted >= min(capacity >> 1, self.mss):
                self.acknowledge()

    def _tune(self, now_ns: int, read_to: int) -> None:
        """The buffer grows with what the owner reads in a round trip, twice as far while that grows itself
        (tcp_moderate_rcvbuf)."""
        copied = read_to - self._copied_to
        self._copied_to = read_to
        self._copied_ns = now_ns
        before = self._copied
        if copied <= before:
            return
        self._copied = copied
        socket = self.tcb.socket
        options, settings = socket.options, self.tcb.stack.settings
        if options.receive_locked or not settings.tcp_moderate_rcvbuf:
            return
        window = 2 * copied + 16 * self.mss
        window += window * min(copied - before, before) // before
        if 2 * window > options.receive_buffer:
            options.receive_buffer = max(min(2 * window, settings.tcp_rmem[2]), options.receive_buffer)

    # Data.

    def data(self, start: int, data: memoryview, gso_size: int, now_ns: int) -> None:
        """Data of an acceptable segment. What lies beyond the window or was there before is cut off."""
        tcb = self.tcb
        order = self.order
        nxt, size = self.nxt, len(data)
        end = start + size
        self._heard(gso_size or size, size, now_ns)
        if end <= nxt:
            order.doubled = (start, end)
            self.acknowledge_now()
            return
        if end > self.edge:
            data = data[: max(self.edge - start, 0)]
            end = start + len(data)
            if start >= end:
                self.acknowledge_now()
                return
        if start > nxt:
            order.add(start, bytes(data) if size < SMALL else data)
            tcb.count("TCPOFOQueue")
            self.acknowledge_now()
            return
        if start < nxt:
            order.doubled = (start, nxt)
            data = data[nxt - start :]
        socket = tcb.socket
        rx = socket.rx
        rx.append(bytes(data) if len(data) < SMALL else data)
        urgent = order.doubled is not None
        if order:
            urgent = True
            for piece in order.take(end):
                rx.append(piece)
        self.nxt = rx.end
        if urgent:
            self.acknowledge_now()
        else:
            self._owe(gso_size or size, now_ns)

    def _heard(self, segment: int, size: int, now_ns: int) -> None:
        """Bookkeeping of a segment with data."""
        self.segments += -(-size // segment)
        if segment > self.mss:
            self.mss = min(segment, self.tcb.path.mtu)
        if now_ns - self.last_data_ns > 200_000_000 and now_ns - self.last_data_ns > self.tcb.snd.rtt.rto_ns:
            self.quick = QUICK  # after a pause the peer's window is small: it wants to hear soon
        self.last_data_ns = now_ns

    def _owe(self, segment: int, now_ns: int) -> None:
        """An acknowledgement is due: now, every second segment, or with what the owner answers."""
        self.pending = True
        if self.nxt - self.acked > self.mss or (self.quick and not self.pingpong):
            self.tcb.ack_soon()
        elif self.delay.deadline_ns < 0:
            self.delay.set(now_ns + DELAY_NS)

    # Acknowledgements.

    def acknowledge(self) -> None:
        """Send what is owed, now."""
        self.tcb.send_ack()

    def acknowledge_now(self) -> None:
        """Something is out of order: the peer must hear of each such segment (RFC 5681, 4.2)."""
        self.pending = True
        self.tcb.ack_soon()

    def told(self, now_ns: int) -> None:
        """A segment with the acknowledgement has left."""
        self.pending = False
        self.acked = self.nxt
        self.delay.deadline_ns = -1
        if self.quick:
            self.quick -= 1

    def set_quick(self, wanted: bool) -> None:
        """TCP_QUICKACK."""
        self.pingpong = not wanted
        if wanted:
            self.quick = QUICK
            if self.pending:
                self.acknowledge()
