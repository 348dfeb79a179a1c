"""What the layers of the stack hand each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netstack.iface import Interface


class Packet:
    """A received IP packet on its way up, headers taken apart and validated, fragments put together.

    iface      where it came in (the loopback interface for what was sent to an own address)
    version    4 or 6
    src, dst   addresses, 4 or 16 bytes
    proto      of the transport (IPv6: after the extension headers)
    ttl, tos   hop limit and traffic class
    options    IPv4 options, or IPv6 extension headers, as they stood
    payload    transport header and data; raw is the whole packet from its IP header on
    checked    the transport checksum is known to be right (or was never made: loopback, offload)
    gso_size   MSS of the segments that the device has put together, 0 for a plain packet
    to_us      "unicast", "broadcast" or "multicast"
    """

    __slots__ = (
        "checked", "dst", "gso_size", "iface", "options", "payload", "proto", "raw", "src", "to_us", "tos", "ttl",
        "version",
    )  # fmt: skip

    def __init__(
        self, iface: Interface, version: int, src: bytes, dst: bytes, proto: int, ttl: int, tos: int,
        payload: memoryview, raw: memoryview, options: bytes = b"", checked: bool = False, gso_size: int = 0,
        to_us: str = "unicast",
    ) -> None:  # fmt: skip
        self.iface = iface
        self.version = version
        self.src = src
        self.dst = dst
        self.proto = proto
        self.ttl = ttl
        self.tos = tos
        self.payload = payload
        self.raw = raw
        self.options = options
        self.checked = checked
        self.gso_size = gso_size
        self.to_us = to_us


class IcmpError(NamedTuple):
    """An ICMP or ICMPv6 error about a packet that we sent (RFC 792, RFC 4443).

    kind, code  as received; version 4 or 6 says which ICMP
    info        the MTU of "fragmentation needed" and "packet too big", the pointer of "parameter problem", else 0
    offender    who sent it
    src, dst, proto, payload  of the packet quoted: `src` is ours; payload is at least its first 8 bytes
    """

    version: int
    kind: int
    code: int
    info: int
    offender: bytes
    src: bytes
    dst: bytes
    proto: int
    payload: bytes


class Offload(NamedTuple):
    """What a device is to finish on a frame, or says of one (struct virtio_net_hdr); offsets from the frame's start.

    csum_start, csum_offset  sum from csum_start on, put at csum_start + csum_offset; csum_start 0 for none
    gso_size   cut the payload into segments of this size; 0 for none
    gso_v6     the segments are TCP over IPv6
    hdr_len    length of all headers, which each segment repeats
    """

    csum_start: int = 0
    csum_offset: int = 0
    gso_size: int = 0
    gso_v6: bool = False
    hdr_len: int = 0


NO_OFFLOAD = Offload()
