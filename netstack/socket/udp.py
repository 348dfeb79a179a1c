"""UDP sockets (RFC 768; udp(7), ip(7), ipv6(7)). Who gets a datagram is decided in udp_table.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EDESTADDRREQ, EINVAL, EMSGSIZE
from netstack.socket.base import PMTUDISC_PROBE
from netstack.socket.datagram import Datagram
from netstack.socket.ip_socket import NO_CONTROL, Control, IpSocket
from netstack.wire.udp import HEADER

if TYPE_CHECKING:
    from netstack.ports import Binding
    from netstack.stack import Stack

PROTO = 17
MAX_SIZE = 65535  # of a send; what IP can carry is less (IpSocket.whole)


class UdpSocket(IpSocket):
    """A UDP socket; the table finds it by `local` and `peer`. `binding` is its port, None as long as it has none."""

    __slots__ = ("binding", "table")

    def __init__(self, stack: Stack, family: int) -> None:
        super().__init__(stack, family)
        self.table = stack.udp
        self.binding: Binding | None = None

    def bind(self, address: bytes, port: int) -> None:
        """EADDRINUSE, EADDRNOTAVAIL; EINVAL when it has a port already."""
        if self.binding is not None:
            raise EINVAL
        super().bind(address, port)

    def take_port(self, address: bytes, port: int) -> None:
        self.binding = self.table.ports.bind(self.options, address, port, self.dual(address), self.owner_uid)
        self.binding.explicit = port != 0
        self.hear_at(address, self.binding.port)
        self.table.add(self)

    def need_port(self) -> None:
        if self.binding is None:
            self.take_port(self.any, 0)

    def drop_port(self) -> None:
        if self.binding is not None and not self.binding.explicit:
            self._unbind()

    def hear_at(self, address: bytes, port: int) -> None:
        super().hear_at(address, port)
        if self.binding is not None:
            self.binding.address = address
            self.binding.dual = self.dual(address)

    def _unbind(self) -> None:
        binding = self.binding
        if binding is not None:
            self.table.remove(self)
            self.table.ports.release(binding)
            self.binding = None
            self.local = (self.local[0], 0)

    def send(self, data: bytes, to: tuple[bytes, int] | None = None, control: Control = NO_CONTROL) -> int:
        """Send a datagram to `to`, or to the peer. EDESTADDRREQ, EMSGSIZE, EACCES, ENETUNREACH and the pending error;
        what is lost further on is lost."""
        size = len(data)
        if size > MAX_SIZE:
            raise EMSGSIZE
        if self.binding is None:
            self.need_port()
        flow = self.flow
        if to is None:
            if not self.has_peer:
                raise EDESTADDRREQ
            to = self.peer
            if control is not NO_CONTROL or flow is None or not flow.fresh():
                flow = self.way(to[0], control)
                if control is NO_CONTROL:
                    self.flow = flow
        else:
            if not to[1]:
                raise EINVAL
            self.check_family(to[0])
            flow = self.way(to[0], control)
        if self.error or self.shut:
            self.check_send()
        options = self.options
        ip_options = b""
        if flow.version == 4:
            counts = self.table.stack.counters.udp
            ip_options = options.ip_options if control.options is None else control.options
            length = size + 28 + len(ip_options)
        else:
            counts = self.table.stack.counters.udp6
            length = size + 48
        discovery = self.discovery(flow, control)
        whole = self.whole(flow, length, discovery, to)
        ttl = self.hops(flow, control)
        tos = self.traffic_class(flow, control)
        counts["OutDatagrams"] += 1
        sport, dport = self.local[1], to[1]
        if flow.local and self.table.direct():
            self.table.loop(flow, sport, dport, data, ttl, tos)
            return size
        length = size + 8
        offset = 6
        if flow.version == 4:
            loop = options.multicast_loop
            if options.no_check:
                offset = -1
        else:
            loop = options.multicast_loop6
        check = 0 if offset < 0 else (flow.sum + PROTO + length - 1) % 0xFFFF + 1
        self.stack.send(
            flow, PROTO, HEADER.pack(sport, dport, length, check), data, csum_offset=offset, ttl=ttl, tos=tos,
            dont_fragment=whole, options=ip_options, loop=loop, probe=discovery == PMTUDISC_PROBE,
        )  # fmt: skip
        return size

    def receive(self, peek: bool = False) -> Datagram:
        datagram = super().receive(peek)
        if not peek:
            self.table.count(len(datagram.source[0]) == 4)["InDatagrams"] += 1
        return datagram

    def close(self) -> None:
        self._unbind()
        super().close()
