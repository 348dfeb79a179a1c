"""A connection that a listener has been asked for and that is not established: SYN_RECV (RFC 9293, 3.10.7.2; tcp(7):
tcp_max_syn_backlog, tcp_synack_retries, tcp_syncookies, TCP_DEFER_ACCEPT). It costs little, for anybody can ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import NetError
from netstack.packet import IcmpError, Packet
from netstack.tcp import output
from netstack.tcp.cookies import cookie_options, cookie_stamp
from netstack.tcp.opening import (
    MAX_SYN_TIMEOUT_NS,
    SYN_TIMEOUT_NS,
    Terms,
    first_window,
    receive_scale,
    syn_options,
    terms,
)
from netstack.tcp.output import Path
from netstack.tcp.state import ESTABLISHED, NEXT, SYN_RECV
from netstack.tcp.table import key_of
from netstack.tcp.tcb import Tcb
from netstack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, Segment

if TYPE_CHECKING:
    from netstack.tcp.listener import Listener
    from netstack.timers import Timer

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000


class Request:
    """tries   SYN-ACKs sent
    acked   the handshake was complete, but there was no data (TCP_DEFER_ACCEPT) or no room
    """

    __slots__ = (
        "acked", "began_ns", "irs", "iss", "key", "listener", "local", "path", "peer", "scale", "state", "syn_window",
        "terms", "timer", "tries", "ts_recent",
    )  # fmt: skip

    def __init__(self, listener: Listener, packet: Packet, segment: Segment, path: Path) -> None:
        stack = listener.socket.stack
        self.listener = listener
        self.local = packet.dst, segment.dport
        self.peer = packet.src, segment.sport
        self.key = key_of(self.local, self.peer)
        self.path = path
        self.state = SYN_RECV
        self.irs = segment.seq
        self.iss = 0
        self.syn_window = segment.window
        wants_ecn = segment.flags & (ECE | CWR) == ECE | CWR and stack.settings.tcp_ecn != 0
        self.terms = terms(stack, segment, len(packet.src), wants_ecn)
        stamps = segment.options.timestamps
        self.ts_recent = 0 if stamps is None else stamps[0]
        self.scale = 0 if self.terms.scale is None else receive_scale(stack, listener.socket.options)
        self.tries = 0
        self.acked = False
        self.began_ns = stack.now_ns
        self.timer: Timer | None = None

    # Beginning.

    def hold(self, iss: int) -> None:
        """Remember it, and answer."""
        self.iss = iss
        table = self.listener.socket.table
        table.displace(self.key)
        table.connections[self.key] = self
        self.listener.requests[self] = None
        self._answer()

    def answer_with_cookie(self) -> None:
        """Answer without remembering anything."""
        table = self.listener.socket.table
        agreed = self.terms
        self.iss = table.sequences.cookie(self.key, self.irs, agreed.mss, len(self.peer[0]))
        if not agreed.timestamps:
            self.terms = agreed = agreed._replace(scale=None, sack=False, ecn=False)
        stamp = cookie_stamp(self._stamp(), agreed.scale, agreed.sack, agreed.ecn)
        self._send_syn_ack(stamp)

    def _answer(self) -> None:
        self._send_syn_ack(self._stamp())
        stack = self.listener.socket.stack
        timeout_ns = min(SYN_TIMEOUT_NS << self.tries, MAX_SYN_TIMEOUT_NS)
        self.tries += 1
        self.timer = stack.timers.add(stack.now_ns + timeout_ns, self._expired)

    def _stamp(self) -> int:
        table = self.listener.socket.table
        return (table.stack.now_ns // 1_000_000 + table.sequences.stamp_offset(self.key)) & MASK

    def _send_syn_ack(self, stamp: int) -> None:
        options = self.listener.socket.options
        packed = syn_options(self.path.stack, self.path, options, self.terms, stamp, self.ts_recent, self.scale)
        flags = SYN | ACK | (ECE if self.terms.ecn else 0)
        self.path.emit(self.iss, self.irs + 1, flags, first_window(options), packed)

    def _expired(self) -> None:
        self.timer = None
        socket = self.listener.socket
        options = socket.options
        retries = options.syn_count if options.syn_count >= 0 else socket.stack.settings.tcp_synack_retries
        if self.acked and options.defer_accept_s:
            # The client may be waiting for us to speak first: when the time is over it is let in by its next answer.
            retries = max(retries, 1)
        if self.tries > retries:
            self.drop()
            return
        socket.stack.counters.tcp["RetransSegs"] += 1
        self._answer()

    # Ending.

    def drop(self) -> None:
        """Forget it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.listener.requests.pop(self, None)
        connections = self.listener.socket.table.connections
        if connections.get(self.key) is self:
            del connections[self.key]

    def reusable(self) -> bool:
        return False

    def icmp(self, error: IcmpError, seq: int) -> bool:
        """An ICMP error about our SYN-ACK, if it is one: the next may get through."""
        return seq == self.iss

    # Segments.

    def segment(self, packet: Packet, segment: Segment) -> None:
        """A segment in SYN_RECV (RFC 9293, 3.10.7.4)."""
        flags = segment.flags
        offset = ((segment.seq - self.irs - 1 + HALF) & MASK) - HALF  # from the first byte expected
        if flags & RST:
            if offset == 0:
                self.drop()
            elif 0 < offset < first_window(self.listener.socket.options):
                self._acknowledge()
            return
        stamps = segment.options.timestamps
        if self.terms.timestamps and stamps is not None and (stamps[0] - self.ts_recent) & MASK >= HALF:
            self._acknowledge()
            return
        if flags & SYN:
            if offset == -1 and not flags & ACK:
                self._send_syn_ack(self._stamp())  # the same SYN again: our answer was lost
            else:
                self._acknowledge()
            return
        if not -1 <= offset <= first_window(self.listener.socket.options):
            self._acknowledge()
            return
        if not flags & ACK:
            return
        if segment.ack != self.iss + 1 & MASK:
            output.reset(self.path.stack, packet, segment)
            return
        listener = self.listener
        options = listener.socket.options
        stack = self.path.stack
        if (
            not segment.payload
            and not flags & FIN
            and stack.now_ns - self.began_ns < options.defer_accept_s * 1_000_000_000
        ):
            self.acked = True
            return
        if listener.full:
            listener.overflow()
            if stack.settings.tcp_abort_on_overflow:
                output.reset(stack, packet, segment)
                self.drop()
            else:
                self.acked = True  # lost, for all that the client knows: there may be room when it sends again
            return
        self.drop()
        self.establish(stack.now_ns - self.began_ns if self.tries == 1 else 0).segment(packet, segment)

    def _acknowledge(self) -> None:
        """Say what is expected."""
        stamps = b""
        if self.terms.timestamps:
            stamps = b"\1\1\x08\x0a" + self._stamp().to_bytes(4, "big") + self.ts_recent.to_bytes(4, "big")
        window = first_window(self.listener.socket.options) >> self.scale
        self.path.emit(self.iss + 1, self.irs + 1, ACK, window, stamps)

    def establish(self, rtt_ns: int) -> Tcb:
        """The connection, to be accepted."""
        listener = self.listener
        child = listener.socket.child(self.local, self.peer)
        tcb = Tcb(child, self.path.flow)
        tcb.iss = self.iss
        tcb.irs = self.irs
        tcb.own_scale = self.scale
        tcb.agree(self.terms)
        tcb.ts_recent = self.ts_recent
        tcb.ts_recent_ns = tcb.stack.now_ns
        tcb.syn_tries = self.tries
        tcb.prepare(self.syn_window)
        child.state = NEXT[SYN_RECV]["ack"]
        tcb.stack.counters.tcp["PassiveOpens"] += 1
        tcb.opened(rtt_ns)
        listener.ready(child)
        return tcb


def ask(listener: Listener, packet: Packet, segment: Segment, iss: int = -1) -> None:
    """A SYN for `listener`. `iss` is given when the connection follows one that was in TIME_WAIT."""
    socket = listener.socket
    stack = socket.stack
    if packet.to_us != "unicast":
        return
    if listener.full:
        listener.overflow()
        return
    try:
        flow = stack.flow(packet.src, packet.dst, socket.options.bound_iface, socket.options.tos)
    except NetError:
        return
    request = Request(listener, packet, segment, Path(stack, flow, segment.dport, segment.sport, socket.options))
    settings = stack.settings
    crowded = len(listener.requests) > min(listener.backlog, settings.tcp_max_syn_backlog)
    if (crowded or settings.tcp_syncookies == 2) and iss < 0:
        if settings.tcp_syncookies:
            socket.table.count("TCPReqQFullDoCookies")
            listener.cookies_ns = stack.now_ns
            request.answer_with_cookie()
        else:
            socket.table.count("TCPReqQFullDrop")
        return
    request.hold(socket.table.initial(request.key) if iss < 0 else iss)


def redeem(listener: Listener, packet: Packet, segment: Segment) -> bool:
    """An acknowledgement that belongs to nothing known: of a cookie perhaps. False when it is none."""
    socket = listener.socket
    stack, table = socket.stack, socket.table
    if packet.to_us != "unicast" or not listener.expects_cookies(stack.now_ns):
        return False
    key = key_of((packet.dst, segment.dport), (packet.src, segment.sport))
    irs, iss = segment.seq - 1 & MASK, segment.ack - 1 & MASK
    mss = table.sequences.check_cookie(key, irs, iss, len(packet.src))
    if not mss:
        table.count("SyncookiesFailed")
        return False
    table.count("SyncookiesRecv")
    if listener.full:
        listener.overflow()
        return True
    try:
        flow = stack.flow(packet.src, packet.dst, socket.options.bound_iface, socket.options.tos)
    except NetError:
        return True
    request = Request(listener, packet, segment, Path(stack, flow, segment.dport, segment.sport, socket.options))
    stamps = segment.options.timestamps
    agreed = Terms(mss, None, False, False, False)
    if stamps is not None and stack.settings.tcp_timestamps:
        scale, sack, ecn = cookie_options(stamps[1])
        agreed = Terms(mss, scale, sack, True, ecn)
    request.irs, request.iss, request.terms = irs, iss, agreed
    request.scale = 0 if agreed.scale is None else receive_scale(stack, socket.options)
    tcb = request.establish(0)
    assert tcb.socket.state == ESTABLISHED
    tcb.segment(packet, segment)
    return True
