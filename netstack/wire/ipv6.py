"""IPv6 headers and extension headers (RFC 8200; RFC 6946 for atomic fragments, RFC 5722 for overlapping ones)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket

HEADER = struct.Struct("!IHBB16s16s")
FRAGMENT = struct.Struct("!BBHI")
HEADER_LEN = 40
MIN_MTU = 1280
HOP_BY_HOP, TCP, UDP, ROUTING, FRAGMENTS, ICMPV6, NO_NEXT, DESTINATION = 0, 6, 17, 43, 44, 58, 59, 60
_PAD1, _ROUTER_ALERT = 0, 5
MAX_EXTENSIONS = 16
MAX_OPTIONS = 64  # in one header: Linux bounds them as well (net.ipv6.max_dst_opts_number)
ANY = bytes(16)
LOOPBACK = bytes(15) + b"\x01"
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
ALL_ROUTERS = bytes.fromhex("ff020000000000000000000000000002")
# codes of an ICMPv6 parameter problem (RFC 4443, 3.4)
BAD_FIELD, UNKNOWN_NEXT, UNKNOWN_OPTION = 0, 1, 2


class Ipv6(NamedTuple):
    """A packet up to its first header; `payload` ends where the header says, not the frame."""

    tos: int
    flow: int
    length: int
    next_header: int
    hop_limit: int
    src: bytes
    dst: bytes
    payload: memoryview


class Fragment(NamedTuple):
    """A fragment header: `at` and `next_at` are its offset and that of the byte that names it, in the packet.

    The whole packet is packet[:at] with next_header put at next_at, and behind it all fragments' payloads.
    """

    next_header: int
    offset: int
    more: bool
    ident: int
    at: int
    next_at: int
    payload: memoryview


class Problem(NamedTuple):
    """What an ICMPv6 parameter problem is to be sent about; `multicast` also when the packet went to a group."""

    code: int
    pointer: int
    multicast: bool


class Chain(NamedTuple):
    """What follows the extension headers: `proto` and `payload`; `extensions` are all those headers as they stood.

    With `fragment` the packet is a part of one (proto and payload are the fragment's), with `problem` it is to be
    dropped and answered. `last_at` is the offset of the byte that names `proto`.
    """

    proto: int
    payload: memoryview
    extensions: bytes
    last_at: int
    fragment: Fragment | None = None
    problem: Problem | None = None
    router_alert: bool = False


def parse(data: memoryview) -> Ipv6:
    """Take a packet apart: version and length are right afterwards. Jumbograms are refused (RFC 2675)."""
    if len(data) < 40:
        raise BadPacket("ipv6 header is short", len(data))
    first, length, next_header, hop_limit, src, dst = HEADER.unpack_from(data)
    if first >> 28 != 6:
        raise BadPacket("ipv6 version", first >> 28)
    if length + 40 > len(data):
        raise BadPacket("ipv6 length", length)
    if src[0] == 0xFF:
        raise BadPacket("ipv6 source is a group", src)
    tos = first >> 20 & 0xFF
    return Ipv6(tos, first & 0xFFFFF, length, next_header, hop_limit, src, dst, data[40 : 40 + length])


def pack_header(
    src: bytes, dst: bytes, next_header: int, payload_len: int, hop_limit: int = 64, tos: int = 0, flow: int = 0
) -> bytes:
    return HEADER.pack(0x60000000 | tos << 20 | flow, payload_len, next_header, hop_limit, src, dst)


def pack_fragment(next_header: int, offset: int, more: bool, ident: int) -> bytes:
    """A fragment header; `offset` in bytes."""
    return FRAGMENT.pack(next_header, 0, offset | more, ident)


def pack_options(next_header: int, options: bytes) -> bytes:
    """A hop-by-hop or destination options header around `options`, padded to eight bytes (RFC 8200, 4.2)."""
    missing = -(len(options) + 2) & 7
    pad = b"" if not missing else b"\0" if missing == 1 else bytes((1, missing - 2)) + bytes(missing - 2)
    return bytes((next_header, (len(options) + 2 + missing) // 8 - 1)) + options + pad


ROUTER_ALERT_MLD = b"\x05\x02\x00\x00"  # RFC 2711


def walk(packet: Ipv6) -> Chain:
    """Walk the extension headers; each is checked to lie within the packet."""
    kind = packet.next_header
    data = packet.payload
    if kind not in _EXTENSIONS:  # nearly every packet
        return Chain(kind, data, b"", 6)
    at, named_at = 0, 6
    alert = False
    for count in range(MAX_EXTENSIONS):
        if kind not in _EXTENSIONS:
            return Chain(kind, data[at:], bytes(data[:at]), named_at, router_alert=alert)
        if at + 8 > len(data):
            raise BadPacket("ipv6 extension header is short", kind)
        if kind == FRAGMENTS:
            fragment = _fragment(data, at, named_at)
            if fragment.offset or fragment.more:
                return Chain(FRAGMENTS, fragment.payload, bytes(data[:at]), named_at, fragment, router_alert=alert)
            length = 8  # an atomic fragment is a whole packet (RFC 6946)
        else:
            length = data[at + 1] * 8 + 8
            if at + length > len(data):
                raise BadPacket("ipv6 extension header length", length)
            problem = None
            if kind == HOP_BY_HOP and count:
                problem = Problem(UNKNOWN_NEXT, named_at, False)  # only the first may be one (RFC 8200, 4.1)
            elif kind == ROUTING:
                if data[at + 3]:  # segments left, of a type that nobody here knows (RFC 8200, 4.4; RFC 5095)
                    problem = Problem(BAD_FIELD, 40 + at + 2, False)
            else:
                problem, seen = _options(data, at + 2, at + length)
                alert = alert or seen
            if problem is not None:
                return Chain(kind, data[at:], bytes(data[:at]), named_at, problem=problem)
        kind, named_at, at = data[at], 40 + at, at + length
    raise BadPacket("ipv6 extension headers without end")


_EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENTS, DESTINATION))


def _fragment(data: memoryview, at: int, named_at: int) -> Fragment:
    next_header, _, field, ident = FRAGMENT.unpack_from(data, at)
    payload = data[at + 8 :]
    offset, more = field & 0xFFF8, bool(field & 1)
    if offset + len(payload) > 0xFFFF:
        raise BadPacket("ipv6 fragment ends beyond a packet", offset)
    if more and (not payload or len(payload) & 7):
        raise BadPacket("ipv6 fragment is no multiple of eight", len(payload))
    return Fragment(next_header, offset, more, ident, 40 + at, named_at, payload)


def _options(data: memoryview, at: int, end: int) -> tuple[Problem | None, bool]:
    """Walk the options of one header: what is unknown says itself what is to become of the packet (RFC 8200, 4.2)."""
    count, alert = 0, False
    while at < end:
        kind = data[at]
        if kind == _PAD1:
            at += 1
            continue
        if at + 2 > end or at + 2 + data[at + 1] > end:
            raise BadPacket("ipv6 option length", kind)
        count += 1
        if count > MAX_OPTIONS:
            raise BadPacket("ipv6 options without end", count)
        if kind == _ROUTER_ALERT:
            alert = True
        elif kind >> 6 == 1:
            raise BadPacket("ipv6 option asks to drop the packet", kind)
        elif kind >> 6:
            return Problem(UNKNOWN_OPTION, 40 + at, kind >> 6 == 2), alert
        at += 2 + data[at + 1]
    return None, alert


def solicited_node(address: bytes) -> bytes:
    """The multicast group that neighbour solicitations for an address go to (RFC 4291, 2.7.1)."""
    return b"\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff" + address[13:]


def is_multicast(address: bytes) -> bool:
    return address[0] == 0xFF


def is_link_local(address: bytes) -> bool:
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80
