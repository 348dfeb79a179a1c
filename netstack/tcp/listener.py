"""Listening sockets (listen(2), accept(2)): connections to accept, and those that wait for room among them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from netstack.errors import EINVAL, WouldBlock
from netstack.packet import Packet
from netstack.poll import IN, RDNORM
from netstack.tcp import output
from netstack.tcp.cookies import PERIOD_NS, PERIODS
from netstack.tcp.info import TcpInfo
from netstack.tcp.request import Request, ask, redeem
from netstack.tcp.state import LISTEN
from netstack.wire.tcp import ACK, FIN, RST, SYN, Segment

if TYPE_CHECKING:
    from netstack.tcp.local import LocalEnd
    from netstack.tcp.socket import TcpSocket


class Listener:
    """queue     connections that accept(2) has not fetched, at most backlog + 1
    waiting   clients of the same stack that found it full: over packets their SYN would be sent again and again
    deferred  connections that have to bring data before they count (TCP_DEFER_ACCEPT)
    requests  connections that are half open (SYN_RECV), at most backlog + 1; beyond that cookies are sent
    """

    __slots__ = ("backlog", "cookies_ns", "deferred", "queue", "requests", "socket", "waiting")

    def __init__(self, socket: TcpSocket, backlog: int) -> None:
        self.socket = socket
        self.queue: deque[TcpSocket] = deque()
        self.waiting: deque[LocalEnd] = deque()
        self.deferred: dict[TcpSocket, None] = {}
        self.requests: dict[Request, None] = {}
        self.cookies_ns = -1  # when the last one was sent
        self.set_backlog(backlog)

    def set_backlog(self, backlog: int) -> None:
        """A negative one is a very large one (listen(2) takes it as unsigned)."""
        most: int = self.socket.stack.settings.somaxconn
        self.backlog = most if backlog < 0 else min(backlog, most)

    @property
    def full(self) -> bool:
        return len(self.queue) > self.backlog

    def score(self, address: bytes, iface: int) -> int:
        """How well this listener fits; 0 when it does not take connections to `address` by `iface`."""
        socket = self.socket
        mine = socket.local[0]
        points = 1
        if any(mine):
            if mine != address:
                return 0
            points += 4
        elif len(mine) != len(address):
            if socket.v6only or len(mine) == 4:
                return 0
        else:
            points += 1
        bound = socket.options.bound_iface
        if bound:
            if bound != iface:
                return 0
            points += 8
        return points

    def accept(self) -> TcpSocket:
        if not self.queue:
            raise WouldBlock
        socket = self.queue.popleft()
        while self.waiting and not self.full:
            self.waiting.popleft().admit()
        return socket

    def ready(self, child: TcpSocket) -> None:
        """A connection is established and can be accepted."""
        self.queue.append(child)
        self.socket.notify(IN | RDNORM)

    # Segments from elsewhere (RFC 9293, 3.10.7.2).

    def segment(self, packet: Packet, segment: Segment, iss: int = -1) -> None:
        """A segment that belongs to no connection. `iss` is given for a SYN that ends a TIME_WAIT."""
        flags = segment.flags
        if flags & RST:
            return
        if flags & ACK:
            if flags & SYN or not redeem(self, packet, segment):
                output.reset(self.socket.stack, packet, segment)
        elif flags & SYN and not flags & FIN:
            ask(self, packet, segment, iss)

    def overflow(self) -> None:
        """A connection was dropped for want of room."""
        table = self.socket.table
        table.count("ListenOverflows")
        table.count("ListenDrops")

    def expects_cookies(self, now_ns: int) -> bool:
        """Some were sent not long ago."""
        if self.socket.stack.settings.tcp_syncookies == 2:
            return True
        return self.cookies_ns >= 0 and now_ns - self.cookies_ns < (PERIODS + 1) * PERIOD_NS

    # As the connection of a socket.

    def close(self) -> None:
        """What was not accepted is reset, who waits is refused."""
        socket = self.socket
        socket.table.remove_listener(self)
        socket.listener = None
        if socket.binding is not None:
            socket.binding.listening = False
        waiting, self.waiting = self.waiting, deque()
        for end in waiting:
            end.refuse()
        for request in list(self.requests):
            request.drop()
        queue, self.queue = self.queue, deque()
        for child in (*queue, *self.deferred):
            child.abort()
        self.deferred.clear()
        socket.over()

    abort = close

    def info(self) -> TcpInfo:
        return TcpInfo(LISTEN, unacked=len(self.queue), sacked=self.backlog)

    def send(self, data: bytes | memoryview, oob: bool, more: bool) -> int:
        raise EINVAL

    def shutdown(self) -> None:
        raise EINVAL

    def consumed(self) -> None:
        """Nothing is ever read here."""

    def writable(self) -> bool:
        return False

    def unsent(self) -> int:
        raise EINVAL

    unacknowledged = unsent

    def set_option(self, name: str) -> None:
        """Options of a listener are for those that it accepts."""
