"""Connections between two sockets of one stack, without packets: what one sends is at once what the other can read.

States, errors and events are those that packets would bring, with a network that loses nothing and takes no time: a
FIN is acknowledged as soon as it is sent, a listener that is not there has refused before connect(2) returns.
The receiver's buffer and the sender's are one queue, bounded by the sum of both: its first part is what has arrived,
the rest what would still wait at the sender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT, WouldBlock
from netstack.poll import IN, OUT, PRI, RDNORM, WRNORM
from netstack.tcp.info import OPT_SACK, OPT_TIMESTAMPS, OPT_WSCALE, TcpInfo
from netstack.tcp.state import CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, NEXT, SYN_SENT, TIME_WAIT
from netstack.tcp.table import key_of

if TYPE_CHECKING:
    from netstack.packet import IcmpError, Packet
    from netstack.tcp.listener import Listener
    from netstack.tcp.socket import TcpSocket
    from netstack.timers import Timer
    from netstack.wire.tcp import Segment

READABLE: Final = IN | RDNORM
WRITABLE: Final = OUT | WRNORM
SEND_BUFFER: Final = 2626560  # what Linux lets the buffer of a loopback connection grow to at once
MSS4, MSS6 = 65483, 65463  # of a loopback device of 65536 bytes, with timestamps
RTT_US = 20


def connect(socket: TcpSocket) -> None:
    """`socket` has its addresses, both of this stack, and is in SYN_SENT: what becomes of it is known at once, unless
    the listener's queue is full."""
    address, port = socket.peer
    source, source_port = socket.local
    iface = socket.options.bound_iface or 1
    listener = socket.table.listener(address, port, iface, source, source_port)
    end = LocalEnd(socket)
    if listener is not None:
        if listener.full:
            end.wait(listener)
        else:
            end.join(listener)
    elif socket.peer == socket.local:  # a simultaneous open with itself (RFC 9293, 3.5)
        end.peer = end
        socket.state = NEXT[NEXT[SYN_SENT]["syn"]]["ack"]
        socket.established()
    else:
        end.refuse()


class LocalEnd:
    """One end; `peer` is the other one, itself for a socket connected to itself, None before there is one.

    full      somebody found no room, or little: to be told when there is some
    listener  whose queue this end waits for
    deferred  a listener that shows this end once data has come (TCP_DEFER_ACCEPT)
    """

    __slots__ = ("began_ns", "deferred", "full", "key", "listener", "peer", "socket", "timer")

    def __init__(self, socket: TcpSocket) -> None:
        self.socket = socket
        self.peer: LocalEnd | None = None
        self.full = False
        self.listener: Listener | None = None
        self.deferred: Listener | None = None
        self.timer: Timer | None = None
        self.began_ns = socket.stack.now_ns
        self.key = key_of(socket.local, socket.peer)
        socket.conn = self
        table = socket.table
        table.displace(self.key)
        table.connections[self.key] = self
        options = socket.options
        if not options.send_locked:
            options.send_buffer = max(options.send_buffer, min(SEND_BUFFER, socket.stack.settings.tcp_wmem[2]))

    # Opening.

    def join(self, listener: Listener) -> None:
        """The three-way handshake."""
        socket = self.socket
        child = listener.socket.child(socket.peer, socket.local)
        peer = LocalEnd(child)
        self.peer, peer.peer = peer, self
        child.state = ESTABLISHED
        socket.state = NEXT[SYN_SENT]["syn_ack"]
        socket.established()
        counters = socket.stack.counters.tcp
        counters["ActiveOpens"] += 1
        counters["PassiveOpens"] += 1
        seconds = listener.socket.options.defer_accept_s
        if seconds:
            peer.defer(listener, seconds)
        else:
            listener.ready(child)

    def wait(self, listener: Listener) -> None:
        """The queue is full: over packets the SYN would be lost and sent again until there is room."""
        self.listener = listener
        listener.waiting.append(self)
        socket = self.socket
        retries = socket.options.syn_count
        if retries < 0:
            retries = socket.stack.settings.tcp_syn_retries
        timeout_ns = ((2 << min(retries, 16)) - 1) * 1_000_000_000
        self.timer = socket.stack.timers.add(self.began_ns + timeout_ns, self._timed_out)

    def admit(self) -> None:
        """The listener has room now."""
        listener = self._stop_waiting()
        assert listener is not None
        self.join(listener)

    def refuse(self) -> None:
        """Nobody listens there (any more)."""
        self._stop_waiting()
        counters = self.socket.stack.counters.tcp
        counters["AttemptFails"] += 1
        counters["OutRsts"] += 1
        self._end(ECONNREFUSED.code)

    def _timed_out(self) -> None:
        self._stop_waiting()
        self._end(ETIMEDOUT.code)

    def _stop_waiting(self) -> Listener | None:
        listener = self.listener
        if listener is not None:
            self.listener = None
            if self in listener.waiting:
                listener.waiting.remove(self)
        self._stop_timer()
        return listener

    def defer(self, listener: Listener, seconds: int) -> None:
        """Not to be accepted before data has come, or the time is over."""
        self.deferred = listener
        listener.deferred[self.socket] = None
        self.timer = self.socket.stack.timers.add(self.began_ns + seconds * 1_000_000_000, self._show)

    def _show(self) -> None:
        self._stop_timer()
        listener, self.deferred = self.deferred, None
        if listener is not None and listener.deferred.pop(self.socket, self) is None:
            listener.ready(self.socket)

    # Data.

    def send(self, data: bytes | memoryview, oob: bool, more: bool) -> int:
        peer = self.peer
        assert peer is not None
        other = peer.socket
        if other.closed:  # nobody can read it: the answer is a reset (RFC 9293, 3.6.1)
            peer.abort()
            return min(len(data), self.socket.options.send_buffer)
        rx = other.rx
        send_buffer = self.socket.options.send_buffer
        window = other.options.receive_buffer
        queued = rx.end - rx.start
        room = window + send_buffer - queued
        size = len(data)
        if size > room:
            self.full = True
            if room <= 0:
                raise WouldBlock
            data = memoryview(data)[:room]
            oob, size = False, room
        elif (queued + size - window) * 3 > send_buffer * 2:
            self.full = True
        rx.append(data)
        if oob and size:
            other.urge(rx.end - 1)
            other.urgent_came()
            other.notify(READABLE | PRI)
        else:
            other.notify(READABLE)
        if peer.deferred is not None:
            peer._show()
        return size

    def consumed(self) -> None:
        """The owner has read."""
        peer = self.peer
        if peer is not None and peer.full and peer.writable():
            peer.full = False
            peer.socket.notify(WRITABLE)

    def writable(self) -> bool:
        """A third of the send buffer is free."""
        peer = self.peer
        if peer is None:
            return False
        rx = peer.socket.rx
        send_buffer = self.socket.options.send_buffer
        if (rx.end - rx.start - peer.socket.options.receive_buffer) * 3 <= send_buffer * 2:
            return True
        self.full = True  # poll(2) said no: whoever asked wants to hear
        return False

    def unacknowledged(self) -> int:
        """What is beyond the receiver's buffer."""
        peer = self.peer
        if peer is None or peer.socket.closed:
            return 0
        rx = peer.socket.rx
        return max(rx.end - rx.start - peer.socket.options.receive_buffer, 0)

    unsent = unacknowledged

    # The end.

    def shutdown(self) -> None:
        """FIN, and the peer's acknowledgement of it."""
        socket, peer = self.socket, self.peer
        assert peer is not None
        socket.state = NEXT[socket.state].get("close", socket.state)
        if socket.state not in (FIN_WAIT1, LAST_ACK):
            return
        if peer is self:
            socket.peer_done()
            self._time_wait()
            return
        if peer.socket.state == CLOSE:  # it is gone, and answers FIN with a reset
            self._end()
            return
        socket.state = NEXT[socket.state]["ack_of_fin"]
        peer._finished()
        if socket.state == CLOSE:
            self._end()

    def _finished(self) -> None:
        """The peer's FIN."""
        socket = self.socket
        socket.state = NEXT[socket.state]["fin"]
        socket.peer_done()
        if socket.state == TIME_WAIT:
            self._time_wait()
        if self.deferred is not None:
            self._show()

    def close(self) -> None:
        """The owner is gone. In FIN_WAIT2 it is waited for the peer's FIN for a while only (tcp_fin_timeout)."""
        socket = self.socket
        if socket.state == SYN_SENT:
            self.abort()
            return
        self.shutdown()
        if socket.state == FIN_WAIT2:
            seconds = socket.options.linger2_s or socket.stack.settings.tcp_fin_timeout
            now_ns = socket.stack.now_ns
            self.timer = socket.stack.timers.add(now_ns + max(seconds, 0) * 1_000_000_000, self._end)

    def abort(self) -> None:
        """RST."""
        self._stop_waiting()
        peer = self.peer
        self._end()
        if peer is not None and peer is not self and peer.socket.state != CLOSE:
            socket = peer.socket
            socket.stack.counters.tcp["EstabResets"] += 1
            peer._end(EPIPE.code if socket.state == CLOSE_WAIT else ECONNRESET.code)
            if peer.deferred is not None:  # nobody will ever see it
                peer.deferred.deferred.pop(socket, None)
                peer.deferred = None

    def _time_wait(self) -> None:
        socket = self.socket
        socket.table.time_waits.add(self.key, socket)
        self._end()

    def _end(self, code: int = 0) -> None:
        self._stop_timer()
        socket = self.socket
        connections = socket.table.connections
        if connections.get(self.key) is self:
            del connections[self.key]
        if socket.state != CLOSE or socket.conn is self:
            socket.over(code)

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    # For others.

    def segment(self, packet: Packet, segment: Segment) -> None:
        """A packet can claim to be of this connection, but none is: it is dropped."""

    def icmp(self, error: IcmpError, seq: int) -> bool:
        """Nor is there an error about one."""
        return False

    def reusable(self) -> bool:
        return False

    @property
    def state(self) -> int:
        return self.socket.state

    def set_option(self, name: str) -> None:
        if name == "send_buffer" and self.peer is not None and self.full and self.writable():
            self.full = False
            self.socket.notify(WRITABLE)

    def info(self) -> TcpInfo:
        socket, peer = self.socket, self.peer
        mss = MSS4 if len(socket.local[0]) == 4 else MSS6
        received = socket.rx.end
        sent = 0 if peer is None else peer.socket.rx.end
        unacked = self.unacknowledged()
        age_ms = (socket.stack.now_ns - self.began_ns) // 1_000_000
        buffer = socket.options.receive_buffer
        return TcpInfo(
            socket.state, options=OPT_TIMESTAMPS | OPT_SACK | OPT_WSCALE, snd_wscale=7, rcv_wscale=7,
            rto=201_000, ato=40_000, snd_mss=mss // 2, rcv_mss=mss // 2, unacked=-(-unacked // mss),
            last_data_sent=age_ms, last_data_recv=age_ms, last_ack_recv=age_ms, pmtu=65535, rcv_ssthresh=buffer // 2,
            rtt=RTT_US, rttvar=RTT_US // 2, advmss=mss, rcv_space=buffer // 2, bytes_acked=sent - unacked,
            bytes_received=received, notsent_bytes=unacked, min_rtt=RTT_US, delivered=1 + sent // mss,
            bytes_sent=sent, snd_wnd=buffer // 2, data_segs_in=-(-received // mss), data_segs_out=-(-sent // mss),
            segs_in=2 + -(-received // mss), segs_out=2 + -(-sent // mss),
        )  # fmt: skip
