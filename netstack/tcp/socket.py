"""TCP sockets as callers see them (tcp(7), socket(7), connect(2), accept(2), shutdown(2), poll(2)).

A TcpSocket holds what calls ask for: addresses, state, bytes to read, errors. What moves it is its `conn`:

    None         not connected, or no more
    Listener     listen(2) was called
    LocalEnd     the peer is a socket of the same stack: no packets (`local`)
    Tcb          the peer is elsewhere (`tcb`)

A socket lives on after close(2) as long as its connection does (an orphan); nobody is told of it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from netstack.errors import (
    BY_CODE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EALREADY,
    ECONNABORTED,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    WouldBlock,
)
from netstack.poll import ERR, HUP, IN, OUT, PRI, RDHUP, RDNORM, WRNORM
from netstack.socket.base import SHUT_READ, SHUT_WRITE, Endpoint
from netstack.tcp import local
from netstack.tcp.info import TcpInfo
from netstack.tcp.listener import Listener
from netstack.tcp.options import TcpOptions
from netstack.tcp.queue import ByteQueue
from netstack.tcp.state import CLOSE, ESTABLISHED, LISTEN, MAY_SEND, NAMES, OPENING, SYN_SENT
from netstack.tcp.tcb import Tcb

if TYPE_CHECKING:
    from netstack.ports import Binding
    from netstack.stack import Stack

SHUT_BOTH: Final = SHUT_READ | SHUT_WRITE
READABLE: Final = IN | RDNORM
WRITABLE: Final = OUT | WRNORM

# What an urgent byte of the peer has come to: nothing, announced, here, and read by MSG_OOB.
URGENT_NONE, URGENT_NOT_YET, URGENT_HERE, URGENT_READ = range(4)
# connect(2) as this socket has seen it (struct socket's state).
UNCONNECTED, CONNECTING, CONNECTED = range(3)


class Conn(Protocol):
    """What a socket asks of its connection. Calls come checked: the state allows them."""

    def send(self, data: bytes | memoryview, oob: bool, more: bool) -> int: ...
    def consumed(self) -> None: ...
    def writable(self) -> bool: ...
    def shutdown(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def info(self) -> TcpInfo: ...
    def unsent(self) -> int: ...
    def unacknowledged(self) -> int: ...
    def set_option(self, name: str) -> None: ...


class TcpSocket(Endpoint):
    """See docs/netstack.md, section 3. Calls raise NetError and never wait.

    rx          what has come and was not read
    done        the peer's FIN has come: after `rx` there is nothing
    urgent...   where in the stream the urgent byte stands, what it is, what became of it
    bound       bind(2) has given the port by number: it stays when a connection ends
    phase       UNCONNECTED, CONNECTING or CONNECTED: what connect(2) has told its caller
    closed      close(2) was called: an orphan
    """

    __slots__ = (
        "binding", "bound", "bound_address", "closed", "conn", "done", "listener", "phase", "rx", "soft_error",
        "state", "table", "urgent", "urgent_at", "urgent_byte",
    )  # fmt: skip
    options: TcpOptions

    def __init__(self, stack: Stack, family: int, options: TcpOptions | None = None) -> None:
        super().__init__(stack, family, TcpOptions(stack) if options is None else options)
        self.table = stack.tcp
        self.binding: Binding | None = None
        self.bound = False
        self.bound_address = self.any
        self.conn: Conn | None = None
        self.listener: Listener | None = None
        self.state: int = CLOSE
        self.phase = UNCONNECTED
        self.rx = ByteQueue()
        self.done = False
        self.closed = False
        self.soft_error = 0  # an ICMP error that is no reason to give up yet (RFC 1122, 4.2.3.9)
        self.urgent = URGENT_NONE
        self.urgent_at = 0
        self.urgent_byte = b""

    def __repr__(self) -> str:
        return f"<TcpSocket {NAMES[self.state]} {self.local} {self.peer}>"

    # Addresses.

    def bind(self, address: bytes, port: int) -> None:
        """EINVAL when bound already, EADDRNOTAVAIL, EADDRINUSE."""
        if self.state != CLOSE or self.local[1]:
            raise EINVAL
        self.check_local(address, group=False)
        if not port and self.options.bind_no_port and any(address):
            self.local = (address, 0)  # connect will find one
            self.bound_address = address
            return
        binding = self.table.ports.bind(self.options, address, port, self.dual(address), self.owner_uid)
        self.binding = binding
        self.bound = bool(port)
        self.bound_address = address
        self.local = (address, binding.port)

    def listen(self, backlog: int) -> None:
        """EINVAL when connected, EADDRINUSE when another listens at the port; again: changes the backlog."""
        if self.state == LISTEN:
            assert self.listener is not None
            self.listener.set_backlog(backlog)
            return
        if self.state != CLOSE or self.phase != UNCONNECTED:
            raise EINVAL
        if self.binding is None:
            address = self.local[0]
            self.binding = self.table.ports.bind(self.options, address, 0, self.dual(address), self.owner_uid)
            self.local = (address, self.binding.port)
        self.table.ports.listen(self.binding)
        self.shut = 0
        self.listener = Listener(self, backlog)
        self.conn = self.listener
        self.state = LISTEN
        self.table.add_listener(self.listener)

    def accept(self) -> TcpSocket:
        """The next connection: EINVAL when not listening."""
        if self.listener is None:
            raise EINVAL
        return self.listener.accept()

    def connect(self, address: bytes, port: int, blocking: bool = True) -> None:
        """Begin to connect; called again it tells what has become of it, each result once. To a socket of the own
        stack the answer is there at once: without `blocking` it is kept for the second call, as Linux does it."""
        if self.phase == CONNECTED or self.state == LISTEN:
            raise EISCONN
        if self.phase == CONNECTING:
            self._connecting()
            return
        self._start(address, port)
        self.phase = CONNECTING
        if self.state in OPENING or not blocking:
            raise WouldBlock
        self._connecting()

    def _connecting(self) -> None:
        if self.state in OPENING:
            raise EALREADY
        if self.state == CLOSE:
            code = self.take_error()
            self._forget()
            raise BY_CODE.get(code, ECONNABORTED)
        self.phase = CONNECTED

    def _start(self, address: bytes, port: int) -> None:
        if not self.speaks(address):
            raise ENETUNREACH if self.family == 6 else EAFNOSUPPORT
        source, source_port = self.local
        options = self.options
        bound = source if any(source) else None
        if bound is not None and len(bound) != len(address) and any(address):
            raise ENETUNREACH
        flow = self.stack.flow(address, bound, options.bound_iface, options.tos)
        if flow.broadcast or flow.multicast:
            raise ENETUNREACH
        self.done = False
        self.shut = 0
        self.error = self.soft_error = 0
        tcp = self.table
        if self.binding is None:
            self.binding = tcp.ports.bind_to_connect(
                options,
                flow.src,
                lambda candidate: tcp.free(flow.src, candidate, flow.dst, port),
                uid=self.owner_uid,
            )
            source_port = self.binding.port
        if not tcp.free(flow.src, source_port, flow.dst, port):
            raise EADDRNOTAVAIL
        self.local = (flow.src, source_port)
        self.peer = (flow.dst, port)
        self.state = SYN_SENT
        if flow.local:
            local.connect(self)
        else:
            Tcb(self, flow).open()

    def disconnect(self) -> None:
        """connect(2) with AF_UNSPEC: back to an unconnected socket; a peer is reset, a listener ends."""
        if self.conn is not None:
            self.conn.abort()
        self._forget()
        self.error = 0

    def _forget(self) -> None:
        """Unconnected again; an address that bind(2) gave stays."""
        self.phase = UNCONNECTED
        self.shut = 0
        self.done = False
        self.urgent = URGENT_NONE
        self.rx = ByteQueue()
        self.peer = (self.any, 0)
        self.local = (self.bound_address, 0 if self.binding is None else self.binding.port)

    # Data out.

    def send(self, data: bytes | memoryview, oob: bool = False, more: bool = False) -> int:
        """How much of `data` was taken; nobody may change it afterwards. EPIPE, or the pending error."""
        if self.state not in MAY_SEND or self.shut & SHUT_WRITE or self.error:
            if self.error:
                self.raise_error()
            if self.state in OPENING and not self.shut & SHUT_WRITE:
                raise WouldBlock
            raise EPIPE
        conn = self.conn
        assert conn is not None
        return conn.send(data, oob, more)

    def unsent(self) -> int:
        """Bytes that have not been sent yet (SIOCOUTQNSD)."""
        return 0 if self.conn is None else self.conn.unsent()

    def unacknowledged(self) -> int:
        """Bytes that the peer has not acknowledged (SIOCOUTQ)."""
        return 0 if self.conn is None else self.conn.unacknowledged()

    # Data in.

    def peek(self, size: int, offset: int = 0) -> bytes | memoryview:
        """What can be read, at most `size` bytes of it, from `offset` on; b"" at the end of the stream. An urgent
        byte in the way is left out, and ends what is read before it (tcp(7))."""
        rx = self.rx
        start = rx.start + offset
        if self.urgent:
            start, size = self._around_mark(start, size)
        if start < rx.end:
            return rx.slice(start, size)
        if self.done:
            return b""
        if self.error:
            self.raise_error()
        if self.shut & SHUT_READ:
            return b""
        if self.state == CLOSE or self.state == LISTEN:
            raise ENOTCONN
        raise WouldBlock

    def consume(self, size: int) -> None:
        """`size` bytes as peek has shown them are read."""
        rx = self.rx
        start = rx.start
        if self.urgent:
            start, _ = self._around_mark(start, size)
            if start + size > self.urgent_at and self.urgent != URGENT_NOT_YET:
                self.urgent = URGENT_NONE
        rx.drop(start + size)
        if self.conn is not None:
            self.conn.consumed()

    def _around_mark(self, start: int, size: int) -> tuple[int, int]:
        """Where a read that begins at `start` really begins, and how far it may go."""
        mark = self.urgent_at
        if start == mark and not self.options.oob_inline and self.urgent != URGENT_NOT_YET:
            return start + 1, size
        if start < mark < start + size:
            return start, mark - start
        return start, size

    def unread(self) -> int:
        """Bytes to read (FIONREAD): up to the mark of urgent data. EINVAL for a listener."""
        if self.state == LISTEN:
            raise EINVAL
        rx = self.rx
        if self.urgent and not self.options.oob_inline and rx.start <= self.urgent_at < rx.end:
            return self.urgent_at - rx.start
        return rx.end - rx.start

    def receive_oob(self, peek: bool = False) -> bytes:
        """The urgent byte (MSG_OOB): EINVAL when there is none or it is in the stream."""
        if self.options.oob_inline or self.urgent in (URGENT_NONE, URGENT_READ):
            raise EINVAL
        if self.urgent == URGENT_HERE:
            if not peek:
                self.urgent = URGENT_READ
            return self.urgent_byte
        if self.state == CLOSE or self.shut & SHUT_READ:
            return b""
        raise WouldBlock

    def at_mark(self) -> bool:
        """SIOCATMARK: the next byte to read is the urgent one, or the one after it."""
        return self.urgent != URGENT_NONE and self.rx.start == self.urgent_at

    def urge(self, position: int) -> None:
        """The peer says that the byte at `position` is urgent (RFC 6093; Linux' reading: the pointer points behind
        it). An older mark than the one known is none. The owner is told with PRI, for SIGURG."""
        rx = self.rx
        if position < rx.start or (self.urgent and position <= self.urgent_at):
            return
        if self.urgent and self.urgent_at == rx.start and rx.end > rx.start and not self.options.oob_inline:
            rx.drop(rx.start + 1)  # the urgent byte before this one must not turn into an ordinary one
        self.urgent = URGENT_NOT_YET
        self.urgent_at = position
        self.notify(PRI)

    def urgent_came(self) -> None:
        """The byte that `urge` has announced may have come."""
        rx = self.rx
        if self.urgent == URGENT_NOT_YET and rx.start <= self.urgent_at < rx.end:
            self.urgent_byte = bytes(rx.slice(self.urgent_at, 1))
            self.urgent = URGENT_HERE

    # Events.

    def poll(self) -> int:
        """Poll bits, by the rules of Linux."""
        state = self.state
        if state == LISTEN:
            assert self.listener is not None
            return READABLE if self.listener.queue else 0
        shut = self.shut
        bits = HUP if state == CLOSE or shut == SHUT_BOTH else 0
        if shut & SHUT_READ:
            bits |= IN | RDNORM | RDHUP
        if state not in OPENING:
            rx = self.rx
            waiting = rx.end - rx.start
            if waiting:
                low = self.options.low_water
                if self.urgent and self.urgent_at == rx.start and not self.options.oob_inline:
                    low += 1
                if waiting >= low:
                    bits |= READABLE
            if shut & SHUT_WRITE or self.conn is None or self.conn.writable():
                bits |= WRITABLE
            if self.urgent == URGENT_HERE:
                bits |= PRI
        if self.error:
            bits |= ERR
        return bits

    def info(self) -> TcpInfo:
        """TCP_INFO."""
        return TcpInfo(self.state) if self.conn is None else self.conn.info()

    def set_option(self, name: str) -> None:
        """`options.<name>` was written: what must happen at once (TCP_NODELAY, TCP_CORK, SO_KEEPALIVE, ...) happens."""
        if self.conn is not None:
            self.conn.set_option(name)

    # The end.

    def shutdown(self, sides: int) -> None:
        """shutdown(2): ENOTCONN without a connection."""
        state = self.state
        if state == CLOSE:
            self.shut |= sides
            raise ENOTCONN
        if state == LISTEN:
            if sides & SHUT_READ:
                self.disconnect()
            return
        self.shut |= sides
        conn = self.conn
        assert conn is not None
        if state == SYN_SENT:
            conn.abort()
            self._forget()
        elif sides & SHUT_WRITE:
            conn.shutdown()
        self.notify(self.poll())

    def close(self, linger_ns: int | None = None) -> bool:
        """close(2). Unread data, or a linger time of 0, resets the peer (RFC 2525, 2.17). True when there is a linger
        time and the peer has not got everything yet: `notify` is told HUP once it has, and `abandon` ends that."""
        if linger_ns is None and self.options.linger_s >= 0:
            linger_ns = self.options.linger_s * 1_000_000_000
        self.closed = True
        self.shut = SHUT_BOTH
        conn = self.conn
        if conn is None:
            self.release()
        elif self.state != LISTEN and (self._unread_at_close() or linger_ns == 0):
            conn.abort()
        else:
            conn.close()
        if linger_ns and self.conn is not None and self.unacknowledged():
            return True
        self.abandon()
        return False

    def _unread_at_close(self) -> bool:
        rx = self.rx
        unread = rx.end - rx.start
        rx.clear()
        return unread > 0

    def abandon(self) -> None:
        """Nobody waits for this socket any more."""
        self.notify = _nobody

    def abort(self) -> None:
        """Reset the connection, as close(2) with a linger time of 0 does."""
        self.close(0)

    # For connections.

    def established(self) -> None:
        """The connection is there."""
        self.state = ESTABLISHED
        self.notify(WRITABLE)

    def peer_done(self) -> None:
        """The peer's FIN has come: nothing follows."""
        self.done = True
        self.shut |= SHUT_READ
        self.notify(IN | RDNORM | RDHUP | (HUP if self.shut == SHUT_BOTH else 0))

    def over(self, code: int = 0) -> None:
        """The connection has ended, with an error or in order. What was received can still be read."""
        self.state = CLOSE
        self.conn = None
        if code:
            self.error = code
        self.shut = SHUT_BOTH
        self.peer = (self.any, 0)
        self.release()
        self.notify(IN | RDNORM | OUT | WRNORM | RDHUP | HUP | (ERR if code else 0))

    def release(self) -> None:
        """Give the port back; one that bind(2) asked for stays with an open socket."""
        if self.binding is not None and (self.closed or not self.bound):
            self.table.ports.release(self.binding)
            self.binding = None

    def child(self, address: tuple[bytes, int], peer: tuple[bytes, int]) -> TcpSocket:
        """A socket for a connection that this listener has got."""
        socket = TcpSocket(self.stack, self.family, self.options.inherited())
        socket.v6only = self.v6only
        socket.owner_uid = self.owner_uid
        socket.local = address
        socket.peer = peer
        socket.phase = CONNECTED
        if self.binding is not None:
            socket.binding = self.table.ports.inherit(self.binding, socket.options, address[0])
        return socket


def _nobody(bits: int) -> None:
    """`notify` of a closed socket."""
