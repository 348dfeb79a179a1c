"""UDP headers (RFC 768; RFC 8200, 8.1 over IPv6)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum

HEADER = struct.Struct("!HHHH")
HEADER_LEN = 8
CSUM_OFFSET = 6


class Udp(NamedTuple):
    """A datagram; what follows its length in the packet is no part of it."""

    sport: int
    dport: int
    payload: memoryview


def parse(data: memoryview, pseudo: int = -1, v6: bool = False) -> Udp:
    """Read a datagram. `pseudo` is the pseudo-header's sum but for the length; -1 when the checksum is known good.

    Over IPv6 a checksum of zero is none that may be left out (RFC 8200, 8.1).
    """
    if len(data) < 8:
        raise BadPacket("udp header is short", len(data))
    sport, dport, length, check = HEADER.unpack_from(data)
    if not 8 <= length <= len(data):
        raise BadPacket("udp length", length)
    if pseudo >= 0:
        if check:
            if checksum.partial(data[:length], pseudo + length) != 0xFFFF:
                raise BadPacket("udp checksum", check)
        elif v6:
            raise BadPacket("udp without a checksum")
    return Udp(sport, dport, data[8:length])


def pack_header(sport: int, dport: int, payload_len: int, pseudo: int = 0) -> bytes:
    """A header whose checksum field holds a sum for `stack.send`: `pseudo`, made with length 0, and the length."""
    length = payload_len + 8
    total = pseudo + length
    return HEADER.pack(sport, dport, length, total if total <= 0xFFFF else total - 0xFFFF)


def pack(sport: int, dport: int, payload: bytes, pseudo: int) -> bytes:
    """A whole datagram with its checksum."""
    data = HEADER.pack(sport, dport, len(payload) + 8, 0) + payload
    check = checksum.checksum(data, pseudo + len(data)) or 0xFFFF
    return data[:6] + check.to_bytes(2, "big") + payload
