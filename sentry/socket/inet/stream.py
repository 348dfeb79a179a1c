"""TCP sockets (tcp(7)): connections, their data, urgent data, the end of a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EALREADY as StillConnecting
from netstack.errors import NetError
from netstack.errors import WouldBlock as StackWouldBlock
from netstack.tcp.socket import CONNECTED, CONNECTING, TcpSocket
from netstack.tcp.state import CLOSE, LISTEN, SYN_SENT
from sentry.abi.errno import (
    EAGAIN,
    EALREADY,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    WouldBlock,
)
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    FIONREAD,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_WAITALL,
    MSG_ZEROCOPY,
    O_NONBLOCK,
    SIOCATMARK,
    SIOCOUTQ,
    SIOCOUTQNSD,
    SO_ZEROCOPY,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_CM_INQ,
    TCP_INQ,
)
from sentry.socket.base import SHUT_READ, Incoming, Outgoing, Socket
from sentry.socket.inet import address as names
from sentry.socket.inet.base import InetSocket, failed
from sentry.socket.inet.tcp_options import GET_TCP, SET_TCP
from sentry.socket.inet.zero_copy import Completions
from sentry.socket.options import INT
from sentry.wait import ERR

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


class InetStream(InetSocket):
    """`aside`: the last `receive` gave what is no part of the stream, urgent data or an entry of the error queue;
    `completions` are there once MSG_ZEROCOPY was used."""

    __slots__ = ("aside", "completions")

    is_stream = True
    discards = True
    has_urgent = True
    has_errors = True

    def __init__(self, t: Task, domain: int, protocol: int, flags: int, endpoint: TcpSocket | None = None) -> None:
        super().__init__(t, domain, SOCK_STREAM, protocol, flags)
        self.aside = False
        self.completions: Completions | None = None
        if endpoint is None:
            endpoint = TcpSocket(self.net.stack, self.family)
        self.attach(endpoint)

    # names --------------------------------------------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        place = self.place(address, binding=True)
        host = place.host
        if self.domain == AF_INET6:
            if len(host) == 16 and names.is_multicast(host) or len(host) == 4 and self.endpoint.v6only:
                raise EINVAL
            self.check_port(t, place.port)
            if len(host) == 16 and names.is_link_local(host) and not (place.scope or self.endpoint.options.bound_iface):
                raise EINVAL
            self.take_scope(place)
        self.enter()
        try:
            if self.domain == AF_INET:
                self.endpoint.check_local(host)
                self.check_port(t, place.port)
            self.endpoint.bind(host, place.port)
        except NetError as err:
            raise failed(err)
        self.bound = bool(place.port)

    def listen(self, t: Task, backlog: int) -> None:
        self.enter()
        try:
            self.endpoint.listen(min(backlog & 0xFFFFFFFF, self.net.stack.settings.somaxconn))
        except NetError as err:
            raise failed(err)

    @property
    def is_listening(self) -> bool:  # type: ignore[override]
        return bool(self.endpoint.state == LISTEN)

    def accept(self, t: Task, flags: int) -> Socket:
        self.enter()
        try:
            endpoint = self.endpoint.accept()
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)
        sock = InetStream(t, self.domain, self.protocol, flags & O_NONBLOCK, endpoint)
        sock.options.inherit(self.options)
        return sock

    def connect(self, t: Task, address: bytes) -> None:
        if names.family_of(address) == AF_UNSPEC:
            self._disconnect(t)
            return
        endpoint = self.endpoint
        if endpoint.phase == CONNECTED or endpoint.state == LISTEN:
            raise EISCONN
        self.enter()
        nonblock = self.nonblock
        try:
            if endpoint.phase == CONNECTING:
                endpoint.connect(*endpoint.peer)
            else:
                place = self._destination(address)
                endpoint.connect(place.host, place.port, not nonblock)
        except StackWouldBlock:
            if nonblock:
                raise EINPROGRESS
            raise WouldBlock
        except StillConnecting:
            if nonblock:
                raise EALREADY
            raise WouldBlock
        except NetError as err:
            raise failed(err)

    def _destination(self, address: bytes) -> names.Place:
        place = self.place(address)
        host = place.host
        if self.domain == AF_INET6:
            if len(host) == 4:
                if self.endpoint.v6only:
                    raise ENETUNREACH
            elif host == names.ANY6:
                local = self.endpoint.local[0]
                if len(local) == 4 and local != names.ANY4:
                    return place._replace(host=names.LOOPBACK4)
                return place._replace(host=names.LOOPBACK6)
            elif names.is_multicast(host):
                raise ENETUNREACH
            elif names.is_link_local(host):
                if not (place.scope or self.endpoint.options.bound_iface):
                    raise EINVAL
                self.take_scope(place)
                self.peer_scope = self.endpoint.options.bound_iface
        if host == names.ANY4:
            local = self.endpoint.local[0]
            return place._replace(host=local if len(local) == 4 and local != names.ANY4 else names.LOOPBACK4)
        return place

    def connect_expired(self) -> int:
        raise EINPROGRESS

    def _disconnect(self, t: Task) -> None:
        """connect(2) to AF_UNSPEC: the connection is reset, the socket is as new but for its options and the port that
        bind(2) gave it."""
        self.enter()
        self.endpoint.disconnect()

    # data ---------------------------------------------------------------------------------------------------------
    def send(self, message: Outgoing, t: Task | None) -> int:
        flags = message.flags
        self.enter()
        try:
            count = int(self.endpoint.send(message.data, bool(flags & MSG_OOB), bool(flags & MSG_MORE)))
            if flags & MSG_ZEROCOPY and self.options.kept.get((SOL_SOCKET, SO_ZEROCOPY)):
                message.flags &= ~MSG_ZEROCOPY  # the rest of it has the same number
                self._completed()
            return count
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)

    def write(self, data: bytes) -> int:
        self.enter()
        try:
            return int(self.endpoint.send(data))
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)

    def receive(self, size: int, flags: int) -> Incoming:
        self.enter()
        endpoint = self.endpoint
        self.aside = bool(flags & (MSG_OOB | MSG_ERRQUEUE))
        try:
            if self.aside:
                return self._receive_aside(size, flags)
            if flags & MSG_PEEK and flags & MSG_WAITALL and not flags & MSG_DONTWAIT and endpoint.unread() < size:
                data = endpoint.peek(size)
                if not (endpoint.done or endpoint.error or endpoint.shut & SHUT_READ or self.nonblock):
                    raise WouldBlock
                return Incoming(data)
            incoming = Incoming(endpoint.peek(size))
            if self.options.kept.get((IPPROTO_TCP, TCP_INQ)):
                left = endpoint.unread() - len(incoming.data)
                incoming.control.append((IPPROTO_TCP, TCP_CM_INQ, INT.pack(left or int(endpoint.done))))
            return incoming
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)

    def _completed(self) -> None:
        """The buffer of a send with MSG_ZEROCOPY is free."""
        if self.completions is None:
            self.completions = Completions()
        self.completions.sent()
        self.queue.notify(ERR)

    def _receive_aside(self, size: int, flags: int) -> Incoming:
        if flags & MSG_ERRQUEUE:
            if self.completions is None:
                raise EAGAIN
            return self.completions.take(self.domain)
        data = self.endpoint.receive_oob(bool(flags & MSG_PEEK) or not size)
        incoming = Incoming(data[:size])
        incoming.flags = MSG_OOB
        return incoming

    def commit(self, count: int) -> list[File]:
        if count and not self.aside:
            self.endpoint.consume(count)
        return []

    def peek(self, size: int) -> bytes:
        self.enter()
        try:
            data: bytes = self.endpoint.peek(size)
            return data
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)

    def consume(self, count: int) -> None:
        if count:
            self.endpoint.consume(count)

    def poll(self) -> int:
        bits: int = self.endpoint.poll()
        return bits | ERR if self.completions else bits

    def peer_address(self) -> bytes:
        if self.endpoint.state in (CLOSE, SYN_SENT):
            raise ENOTCONN
        return super().peer_address()

    # options, the end ---------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        special = SET_TCP.get(name) if level == IPPROTO_TCP else None
        if special is None:
            super().set_option(t, level, name, value)
            return
        self.enter()
        special(self, t, value)

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        special = GET_TCP.get(name) if level == IPPROTO_TCP else None
        if special is None:
            return super().get_option(t, level, name)
        self.enter()
        return special(self)

    def option_changed(self, name: str) -> None:
        self.endpoint.set_option(name)

    def release(self) -> None:
        """The last close. With SO_LINGER the caller of close(2) waits (syscalls/fd.py)."""
        self.enter()
        if self.endpoint.close():
            self.kernel.lingering = self

    def lingers(self) -> int:
        """close(2) waits while the peer has not got everything."""
        if self.endpoint.conn is not None and self.endpoint.unacknowledged():
            raise WouldBlock
        return self.lingered()

    def lingered(self) -> int:
        self.endpoint.abandon()
        return 0

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        self.enter()
        endpoint = self.endpoint
        if request == SIOCATMARK:
            value = int(endpoint.at_mark())
        elif endpoint.state == LISTEN and request in (FIONREAD, SIOCOUTQ, SIOCOUTQNSD):
            raise EINVAL
        elif request == FIONREAD:
            value = endpoint.unread()
        elif request == SIOCOUTQ:
            value = endpoint.unacknowledged()
        elif request == SIOCOUTQNSD:
            value = endpoint.unsent()
        else:
            return super().ioctl(t, request, arg)
        t.mem.put_i32(arg, value)
        return 0
