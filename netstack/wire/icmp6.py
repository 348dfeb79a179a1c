"""ICMPv6 messages (RFC 4443)."""

from __future__ import annotations

from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum, icmp
from netstack.wire import ipv6 as ip

HEADER = icmp.HEADER
HEADER_LEN = 8
UNREACHABLE, TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM, ECHO, ECHO_REPLY = 1, 2, 3, 4, 128, 129
MLD_QUERY, MLD_REPORT, MLD_DONE, MLD2_REPORT = 130, 131, 132, 143
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT, REDIRECT = (
    133, 134, 135, 136, 137,
)  # fmt: skip
# codes of UNREACHABLE
NO_ROUTE, PROHIBITED, BEYOND_SCOPE, ADDRESS, PORT, POLICY, REJECT = 0, 1, 2, 3, 4, 5, 6
# codes of TIME_EXCEEDED
IN_TRANSIT, REASSEMBLY = 0, 1


class Icmp6(NamedTuple):
    """A message; `rest` is the second word of its header."""

    kind: int
    code: int
    rest: int
    payload: memoryview

    @property
    def is_error(self) -> bool:
        return self.kind < 128

    @property
    def ident(self) -> int:
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        return self.rest & 0xFFFF

    @property
    def info(self) -> int:
        """What IcmpError.info is: the MTU, the pointer, or 0."""
        return self.rest if self.kind in (TOO_BIG, PARAMETER_PROBLEM) else 0


def parse(data: memoryview, pseudo: int = -1) -> Icmp6:
    """Read a message. `pseudo` is the pseudo-header's sum but for the length; -1 when the checksum is known good."""
    if len(data) < 8:
        raise BadPacket("icmpv6 header is short", len(data))
    kind, code, _, rest = HEADER.unpack_from(data)
    if pseudo >= 0 and checksum.partial(data, pseudo + len(data)) != 0xFFFF:
        raise BadPacket("icmpv6 checksum")
    return Icmp6(kind, code, rest, data[8:])


def quoted(data: memoryview) -> icmp.Quoted:
    """Read what an error quotes; extension headers are passed over as far as they are there."""
    if len(data) < 40:
        raise BadPacket("icmpv6 quote is short", len(data))
    first, length, kind, hop_limit, src, dst = ip.HEADER.unpack_from(data)
    if first >> 28 != 6:
        raise BadPacket("icmpv6 quotes no packet", first >> 28)
    at = 40
    offset = 0
    for _ in range(ip.MAX_EXTENSIONS):
        if kind not in (ip.HOP_BY_HOP, ip.ROUTING, ip.FRAGMENTS, ip.DESTINATION):
            break
        if at + 8 > len(data):
            raise BadPacket("icmpv6 quote ends in an extension header", kind)
        if kind == ip.FRAGMENTS:
            offset = (data[at + 2] << 8 | data[at + 3]) & 0xFFF8
            step = 8
        else:
            step = data[at + 1] * 8 + 8
        kind, at = data[at], at + step
        if offset:
            break
    if at > len(data):
        raise BadPacket("icmpv6 quote ends in an extension header", at)
    return icmp.Quoted(src, dst, kind, first >> 20 & 0xFF, hop_limit, offset, data[at : max(at, 40 + length)])


def pack(kind: int, code: int, rest: int, payload: bytes | memoryview, src: bytes, dst: bytes) -> bytes:
    """A whole message with its checksum."""
    start = checksum.pseudo6(src, dst, ip.ICMPV6, len(payload) + 8)
    check = checksum.checksum(payload, start + (kind << 8 | code) + (rest >> 16) + (rest & 0xFFFF))
    return HEADER.pack(kind, code, check, rest) + payload
