"""Ping sockets (icmp(7) IPPROTO_ICMP datagrams): echo requests of one's own and the replies to them, without
privilege. The identifier of the echo takes the place of the port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EADDRINUSE, EDESTADDRREQ, EINVAL, EMSGSIZE
from netstack.packet import IcmpError, Packet
from netstack.socket.base import PMTUDISC_PROBE, is_multicast
from netstack.socket.datagram import Datagram
from netstack.socket.ip_socket import NO_CONTROL, Control, IpSocket
from netstack.wire import checksum

if TYPE_CHECKING:
    from netstack.stack import Stack

ECHO = {4: (8, 1), 6: (128, 58)}  # type of an echo request and the protocol, by IP version


class PingTable:
    """Ping sockets by identifier, and that for each family: they have nothing to do with each other."""

    __slots__ = ("_socks", "stack")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._socks: dict[tuple[int, int], list[PingSocket]] = {}
        stack.register_error(1, self.error)
        stack.register_error(58, self.error)

    def sockets(self) -> list[PingSocket]:
        """All that have an identifier, as /proc/net/icmp lists them."""
        return [sock for key in sorted(self._socks) for sock in self._socks[key]]

    def take(self, sock: PingSocket, ident: int) -> int:
        """An identifier, or with 0 a free one; EADDRINUSE. It is shared, as long as SO_REUSEADDR is not taken back."""
        if ident:
            for other in self._socks.get((sock.family, ident), ()):
                if not (other.options.reuse_address and sock.options.reuse_address):
                    raise EADDRINUSE
        else:
            start = int.from_bytes(self.stack.random(2))
            ident = next((free for step in range(65535) if (sock.family, free := (start + step) % 65535 + 1)
                          not in self._socks), 0)  # fmt: skip
            if not ident:
                raise EADDRINUSE
        self._socks.setdefault((sock.family, ident), []).insert(0, sock)  # the last one hears, as Linux has it
        self.stack.echo_reply = self.receive
        return ident

    def give_back(self, sock: PingSocket, ident: int) -> None:
        socks = self._socks[sock.family, ident]
        socks.remove(sock)
        if not socks:
            del self._socks[sock.family, ident]
        if not self._socks:
            self.stack.echo_reply = None

    def receive(self, packet: Packet) -> None:
        """An echo reply: to whoever has its identifier."""
        payload = packet.payload
        if len(payload) < 8:
            return
        ident = int.from_bytes(payload[4:6])
        for sock in list(self._socks.get((packet.version, ident), ())):
            if sock.hears(packet.dst, packet.src, 0, packet.iface.index):
                sock.take_in(
                    Datagram(
                        bytes(payload), (packet.src, 0), (packet.dst, ident), packet.iface.index, packet.ttl,
                        packet.tos, self.stack.now_ns, packet.options,
                    )
                )  # fmt: skip
                return

    def error(self, error: IcmpError) -> bool:
        """About an echo request: the socket that sent it hears of it."""
        quoted = error.payload
        if len(quoted) < 8 or quoted[0] != ECHO[error.version][0]:
            return False
        for sock in list(self._socks.get((error.version, int.from_bytes(quoted[4:6])), ())):
            if sock.hears(error.src, error.dst, 0, 0):
                sock.hear(error, (error.dst, 0), bytes(quoted))
                return True
        return False


class PingSocket(IpSocket):
    """`ident` is 0 as long as it has none."""

    __slots__ = ("ident", "table")

    mapped = False

    def __init__(self, stack: Stack, family: int) -> None:
        super().__init__(stack, family)
        self.table = stack.ping
        self.ident = 0
        self.options.reuse_address = True

    def bind(self, address: bytes, port: int) -> None:
        if self.ident:
            raise EINVAL
        super().bind(address, port)

    def take_port(self, address: bytes, port: int) -> None:
        self.ident = self.table.take(self, port)
        self.hear_at(address, self.ident)

    def need_port(self) -> None:
        if not self.ident:
            self.take_port(self.any, 0)

    def hears(self, dst: bytes, src: bytes, sport: int, iface: int) -> bool:
        """What `src` answers to `dst`, its port is none of ours; interface 0 is any."""
        if any(self.local[0]) and self.local[0] != dst:
            return False
        if self.has_peer and self.peer[0] != src and not is_multicast(self.peer[0]):
            return False
        return not iface or self.options.bound_iface in (0, iface)

    def send(self, data: bytes, to: tuple[bytes, int] | None = None, control: Control = NO_CONTROL) -> int:
        """An echo request with its ICMP header, in which identifier and checksum are filled in. EINVAL for others."""
        size = len(data)
        if size > 65535:
            raise EMSGSIZE
        if size < 8:
            raise EINVAL
        kind, proto = ECHO[self.family]
        if data[0] != kind or data[1]:
            raise EINVAL
        if to is None:
            if not self.has_peer:
                raise EDESTADDRREQ
            to = self.peer
        else:
            self.check_family(to[0])
        self.need_port()
        flow = self.way(to[0], control)
        self.check_send()
        four = flow.version == 4
        options = self.options
        ip_options = (options.ip_options if control.options is None else control.options) if four else b""
        discovery = self.discovery(flow, control)
        whole = self.whole(flow, size + (20 if four else 40) + len(ip_options), discovery, (to[0], 0))
        message = b"".join((data[:2], bytes(2), self.ident.to_bytes(2), data[6:]))
        start = 0 if four else checksum.pseudo(flow.src, flow.dst, proto, size)
        message = message[:2] + checksum.checksum(message, start).to_bytes(2) + message[4:]
        self.stack.send(
            flow, proto, message, b"", ttl=self.hops(flow, control), tos=self.traffic_class(flow, control),
            dont_fragment=whole, options=ip_options, loop=options.multicast_loop if four else options.multicast_loop6,
            probe=discovery == PMTUDISC_PROBE,
        )  # fmt: skip
        return size

    def close(self) -> None:
        if self.ident:
            self.table.give_back(self, self.ident)
            self.ident = 0
        super().close()
