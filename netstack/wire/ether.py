"""Ethernet II frames (RFC 894, RFC 2464; IEEE 802.3, 802.1Q tags are read)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket

HEADER = struct.Struct("!6s6sH")
HEADER_LEN = 14
BROADCAST = b"\xff" * 6
NO_ADDRESS = bytes(6)

IP4, ARP, IP6, VLAN, QINQ, LOOPBACK = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x9000
_TYPE_MIN = 0x0600  # smaller values are lengths of 802.3 frames


class Ether(NamedTuple):
    """A frame; `kind` is its EtherType, `vlan` the tag control information of an 802.1Q tag, -1 without one."""

    dst: bytes
    src: bytes
    kind: int
    payload: memoryview
    vlan: int = -1


def parse(frame: memoryview) -> Ether:
    """Take a frame apart. 802.3 lengths (LLC) are refused, and so are frames with two tags."""
    if len(frame) < HEADER_LEN:
        raise BadPacket("ethernet frame is short", len(frame))
    dst, src, kind = HEADER.unpack_from(frame)
    if kind != VLAN:
        if kind < _TYPE_MIN:
            raise BadPacket("ethernet type is a length", kind)
        return Ether(dst, src, kind, frame[14:])
    if len(frame) < 18:
        raise BadPacket("vlan tag is short", len(frame))
    tag = frame[14] << 8 | frame[15]
    kind = frame[16] << 8 | frame[17]
    if kind < _TYPE_MIN or kind in (VLAN, QINQ):
        raise BadPacket("ethernet type behind a vlan tag", kind)
    return Ether(dst, src, kind, frame[18:], tag)


def pack_header(dst: bytes, src: bytes, kind: int) -> bytes:
    return HEADER.pack(dst, src, kind)


def is_multicast(mac: bytes) -> bool:
    """A group address; broadcast is one."""
    return bool(mac[0] & 1)


def multicast_mac(group: bytes) -> bytes:
    """The address of an IP multicast group on Ethernet (RFC 1112, 6.4; RFC 2464, 7)."""
    if len(group) == 4:
        return bytes((0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]))
    return b"\x33\x33" + group[12:]
