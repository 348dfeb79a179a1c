"""struct virtio_net_hdr, which AF_PACKET and TAP devices put before each frame (linux/virtio_net.h, packet(7))."""

from __future__ import annotations

import struct

from netstack.errors import BadPacket
from netstack.packet import NO_OFFLOAD, Offload

HEADER = struct.Struct("=BBHHHH")  # flags gso_type hdr_len gso_size csum_start csum_offset, in the host's byte order
HEADER_LEN = 10
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 3, 4, 5, 0x80
PLAIN = bytes(10)


def pack(offload: Offload) -> bytes:
    """The header for a frame that is sent."""
    csum_start, csum_offset, gso_size, gso_v6, hdr_len = offload
    if not csum_start:
        return PLAIN
    if not gso_size:
        return HEADER.pack(NEEDS_CSUM, GSO_NONE, 0, 0, csum_start, csum_offset)
    kind = GSO_TCPV6 if gso_v6 else GSO_TCPV4
    return HEADER.pack(NEEDS_CSUM, kind, hdr_len, gso_size, csum_start, csum_offset)


def parse(header: bytes | memoryview, frame_len: int) -> tuple[Offload, bool]:
    """What the header of a received frame says: what is left to do on it, and that its checksum is known to be right.

    With NEEDS_CSUM the field holds a partial sum: the frame never was on a wire, its data are as the sender wrote
    them. UDP put together from fragments (GSO_UDP) is not asked for and refused; so are offsets beyond the frame.
    """
    flags, kind, hdr_len, gso_size, csum_start, csum_offset = HEADER.unpack_from(header)
    if not kind and not flags & NEEDS_CSUM:
        return NO_OFFLOAD, bool(flags & DATA_VALID)
    if flags & NEEDS_CSUM:
        if csum_start < 14 or csum_start + csum_offset + 2 > frame_len:
            raise BadPacket("vnet checksum lies beyond the frame", (csum_start, csum_offset))
    else:
        csum_start = csum_offset = 0
    if not kind:
        return Offload(csum_start, csum_offset), True
    kind &= ~GSO_ECN
    if kind not in (GSO_TCPV4, GSO_TCPV6):
        raise BadPacket("vnet segmentation", kind)
    if not gso_size or hdr_len > frame_len:
        raise BadPacket("vnet segment size", (gso_size, hdr_len))
    return Offload(csum_start, csum_offset, gso_size, kind == GSO_TCPV6, hdr_len), bool(flags & 3)
