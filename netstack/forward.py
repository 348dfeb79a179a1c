"""Packets that are not for us, when the sysctls say that this host is a router (RFC 1812 section 5, RFC 8200)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EACCES, EHOSTUNREACH, EINVAL, NetError
from netstack.wire import icmp, icmp6, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.iface import Interface
    from netstack.stack import Stack


class Forwarding:
    """Hop limit, MTU, and on to the next hop."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def forward4(self, iface: Interface, packet: ipv4.Ipv4, raw: memoryview) -> None:
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
        mtu = min(flow.iface.mtu, flow.mtu)
        if len(raw) > mtu and packet.dont_fragment:
            stack.counters.ip["FragFails"] += 1
            stack.icmp.error(iface, raw, icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu)
            return
        if flow.iface is iface and stack.settings.send_redirects and not packet.options:
            self._redirect4(iface, packet, raw, flow)
        if len(raw) > mtu:
            stack.output.fragment_forwarded(flow, packet, mtu)
            return
        header = bytearray(raw)
        header[8] -= 1
        check = (header[10] << 8 | header[11]) + 0x100  # RFC 1141: the sum counts the hop that is gone
        header[10:12] = (check + (check >> 16) & 0xFFFF).to_bytes(2)
        stack.output.forward(flow, header)

    def _redirect4(self, iface: Interface, packet: ipv4.Ipv4, raw: memoryview, flow: Flow) -> None:
        """There is a shorter way on the sender's own link (RFC 1812 section 5.2.7.2)."""
        try:
            route = self.stack.routes.lookup(packet.src)
        except NetError:
            return
        if route.oif == iface.index and not route.gateway:
            gateway = int.from_bytes(flow.next_hop)
            self.stack.icmp.error(iface, raw, icmp.REDIRECT, 1, gateway)

    def forward6(self, iface: Interface, packet: ipv6.Ipv6, raw: memoryview) -> None:
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
        if len(raw) > flow.mtu:
            counters["InTooBigErrors"] += 1
            counters["FragFails"] += 1
            stack.icmp6.error(iface, raw, icmp6.TOO_BIG, 0, flow.mtu)
            return
        counters["OutForwDatagrams"] += 1
        header = bytearray(raw)
        header[7] -= 1
        stack.output.forward(flow, header)
