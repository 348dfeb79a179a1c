"""Packet captures: pcap files with nanoseconds, which tcpdump and Wireshark read (pcap-savefile(5)).

Time is a parameter: nanoseconds since 1970, from whoever drives the stack.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from netstack.link.base import Link
from netstack.link.segment import complete
from netstack.packet import NO_OFFLOAD, Offload

LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
MAX_SNAP = 262_144
_FILE = struct.Struct("=IHHiIII")
_RECORD = struct.Struct("=IIII")
_MAGIC_NS = 0xA1B23C4D
_NS = 1_000_000_000


class Writer:
    """A capture; `write` takes the file's bytes as they come, each call one whole record."""

    def __init__(
        self, write: Callable[[bytes], object], linktype: int = LINKTYPE_ETHERNET, snap: int = MAX_SNAP
    ) -> None:
        self.write = write
        self.snap = snap
        write(_FILE.pack(_MAGIC_NS, 2, 4, 0, 0, snap, linktype))

    def frame(self, now_ns: int, frame: bytes | memoryview) -> None:
        kept = frame[: self.snap]
        self.write(_RECORD.pack(now_ns // _NS & 0xFFFFFFFF, now_ns % _NS, len(kept), len(frame)) + kept)


class Capture:
    """A wrapper around a device: writes down what is sent; `incoming` is to be called with what arrives.

    A checksum that is left to the device is finished in the copy, so that readers of the capture do not stumble."""

    def __init__(self, link: Link, writer: Writer, clock: Callable[[], int]) -> None:
        self.link = link
        self.writer = writer
        self.clock = clock
        self.gso = link.gso
        self.checksum = link.checksum

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        self.writer.frame(self.clock(), complete(b"".join(parts), offload))
        return self.link.send(parts, offload)

    def incoming(self, frame: bytes | memoryview, offload: Offload = NO_OFFLOAD) -> None:
        self.writer.frame(self.clock(), complete(bytes(frame), offload) if offload.csum_start else frame)
