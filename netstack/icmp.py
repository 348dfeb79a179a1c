"""ICMP (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3; icmp(7)): echoes, errors in and errors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.counters import NetCounters
from netstack.errors import BadPacket, NetError
from netstack.packet import IcmpError, Packet
from netstack.route import BROADCAST, UNICAST
from netstack.wire import icmp, ipv4

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack

QUOTE = 576 - 20 - 8  # RFC 1812 section 4.3.2.3: as much as fits into 576 bytes
BURST = 6  # an errors' destination may have so many at once
PEERS_AT_MOST = 1024
REDIRECT_NS = 300 * 10**9
ANY4 = bytes(4)
# RFC 1191 section 7.1: what MTUs there are, for routers that say none
PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
_IN = {icmp.UNREACHABLE: "InDestUnreachs", icmp.TIME_EXCEEDED: "InTimeExcds", icmp.PARAMETER_PROBLEM: "InParmProbs",
       icmp.SOURCE_QUENCH: "InSrcQuenchs", icmp.REDIRECT: "InRedirects", icmp.ECHO: "InEchos",
       icmp.ECHO_REPLY: "InEchoReps", icmp.TIMESTAMP: "InTimestamps", icmp.TIMESTAMP_REPLY: "InTimestampReps",
       icmp.MASK: "InAddrMasks", icmp.MASK_REPLY: "InAddrMaskReps"}  # fmt: skip
_OUT = {kind: "Out" + name[2:] for kind, name in _IN.items()}


class RateLimit:
    """How many errors may be sent: to one peer one each `limit_ms` with bursts of BURST, to all `per_second` with
    bursts of `burst` (sysctls icmp_ratelimit, icmp_msgs_per_sec, icmp_msgs_burst; RFC 4443 section 2.4 f)."""

    def __init__(self) -> None:
        self._peers: dict[bytes, tuple[int, int]] = {}  # what each has saved up, in ns, and when that was reckoned
        self._credit = 0
        self._at_ns = -(10**18)

    def everybody(self, now_ns: int, per_second: int, burst: int) -> bool:
        credit = min(burst * 10**9, self._credit + (now_ns - self._at_ns) * per_second)
        self._at_ns = now_ns
        self._credit = credit
        if credit < 10**9:
            return False
        self._credit = credit - 10**9
        return True

    def peer(self, address: bytes, now_ns: int, limit_ms: int) -> bool:
        cost = limit_ms * 10**6
        if not cost:
            return True
        saved, at_ns = self._peers.pop(address, (BURST * cost, now_ns))
        saved = min(BURST * cost, saved + now_ns - at_ns)
        allowed = saved >= cost
        if len(self._peers) >= PEERS_AT_MOST:
            del self._peers[next(iter(self._peers))]
        self._peers[address] = (saved - cost if allowed else saved, now_ns)
        return allowed


class IcmpProtocol:
    """ICMP of one stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.limit = RateLimit()
        self.counters: NetCounters = stack.counters

    def receive(self, packet: Packet) -> None:
        counters = self.counters.icmp
        counters["InMsgs"] += 1
        try:
            message = icmp.parse(packet.payload, packet.checked)
        except BadPacket as bad:
            counters["InErrors"] += 1
            counters["InCsumErrors"] += bad.what == "icmp checksum"
            return
        kind = message.kind
        types = self.counters.icmp_in_types
        types[kind] = types.get(kind, 0) + 1
        if kind in _IN:
            counters[_IN[kind]] += 1
        if kind == icmp.ECHO:
            self._echo(packet, message)
        elif kind == icmp.ECHO_REPLY:
            if self.stack.echo_reply is not None:
                self.stack.echo_reply(packet)
        elif kind == icmp.TIMESTAMP:
            self._timestamp(packet, message)
        elif kind in icmp.ERRORS and packet.to_us == "unicast":
            try:
                if kind == icmp.REDIRECT:
                    self._redirect(packet, message)
                else:
                    self._error(packet, message)
            except BadPacket:
                counters["InErrors"] += 1

    def _echo(self, packet: Packet, message: icmp.Icmp) -> None:
        settings = self.stack.settings
        if settings.icmp_echo_ignore_all or packet.to_us != "unicast" and settings.icmp_echo_ignore_broadcasts:
            return
        self._reply(packet, icmp.ECHO_REPLY, message.rest, message.payload)

    def _timestamp(self, packet: Packet, message: icmp.Icmp) -> None:
        """RFC 1122 section 3.2.2.8. The stack has no time of day: it says so with the high bit (RFC 792)."""
        if len(message.payload) < 12 or packet.to_us != "unicast":
            return
        now = (self.stack.now_ns // 10**6 & 0x7FFFFFFF | 1 << 31).to_bytes(4)
        self._reply(packet, icmp.TIMESTAMP_REPLY, message.rest, bytes(message.payload[:4]) + now + now)

    def _reply(self, packet: Packet, kind: int, rest: int, payload: bytes | memoryview) -> None:
        source = packet.dst if packet.to_us == "unicast" else None
        body = icmp.pack(kind, 0, rest, payload)
        try:
            oif = packet.iface.index if packet.iface.kind != "loopback" and packet.to_us != "unicast" else 0
            flow = self.stack.flow(packet.src, source, oif, packet.tos)
            if flow.broadcast or flow.multicast:
                return
            self.stack.send(flow, ipv4.ICMP, body, tos=packet.tos)
        except NetError:
            return
        self._count_out(kind)

    def _count_out(self, kind: int) -> None:
        counters = self.counters.icmp
        counters["OutMsgs"] += 1
        counters[_OUT[kind]] += 1
        types = self.counters.icmp_out_types
        types[kind] = types.get(kind, 0) + 1

    # Errors that come in.

    def _error(self, packet: Packet, message: icmp.Icmp) -> None:
        quoted = icmp.quoted(message.payload)
        stack = self.stack
        if quoted.offset or not stack.is_local(quoted.src):
            raise BadPacket("icmp error about a packet that is not ours", quoted.src)
        if message.kind == icmp.UNREACHABLE and message.code > 15:
            raise BadPacket("icmp unreachable code", message.code)
        narrow = message.kind == icmp.UNREACHABLE and message.code == icmp.FRAGMENTATION_NEEDED
        info = message.info
        if narrow and not info:
            length = int.from_bytes(message.payload[2:4])
            info = next(plateau for plateau in PLATEAUS if plateau < max(length, 69))
        error = IcmpError(4, message.kind, message.code, info, packet.src, quoted.src, quoted.dst, quoted.proto,
                          bytes(quoted.payload))  # fmt: skip
        if not narrow:
            stack.error(error)
            return
        settings = stack.settings
        if settings.ip_no_pmtu_disc in (1, 2) or info < 68:
            return
        with_mtu = error._replace(info=max(info, settings.min_pmtu))
        stack.flows.try_mtu(quoted.dst, with_mtu.info, settings.mtu_expires * 10**9, lambda: stack.error(with_mtu))

    def _redirect(self, packet: Packet, message: icmp.Icmp) -> None:
        """RFC 1122 section 3.2.2.2: from the gateway in use, to one on the same link that is a default gateway too
        (secure_redirects)."""
        stack, settings = self.stack, self.stack.settings
        if not settings.accept_redirects or settings.ip_forward or message.code > 3:
            return
        quoted = icmp.quoted(message.payload)
        gateway = message.rest.to_bytes(4)
        flow = stack.flow(quoted.dst)
        if not stack.is_local(quoted.src) or flow.next_hop != packet.src or flow.iface is not packet.iface:
            raise BadPacket("icmp redirect from no gateway", packet.src)
        route = stack.routes.lookup(gateway)
        if route.kind != UNICAST or route.gateway or route.oif != packet.iface.index:
            raise BadPacket("icmp redirect to no neighbour", gateway)
        if settings.secure_redirects and not any(
            route.prefix == 0 and route.gateway == gateway and len(route.dst) == 4 for route in stack.routes
        ):
            return
        stack.flows.redirect(quoted.dst, gateway, REDIRECT_NS)

    # Errors that go out.

    def error(self, iface: Interface, raw: memoryview, kind: int, code: int, rest: int = 0) -> None:
        """Tell the sender of `raw`, a packet from its IPv4 header on, that it came to nothing; unless it is one of
        those about which nothing may be said (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7)."""
        stack, settings = self.stack, self.stack.settings
        header_len = (raw[0] & 15) * 4
        src, dst, proto, tos = bytes(raw[12:16]), bytes(raw[16:20]), raw[9], raw[1]
        if raw[6] & 0x1F or raw[7]:  # not the first fragment
            return
        if src[0] in (0, 127) and iface.kind != "loopback" or src[0] >= 0xE0 or dst[0] >= 0xE0:
            return
        if proto == ipv4.ICMP and (len(raw) <= header_len or raw[header_len] in icmp.ERRORS or raw[header_len] > 18):
            return
        try:
            if self._is_broadcast(src) or self._is_broadcast(dst):
                return
            narrow = kind == icmp.UNREACHABLE and code == icmp.FRAGMENTATION_NEEDED
            limited = settings.icmp_ratemask >> kind & 1 and not narrow or kind == icmp.REDIRECT
            if limited and iface.kind != "loopback":
                if not self.limit.everybody(stack.now_ns, settings.icmp_msgs_per_sec, settings.icmp_msgs_burst):
                    self.counters.icmp["OutRateLimitGlobal"] += 1
                    return
                if not self.limit.peer(src, stack.now_ns, settings.icmp_ratelimit):
                    self.counters.icmp["OutRateLimitHost"] += 1
                    return
            source = dst if stack.is_local(dst) else None
            reply_tos = tos & 0x1E | 0xC0  # internetwork control
            flow = stack.flow(src, source, 0, reply_tos)
            stack.send(flow, ipv4.ICMP, icmp.pack(kind, code, rest, bytes(raw[:QUOTE])), tos=reply_tos)
        except NetError:
            self.counters.icmp["OutErrors"] += 1
            return
        self._count_out(kind)

    def _is_broadcast(self, address: bytes) -> bool:
        try:
            return self.stack.routes.lookup(address).kind == BROADCAST
        except NetError:
            return False
