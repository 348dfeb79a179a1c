"""AF_INET and AF_INET6 (ip(7), tcp(7), udp(7)) as in a network namespace whose interfaces are all down.

Sockets can be made, set up, bound to the wildcard address and listened on; nothing is reachable and nothing arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from sentry.abi.errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EDESTADDRREQ,
    EINVAL,
    ENETUNREACH,
    ENOPROTOOPT,
    ENOTCONN,
    EPIPE,
    WouldBlock,
)
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    CAP_NET_BIND_SERVICE,
    SO_ACCEPTCONN,
    SO_DOMAIN,
    SO_ERROR,
    SO_PROTOCOL,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_TYPE,
    SOCK_STREAM,
    SOL_SOCKET,
)
from sentry.socket.base import SHUT_READ, SHUT_WRITE, Incoming, Outgoing, Socket
from sentry.socket.options import INT, as_int
from sentry.wait import HUP, IN, OUT, RDHUP, RDNORM, WRNORM

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from vfs.core.file import File

IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6 = 0, 6, 17, 41
EPHEMERAL = range(32768, 61000)
# Options that are kept and given back, with the value from before: they have no effect while nothing is sent.
KEPT = {
    (IPPROTO_TCP, 1): 0, (IPPROTO_TCP, 2): 536, (IPPROTO_TCP, 3): 0, (IPPROTO_TCP, 4): 7200, (IPPROTO_TCP, 5): 75,
    (IPPROTO_TCP, 6): 9, (IPPROTO_TCP, 7): 6, (IPPROTO_TCP, 8): 60, (IPPROTO_TCP, 9): 0, (IPPROTO_TCP, 12): 1,
    (IPPROTO_TCP, 18): 0, (IPPROTO_TCP, 23): 0, (IPPROTO_IP, 1): 0, (IPPROTO_IP, 2): 64, (IPPROTO_IP, 8): 0,
    (IPPROTO_IP, 10): 0, (IPPROTO_IP, 11): 0, (IPPROTO_IP, 12): 0, (IPPROTO_IP, 13): 0, (IPPROTO_IP, 15): 0,
    (IPPROTO_IP, 33): 1, (IPPROTO_IP, 34): 1, (IPPROTO_IPV6, 16): 64, (IPPROTO_IPV6, 18): 1, (IPPROTO_IPV6, 19): 1,
    (IPPROTO_IPV6, 25): 0, (IPPROTO_IPV6, 26): 0, (IPPROTO_IPV6, 49): 0, (IPPROTO_IPV6, 51): 0, (IPPROTO_IPV6, 66): 0,
    (IPPROTO_IPV6, 67): 0,
}  # fmt: skip

Port = tuple[int, int, int]  # family, protocol, number
_ports: WeakKeyDictionary[Kernel, WeakValueDictionary[Port, InetSocket]] = WeakKeyDictionary()


class InetSocket(Socket):
    """`port` is 0 while it is not bound."""

    __slots__ = ("host", "kept", "listening", "port")

    @property
    def is_stream(self) -> bool:  # type: ignore[override]
        return self.kind == SOCK_STREAM

    def __init__(self, t: Task, domain: int, kind: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, kind, protocol or (IPPROTO_TCP if kind == SOCK_STREAM else IPPROTO_UDP), flags)
        self.port = 0
        self.host = bytes(16 if domain == AF_INET6 else 4)
        self.listening = False
        self.kept: dict[tuple[int, int], int] = {}

    # addresses --------------------------------------------------------------------------------------------------------
    def _parse(self, address: bytes) -> tuple[int, bytes]:
        """(port, host) of a sockaddr."""
        least = 16 if self.domain == AF_INET else 24
        if len(address) < least:
            raise EINVAL
        family = int.from_bytes(address[:2], "little")
        if family != self.domain:
            raise EAFNOSUPPORT
        port = int.from_bytes(address[2:4], "big")
        return port, address[4:8] if self.domain == AF_INET else address[8:24]

    def bind(self, t: Task, address: bytes) -> None:
        port, host = self._parse(address)
        if any(host):
            raise EADDRNOTAVAIL
        if 0 < port < 1024 and not t.creds.has(CAP_NET_BIND_SERVICE):
            raise EACCES
        if self.port:
            raise EINVAL
        self._take(port)

    def _take(self, port: int) -> None:
        ports = _ports.setdefault(self.kernel, WeakValueDictionary())
        if not port:
            key = (self.domain, self.protocol)
            port = next((p for p in EPHEMERAL if (*key, p) not in ports), 0)
            if not port:
                raise EADDRINUSE
        known = ports.get((self.domain, self.protocol, port))
        if known is not None and known.refs > 0:
            mine, theirs = self.options.values, known.options.values
            both_port = mine.get(SO_REUSEPORT) and theirs.get(SO_REUSEPORT)
            both_addr = mine.get(SO_REUSEADDR) and theirs.get(SO_REUSEADDR) and not known.listening
            if not (both_port or both_addr):
                raise EADDRINUSE
        ports[self.domain, self.protocol, port] = self
        self.port = port

    def local_address(self) -> bytes:
        head = self.domain.to_bytes(2, "little") + self.port.to_bytes(2, "big")
        return head + self.host + bytes(8) if self.domain == AF_INET else head + bytes(4) + self.host + bytes(4)

    def peer_address(self) -> bytes:
        raise ENOTCONN

    # calls ------------------------------------------------------------------------------------------------------------
    def listen(self, t: Task, backlog: int) -> None:
        if not self.is_stream:
            super().listen(t, backlog)
        if not self.port:
            self._take(0)
        self.listening = True
        self.shut = 0

    def accept(self, t: Task, flags: int) -> Socket:
        if not self.is_stream:
            return super().accept(t, flags)
        if not self.listening or self.shut & SHUT_READ:
            raise EINVAL
        raise WouldBlock

    def connect(self, t: Task, address: bytes) -> None:
        if len(address) >= 2 and int.from_bytes(address[:2], "little") == AF_UNSPEC:
            return
        self._parse(address)
        raise ENETUNREACH

    def shutdown(self, sides: int) -> None:
        if not self.listening:
            raise ENOTCONN
        if sides & SHUT_READ:
            self.listening = False
        self.queue.notify(0xFFFF)

    def send(self, message: Outgoing, t: Task | None) -> int:
        if self.is_stream:
            raise EPIPE  # tcp_sendmsg of a socket that never was connected
        if message.address is None:
            raise EDESTADDRREQ
        self._parse(message.address)
        raise ENETUNREACH

    def receive(self, size: int, flags: int) -> Incoming:
        self.raise_error()
        if self.is_stream:
            raise ENOTCONN
        if self.shut & SHUT_READ:
            return Incoming(b"")
        raise WouldBlock

    def commit(self, count: int) -> list[File]:
        return []

    def poll(self) -> int:
        if self.listening:
            return 0
        events = OUT | WRNORM
        if self.is_stream:
            events |= HUP
        if self.shut & (SHUT_READ | SHUT_WRITE):
            events |= RDHUP | IN | RDNORM
        return events

    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        if level == SOL_SOCKET:
            self.options.set(t, name, value)
        elif (level, name) in KEPT:
            self.kept[level, name] = as_int(value) if len(value) >= 4 else value[0] if value else 0
        else:
            raise ENOPROTOOPT

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level != SOL_SOCKET:
            if (level, name) not in KEPT:
                raise ENOPROTOOPT
            return INT.pack(self.kept.get((level, name), KEPT[level, name]))
        plain = {
            SO_TYPE: self.kind, SO_DOMAIN: self.domain, SO_PROTOCOL: self.protocol, SO_ACCEPTCONN: int(self.listening),
        }  # fmt: skip
        if name in plain:
            return INT.pack(plain[name])
        if name == SO_ERROR:
            return INT.pack(self.take_error())
        return self.options.get(name)
