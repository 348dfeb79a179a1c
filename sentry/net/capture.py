"""--pcap-log: what passes on the sandbox's interfaces, in a file for tcpdump and Wireshark (pcap-savefile(5))."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import time_ns
from typing import TYPE_CHECKING

from netstack.link.pcap import Capture, Writer
from netstack.packet import NO_OFFLOAD, Offload

if TYPE_CHECKING:
    from sentry.net.packet_link import PacketLink

_writers: dict[int, Writer] = {}


class File:
    """Takes whole records. A pipe whose reader lags loses some; after half a record, or an error, no more come."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, record: bytes) -> None:
        if self.fd < 0:
            return
        try:
            if os.write(self.fd, record) != len(record):
                self.fd = -1
        except BlockingIOError:
            pass
        except OSError:
            self.fd = -1


class Padded(Capture):
    """Of a device without a link header: its packets get one, since a file is of one kind."""

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        self.incoming(memoryview(b"".join(parts)), offload)
        return self.link.send(parts, offload)

    def incoming(self, frame: bytes | memoryview, offload: Offload = NO_OFFLOAD) -> None:
        kind = b"\x86\xdd" if frame[0] >> 4 == 6 else b"\x08\0"
        start = offload.csum_start + 14 if offload.csum_start else 0
        super().incoming(bytes(12) + kind + bytes(frame), offload._replace(csum_start=start))


def captured(link: PacketLink, fd: int, kind: str) -> Capture:
    """The link, with all that passes on it written down; all links of a sandbox share the file."""
    writer = _writers.get(fd)
    if writer is None:
        writer = _writers[fd] = Writer(File(fd).write)
    capture = (Capture if kind == "ether" else Padded)(link, writer, time_ns)
    link.heard = capture.incoming
    return capture
