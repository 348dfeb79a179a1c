"""Raw sockets (raw(7), ipv6(7), RFC 3542 section 3) and the table that hands them packets.

An IPv4 socket gets whole packets, header included; an IPv6 one what follows the headers. Whether a guest may have one
at all, and send from an address that is not its own, is decided above the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EDESTADDRREQ, EINVAL, EMSGSIZE
from netstack.packet import IcmpError, Packet
from netstack.socket.base import PMTUDISC_PROBE
from netstack.socket.datagram import Datagram
from netstack.socket.ip_socket import NO_CONTROL, Control, IpSocket
from netstack.wire import checksum

if TYPE_CHECKING:
    from netstack.stack import Stack

PROTO_RAW, PROTO_ICMP, PROTO_ICMP6 = 255, 1, 58
PASS_ALL6 = bytes(32)


class RawTable:
    """Raw sockets by family and protocol. The stack asks only as long as there are any."""

    __slots__ = ("_socks", "stack")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._socks: dict[tuple[int, int], list[RawSocket]] = {}
        stack.register_error(-1, self.error)

    def sockets(self) -> list[RawSocket]:
        """All of them, as /proc/net/raw and sock_diag list them."""
        return [sock for key in sorted(self._socks) for sock in self._socks[key]]

    def has(self, proto: int) -> bool:
        """Somebody wants to see packets of this protocol."""
        return (4, proto) in self._socks or (6, proto) in self._socks

    def add(self, sock: RawSocket) -> None:
        self._socks.setdefault((sock.family, sock.proto), []).append(sock)
        self.stack.raw_receive = self.receive

    def remove(self, sock: RawSocket) -> None:
        key = (sock.family, sock.proto)
        socks = self._socks[key]
        socks.remove(sock)
        if not socks:
            del self._socks[key]
        if not self._socks:
            self.stack.raw_receive = None

    def receive(self, packet: Packet) -> bool:
        """Each socket that matches gets a copy; whether any did."""
        socks = self._socks.get((packet.version, packet.proto))
        if socks is None:
            return False
        src, dst, iface = packet.src, packet.dst, packet.iface.index
        heard = False
        for sock in list(socks):
            if not sock.hears(dst, src, 0, iface) or sock.filtered(packet):
                continue
            if packet.to_us == "multicast" and not sock.wants_group(dst, src, iface):
                continue
            heard = True
            sock.hand(packet)
        return heard

    def error(self, error: IcmpError) -> bool:
        known = False
        for sock in list(self._socks.get((error.version, error.proto), ())):
            if sock.hears(error.src, error.dst, 0, 0):
                sock.hear(error, (error.dst, 0), bytes(error.payload))
                known = True
        return known


class RawSocket(IpSocket):
    """`icmp_filter` has a bit for each type of ICMP that is not wanted (raw(7) ICMP_FILTER: 4 bytes of a number;
    RFC 3542 section 3.2 ICMP6_FILTER: 32). `checksum_offset` is IPV6_CHECKSUM, -1 for none."""

    __slots__ = ("checksum_offset", "icmp_filter", "proto", "table")

    mapped = False

    def __init__(self, stack: Stack, family: int, proto: int) -> None:
        super().__init__(stack, family)
        self.proto = proto
        self.table = stack.raw
        self.checksum_offset = 2 if family == 6 and proto == PROTO_ICMP6 else -1
        self.icmp_filter = 0
        self.options.header_included = proto == PROTO_RAW
        self.local = (self.any, proto)
        self.table.add(self)

    def take_port(self, address: bytes, port: int) -> None:
        self.hear_at(address, self.proto)

    def hears(self, dst: bytes, src: bytes, sport: int, iface: int) -> bool:
        """There are no ports: the protocol stands in their place in `local`, and whatever was given in `peer`."""
        if any(self.local[0]) and self.local[0] != dst:
            return False
        if self.has_peer and self.peer[0] != src:
            return False
        return not iface or self.options.bound_iface in (0, iface)

    def filtered(self, packet: Packet) -> bool:
        """ICMP of a type that is not wanted."""
        if not self.icmp_filter or self.proto not in (PROTO_ICMP, PROTO_ICMP6) or not packet.payload:
            return False
        kind = packet.payload[0]
        return bool(self.icmp_filter >> kind & 1) and (self.family == 6 or kind < 32)

    def hand(self, packet: Packet) -> None:
        if self.family == 4:
            data = bytes(packet.raw)
        else:
            data = bytes(packet.payload)
            if self.checksum_offset >= 0 and not packet.checked and not self._good(packet):
                return
        self.take_in(
            Datagram(
                data, (packet.src, 0), (packet.dst, 0), packet.iface.index, packet.ttl, packet.tos, self.stack.now_ns,
                packet.options,
            )
        )  # fmt: skip

    def _good(self, packet: Packet) -> bool:
        size = len(packet.payload)
        return checksum.partial(packet.payload, checksum.pseudo(packet.src, packet.dst, self.proto, size)) == 0xFFFF

    def send(self, data: bytes, to: tuple[bytes, int] | None = None, control: Control = NO_CONTROL) -> int:
        """A packet's payload, or with IP_HDRINCL all of it, to `to` or to the peer. EDESTADDRREQ, EMSGSIZE, EINVAL for
        a header that is none."""
        size = len(data)
        if size > 65535:
            raise EMSGSIZE
        if to is None:
            if not self.has_peer:
                raise EDESTADDRREQ
            to = self.peer
        else:
            self.check_family(to[0])
        flow = self.way(to[0], control)
        options = self.options
        if options.header_included:
            self.check_send()  # Linux does not ask for a pending error otherwise: traceroute -I counts on it
            if size > flow.mtu:
                raise EMSGSIZE
            self.stack.output.send_raw(flow, data)
            return size
        four = flow.version == 4
        ip_options = (options.ip_options if control.options is None else control.options) if four else b""
        discovery = self.discovery(flow, control)
        whole = self.whole(flow, size + (20 if four else 40) + len(ip_options), discovery, (to[0], 0))
        offset, header = -1, b""
        if not four and self.checksum_offset >= 0:
            # RFC 3542 section 3.1: the sum of the pseudo-header goes where the device, or the stack, finishes it.
            offset = self.checksum_offset
            if offset + 2 > size:
                raise EINVAL
            start = checksum.pseudo(flow.src, flow.dst, self.proto, size)
            header, data = data[:offset] + start.to_bytes(2) + data[offset + 2 :], b""
        self.stack.send(
            flow, self.proto, header or data, b"", csum_offset=offset, ttl=self.hops(flow, control),
            tos=self.traffic_class(flow, control), dont_fragment=whole, options=ip_options,
            loop=options.multicast_loop if four else options.multicast_loop6, probe=discovery == PMTUDISC_PROBE,
        )  # fmt: skip
        return size

    def close(self) -> None:
        if not self.closed:
            self.table.remove(self)
        super().close()
