"""ARP for IPv4 over Ethernet (RFC 826, RFC 5227)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from netstack.errors import BadPacket

PACKET = struct.Struct("!HHBBH6s4s6s4s")
REQUEST, REPLY = 1, 2


class Arp(NamedTuple):
    """A request or a reply; `is_probe` for one without a sender's address (RFC 5227, 1.1)."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes

    @property
    def is_probe(self) -> bool:
        return self.operation == REQUEST and self.sender == b"\0\0\0\0"


def parse(data: memoryview) -> Arp:
    """Read a packet; what pads a short frame is left alone."""
    if len(data) < PACKET.size:
        raise BadPacket("arp packet is short", len(data))
    hardware, kind, mac_len, address_len, operation, sender_mac, sender, target_mac, target = PACKET.unpack_from(data)
    if (hardware, kind, mac_len, address_len) != (1, 0x0800, 6, 4):
        raise BadPacket("arp of other kinds of address", (hardware, kind, mac_len, address_len))
    if operation not in (REQUEST, REPLY):
        raise BadPacket("arp operation", operation)
    return Arp(operation, sender_mac, sender, target_mac, target)


def pack(arp: Arp) -> bytes:
    return PACKET.pack(1, 0x0800, 6, 4, arp.operation, arp.sender_mac, arp.sender, arp.target_mac, arp.target)
