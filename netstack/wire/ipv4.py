"""IPv4 headers (RFC 791; options as RFC 1122, 3.2.1.8 wants them)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum

HEADER = struct.Struct("!BBHHHBBH4s4s")
HEADER_LEN = 20
MIN_MTU = 68
DF, MF = 0x4000, 0x2000
ICMP, IGMP, IPIP, TCP, UDP, IPV6 = 1, 2, 4, 6, 17, 41
OPT_END, OPT_NOP, OPT_RR, OPT_TS, OPT_LSRR, OPT_SSRR, OPT_RA = 0, 1, 7, 68, 131, 137, 148
OPT_COPIED = 0x80


class Ipv4(NamedTuple):
    """A packet. `offset` is the fragment's, in bytes; `payload` ends where the header says, not the frame."""

    tos: int
    length: int
    ident: int
    dont_fragment: bool
    more: bool
    offset: int
    ttl: int
    proto: int
    src: bytes
    dst: bytes
    options: bytes
    payload: memoryview

    @property
    def is_fragment(self) -> bool:
        return self.more or self.offset != 0


def parse(data: memoryview) -> Ipv4:
    """Take a packet apart: version, lengths and the header's checksum are right afterwards."""
    if len(data) < 20:
        raise BadPacket("ipv4 header is short", len(data))
    first, tos, length, ident, fragment, ttl, proto, _, src, dst = HEADER.unpack_from(data)
    if first == 0x45:
        if not 20 <= length <= len(data):
            raise BadPacket("ipv4 length", length)
        if int.from_bytes(data[:20], "big") % 0xFFFF:
            raise BadPacket("ipv4 checksum")
        options = b""
        payload = data[20:length]
    else:
        header_len = (first & 15) * 4
        if first >> 4 != 4:
            raise BadPacket("ipv4 version", first >> 4)
        if header_len < 20 or not header_len <= length <= len(data):
            raise BadPacket("ipv4 header length", header_len)
        if checksum.checksum(data[:header_len]):
            raise BadPacket("ipv4 checksum")
        options = bytes(data[20:header_len])
        payload = data[header_len:length]
    offset = (fragment & 0x1FFF) << 3
    more = bool(fragment & MF)
    if fragment & 0x3FFF:
        if offset + len(payload) > 0xFFFF:
            raise BadPacket("ipv4 fragment ends beyond a packet", offset)
        if more and (not payload or len(payload) & 7):
            raise BadPacket("ipv4 fragment is no multiple of eight", len(payload))
    return Ipv4(tos, length, ident, bool(fragment & DF), more, offset, ttl, proto, src, dst, options, payload)


def pack_header(
    src: bytes, dst: bytes, proto: int, payload_len: int, ttl: int = 64, tos: int = 0, ident: int = 0,
    flags: int = 0, offset: int = 0, options: bytes = b"",
) -> bytes:  # fmt: skip
    """A header with its checksum. `flags` of DF and MF; `offset` in bytes; `options` padded to whole words."""
    header_len = 20 + len(options)
    fragment = flags | offset >> 3
    first = 0x40 | header_len >> 2
    length = header_len + payload_len
    # what HEADER.pack would give without a checksum, added up as numbers
    total = (
        (first << 8 | tos) + length + ident + fragment + (ttl << 8 | proto) + int.from_bytes(src + dst, "big")
        + int.from_bytes(options, "big")
    )  # fmt: skip
    check = ((total - 1) % 0xFFFF + 1) ^ 0xFFFF
    return HEADER.pack(first, tos, length, ident, fragment, ttl, proto, check, src, dst) + options


def split_options(options: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each option, up to the end of the list; BadPacket when one leaves the header."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == OPT_END:
            return
        if kind == OPT_NOP:
            at += 1
            yield kind, b""
            continue
        if at + 1 >= len(options) or not 2 <= options[at + 1] <= len(options) - at:
            raise BadPacket("ipv4 option length", kind)
        end = at + options[at + 1]
        yield kind, options[at + 2 : end]
        at = end


def pad_options(options: bytes) -> bytes:
    """Options filled up to whole words with the end of the list."""
    return options + bytes(-len(options) & 3)


def fragment_options(options: bytes) -> bytes:
    """The options that every fragment repeats, not the first one alone (RFC 791, 3.1)."""
    kept = [bytes((kind, len(data) + 2)) + data for kind, data in split_options(options) if kind & OPT_COPIED]
    return pad_options(b"".join(kept))


def is_multicast(address: bytes) -> bool:
    return address[0] & 0xF0 == 0xE0
