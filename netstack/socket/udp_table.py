"""Who gets a datagram (RFC 768, RFC 1122 section 4.1.3; udp(7)): the UDP sockets of one stack."""

from __future__ import annotations

from struct import error as StructError
from typing import TYPE_CHECKING

from netstack.packet import IcmpError, Packet
from netstack.ports import Ports
from netstack.socket.datagram import Datagram
from netstack.wire import checksum
from netstack.wire.udp import HEADER

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.socket.udp import UdpSocket
    from netstack.stack import Stack

PROTO = 17
QUOTED = 548  # bytes of a datagram that an ICMP error brings back (RFC 1812 section 4.3.2.3: 576 in all)


class UdpTable:
    """Sockets by port, the one bound last first: among equals Linux gives a datagram to it."""

    __slots__ = ("_by_port", "_key", "ports", "stack")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = Ports(stack)
        self._key = int.from_bytes(stack.random(8))
        self._by_port: dict[int, list[UdpSocket]] = {}
        stack.register(PROTO, self.receive)
        stack.register_error(PROTO, self.error)

    def sockets(self) -> list[UdpSocket]:
        """All that have a port, as /proc/net/udp and sock_diag list them."""
        return [sock for port in sorted(self._by_port) for sock in self._by_port[port]]

    def add(self, sock: UdpSocket) -> None:
        self._by_port.setdefault(sock.local[1], []).insert(0, sock)

    def remove(self, sock: UdpSocket) -> None:
        socks = self._by_port[sock.local[1]]
        socks.remove(sock)
        if not socks:
            del self._by_port[sock.local[1]]

    def count(self, four: bool) -> dict[str, int]:
        """The counters of a family."""
        counters = self.stack.counters
        return counters.udp if four else counters.udp6

    # from the network ---------------------------------------------------------------------------------------------
    def receive(self, packet: Packet) -> None:
        payload = packet.payload
        src, dst = packet.src, packet.dst
        four = packet.version == 4
        counts = self.count(four)
        try:
            sport, dport, length, check = HEADER.unpack_from(payload)
        except StructError:
            counts["InErrors"] += 1
            return
        if not 8 <= length <= len(payload):
            counts["InErrors"] += 1
            return
        if not packet.checked:
            # IPv4's 0 says that there is none; IPv6 has no such thing (RFC 8200 section 8.1).
            whole = payload[:length]
            if check or not four:
                good = check and checksum.partial(whole, checksum.pseudo(src, dst, PROTO, length)) == 0xFFFF
                if not good:
                    counts["InCsumErrors"] += 1
                    counts["InErrors"] += 1
                    return
        iface = packet.iface.index
        if packet.to_us != "unicast":
            self._spread(packet, sport, dport, length, counts)
            return
        sock = self.find(dst, dport, src, sport, iface)
        if sock is None:
            counts["NoPorts"] += 1
            self.stack.reject(packet, "port")
            return
        self._hand(sock, packet, sport, dport, length, counts)

    def _hand(
        self, sock: UdpSocket, packet: Packet, sport: int, dport: int, length: int, counts: dict[str, int]
    ) -> None:
        options = sock.options
        if packet.ttl < (options.minimum_ttl if packet.version == 4 else options.minimum_hops):
            return
        datagram = Datagram(
            bytes(packet.payload[8:length]), (packet.src, sport), (packet.dst, dport), packet.iface.index, packet.ttl,
            packet.tos, self.stack.now_ns, packet.options,
        )  # fmt: skip
        if not sock.take_in(datagram):
            counts["RcvbufErrors"] += 1
            counts["InErrors"] += 1

    def _spread(self, packet: Packet, sport: int, dport: int, length: int, counts: dict[str, int]) -> None:
        """A multicast or broadcast datagram is heard by all that match (RFC 1122 section 4.1.3.6); nobody is told when
        there are none."""
        src, dst, iface = packet.src, packet.dst, packet.iface.index
        heard = False
        for sock in list(self._by_port.get(dport, ())):
            if not sock.hears(dst, src, sport, iface):
                continue
            if packet.to_us == "multicast" and not sock.wants_group(dst, src, iface):
                continue
            heard = True
            self._hand(sock, packet, sport, dport, length, counts)
        if not heard:
            counts["IgnoredMulti"] += 1

    # within the stack ---------------------------------------------------------------------------------------------
    def direct(self) -> bool:
        """Nobody wants to see packets: datagrams to own addresses go from socket to socket."""
        stack = self.stack
        return not stack.taps and (stack.raw_receive is None or not stack.raw.has(PROTO))

    def loop(self, flow: Flow, sport: int, dport: int, data: bytes, ttl: int, tos: int) -> None:
        """A datagram to an own address, into the receiver's queue at once. Nobody there: the sender hears of it as it
        would by ICMP, before its next call."""
        stack = self.stack
        src, dst = flow.src, flow.dst
        counters = stack.loopback.counters
        counters.tx_packets += 1
        counters.rx_packets += 1
        sock = self.find(dst, dport, src, sport, stack.loopback.index)
        four = len(dst) == 4
        if sock is None:
            self.count(four)["NoPorts"] += 1
            payload = HEADER.pack(sport, dport, len(data) + 8, 0) + data[:QUOTED]
            kind, code = (3, 3) if four else (1, 4)
            stack.error(IcmpError(4 if four else 6, kind, code, 0, dst, src, dst, PROTO, payload))
            return
        ttl = max(ttl or flow.ttl, 0)
        options = sock.options
        if ttl < (options.minimum_ttl if four else options.minimum_hops):
            return
        if not sock.take_in(Datagram(data, (src, sport), (dst, dport), stack.loopback.index, ttl, tos, stack.now_ns)):
            counts = self.count(four)
            counts["RcvbufErrors"] += 1
            counts["InErrors"] += 1

    # who ----------------------------------------------------------------------------------------------------------
    def find(self, dst: bytes, dport: int, src: bytes, sport: int, iface: int) -> UdpSocket | None:
        """The socket that hears unicast from `src` to `dst` best: bound to the very address before any, then connected
        to the sender, then bound to the interface, then of the family before dual ones. `iface` 0 is any."""
        socks = self._by_port.get(dport)
        if socks is None:
            return None
        best: UdpSocket | None = None
        most = -1
        four = len(dst) == 4
        for sock in socks:
            if sock.local[0] == dst:
                score = 16
            elif sock.any4 if four else sock.any6:
                score = 0
            else:
                continue
            if sock.has_peer:
                if sock.peer[1] != sport or sock.peer[0] != src:
                    continue
                score += 8
            bound = sock.options.bound_iface
            if bound:
                if bound != iface and iface:
                    continue
                score += 4
            if four and sock.family == 4:
                score += 1
            if score > most:
                best, most = sock, score
        if best is not None and best.options.reuse_port and not best.has_peer and len(socks) > 1:
            return self._one_of_group(best, socks, src, sport, dst)
        return best

    def _one_of_group(self, best: UdpSocket, socks: list[UdpSocket], src: bytes, sport: int, dst: bytes) -> UdpSocket:
        """SO_REUSEPORT: all of one sender's datagrams go to the same socket of the group (socket(7))."""
        group = [
            sock for sock in socks
            if sock.options.reuse_port and not sock.has_peer and sock.local == best.local
            and sock.owner_uid == best.owner_uid and sock.options.bound_iface == best.options.bound_iface
        ]  # fmt: skip
        return group[hash((src, sport, dst, self._key)) % len(group)]

    # errors -------------------------------------------------------------------------------------------------------
    def error(self, error: IcmpError) -> bool:
        """An ICMP error about a datagram of ours: the socket that may have sent it hears of it (RFC 1122 4.1.3.3)."""
        if len(error.payload) < 8:
            return False
        sport, dport, _, _ = HEADER.unpack_from(error.payload)
        sock = self.find(error.src, sport, error.dst, dport, 0)
        if sock is not None:
            sock.hear(error, (error.dst, dport), bytes(error.payload[8:]))
        return sock is not None
