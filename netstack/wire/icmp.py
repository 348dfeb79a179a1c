"""ICMP messages (RFC 792, RFC 1122 3.2.2, RFC 1191)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum
from netstack.wire import ipv4 as ip

HEADER = struct.Struct("!BBHI")
HEADER_LEN = 8
ECHO_REPLY, UNREACHABLE, SOURCE_QUENCH, REDIRECT, ECHO = 0, 3, 4, 5, 8
ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, TIME_EXCEEDED, PARAMETER_PROBLEM = 9, 10, 11, 12
TIMESTAMP, TIMESTAMP_REPLY, INFORMATION, INFORMATION_REPLY, MASK, MASK_REPLY = 13, 14, 15, 16, 17, 18
# codes of UNREACHABLE
NET, HOST, PROTOCOL, PORT, FRAGMENTATION_NEEDED, SOURCE_ROUTE, PROHIBITED = 0, 1, 2, 3, 4, 5, 13
# codes of TIME_EXCEEDED
IN_TRANSIT, REASSEMBLY = 0, 1
ERRORS = frozenset((UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM))


class Icmp(NamedTuple):
    """A message; `rest` is the second word of its header: identifier and sequence, MTU, gateway or pointer."""

    kind: int
    code: int
    rest: int
    payload: memoryview

    @property
    def ident(self) -> int:
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        return self.rest & 0xFFFF

    @property
    def info(self) -> int:
        """What IcmpError.info is: the MTU, the pointer, or 0."""
        if self.kind == UNREACHABLE and self.code == FRAGMENTATION_NEEDED:
            return self.rest & 0xFFFF
        return self.rest >> 24 if self.kind == PARAMETER_PROBLEM else 0


class Quoted(NamedTuple):
    """The packet that an error quotes: its header, and at least the first 8 bytes of what followed it."""

    src: bytes
    dst: bytes
    proto: int
    tos: int
    ttl: int
    offset: int  # of the fragment: a transport header is there only when it is 0
    payload: memoryview


def parse(data: memoryview, checked: bool = False) -> Icmp:
    if len(data) < 8:
        raise BadPacket("icmp header is short", len(data))
    kind, code, _, rest = HEADER.unpack_from(data)
    if not checked and checksum.checksum(data):
        raise BadPacket("icmp checksum")
    return Icmp(kind, code, rest, data[8:])


def quoted(data: memoryview) -> Quoted:
    """Read what an error quotes: cut off anywhere behind 8 bytes of payload, its checksum no longer to be trusted.
    What RFC 4884 appends lies behind it and is left where it is."""
    if len(data) < 20:
        raise BadPacket("icmp quote is short", len(data))
    first, tos, length, _, fragment, ttl, proto, _, src, dst = ip.HEADER.unpack_from(data)
    header_len = (first & 15) * 4
    if first >> 4 != 4 or header_len < 20 or length < header_len or len(data) < header_len + 8:
        raise BadPacket("icmp quotes no packet", first)
    return Quoted(src, dst, proto, tos, ttl, (fragment & 0x1FFF) << 3, data[header_len:length])


def pack(kind: int, code: int, rest: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """A whole message with its checksum."""
    check = checksum.checksum(payload, (kind << 8 | code) + (rest >> 16) + (rest & 0xFFFF))
    return HEADER.pack(kind, code, check, rest) + payload
