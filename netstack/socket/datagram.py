"""Sockets that keep message borders: how UDP, raw, ping and packet sockets keep and give what they have received."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from netstack.errors import EPIPE, WouldBlock
from netstack.poll import ERR, HUP, IN, OUT, RDHUP, RDNORM, WRBAND, WRNORM
from netstack.socket.base import SHUT_READ, SHUT_WRITE, Endpoint, Options
from netstack.socket.error_queue import ICMP, ICMP6, ErrorQueue, ExtendedError

if TYPE_CHECKING:
    from netstack.stack import Stack

READABLE = IN | RDNORM
WRITABLE = OUT | WRNORM | WRBAND


class Datagram:
    """A received message and what is known of it.

    source, destination  (address, port); the port is 0 where there are none
    iface       index of the interface it came in by
    time_ns     when, on the stack's clock
    drops       how many were lost for want of room before this one (SO_RXQ_OVFL)
    link        of a packet socket: what sockaddr_ll says of the frame
    """

    __slots__ = ("data", "destination", "drops", "iface", "link", "options", "source", "time_ns", "tos", "ttl")

    def __init__(
        self, data: bytes, source: tuple[bytes, int], destination: tuple[bytes, int], iface: int, ttl: int, tos: int,
        time_ns: int, options: bytes = b"", link: LinkName | None = None,
    ) -> None:  # fmt: skip
        self.data = data
        self.source = source
        self.destination = destination
        self.iface = iface
        self.ttl = ttl
        self.tos = tos
        self.time_ns = time_ns
        self.options = options
        self.link = link
        self.drops = 0


class LinkName(NamedTuple):
    """struct sockaddr_ll (packet(7)): `direction` is sll_pkttype, `hardware` sll_hatype."""

    protocol: int
    hardware: int
    direction: int
    address: bytes
    size: int = 0  # of the frame before it was cut
    net_offset: int = 0  # where the network header starts


def cost_of(size: int) -> int:
    """What a message weighs against SO_RCVBUF: Linux counts the memory that it takes, not its bytes, and programs that
    set small buffers rely on the difference (socket(7))."""
    memory = (size + 138 & ~63) + 320
    if memory <= 8192:
        return 256 + (1 << (memory - 1).bit_length())
    return 256 + (memory + 4095 & ~4095)


class DatagramSocket(Endpoint):
    """`queued` are the bytes of what waits to be received, as `cost_of` counts them; `drops` is what found no room."""

    __slots__ = ("_queue", "closed", "drops", "errors", "queued")

    def __init__(self, stack: Stack, family: int, options: Options | None = None) -> None:
        super().__init__(stack, family, options)
        self.errors = ErrorQueue()
        self.closed = False
        self.queued = 0
        self.drops = 0
        self._queue: deque[Datagram] = deque()

    def take_in(self, datagram: Datagram) -> bool:
        """Queue a message; False when it was dropped for want of room."""
        if self.queued > self.options.receive_buffer:
            self.drops += 1
            return False
        datagram.drops = self.drops
        self.queued += cost_of(len(datagram.data))
        self._queue.append(datagram)
        self.notify(READABLE)
        return True

    def receive(self, peek: bool = False) -> Datagram:
        """The oldest message, whole: the caller cuts it. A pending error comes first. WouldBlock when there is none,
        also when the reading side is shut down: `shut` tells, and only a caller that would wait gets an end."""
        if self.error:
            self.raise_error()
        queue = self._queue
        if not queue:
            raise WouldBlock
        if peek:
            return queue[0]
        datagram = queue.popleft()
        self.queued -= cost_of(len(datagram.data))
        return datagram

    def receive_error(self, peek: bool = False) -> ExtendedError:
        """MSG_ERRQUEUE: WouldBlock when the queue is empty. SO_ERROR goes with the entries."""
        if peek:
            return self.errors.first()
        error = self.errors.take()
        if error.origin in (ICMP, ICMP6) or self.errors.pending():
            self.error = self.errors.pending()
        return error

    def next_size(self) -> int:
        """FIONREAD: the size of the oldest message."""
        return len(self._queue[0].data) if self._queue else 0

    def poll(self) -> int:
        shut = self.shut
        bits = WRITABLE
        if self._queue or shut & SHUT_READ:
            bits |= READABLE
        if shut:
            if shut & SHUT_READ:
                bits |= RDHUP
            if shut == SHUT_READ | SHUT_WRITE:
                bits |= HUP
        if self.error or len(self.errors):
            bits |= ERR
        return bits

    def check_send(self) -> None:
        """A pending error, or the end of the writing side, is what a send reports before it sends."""
        self.raise_error()
        if self.shut & SHUT_WRITE:
            raise EPIPE

    def close(self) -> None:
        self.closed = True
        self._queue.clear()
        self.queued = 0
        self.errors.clear()
