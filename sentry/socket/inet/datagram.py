"""Datagram sockets of AF_INET and AF_INET6: UDP and ping sockets (udp(7), ip(7), ipv6(7), icmp(7)), and what raw
sockets share with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.errors import WouldBlock as StackWouldBlock
from netstack.socket.base import SHUT_READ
from netstack.socket.error_queue import ExtendedError
from netstack.socket.ip_socket import NO_CONTROL, Control
from netstack.socket.ping import PingSocket
from netstack.socket.udp import UdpSocket
from sentry.abi import flags as abi
from sentry.abi.errno import (
    EACCES,
    EAGAIN,
    EINVAL,
    ENETUNREACH,
    ENODEV,
    ENOPROTOOPT,
    EOPNOTSUPP,
    WouldBlock,
)
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    FIONREAD,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_TRUNC,
    SIOCOUTQ,
    SOCK_DGRAM,
    SOL_SOCKET,
)
from sentry.socket.base import Incoming, Outgoing, QuietPipeError
from sentry.socket.inet import address as names
from sentry.socket.inet import control
from sentry.socket.inet.base import InetSocket, failed
from sentry.socket.inet.groups import set_group_option
from sentry.socket.inet.options import number_of
from sentry.socket.options import INT, as_int

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

EPIPE = 32
# Of UDP, kept and given back: datagrams are never put together for a receiver, and a checksum is always made and looked
# at (udp(7) UDP_GRO, UDP_NO_CHECK6_TX and _RX).
KEPT = frozenset((abi.UDP_GRO, abi.UDP_NO_CHECK6_TX, abi.UDP_NO_CHECK6_RX))
STAMPS = frozenset(control.STAMPS)
RAW_ONLY = frozenset(((IPPROTO_IP, abi.IP_HDRINCL), (IPPROTO_IPV6, abi.IPV6_HDRINCL)))
UNICAST_IFS = {(IPPROTO_IP, abi.IP_UNICAST_IF): "unicast_iface", (IPPROTO_IPV6, abi.IPV6_UNICAST_IF): "unicast_iface6"}
# -1 is the default of 1 (ip(7), ipv6(7))
MULTICAST_HOPS = {
    (IPPROTO_IP, abi.IP_MULTICAST_TTL): "multicast_ttl",
    (IPPROTO_IPV6, abi.IPV6_MULTICAST_HOPS): "multicast_hops",
}


class InetMessages(InetSocket):
    """A socket with message borders; `endpoint` is an IpSocket. `of_errors`: what `receive` has shown, and `commit`
    takes, is an extended error. `last_ns`: when the message came that was received last. `tells`: options have been
    set, and there may be control messages."""

    __slots__ = ("last_ns", "of_errors", "tells")

    is_stream = False
    has_urgent = True  # MSG_OOB means nothing to a receive, as Linux has it
    has_errors = True

    def __init__(self, t: Task, domain: int, kind: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, kind, protocol, flags)
        self.of_errors = False
        self.last_ns = 0
        self.tells = False

    # names --------------------------------------------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        place = self.place(address, binding=True)
        host, endpoint = place.host, self.endpoint
        if self.domain == AF_INET6:
            if len(host) == 4 and endpoint.v6only:
                raise EINVAL
            self._take_link(place)
        self.enter()
        try:
            endpoint.check_local(host, group=True)
            if self.kind == SOCK_DGRAM:
                self.check_port(t, place.port)
            endpoint.bind(host, place.port)
        except NetError as err:
            raise failed(err)
        self.bound = bool(place.port)

    def _take_link(self, place: names.Place) -> None:
        """A link-local address needs an interface, which then is the socket's own."""
        if not names.is_link_local(place.host):
            return
        options = self.endpoint.options
        if place.scope and options.bound_iface not in (0, place.scope):
            raise EINVAL
        if not (place.scope or options.bound_iface):
            if names.is_multicast(place.host) and options.multicast_iface6:
                options.bound_iface = options.multicast_iface6
                return
            raise EINVAL
        self.take_scope(place)

    def connect(self, t: Task, address: bytes) -> None:
        endpoint = self.endpoint
        if names.family_of(address) == AF_UNSPEC:
            self.enter()
            endpoint.disconnect()
            self.peer_scope = 0
            return
        place = self._destination(address)
        host = place.host
        if self.domain == AF_INET6:
            self._take_link(place)
            if host == names.ANY6 and len(endpoint.local[0]) == 4:
                host = names.LOOPBACK4
        self.enter()
        try:
            endpoint.connect(host, place.port)
        except NetError as err:
            raise failed(err)
        self.peer_scope = endpoint.options.bound_iface

    def _destination(self, address: bytes) -> names.Place:
        """The sockaddr of a destination: an IPv6 socket takes an IPv4 one too."""
        if self.domain == AF_INET6 and names.family_of(address) == AF_INET:
            if self.endpoint.v6only:
                raise ENETUNREACH
            return names.parse4(address)
        return self.place(address)

    # data ---------------------------------------------------------------------------------------------------------
    def send(self, message: Outgoing, t: Task | None) -> int:
        if message.flags & MSG_OOB:
            raise EOPNOTSUPP
        said: Control = message.control or NO_CONTROL
        to = None
        address = message.address
        if address is not None and not (len(address) >= 2 and self._is_none(address)):
            place = self._to(address)
            to = (place.host, place.port)
            if place.scope and names.is_link_local(place.host):
                said = said._replace(iface=self._link(place.scope, said.iface))
        self.enter()
        try:
            return self.send_datagram(message.data, to, said, message.flags)
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            if err.code == EPIPE:
                raise QuietPipeError
            raise failed(err)

    def send_datagram(self, data: bytes, to: tuple[bytes, int] | None, said: Control, flags: int) -> int:
        return int(self.endpoint.send(data, to, said))

    def _is_none(self, address: bytes) -> bool:
        """An IPv6 socket takes AF_UNSPEC for no address at all."""
        return self.domain == AF_INET6 and names.family_of(address) == AF_UNSPEC

    def _to(self, address: bytes) -> names.Place:
        """The sockaddr of a send: AF_INET sockets take AF_UNSPEC for AF_INET."""
        if self.domain == AF_INET:
            if len(address) >= 16 and names.family_of(address) == AF_UNSPEC:
                address = AF_INET.to_bytes(2, "little") + address[2:]
            return names.parse4(address)
        family = names.family_of(address)
        if family not in (AF_INET, AF_INET6):
            raise EINVAL
        return self._destination(address)

    def _link(self, scope: int, said: int) -> int:
        """The interface of a link-local destination."""
        bound = self.endpoint.options.bound_iface
        if scope not in self.net.stack.interfaces:
            raise ENODEV
        if bound not in (0, scope) or said not in (0, scope):
            raise EINVAL
        return scope

    def receive(self, size: int, flags: int) -> Incoming:
        self.enter()
        endpoint = self.endpoint
        if flags & MSG_ERRQUEUE:
            return self._receive_error(size)
        self.of_errors = False
        try:
            found = endpoint.receive(True)
        except StackWouldBlock:
            if endpoint.shut & SHUT_READ and not (self.nonblock or flags & MSG_DONTWAIT):
                return Incoming(b"")
            raise WouldBlock
        except NetError as err:
            raise failed(err)
        self.last_ns = found.time_ns
        data = found.data
        incoming = Incoming(data)
        if len(data) > size:
            incoming.data = data[:size]
            incoming.flags = MSG_TRUNC
        host, port = found.source
        incoming.address = names.pack(self.domain, host, port, found.iface)
        if self.tells:
            incoming.control = control.tell(self, found)
        return incoming

    def _receive_error(self, size: int) -> Incoming:
        """MSG_ERRQUEUE never waits (recv(2))."""
        try:
            error: ExtendedError = self.endpoint.receive_error(True)
        except StackWouldBlock:
            raise EAGAIN
        self.of_errors = True
        incoming = Incoming(error.payload[:size])
        incoming.full_size = len(error.payload)
        incoming.flags = MSG_ERRQUEUE | (MSG_TRUNC if len(error.payload) > size else 0)
        incoming.address = names.pack(self.domain, *error.peer, error.iface)
        incoming.control = control.tell_error(self, error)
        return incoming

    def commit(self, count: int) -> list[File]:
        endpoint = self.endpoint
        try:
            if self.of_errors:
                self.of_errors = False
                endpoint.receive_error()
            else:
                endpoint.receive()
        except NetError:
            pass  # the end that a shut-down socket reads
        return []

    def take_control(self, t: Task, level: int, kind: int, body: bytes, message: Outgoing) -> None:
        control.take(t, self, level, kind, body, message)

    # options ------------------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        told = self.endpoint.options
        self.endpoint.flow = None  # it may go another way now
        self.tells = True
        if level == SOL_SOCKET and name in STAMPS:
            on = as_int(value)
            if on:
                told.timestamp = name
            elif told.timestamp == name:
                told.timestamp = 0
            return
        if (level, name) in RAW_ONLY and self.kind == SOCK_DGRAM:
            raise ENOPROTOOPT
        if (level, name) in UNICAST_IFS:
            index = int.from_bytes(value[:4], "big")
            if index and index not in self.net.stack.interfaces:
                raise EINVAL
            setattr(told, UNICAST_IFS[level, name], index)
            return
        if (level, name) in MULTICAST_HOPS and number_of(level, value) == -1:
            setattr(told, MULTICAST_HOPS[level, name], 1)
            return
        self.enter()
        try:
            if set_group_option(self, t, level, name, value):
                return
        except NetError as err:
            raise failed(err)
        super().set_option(t, level, name, value)

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        told = self.endpoint.options
        if level == SOL_SOCKET and name in STAMPS:
            return INT.pack(told.timestamp == name)
        if level == IPPROTO_IP and name == abi.IP_MULTICAST_IF:
            source: bytes = told.multicast_source
            return source
        if level == IPPROTO_IPV6 and name == abi.IPV6_MULTICAST_IF and self.domain == AF_INET6:
            return INT.pack(told.multicast_iface6)
        if (level, name) in UNICAST_IFS:
            index: int = getattr(told, UNICAST_IFS[level, name])
            return index.to_bytes(4, "big")
        if (level, name) in RAW_ONLY and self.kind == SOCK_DGRAM:
            raise ENOPROTOOPT
        return super().get_option(t, level, name)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request == FIONREAD:
            t.mem.put_i32(arg, self.endpoint.next_size())
        elif request == SIOCOUTQ:
            t.mem.put_i32(arg, 0)  # what is sent is gone
        elif request in control.STAMP_IOCTLS:
            t.mem.write(arg, control.last_stamp(self, request, self.last_ns))
        else:
            return super().ioctl(t, request, arg)
        return 0


class InetUdp(InetMessages):
    """UDP."""

    __slots__ = ()

    def __init__(self, t: Task, domain: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, SOCK_DGRAM, protocol, flags)
        self.attach(UdpSocket(self.net.stack, self.family))

    def send_datagram(self, data: bytes, to: tuple[bytes, int] | None, said: Control, flags: int) -> int:
        return int(self.endpoint.send(data, to, said, bool(flags & MSG_MORE)))

    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        if level != IPPROTO_UDP:
            super().set_option(t, level, name, value)
            return
        number = as_int(value)
        endpoint = self.endpoint
        if name == abi.UDP_CORK:
            endpoint.corked = bool(number)
            if not number:
                self.enter()
                try:
                    endpoint.push()
                except NetError as err:
                    raise failed(err)
        elif name == abi.UDP_SEGMENT:
            if not 0 <= number <= 0xFFFF:
                raise EINVAL
            endpoint.segment = number
        elif name in KEPT:
            self.options.kept[level, name] = int(bool(number))
        else:
            raise ENOPROTOOPT

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level != IPPROTO_UDP:
            return super().get_option(t, level, name)
        if name == abi.UDP_CORK:
            return INT.pack(self.endpoint.corked)
        if name == abi.UDP_SEGMENT:
            return INT.pack(self.endpoint.segment)
        if name in KEPT:
            return INT.pack(self.options.kept.get((level, name), 0))
        raise ENOPROTOOPT


class InetPing(InetMessages):
    """ICMP echo for those whose groups net.ipv4.ping_group_range allows it; EACCES for others."""

    __slots__ = ()

    def __init__(self, t: Task, domain: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, SOCK_DGRAM, protocol, flags)
        low, high = self.net.stack.settings.ping_group_range
        if not any(low <= gid <= high for gid in (t.creds.egid, *t.creds.groups)):
            raise EACCES
        self.attach(PingSocket(self.net.stack, self.family))
