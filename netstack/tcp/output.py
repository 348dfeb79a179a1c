"""Segments out: what all segments of one connection have in common, and resets to strangers (RFC 9293, 3.10.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import EMSGSIZE, NetError
from netstack.packet import Packet
from netstack.socket.base import PMTUDISC_DO, PMTUDISC_PROBE, PMTUDISC_WANT
from netstack.wire import checksum
from netstack.wire.tcp import ACK, CSUM_OFFSET, FIN, HEADER, RST, SYN, Segment

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.stack import Stack
    from netstack.tcp.options import TcpOptions

PROTO: Final = 6
ECT0: Final = 2  # in the traffic class: this transport answers to marks (RFC 3168, 5)
SMALLEST_MTU: Final = {4: 68, 16: 1280}


class Path:
    """From one port to another: the flow, what stands in every header, and the options that IP's header follows.

    too_big  a segment did not fit: the sender looks at `mtu` again
    """

    __slots__ = ("_base", "dport", "flow", "options", "sport", "stack", "too_big")

    def __init__(self, stack: Stack, flow: Flow, sport: int, dport: int, options: TcpOptions) -> None:
        self.stack = stack
        self.flow = flow
        self.sport = sport
        self.dport = dport
        self.options = options
        self.too_big = False
        self._base = checksum.pseudo(flow.src, flow.dst, PROTO, 0)

    @property
    def mtu(self) -> int:
        """The path's, as far as it is known (RFC 1191, RFC 8201)."""
        flow = self.flow
        if not flow.fresh():
            self.reroute()
            flow = self.flow
        if len(flow.dst) == 4 and self.options.mtu_discover not in (PMTUDISC_WANT, PMTUDISC_DO):
            return flow.iface.mtu
        return max(flow.mtu, SMALLEST_MTU[len(flow.dst)])

    @property
    def tos(self) -> int:
        return self.options.tos if len(self.flow.dst) == 4 else self.options.traffic_class

    def reroute(self) -> bool:
        """Routes, addresses or a path MTU changed. Without a way to the peer the old one stays: what is lost is sent
        again."""
        old = self.flow
        try:
            flow = self.stack.flow(old.dst, old.src, self.options.bound_iface, self.tos)
        except NetError:
            return False
        if flow.mtu != old.mtu:
            self.too_big = True
        self.flow = flow
        return True

    def emit(
        self, seq: int, ack: int, flags: int, window: int, options: bytes = b"", data: bytes | memoryview = b"",
        gso_size: int = 0, urgent: int = 0, ecn: int = 0,
    ) -> bool:  # fmt: skip
        """Send one segment, or with `gso_size` a row of them. False when it certainly has not left."""
        flow = self.flow
        if not flow.fresh():
            if not self.reroute():
                return False
            flow = self.flow
        length = 20 + len(options) + len(data)
        header = HEADER.pack(
            self.sport, self.dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50 + (len(options) << 2), flags, window,
            (self._base + length - 1) % 0xFFFF + 1, urgent,
        )  # fmt: skip
        choices = self.options
        if len(flow.dst) == 4:
            ttl, tos = choices.ttl, choices.tos & 0xFC | ecn
            whole = PMTUDISC_WANT <= choices.mtu_discover <= PMTUDISC_PROBE
        else:
            ttl, tos, whole = choices.hop_limit, choices.traffic_class & 0xFC | ecn, True
        try:
            self.stack.send(
                flow, PROTO, header + options, data, csum_offset=CSUM_OFFSET, ttl=ttl if ttl > 0 else 0, tos=tos,
                dont_fragment=whole, gso_size=gso_size,
            )  # fmt: skip
        except EMSGSIZE:
            self.too_big = True
            return False
        except NetError:
            return False
        self.stack.counters.tcp["OutSegs"] += -(-len(data) // gso_size) if gso_size else 1
        return True


def length_of(segment: Segment) -> int:
    """What the segment takes of the sequence space."""
    flags = segment.flags
    return len(segment.payload) + (flags & FIN) + (flags >> 1 & 1)


def reset(stack: Stack, packet: Packet, segment: Segment) -> None:
    """Answer a segment that belongs to no connection. A reset is never answered, nor what was not for us alone."""
    if segment.flags & RST or packet.to_us != "unicast":
        return
    try:
        flow = stack.flow(packet.src, packet.dst)
    except NetError:
        return
    if segment.flags & ACK:
        seq, ack, flags = segment.ack, 0, RST
    else:
        seq, ack, flags = 0, segment.seq + length_of(segment) & 0xFFFFFFFF, RST | ACK
    pseudo = checksum.pseudo(flow.src, flow.dst, PROTO, HEADER.size)
    header = HEADER.pack(segment.dport, segment.sport, seq, ack, 0x50, flags, 0, pseudo, 0)
    try:
        stack.send(flow, PROTO, header, csum_offset=CSUM_OFFSET, dont_fragment=True)
    except NetError:
        return
    counters = stack.counters.tcp
    counters["OutSegs"] += 1
    counters["OutRsts"] += 1


__all__ = ["ACK", "ECT0", "FIN", "RST", "SYN", "Path", "length_of", "reset"]
