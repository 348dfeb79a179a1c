"""Frames made wrong by a seeded hand: bits, bytes, lengths, ends, pieces of others; sums put right again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from netstack.wire import checksum

_TELLING = (0, 1, 2, 4, 5, 7, 8, 14, 15, 16, 20, 40, 60, 63, 64, 127, 128, 129, 254, 255)
_TELLING_WORDS = (0, 1, 7, 8, 20, 28, 40, 0x1FFF, 0x2000, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFFF8, 0xFFFE, 0xFFFF)
_SUM_AT = {6: 16, 17: 6, 1: 2, 2: 2, 58: 2}


def mutants(frames: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Without end: mutants of `frames`, and of mutants; three of four with sums that are right."""
    rng = random.Random(seed)
    pool = list(frames)
    while True:
        frame = bytearray(rng.choice(pool))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            _change(frame, pool, rng)
        mutant = bytes(frame[:70_000])
        if rng.random() < 0.75:
            mutant = with_sums(mutant)
        if rng.random() < 0.02 and len(mutant) < 3000:
            if len(pool) < 4 * len(frames):
                pool.append(mutant)
            else:
                pool[rng.randrange(len(frames), len(pool))] = mutant
        yield mutant


def _change(frame: bytearray, pool: Sequence[bytes], rng: random.Random) -> None:
    kind = rng.randrange(9)
    # what is behind the Ethernet header is changed more often, or nearly everything would end there
    at = rng.randrange(14 if len(frame) > 14 and rng.random() < 0.97 else 0, max(len(frame), 1) + 1)
    if kind == 0 and at < len(frame):
        frame[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(frame):
        frame[at] = rng.choice(_TELLING)
    elif kind == 2 and at < len(frame):
        frame[at] = rng.randrange(256)
    elif kind == 3:
        at &= ~1
        frame[at : at + 2] = rng.choice(_TELLING_WORDS).to_bytes(2, "big")
    elif kind == 4:
        del frame[at:]
    elif kind == 5:
        frame[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 40, 1000)))
    elif kind == 6:
        del frame[at : at + rng.choice((1, 2, 4, 8))]
    elif kind == 7:
        other = rng.choice(pool)
        start = rng.randrange(len(other) + 1)
        frame[at:] = other[start:]
    elif kind == 8 and len(frame) > at:
        piece = frame[at : at + rng.choice((4, 8, 16))]
        frame[at:at] = piece * rng.choice((1, 2, 30))


def with_sums(frame: bytes) -> bytes:
    """The frame with IPv4's header sum and the transport's put right, and with lengths that say where it ends, as far
    as it still looks like a packet."""
    if frame[12:14] == b"\x08\x00" and len(frame) >= 34 and frame[14] >> 4 == 4:
        header_len = (frame[14] & 15) * 4
        if header_len < 20 or len(frame) < 14 + header_len:
            return frame
        head = bytearray(frame[14 : 14 + header_len])
        head[2:4] = min(len(frame) - 14, 0xFFFF).to_bytes(2, "big")
        head[10:12] = b"\0\0"
        head[10:12] = checksum.checksum(head).to_bytes(2, "big")
        packet = frame[14 + header_len :]
        if int.from_bytes(head[6:8], "big") & 0x3FFF == 0:
            packet = _summed(packet, head[9], bytes(head[12:16]), bytes(head[16:20]))
        return frame[:14] + bytes(head) + packet
    if frame[12:14] == b"\x86\xdd" and len(frame) >= 54 and frame[14] >> 4 == 6:
        length = min(len(frame) - 54, 0xFFFF).to_bytes(2, "big")
        kind, at = frame[20], 54
        while kind in (0, 43, 60) and at + 8 <= len(frame):
            kind, at = frame[at], at + frame[at + 1] * 8 + 8
        packet = _summed(frame[at:], kind, frame[22:38], frame[38:54])
        return frame[:18] + length + frame[20:at] + packet
    return frame


def _summed(data: bytes, proto: int, src: bytes, dst: bytes) -> bytes:
    at = _SUM_AT.get(proto)
    if at is None or len(data) < at + 2:
        return data
    zeroed = data[:at] + b"\0\0" + data[at + 2 :]
    start = 0 if proto in (1, 2) else checksum.pseudo(src, dst, proto, len(data))
    return data[:at] + (checksum.checksum(zeroed, start) or 0xFFFF).to_bytes(2, "big") + data[at + 2 :]
