"""What a device without offload wants done first: checksums finished, large TCP segments cut (Linux calls it GSO).

A frame arrives here as `Link.send` gets it: parts in a row, and an Offload that says what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netstack.link.base import Link
from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum

_FIN, _PSH, _CWR = 0x01, 0x08, 0x80


def complete(frame: bytes, offload: Offload) -> bytes:
    """The frame with its checksum: the field holds the pseudo-header's sum, everything from csum_start on is added.

    A sum that comes out as 0 is sent as 0xffff, which is the same number and, for UDP, not "none"."""
    start = offload.csum_start
    if not start:
        return frame
    at = start + offload.csum_offset
    check = checksum.checksum(memoryview(frame)[start:]) or 0xFFFF
    return frame[:at] + check.to_bytes(2, "big") + frame[at + 2 :]


def frames(parts: Sequence[bytes | memoryview], offload: Offload, link_len: int = 14) -> Iterator[bytes]:
    """All frames to send in place of one; `link_len` is the length of the link's header in front of IP."""
    frame = b"".join(parts)
    if not offload.gso_size or len(frame) - offload.hdr_len <= offload.gso_size:
        yield complete(frame, offload)
        return
    yield from _cut(frame, offload, link_len)


def _cut(frame: bytes, offload: Offload, link_len: int) -> Iterator[bytes]:
    """Segments of gso_size bytes. Sequence numbers and IPv4 identifications count up, FIN and PSH go with the last,
    CWR with the first (RFC 3168, 6.1.2)."""
    tcp, hdr_len, size = offload.csum_start, offload.hdr_len, offload.gso_size
    header = bytearray(frame[:hdr_len])
    data = memoryview(frame)
    ident = int.from_bytes(header[link_len + 4 : link_len + 6], "big")
    seq = int.from_bytes(header[tcp + 4 : tcp + 8], "big")
    flags = header[tcp + 13]
    check_at = tcp + offload.csum_offset
    # the pseudo-header's sum without the length, which differs between the segments
    pseudo = int.from_bytes(header[check_at : check_at + 2], "big") + 0xFFFF - (len(frame) - tcp) % 0xFFFF
    header[check_at : check_at + 2] = b"\0\0"
    for at in range(hdr_len, len(frame), size):
        payload = data[at : at + size]
        last = at + size >= len(frame)
        length = hdr_len - tcp + len(payload)
        if offload.gso_v6:
            header[link_len + 4 : link_len + 6] = (tcp - link_len - 40 + length).to_bytes(2, "big")
        else:
            header[link_len + 2 : link_len + 4] = (tcp - link_len + length).to_bytes(2, "big")
            header[link_len + 4 : link_len + 6] = (ident & 0xFFFF).to_bytes(2, "big")
            header[link_len + 10 : link_len + 12] = b"\0\0"
            ip_check = checksum.checksum(header[link_len:tcp])
            header[link_len + 10 : link_len + 12] = ip_check.to_bytes(2, "big")
            ident += 1
        header[tcp + 4 : tcp + 8] = seq.to_bytes(4, "big")
        header[tcp + 13] = flags & ~(0 if last else _FIN | _PSH) & ~(0 if at == hdr_len else _CWR)
        total = checksum.partial(payload, checksum.partial(header[tcp:], pseudo + length))
        check = (total ^ 0xFFFF) or 0xFFFF
        yield b"".join((header[:check_at], check.to_bytes(2, "big"), header[check_at + 2 :], payload))
        seq = seq + size & 0xFFFFFFFF


class Segmenting:
    """A link that can everything, around one that cannot: the stack makes large segments, the device gets frames."""

    gso = True
    checksum = True

    def __init__(self, link: Link, link_len: int = 14) -> None:
        self.link = link
        self.link_len = link_len

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        if not offload.csum_start:
            return self.link.send(parts, NO_OFFLOAD)
        sent = True
        for frame in frames(parts, offload, self.link_len):
            sent = self.link.send((frame,), NO_OFFLOAD) and sent
        return sent
