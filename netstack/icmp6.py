"""ICMPv6 (RFC 4443): echoes, errors in and errors out; neighbour and listener discovery are handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import BadPacket, NetError
from netstack.icmp import REDIRECT_NS, RateLimit
from netstack.packet import IcmpError, Packet
from netstack.wire import checksum, icmp6, ipv6, ndp

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack

QUOTE = ipv6.MIN_MTU - 40 - 8
ANY6 = bytes(16)
_NDP = frozenset(range(icmp6.ROUTER_SOLICITATION, icmp6.REDIRECT + 1))
_MLD = frozenset((icmp6.MLD_QUERY, icmp6.MLD_REPORT, icmp6.MLD_DONE, icmp6.MLD2_REPORT))
_NAMES = {
    icmp6.UNREACHABLE: "DestUnreachs", icmp6.TOO_BIG: "PktTooBigs", icmp6.TIME_EXCEEDED: "TimeExcds",
    icmp6.PARAMETER_PROBLEM: "ParmProblems", icmp6.ECHO: "Echos", icmp6.ECHO_REPLY: "EchoReplies",
    icmp6.MLD_QUERY: "GroupMembQueries", icmp6.MLD_REPORT: "GroupMembResponses",
    icmp6.MLD_DONE: "GroupMembReductions", icmp6.ROUTER_SOLICITATION: "RouterSolicits",
    icmp6.ROUTER_ADVERTISEMENT: "RouterAdvertisements", icmp6.NEIGHBOR_SOLICITATION: "NeighborSolicits",
    icmp6.NEIGHBOR_ADVERTISEMENT: "NeighborAdvertisements", icmp6.REDIRECT: "Redirects",
    icmp6.MLD2_REPORT: "MLDv2Reports",
}  # fmt: skip


class Icmp6Protocol:
    """ICMPv6 of one stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.limit = RateLimit()

    def receive(self, packet: Packet) -> None:
        counters = self.stack.counters.icmp6
        counters["InMsgs"] += 1
        try:
            message = icmp6.parse(
                packet.payload, -1 if packet.checked else checksum.pseudo6(packet.src, packet.dst, ipv6.ICMPV6, 0)
            )
            kind = message.kind
            types = self.stack.counters.icmp6_in_types
            types[kind] = types.get(kind, 0) + 1
            if kind in _NAMES:
                counters["In" + _NAMES[kind]] += 1
            self._dispatch(packet, message)
        except BadPacket as bad:
            counters["InErrors"] += 1
            counters["InCsumErrors"] += bad.what == "icmpv6 checksum"

    def _dispatch(self, packet: Packet, message: icmp6.Icmp6) -> None:
        kind = message.kind
        if kind == icmp6.ECHO:
            self._echo(packet, message)
        elif kind == icmp6.ECHO_REPLY:
            if self.stack.echo_reply is not None:
                self.stack.echo_reply(packet)
        elif kind in _NDP:
            if packet.ttl != ndp.HOP_LIMIT or packet.iface.kind != "ether":  # nobody off the link (RFC 4861 section 11)
                raise BadPacket("ndp hop limit", packet.ttl)
            said = ndp.parse(message)
            if isinstance(said, ndp.Redirect):
                self._redirect(packet, said)
            elif isinstance(said, ndp.RouterAdvertisement):
                self.stack.autoconf.advertised(packet, said)
            elif not isinstance(said, ndp.RouterSolicitation):
                self.stack.ndp.receive(packet, said)
        elif kind in _MLD:
            self.stack.memberships.heard6(packet, message)
        elif message.is_error:
            self._error(packet, message)

    def _echo(self, packet: Packet, message: icmp6.Icmp6) -> None:
        stack, settings = self.stack, self.stack.settings
        if settings.icmp6_echo_ignore_all:
            return
        if packet.to_us != "unicast" and settings.icmp6_echo_ignore_multicast:
            return
        if packet.src == ANY6:
            return
        try:
            oif = 0 if packet.iface.kind == "loopback" or not ipv6.is_link_local(packet.src) else packet.iface.index
            flow = stack.flow(packet.src, packet.dst if packet.to_us == "unicast" else None, oif, packet.tos)
            body = icmp6.pack(icmp6.ECHO_REPLY, message.code, message.rest, message.payload, flow.src, flow.dst)
            stack.send(flow, ipv6.ICMPV6, body, tos=packet.tos)
        except NetError:
            return
        self.count_out(icmp6.ECHO_REPLY)

    def count_out(self, kind: int) -> None:
        counters = self.stack.counters
        counters.icmp6["OutMsgs"] += 1
        counters.icmp6["Out" + _NAMES[kind]] += 1
        counters.icmp6_out_types[kind] = counters.icmp6_out_types.get(kind, 0) + 1

    # Errors that come in.

    def _error(self, packet: Packet, message: icmp6.Icmp6) -> None:
        quoted = icmp6.quoted(message.payload)
        stack = self.stack
        if quoted.offset or not stack.is_local(quoted.src):
            raise BadPacket("icmpv6 error about a packet that is not ours", quoted.src)
        error = IcmpError(6, message.kind, message.code, message.info, packet.src, quoted.src, quoted.dst, quoted.proto,
                          bytes(quoted.payload))  # fmt: skip
        if message.kind != icmp6.TOO_BIG:
            if message.kind in _NAMES:
                stack.error(error)
            return
        if message.info < ipv6.MIN_MTU:  # RFC 8201 section 4: no path is narrower; RFC 8021: no atomic fragments
            raise BadPacket("icmpv6 packet too big, mtu", message.info)
        lifetime_ns = stack.settings.ipv6_mtu_expires * 10**9
        stack.flows.try_mtu(quoted.dst, message.info, lifetime_ns, lambda: stack.error(error))

    def _redirect(self, packet: Packet, said: ndp.Redirect) -> None:
        """RFC 4861 section 8: from the first hop in use, a link-local address; to another one, or straight there."""
        stack, settings = self.stack, self.stack.settings
        if not settings.ipv6_accept_redirects or settings.ipv6_forwarding:
            return
        if not ipv6.is_link_local(packet.src):
            raise BadPacket("ndp redirect source", packet.src)
        if said.target != said.destination and not ipv6.is_link_local(said.target):
            raise BadPacket("ndp redirect target", said.target)
        try:
            flow = stack.flow(said.destination)
        except NetError:
            return
        if flow.next_hop != packet.src or flow.iface is not packet.iface:
            raise BadPacket("ndp redirect from no router", packet.src)
        if said.target_link is not None:
            neighbor = stack.neighbors.update(packet.iface, said.target, said.target_link)
            if neighbor is not None and said.target != said.destination:
                neighbor.is_router = True
        stack.flows.redirect(said.destination, said.target, REDIRECT_NS)

    # Errors that go out.

    def problem(self, iface: Interface, packet: ipv6.Ipv6, raw: memoryview, code: int, pointer: int) -> None:
        group_too = code == ipv6.UNKNOWN_OPTION
        self.error(iface, raw, icmp6.PARAMETER_PROBLEM, code, pointer, group_too=group_too)

    def unknown_next_header(self, packet: Packet) -> None:
        """RFC 8200 section 4: the pointer shows the byte that names what nobody here knows."""
        chain = ipv6.walk(ipv6.parse(packet.raw))
        self.error(packet.iface, packet.raw, icmp6.PARAMETER_PROBLEM, ipv6.UNKNOWN_NEXT, chain.last_at)

    def error(
        self, iface: Interface, raw: memoryview, kind: int, code: int, rest: int = 0, *, group_too: bool = False
    ) -> None:
        """Tell the sender of `raw` that it came to nothing, unless RFC 4443 section 2.4 e forbids it. `group_too`: a
        packet too big or an unknown option may be told of though the packet went to a group."""
        stack, settings = self.stack, self.stack.settings
        src, dst = bytes(raw[8:24]), bytes(raw[24:40])
        if src[0] == 0xFF or src == ANY6 or dst[0] == 0xFF and not group_too:
            return
        try:
            quoted = icmp6.quoted(raw)
            if quoted.offset:
                return
            if quoted.proto == ipv6.ICMPV6:
                about = quoted.payload[0] if quoted.payload else 0
                if about < 128 or about == icmp6.REDIRECT:
                    return
        except BadPacket:
            return
        try:
            if kind != icmp6.TOO_BIG and iface.kind != "loopback":
                allowed = self.limit.everybody(stack.now_ns, settings.icmp_msgs_per_sec, settings.icmp_msgs_burst)
                if not allowed or not self.limit.peer(src, stack.now_ns, settings.icmp6_ratelimit):
                    stack.counters.icmp6["OutRateLimitHost"] += 1
                    return
            source = dst if stack.is_local(dst) else None
            oif = iface.index if ipv6.is_link_local(src) and iface.kind != "loopback" else 0
            flow = stack.flow(src, source, oif)
            body = icmp6.pack(kind, code, rest, bytes(raw[:QUOTE]), flow.src, flow.dst)
            stack.send(flow, ipv6.ICMPV6, body)
        except NetError:
            stack.counters.icmp6["OutErrors"] += 1
            return
        self.count_out(kind)
