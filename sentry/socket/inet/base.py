"""What sockets of AF_INET and AF_INET6 have in common (ip(7), ipv6(7)): an endpoint of the stack behind a descriptor.

Rules: every call into the stack goes through `self.enter()`, which sets its clock. Errors of the stack are turned into
the errno classes of the Sentry here (`failed`), never further up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netstack.errors import NetError
from netstack.errors import WouldBlock as StackWouldBlock
from sentry.abi.errno import (
    BY_CODE,
    EACCES,
    EIO,
    ENODEV,
    ENOTCONN,
    ENOTTY,
    Errno,
    WouldBlock,
)
from sentry.abi.flags import (
    AF_INET,
    CAP_NET_BIND_SERVICE,
    SO_ACCEPTCONN,
    SO_DOMAIN,
    SO_ERROR,
    SO_PROTOCOL,
    SO_TYPE,
    SOL_SOCKET,
)
from sentry.net.namespace import NetNamespace, net_of
from sentry.socket.base import Socket
from sentry.socket.inet import address as names
from sentry.socket.inet.ifioctl import device_ioctl
from sentry.socket.inet.options import InetOptions, get_option, set_option
from sentry.socket.inet.route_ioctl import route_ioctl
from sentry.socket.options import INT

if TYPE_CHECKING:
    from sentry.kernel.task import Task


def failed(err: NetError) -> Errno:
    """An answer of the stack as the Sentry raises it."""
    if isinstance(err, StackWouldBlock):
        return WouldBlock()
    return BY_CODE.get(err.code, EIO)()


class InetSocket(Socket):
    """`endpoint` is the stack's (TcpSocket, UdpSocket ...); `scope` the interface of a link-local local address;
    `bound` says that bind(2) has given the port."""

    __slots__ = ("bound", "endpoint", "enter", "net", "peer_scope")

    def __init__(self, t: Task, domain: int, kind: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, kind, protocol, flags)
        self.net: NetNamespace = net_of(t)
        self.enter = self.net.enter
        self.net.sockets.add(self)
        self.bound = False
        self.peer_scope = 0
        self.options: InetOptions = InetOptions(self.net.stack.settings, self.is_stream)
        self.endpoint: Any = None

    def attach(self, endpoint: Any) -> None:
        """`endpoint` is this socket's from now on."""
        self.endpoint = endpoint
        endpoint.owner_uid = self.inode.uid
        endpoint.notify = self.queue.notify

    @property
    def family(self) -> int:
        """As the stack has it: 4 or 6."""
        return 4 if self.domain == AF_INET else 6

    # addresses ----------------------------------------------------------------------------------------------------
    def place(self, address: bytes, binding: bool = False) -> names.Place:
        """The sockaddr of a call."""
        if self.domain == AF_INET:
            return names.parse4(address, binding)
        return names.parse6(address)

    def take_scope(self, place: names.Place) -> None:
        """A link-local address names an interface, which then is the socket's (ipv6(7), sin6_scope_id)."""
        if place.scope and names.is_link_local(place.host):
            if place.scope not in self.net.stack.interfaces:
                raise ENODEV
            self.endpoint.options.bound_iface = place.scope

    def check_port(self, t: Task, port: int) -> None:
        """Ports below net.ipv4.ip_unprivileged_port_start take a capability (ip(7))."""
        if 0 < port < self.net.stack.settings.ip_unprivileged_port_start and not t.creds.has(CAP_NET_BIND_SERVICE):
            raise EACCES

    def local_address(self) -> bytes:
        host, port = self.endpoint.local
        return names.pack(self.domain, host, port, self.endpoint.options.bound_iface)

    def peer_address(self) -> bytes:
        peer = self.endpoint.peer
        if not peer[1]:
            raise ENOTCONN
        return names.pack(self.domain, peer[0], peer[1], self.peer_scope)

    # state --------------------------------------------------------------------------------------------------------
    def poll(self) -> int:
        bits: int = self.endpoint.poll()
        return bits

    def take_error(self) -> int:
        return int(self.endpoint.take_error())

    def raise_error(self) -> None:
        error = self.take_error()
        if error:
            raise BY_CODE[error]

    def shutdown(self, sides: int) -> None:
        self.enter()
        try:
            self.endpoint.shutdown(sides)
        except NetError as err:
            raise failed(err)

    def release(self) -> None:
        self.enter()
        self.endpoint.close()

    # options ------------------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        self.enter()
        try:
            if level == SOL_SOCKET:
                self.options.set_inet(self, t, name, value)
            else:
                set_option(self, t, level, name, value)
        except NetError as err:
            raise failed(err)

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level != SOL_SOCKET:
            self.enter()
            return get_option(self, t, level, name)
        if name == SO_ERROR:
            return INT.pack(self.take_error())
        if name == SO_TYPE:
            return INT.pack(self.kind)
        if name == SO_DOMAIN:
            return INT.pack(self.domain)
        if name == SO_PROTOCOL:
            return INT.pack(self.protocol)
        if name == SO_ACCEPTCONN:
            return INT.pack(int(self.is_listening))
        return self.options.get_inet(self, name)

    is_listening = False

    def option_changed(self, name: str) -> None:
        """An attribute of the endpoint's options was written."""

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        try:
            return route_ioctl(t, self.net, self.domain, request, arg)
        except ENOTTY:
            return device_ioctl(t, self.net, request, arg, self.domain)
