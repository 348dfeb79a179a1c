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
SEGMENTS_AT_MOST = 128  # of one send with UDP_SEGMENT


class UdpSocket(IpSocket):
    """A UDP socket; the table finds it by `local` and `peer`.

    binding  its port, None as long as it has none
    corked   UDP_CORK: sends add to one datagram until it is taken off
    segment  UDP_SEGMENT: a send is cut into datagrams of this size; 0 for none
    pending  the datagram that is being put together: data, destination, control
    """

    __slots__ = ("binding", "corked", "pending", "segment", "table")

    def __init__(self, stack: Stack, family: int) -> None:
        super().__init__(stack, family)
        self.table = stack.udp
        self.binding: Binding | None = None
        self.corked = False
        self.segment = 0
        self.pending: tuple[bytearray, tuple[bytes, int] | None, Control] | None = None

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

    def send(
        self, data: bytes, to: tuple[bytes, int] | None = None, control: Control = NO_CONTROL, more: bool = False
    ) -> int:
        """Send a datagram to `to`, or to the peer; with `more` (MSG_MORE) the next send goes on with it. EDESTADDRREQ,
        EMSGSIZE, EACCES, ENETUNREACH and the pending error; what is lost further on is lost."""
        size = len(data)
        if size > MAX_SIZE:
            raise EMSGSIZE
        if more or self.corked or self.pending is not None:
            return self._add(data, to, control, more)
        segment = self.segment if control.segment < 0 else control.segment
        if segment and size > segment:
            return self._cut(data, to, control, segment)
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

    def _add(self, data: bytes, to: tuple[bytes, int] | None, control: Control, more: bool) -> int:
        """One more piece of a datagram, whose destination the first has said. One that gets too long is lost."""
        if self.pending is None:
            if to is None and not self.has_peer:
                raise EDESTADDRREQ
            self.need_port()
            destination = self.peer if to is None else to
            self.check_family(destination[0])
            self.way(destination[0], control)
            self.pending = bytearray(), to, control
        whole = self.pending[0]
        if len(whole) + len(data) > MAX_SIZE - 28:
            self.pending = None
            raise EMSGSIZE
        whole += data
        if not (more or self.corked):
            self.push()
        return len(data)

    def push(self) -> None:
        """Send what has been put together; nothing when there is none."""
        pending, self.pending = self.pending, None
        if pending is not None:
            corked, self.corked = self.corked, False
            try:
                self.send(bytes(pending[0]), pending[1], pending[2])
            finally:
                self.corked = corked

    def _cut(self, data: bytes, to: tuple[bytes, int] | None, control: Control, segment: int) -> int:
        """UDP_SEGMENT (udp(7)): many datagrams by one call."""
        size = len(data)
        if size > MAX_SIZE - 28:
            raise EMSGSIZE
        if size > segment * SEGMENTS_AT_MOST:
            raise EINVAL
        for at in range(0, size, segment):
            self.send(data[at : at + segment], to, control._replace(segment=0))
        return size

    def receive(self, peek: bool = False) -> Datagram:
        datagram = super().receive(peek)
        if not peek:
            self.table.count(len(datagram.source[0]) == 4)["InDatagrams"] += 1
        return datagram

    def close(self) -> None:
        self._unbind()
        super().close()
