"""Packets that are not for us, when the sysctls say that this host is a router (RFC 1812 section 5, RFC 8200)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EACCES, EHOSTUNREACH, EINVAL, NetError
from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum, icmp, icmp6, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.iface import Interface
    from netstack.stack import Stack

TCP, UDP = 6, 17
_FIELDS = {TCP: 16, UDP: 6, ipv6.ICMPV6: 2}  # where transports that use the pseudo-header have their checksum


class Forwarding:
    """Hop limit, MTU, and on to the next hop. What a device has put together, or has left without a checksum, goes on
    as it is: the next device cuts it, or the stack does on the way to one that cannot."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def forward4(self, iface: Interface, packet: ipv4.Ipv4, raw: memoryview, checked: bool, gso_size: int) -> None:
        stack = self.stack
        if packet.ttl <= 1:
            stack.counters.ip["InHdrErrors"] += 1
            stack.icmp.error(iface, raw, icmp.TIME_EXCEEDED, icmp.IN_TRANSIT)
            return
        try:
            flow = stack.flow(packet.dst, packet.src, tos=packet.tos, any_source=True)
        except NetError as error:
            code = {EHOSTUNREACH: icmp.HOST, EACCES: icmp.PROHIBITED}.get(type(error), icmp.NET)
            if not isinstance(error, EINVAL):  # a black hole says nothing
                stack.icmp.error(iface, raw, icmp.UNREACHABLE, code)
            return
        if flow.special:
            return
        stack.counters.ip["ForwDatagrams"] += 1
        start = 20 + len(packet.options)
        size = _largest(raw, start, packet.proto, gso_size)
        mtu = min(flow.iface.mtu, flow.mtu)
        if size > mtu and (packet.dont_fragment or gso_size):
            stack.counters.ip["FragFails"] += 1
            stack.icmp.error(iface, raw, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu)
            return
        if flow.iface is iface and stack.settings.send_redirects and not packet.options:
            self._redirect4(iface, packet, raw, flow)
        copy = bytearray(raw)
        offload = _unfinished(flow, copy, start, packet.proto, gso_size) if checked else NO_OFFLOAD
        if size > mtu:
            if offload.csum_start:
                _finish(copy, start, packet.proto)
            stack.output.fragment_forwarded(flow, packet._replace(payload=memoryview(copy)[start:]), mtu)
            return
        copy[8] -= 1
        check = (copy[10] << 8 | copy[11]) + 0x100  # RFC 1141: the sum counts the hop that is gone
        copy[10:12] = (check + (check >> 16) & 0xFFFF).to_bytes(2)
        stack.output.forward(flow, bytes(copy), offload)

    def _redirect4(self, iface: Interface, packet: ipv4.Ipv4, raw: memoryview, flow: Flow) -> None:
        """There is a shorter way on the sender's own link (RFC 1812 section 5.2.7.2)."""
        try:
            route = self.stack.routes.lookup(packet.src)
        except NetError:
            return
        if route.oif == iface.index and not route.gateway:
            gateway = int.from_bytes(flow.next_hop)
            self.stack.icmp.error(iface, raw, icmp.REDIRECT, 1, gateway)

    def forward6(self, iface: Interface, packet: ipv6.Ipv6, raw: memoryview, checked: bool, gso_size: int) -> None:
        stack = self.stack
        counters = stack.counters.ip6
        if packet.hop_limit <= 1:
            counters["InHdrErrors"] += 1
            stack.icmp6.error(iface, raw, icmp6.TIME_EXCEEDED, icmp6.IN_TRANSIT)
            return
        try:
            flow = stack.flow(packet.dst, packet.src, tos=packet.tos, any_source=True)
        except NetError as error:
            code = {EHOSTUNREACH: icmp6.ADDRESS, EACCES: icmp6.PROHIBITED}.get(type(error), icmp6.NO_ROUTE)
            if not isinstance(error, EINVAL):
                stack.icmp6.error(iface, raw, icmp6.UNREACHABLE, code)
            return
        if flow.special:
            return
        if _largest(raw, 40, packet.next_header, gso_size) > flow.mtu:
            counters["InTooBigErrors"] += 1
            counters["FragFails"] += 1
            stack.icmp6.error(iface, raw, icmp6.TOO_BIG, 0, flow.mtu)
            return
        counters["OutForwDatagrams"] += 1
        copy = bytearray(raw)
        copy[7] -= 1
        offload = _unfinished(flow, copy, 40, packet.next_header, gso_size) if checked else NO_OFFLOAD
        stack.output.forward(flow, bytes(copy), offload)


def _header_len(raw: memoryview | bytearray, start: int, proto: int) -> int:
    """Of everything that each segment of a packet repeats."""
    return start + (raw[start + 12] >> 4) * 4 if proto == TCP and len(raw) >= start + 20 else start


def _largest(raw: memoryview, start: int, proto: int, gso_size: int) -> int:
    """The size of what will be on the wire."""
    return min(len(raw), _header_len(raw, start, proto) + gso_size) if gso_size else len(raw)


def _unfinished(flow: Flow, raw: bytearray, start: int, proto: int, gso_size: int) -> Offload:
    """A device has said that the checksum is right; it may be that it was never made. So it is made again, by the
    next one: the field gets the sum of the pseudo-header. UDP's 0 stays, it means that there is none (RFC 768)."""
    field = _FIELDS.get(proto)
    if field is None or len(raw) < start + field + 2:
        return NO_OFFLOAD
    at = start + field
    if proto == UDP and not raw[at] and not raw[at + 1]:
        return NO_OFFLOAD
    raw[at : at + 2] = checksum.pseudo(flow.src, flow.dst, proto, len(raw) - start).to_bytes(2)
    link_len = 14 if flow.neighbor is not None else 0
    hdr_len = _header_len(raw, start, proto) + link_len if gso_size else 0
    return Offload(start + link_len, field, gso_size, flow.version == 6, hdr_len)


def _finish(raw: bytearray, start: int, proto: int) -> None:
    at = start + _FIELDS[proto]
    raw[at : at + 2] = (checksum.checksum(memoryview(raw)[start:]) or 0xFFFF).to_bytes(2)
