"""IP out (RFC 791, RFC 8200): a header in front, fragments where need be, and to the next hop or back to ourselves."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

from netstack.counters import bump
from netstack.errors import EINVAL, EMSGSIZE, ENETDOWN, ENOBUFS
from netstack.packet import NO_OFFLOAD, Offload, Packet
from netstack.wire import checksum, ether, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.iface import Interface
    from netstack.stack import Stack

HEADER4 = Struct("!BBHHHBBH4s4s")
HEADER6 = Struct("!IHBB16s16s")
DF, MF = 0x4000, 0x2000
MAX_LEN = 65535
UDP = 17
FRAGMENT6_LEN = 8
_LOOP_HEADER = {4: bytes(12) + b"\x08\x00", 6: bytes(12) + b"\x86\xdd"}  # what a tap on lo sees in front


class Output:
    """What `stack.send` is."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._idents = [int.from_bytes(stack.random(2)) for _ in range(256)]  # next Identification, by destination
        self._ident6 = int.from_bytes(stack.random(4))
        self._key = int.from_bytes(stack.random(8))
        self._offloads: dict[int, Offload] = {}  # of plain checksums, by both offsets: not made anew for each packet

    def send(
        self, flow: Flow, proto: int, header: bytes, data: bytes | memoryview = b"", *, csum_offset: int = -1,
        ttl: int = 0, tos: int = 0, dont_fragment: bool = False, gso_size: int = 0, options: bytes = b"",
        first_option: int = 0, flow_label: int = 0, loop: bool = True, probe: bool = False,
    ) -> None:  # fmt: skip
        """Send a transport's `header` and `data`; EMSGSIZE, ENETDOWN, ENOBUFS.

        ttl            0 is the default, -1 a hop limit of 0: only our own sockets get it
        dont_fragment  EMSGSIZE rather than fragments, and DF in IPv4; with `probe` the path's MTU does not count, the
                       device's does (IP_PMTUDISC_PROBE)
        options        IPv4 options, or IPv6 extension headers, the first of which is of type `first_option` and the
                       last of which names `proto`
        loop           own members of a multicast group get a copy (IP_MULTICAST_LOOP)
        """
        iface = flow.iface
        if not iface.flags & 1:
            raise ENETDOWN
        stack = self.stack
        if flow.version == 4:
            start = 20 + len(options)
            size = start + len(header) + len(data)
            stack.counters.ip["OutRequests"] += 1
            stack.counters.ip_ext["OutOctets"] += size
        else:
            start = 40 + len(options)
            size = start + len(header) + len(data)
            counts = stack.counters.ip6
            counts["OutRequests"] += 1
            counts["OutOctets"] += size
        if not ttl:
            ttl = flow.ttl
        elif ttl < 0:
            ttl = 0
        if size > flow.limit and (not gso_size or size > MAX_LEN or start + len(header) + gso_size > flow.mtu):
            mtu = iface.mtu if probe else flow.mtu
            if size - start > MAX_LEN - (start if flow.version == 4 else start - 40) or dont_fragment and size > mtu:
                (stack.counters.ip if flow.version == 4 else stack.counters.ip6)["FragFails"] += 1
                raise EMSGSIZE
            if size > mtu and not flow.local:
                self._fragments(
                    flow, proto, header, data, csum_offset, ttl, tos, options, first_option, flow_label, loop, mtu
                )
                return

        if flow.version == 4:
            idents, bucket = self._idents, flow.bucket
            ident = idents[bucket] = idents[bucket] + 1 & 0xFFFF
            frag = DF if dont_fragment else 0
            if options:
                head = ipv4.pack_header(flow.src, flow.dst, proto, size - start, ttl, tos, ident, frag, 0, options)
            else:
                total = 0x4500 + tos + size + ident + frag + (ttl << 8) + proto + flow.sum
                head = HEADER4.pack(
                    0x45, tos, size, ident, frag, ttl, proto, 0xFFFF - total % 0xFFFF, flow.src, flow.dst
                )
        elif options:
            head = (
                HEADER6.pack(0x60000000 | tos << 20 | flow_label, size - 40, first_option, ttl, flow.src, flow.dst)
                + options
            )
        else:
            head = HEADER6.pack(0x60000000 | tos << 20 | flow_label, size - 40, proto, ttl, flow.src, flow.dst)

        neighbor = flow.neighbor
        if csum_offset < 0:
            offload = NO_OFFLOAD
        else:
            csum_start = start + 14 if neighbor is not None else start
            if gso_size:
                offload = Offload(csum_start, csum_offset, gso_size, flow.version == 6, csum_start + len(header))
            else:
                key = csum_start << 8 | csum_offset
                offload = self._offloads.get(key) or self._offload(key)
        if flow.special:
            self._special(flow, proto, head, header, data, start, offload, ttl, tos, options, loop)
        elif neighbor is None:
            self.transmit(iface, (head + header, data), offload, flow.version)
        elif neighbor.usable_until_ns > stack.now_ns:
            parts = (neighbor.header + head + header, data)
            if stack.taps:
                self._tap(iface, parts)
            counters = iface.counters
            if iface.transmit(parts, offload):
                counters.tx_packets += 1
                counters.tx_bytes += size + 14
            else:
                counters.tx_dropped += 1
        else:
            stack.neighbors.output(flow, head + header, data, offload)

    def bucket(self, dst: bytes) -> int:
        """Which of the counters numbers packets to `dst`: nobody outside can tell (RFC 7739 section 5.3)."""
        return hash((dst, self._key)) & 0xFF

    def _offload(self, key: int) -> Offload:
        offload = self._offloads[key] = Offload(key >> 8, key & 0xFF)
        return offload

    def transmit(
        self, iface: Interface, parts: Sequence[bytes | memoryview], offload: Offload = NO_OFFLOAD, version: int = 4
    ) -> None:
        """A whole frame (a packet, on a device without a link header) to the device."""
        if self.stack.taps:
            self._tap(iface, parts)
        counters = iface.counters
        if iface.up and iface.transmit(parts, offload):
            counters.tx_packets += 1
            counters.tx_bytes += sum(map(len, parts))
        else:
            counters.tx_dropped += 1

    def _tap(self, iface: Interface, parts: Sequence[bytes | memoryview]) -> None:
        frame = b"".join(parts)
        for tap in list(self.stack.taps):
            tap(iface, frame, True)

    def _emit(self, flow: Flow, head: bytes, data: bytes | memoryview, offload: Offload) -> None:
        """A packet to the flow's next hop, whatever it is."""
        neighbor = flow.neighbor
        if neighbor is None:
            self.transmit(flow.iface, (head, data), offload, flow.version)
        elif neighbor.usable_until_ns > self.stack.now_ns:
            self.transmit(flow.iface, (neighbor.header + head, data), offload)
        else:
            self.stack.neighbors.output(flow, head, data, offload)

    # To ourselves.

    def _special(
        self, flow: Flow, proto: int, head: bytes, header: bytes, data: bytes | memoryview, start: int,
        offload: Offload, ttl: int, tos: int, options: bytes, loop: bool,
    ) -> None:  # fmt: skip
        """Own addresses; multicast and broadcast, of which own sockets may get a copy (RFC 1112 section 6.1)."""
        iface = flow.iface
        if flow.multicast and flow.version == 6:
            self.stack.counters.ip6["OutMcastPkts"] += 1
        elif not flow.local:
            bump(self.stack.counters.ip_ext, "OutMcastPkts" if flow.multicast else "OutBcastPkts")
        if flow.local or iface.link is None:
            copy = flow.local or flow.broadcast or flow.dst in iface.groups
        else:
            copy = flow.broadcast or flow.multicast and loop and flow.dst in iface.groups
            if ttl and not (flow.version == 6 and flow.dst[1] & 0xF <= 1):  # interface-local stays here (RFC 4291)
                self._emit(flow, head + header, data, offload)
        raw = memoryview(b"".join((head, header, data)))
        if iface.link is None:
            self._count_loop(iface, raw, flow.version)
            groups = self.stack.counters
            (groups.ip if flow.version == 4 else groups.ip6)["InReceives"] += 1
            (groups.ip_ext if flow.version == 4 else groups.ip6)["InOctets"] += len(raw)
        if copy:
            to_us = "unicast" if flow.local else "broadcast" if flow.broadcast else "multicast"
            self.stack.later(Packet(
                iface, flow.version, flow.src, flow.dst, proto, ttl, tos, raw[start:], raw, options,
                offload is not NO_OFFLOAD, offload.gso_size, to_us,
            ))  # fmt: skip

    def _count_loop(self, iface: Interface, raw: memoryview, version: int) -> None:
        """On the loopback each packet goes out and comes in; packet sockets see both."""
        counters = iface.counters
        counters.tx_packets += 1
        counters.tx_bytes += len(raw) + 14
        counters.rx_packets += 1
        counters.rx_bytes += len(raw) + 14
        if self.stack.taps:
            frame = _LOOP_HEADER[version] + raw
            for outgoing in (True, False):
                for tap in list(self.stack.taps):
                    tap(iface, frame, outgoing)

    # Fragments.

    def _fragments(
        self, flow: Flow, proto: int, header: bytes, data: bytes | memoryview, csum_offset: int, ttl: int, tos: int,
        options: bytes, first_option: int, flow_label: int, loop: bool, mtu: int,
    ) -> None:  # fmt: skip
        """Cut what is larger than the path takes; the checksum is finished here, a device could not."""
        payload = b"".join((header, data))
        if csum_offset >= 0:
            check = checksum.checksum(payload) or (0xFFFF if proto == UDP else 0)
            payload = payload[:csum_offset] + check.to_bytes(2) + payload[csum_offset + 2 :]
        if flow.special:  # the copy for our own sockets is whole
            head = self._whole(flow, proto, payload, ttl, tos, options, first_option, flow_label)
            copy = flow.broadcast or loop and flow.dst in flow.iface.groups
            if copy:
                raw = memoryview(head + payload)
                to_us = "broadcast" if flow.broadcast else "multicast"
                self.stack.later(Packet(
                    flow.iface, flow.version, flow.src, flow.dst, proto, ttl, tos, raw[len(head) :], raw, options,
                    to_us=to_us,
                ))  # fmt: skip
            if not ttl or flow.iface.link is None:
                return
        view = memoryview(payload)
        if flow.version == 4:
            self._cut4(flow, proto, view, ttl, tos, options, mtu, 0)
        else:
            self._cut6(flow, proto, view, ttl, tos, options, first_option, flow_label, mtu)

    def _whole(
        self, flow: Flow, proto: int, payload: bytes, ttl: int, tos: int, options: bytes, first_option: int, label: int
    ) -> bytes:
        if flow.version == 4:
            return ipv4.pack_header(flow.src, flow.dst, proto, len(payload), ttl, tos, options=options)
        first = first_option if options else proto
        size = len(options) + len(payload)
        return HEADER6.pack(0x60000000 | tos << 20 | label, size, first, ttl, flow.src, flow.dst) + options

    def _cut4(
        self, flow: Flow, proto: int, payload: memoryview, ttl: int, tos: int, options: bytes, mtu: int, ident: int,
        base: int = 0, more_behind: bool = False,
    ) -> None:  # fmt: skip
        """`base` and `more_behind` are those of a packet that is a fragment itself (of a router's)."""
        counters = self.stack.counters.ip
        if not ident:
            ident = self._idents[flow.bucket] = self._idents[flow.bucket] + 1 & 0xFFFF
        at, later_options = 0, ipv4.fragment_options(options) if options else b""
        while at < len(payload):
            room = mtu - 20 - len(options) & ~7
            part = payload[at : at + room]
            more = at + room < len(payload) or more_behind
            head = ipv4.pack_header(
                flow.src, flow.dst, proto, len(part), ttl, tos, ident, MF if more else 0, base + at, options
            )
            counters["FragCreates"] += 1
            self._emit(flow, head, part, NO_OFFLOAD)
            at += room
            options = later_options
        counters["FragOKs"] += 1

    def _cut6(
        self, flow: Flow, proto: int, payload: memoryview, ttl: int, tos: int, options: bytes, first_option: int,
        label: int, mtu: int,
    ) -> None:  # fmt: skip
        """Only here, at the source (RFC 8200 section 4.5). Hop-by-hop options and a routing header are repeated in
        front of each fragment header, what else there is of extension headers is cut with the rest."""
        counters = self.stack.counters.ip6
        self._ident6 = self._ident6 + 1 & 0xFFFFFFFF
        ident = self._ident6 ^ int.from_bytes(self.stack.random(1)) << 24
        repeated, next_at, next_header = _unfragmentable(options, first_option, proto)
        if len(repeated) < len(options):
            payload = memoryview(options[len(repeated) :] + payload)
        first = first_option if repeated else ipv6.FRAGMENTS
        if repeated:
            repeated = repeated[:next_at] + bytes((ipv6.FRAGMENTS,)) + repeated[next_at + 1 :]
        room = mtu - 40 - len(repeated) - FRAGMENT6_LEN & ~7
        for at in range(0, len(payload), room):
            part = payload[at : at + room]
            size = len(repeated) + FRAGMENT6_LEN + len(part)
            head = HEADER6.pack(0x60000000 | tos << 20 | label, size, first, ttl, flow.src, flow.dst)
            head += repeated + ipv6.pack_fragment(next_header, at, at + room < len(payload), ident)
            counters["FragCreates"] += 1
            self._emit(flow, head, part, NO_OFFLOAD)
        counters["FragOKs"] += 1

    # Packets that come with a header.

    def send_raw(self, flow: Flow, packet: bytes | memoryview) -> None:
        """Send a packet whose IP header the caller made (raw(7) IP_HDRINCL, IPV6_HDRINCL), to the flow's next hop. In
        IPv4 a source, identification of zero, the length and the checksum are filled in. It is never fragmented."""
        iface = flow.iface
        if not iface.up:
            raise ENETDOWN
        if len(packet) > min(iface.mtu, MAX_LEN):
            raise EMSGSIZE
        if flow.version == 4:
            if len(packet) < 20:
                raise EINVAL
            header_len = (packet[0] & 15) * 4
            if header_len < 20 or header_len > len(packet):
                raise EINVAL
            first, tos, _, ident, frag, ttl, proto, _, src, dst = HEADER4.unpack_from(packet)
            if not ident:
                ident = self._idents[flow.bucket] = self._idents[flow.bucket] + 1 & 0xFFFF
            if not any(src):
                src = flow.src
            head = HEADER4.pack(first, tos, len(packet), ident, frag, ttl, proto, 0, src, dst)
            head += packet[20:header_len]
            check = checksum.checksum(head)
            packet = b"".join((head[:10], check.to_bytes(2), head[12:], packet[header_len:]))
            self.stack.counters.ip["OutRequests"] += 1
        else:
            if len(packet) < 40:
                raise EINVAL
            packet = bytes(packet)
            self.stack.counters.ip6["OutRequests"] += 1
        if flow.local or iface.link is None:
            self._count_loop(iface, memoryview(packet), flow.version)
            self.stack.later(memoryview(packet))
            return
        if flow.special and (flow.broadcast or flow.dst in iface.groups):
            self.stack.later(memoryview(packet))
        self._emit(flow, packet, b"", NO_OFFLOAD)

    def fragment_forwarded(self, flow: Flow, packet: ipv4.Ipv4, mtu: int) -> None:
        """A packet of somebody else's that the next link does not take whole, and may be cut."""
        self._cut4(
            flow, packet.proto, packet.payload, packet.ttl - 1, packet.tos, packet.options, mtu, packet.ident,
            packet.offset, packet.more,
        )  # fmt: skip

    def forward(self, flow: Flow, packet: bytes, offload: Offload) -> None:
        """A packet of somebody else's, its hop limit already counted down, and not larger than the MTU."""
        self._emit(flow, packet, b"", offload)

    def send_frame(self, iface: Interface, frame: bytes, offload: Offload = NO_OFFLOAD) -> None:
        """A frame as it is (packet(7)); ENETDOWN, ENOBUFS. On the loopback it comes back in."""
        if not iface.up:
            raise ENETDOWN
        if iface.link is None:
            counters = iface.counters
            counters.tx_packets += 1
            counters.tx_bytes += len(frame)
            counters.rx_packets += 1
            counters.rx_bytes += len(frame)
            for outgoing in (True, False):
                for tap in list(self.stack.taps):
                    tap(iface, frame, outgoing)
            if int.from_bytes(frame[12:14]) in (ether.IP4, ether.IP6):
                self.stack.later(memoryview(frame)[14:])
            return
        if self.stack.taps:
            self._tap(iface, (frame,))
        if not iface.transmit((frame,), offload):
            iface.counters.tx_dropped += 1
            raise ENOBUFS
        iface.counters.tx_packets += 1
        iface.counters.tx_bytes += len(frame)


def _unfragmentable(options: bytes, first: int, proto: int) -> tuple[bytes, int, int]:
    """The extension headers up to the last that every router looks at, where the last of them names its next, and what
    follows them."""
    at, kind = 0, first if options else proto
    end, next_at, following = 0, 0, kind
    while at + 8 <= len(options):
        length = options[at + 1] * 8 + 8
        if kind in (ipv6.HOP_BY_HOP, ipv6.ROUTING):
            end, next_at, following = at + length, at, options[at]
        kind, at = options[at], at + length
    return options[:end], next_at, following
