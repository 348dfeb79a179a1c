"""IP in: frames to packets, and whom a packet is for (RFC 791, RFC 1122 section 3.2.1, RFC 1812 5.3, RFC 8200)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.counters import bump
from netstack.errors import BadPacket, NetError
from netstack.packet import Packet
from netstack.route import BROADCAST, LOCAL, UNICAST, Route
from netstack.wire import ether, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack

FRAME4 = Struct("!6s6sHBBHHHBBH4s4s")
FRAME4_LEN = 34
FRAME6 = Struct("!6s6sHIHBB16s16s")
FRAME6_LEN = 54
SOURCES_AT_MOST = 4096
TCP = 6
ANY4, ANY6 = bytes(4), bytes(16)
BROADCAST4 = b"\xff\xff\xff\xff"
LOOPBACK6 = bytes(15) + b"\x01"
MAPPED = bytes(10) + b"\xff\xff"
_EXTENSIONS = frozenset((ipv6.HOP_BY_HOP, ipv6.ROUTING, ipv6.FRAGMENTS, ipv6.DESTINATION, ipv6.NO_NEXT))


class Input:
    """What `stack.receive` is."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def receive(self, iface: Interface, frame: bytes | memoryview, checked: bool = False, gso_size: int = 0) -> None:
        """A frame from a link. Its bytes are kept and must not change afterwards. `checked`: the device has seen to the
        transport's checksum; `gso_size` is the size of the segments that it has put together."""
        counters = iface.counters
        if not iface.flags & 1:
            counters.rx_dropped += 1
            return
        size = len(frame)
        counters.rx_packets += 1
        counters.rx_bytes += size
        stack = self.stack
        if stack.taps:
            for tap in list(stack.taps):
                tap(iface, frame, False)
        try:
            if iface.kind != "ether":
                self._packet(iface, memoryview(frame), checked, gso_size)
                return
            # The plain cases first: a whole packet, to an own address, from a sender that was found good before.
            if size >= FRAME4_LEN and frame[12] == 8 and not frame[13] and iface.sources_generation == stack.generation:
                (mac, _, _, first, tos, length, _, frag, ttl, proto, _, src, dst) = FRAME4.unpack_from(frame)
                if (
                    first == 0x45
                    and mac == iface.mac
                    and dst in stack.local
                    and src in iface.sources
                    and not frag & 0x3FFF
                    and 20 <= length <= size - 14
                    and not int.from_bytes(frame[14:34]) % 0xFFFF
                ):
                    raw = memoryview(frame)[14 : length + 14]
                    stack.counters.ip["InReceives"] += 1
                    stack.counters.ip_ext["InOctets"] += length
                    stack.deliver(Packet(iface, 4, src, dst, proto, ttl, tos, raw[20:], raw, b"", checked, gso_size))
                    return
            elif size >= FRAME6_LEN and frame[12] == 0x86 and iface.sources_generation == stack.generation:
                (mac, _, kind, first, length, proto, ttl, src, dst) = FRAME6.unpack_from(frame)
                if (
                    kind == ether.IP6
                    and first >> 28 == 6
                    and mac == iface.mac
                    and dst in stack.local
                    and src in iface.sources
                    and proto not in _EXTENSIONS
                    and length <= size - 54
                    and dst[0] != 0xFE
                ):
                    raw = memoryview(frame)[14 : length + 54]
                    stack.counters.ip6["InReceives"] += 1
                    stack.counters.ip6["InOctets"] += length + 40
                    tos = first >> 20 & 0xFF
                    stack.deliver(Packet(iface, 6, src, dst, proto, ttl, tos, raw[40:], raw, b"", checked, gso_size))
                    return
            self._frame(iface, memoryview(frame), checked, gso_size)
        except BadPacket:
            counters.rx_errors += 1
        except NetError:  # an answer that could not be sent
            counters.rx_dropped += 1

    def _frame(self, iface: Interface, frame: memoryview, checked: bool, gso_size: int) -> None:
        to, _, kind, payload, vlan = ether.parse(frame)
        if vlan > 0 and vlan & 0xFFF:  # of another network; 0 is a mere priority
            iface.counters.rx_dropped += 1
            return
        alone = to == iface.mac
        if not alone:
            if not to[0] & 1:  # for somebody else: only taps see it
                return
            iface.counters.multicast += to != ether.BROADCAST
        if kind == ether.IP4:
            self._ip4(iface, payload, checked, gso_size, alone)
        elif kind == ether.IP6:
            self._ip6(iface, payload, checked, gso_size, alone)
        elif kind == ether.ARP:
            self.stack.arp.receive(iface, payload, alone)

    def _packet(self, iface: Interface, raw: memoryview, checked: bool, gso_size: int) -> None:
        version = raw[0] >> 4 if raw else 0
        if version == 4:
            self._ip4(iface, raw, checked, gso_size, True)
        elif version == 6:
            self._ip6(iface, raw, checked, gso_size, True)
        else:
            raise BadPacket("ip version", version)

    def from_self(self, raw: memoryview) -> None:
        """A packet that we have sent to ourselves, its header made by a raw socket: nothing about it is known."""
        lo = self.stack.loopback
        try:
            self._packet(lo, raw, False, 0)
        except (BadPacket, NetError):
            lo.counters.rx_errors += 1

    # IPv4.

    def _ip4(self, iface: Interface, data: memoryview, checked: bool, gso_size: int, alone: bool) -> None:
        stack = self.stack
        counters = stack.counters.ip
        counters["InReceives"] += 1
        try:
            packet = ipv4.parse(data)
            options = packet.options and _look4(packet.options, stack.settings.accept_source_route)
        except BadPacket:
            counters["InHdrErrors"] += 1
            raise
        stack.counters.ip_ext["InOctets"] += packet.length
        src, dst = packet.src, packet.dst
        to_us = self._accept4(iface, src, dst, packet.tos)
        if not to_us:
            return
        if to_us in ("multicast", "broadcast"):
            name = "Mcast" if to_us == "multicast" else "Bcast"
            bump(stack.counters.ip_ext, f"In{name}Pkts")
            bump(stack.counters.ip_ext, f"In{name}Octets", packet.length)
        if options and to_us != "unicast":
            return  # RFC 1812 section 5.3.13.4 and common sense
        if to_us == "forward":
            if alone:
                stack.forwarding.forward4(iface, packet, data[: packet.length], checked, gso_size)
            return
        if not alone and to_us == "unicast" and packet.proto == TCP:
            return  # RFC 1122 section 4.2.3.10
        raw = data[: packet.length]
        if packet.is_fragment:
            whole = stack.reassembly.add4(iface, packet, raw)
            if whole is None:
                return
            raw, checked, gso_size = memoryview(whole), False, 0
            packet = ipv4.parse(raw)
        stack.deliver(Packet(
            iface, 4, src, dst, packet.proto, packet.ttl, packet.tos, packet.payload, raw, packet.options, checked,
            gso_size, to_us,
        ))  # fmt: skip

    def _accept4(self, iface: Interface, src: bytes, dst: bytes, tos: int) -> str:
        """What a packet is to us: "unicast", "broadcast", "multicast", "forward", or "" for nothing."""
        stack = self.stack
        counters = stack.counters.ip
        kind = self._kind4(iface, dst, src, tos)
        if not kind or not self._source4(iface, src, dst, kind):
            counters["InAddrErrors"] += dst[0] & 0xF0 != 0xE0  # a group that nobody here wants is no error
            return ""
        if kind == "forward" and not stack.settings.ip_forward:
            counters["InAddrErrors"] += 1
            return ""
        return kind

    def _kind4(self, iface: Interface, dst: bytes, src: bytes, tos: int) -> str:
        stack = self.stack
        if dst == BROADCAST4 or dst == ANY4 and src == ANY4:
            return "broadcast"
        if dst[0] & 0xF0 == 0xE0:
            return "multicast" if dst in iface.groups or iface.kind == "loopback" else ""
        if dst[0] == 0 or dst[0] >= 0xF0 or dst[0] == 127 and iface.kind != "loopback":
            return ""
        if dst in stack.local:
            return "unicast"
        route = self._route(dst, src, iface, tos)
        if route is None:
            return "forward"  # which comes to nothing, but a router says so
        return {LOCAL: "unicast", BROADCAST: "broadcast", UNICAST: "forward"}.get(route.kind, "")

    def _known_source(self, iface: Interface, src: bytes) -> bool:
        """It was looked at before, and addresses and routes are still the same; the loopback is never asked."""
        generation = self.stack.generation
        if iface.sources_generation != generation:
            iface.sources.clear()
            iface.sources_generation = generation
        return src in iface.sources or iface.kind == "loopback"

    def _source4(self, iface: Interface, src: bytes, dst: bytes, kind: str) -> bool:
        """No martians (RFC 1812 section 5.3.7): nothing from outside says that it comes from this host."""
        stack = self.stack
        if self._known_source(iface, src):
            return True
        if src[0] == 127 or src[0] >= 0xE0:
            return False
        if src[0] == 0:
            return src == ANY4 and kind in ("broadcast", "multicast")
        if src in stack.local and not stack.settings.accept_local:
            return False
        route = self._route(src, dst, iface, 0)
        if route is not None and route.kind == BROADCAST or route is not None and route.kind == LOCAL:
            return bool(route.kind == LOCAL and stack.settings.accept_local)
        strict = stack.settings.rp_filter
        if strict and (route is None or strict == 1 and route.oif != iface.index):
            return False
        if len(iface.sources) < SOURCES_AT_MOST:
            iface.sources.add(src)
        return True

    def _route(self, dst: bytes, src: bytes, iface: Interface, tos: int) -> Route | None:
        try:
            return self.stack.routes.lookup(dst, src, tos=tos, iif=iface.name)
        except NetError:
            return None

    # IPv6.

    def _ip6(self, iface: Interface, data: memoryview, checked: bool, gso_size: int, alone: bool) -> None:
        stack = self.stack
        counters = stack.counters.ip6
        counters["InReceives"] += 1
        if stack.settings.ipv6_disable:
            counters["InDiscards"] += 1
            return
        try:
            packet = ipv6.parse(data)
        except BadPacket:
            counters["InHdrErrors"] += 1
            raise
        counters["InOctets"] += packet.length + 40
        src, dst = packet.src, packet.dst
        kind = self._kind6(iface, dst, src)
        if not kind or not self._source6(iface, src):
            counters["InAddrErrors"] += dst[0] != 0xFF
            return
        raw = data[: packet.length + 40]
        if kind == "forward":
            if alone and stack.settings.ipv6_forwarding:
                stack.forwarding.forward6(iface, packet, raw, checked, gso_size)
            else:
                counters["InAddrErrors"] += 1
            return
        if not alone and kind == "unicast" and packet.next_header == TCP:
            return
        if kind == "multicast":
            counters["InMcastPkts"] += 1
            counters["InMcastOctets"] += packet.length + 40
        try:
            chain = ipv6.walk(packet)
        except BadPacket:
            counters["InHdrErrors"] += 1
            raise
        if chain.problem is not None:
            counters["InHdrErrors"] += 1
            if kind == "unicast" or chain.problem.multicast:
                stack.icmp6.problem(iface, packet, raw, chain.problem.code, chain.problem.pointer)
            return
        proto, extensions = chain.proto, chain.extensions
        if chain.fragment is not None:
            whole = stack.reassembly.add6(iface, packet, chain.fragment, raw, kind == "unicast")
            if whole is None:
                return
            raw, checked, gso_size = memoryview(whole), False, 0
            packet = ipv6.parse(raw)
            chain = ipv6.walk(packet)
            if chain.fragment is not None or chain.problem is not None:
                raise BadPacket("ipv6 fragments of a fragment")
            proto, extensions = chain.proto, chain.extensions
        if proto == ipv6.NO_NEXT:
            return
        stack.deliver(Packet(
            iface, 6, src, dst, proto, packet.hop_limit, packet.tos, chain.payload, raw, extensions, checked, gso_size,
            kind,
        ))  # fmt: skip

    def _kind6(self, iface: Interface, dst: bytes, src: bytes) -> str:
        stack = self.stack
        inside = iface.kind == "loopback"
        if dst[0] == 0xFF:
            if dst[1] & 0xF == 0 or dst[1] & 0xF == 1 and not inside:  # RFC 4291 section 2.7
                return ""
            return "multicast" if inside or dst in iface.groups else ""
        if dst == LOOPBACK6 and not inside:
            return ""
        holder = stack.local.get(dst)
        if holder is not None:
            if dst[0] == 0xFE and holder != iface.index and not inside and iface.find(dst) is None:
                return ""  # a link-local address of another link
            return "unicast"
        if iface.find(dst) is not None:
            return ""  # tentative: nothing but neighbour discovery may use it (RFC 4862 section 5.4)
        if ipv6.is_link_local(dst) or ipv6.is_link_local(src):
            return ""
        route = self._route(dst, src, iface, 0)
        if route is None:
            stack.counters.ip6["InNoRoutes"] += 1
            return "forward"
        return {LOCAL: "unicast", UNICAST: "forward"}.get(route.kind, "")

    def _source6(self, iface: Interface, src: bytes) -> bool:
        stack = self.stack
        if self._known_source(iface, src):
            return True
        if src == LOOPBACK6 or src[:12] == MAPPED:
            return False
        if src in stack.local and not stack.settings.accept_local:
            return False
        if src != ANY6 and len(iface.sources) < SOURCES_AT_MOST:
            iface.sources.add(src)
        return True


def _look4(options: bytes, source_route: int) -> bool:
    """Read options; whether they hold a source route, which is refused as Linux does by default (RFC 7126)."""
    routed = False
    for kind, content in ipv4.split_options(options):
        if kind in (ipv4.OPT_LSRR, ipv4.OPT_SSRR):
            if not source_route or len(content) < 1 or content[0] <= len(content) + 2:  # a hop of it is still to come
                raise BadPacket("ipv4 source route", content)
            routed = True
    return routed
