"""The Internet checksum (RFC 1071): ones' complement sums of 16-bit words, partial sums of pseudo-headers included.

A sum is an int from 0 to 0xffff; 0 is the sum of nothing but zeros, any other data that adds up to zero has 0xffff.
2**16 is 1 modulo 0xffff, so a whole buffer taken as one big number has the sum as its remainder: that is the
fastest way that plain Python has. `install` puts a faster function in its place.
"""

from __future__ import annotations

from collections.abc import Callable

Buffer = bytes | bytearray | memoryview


def _partial(data: Buffer, start: int) -> int:
    total = int.from_bytes(data, "big")
    if len(data) & 1:
        total <<= 8
    total += start
    return (total - 1) % 0xFFFF + 1 if total else 0


_sum: Callable[[Buffer, int], int] = _partial


def install(fast: Callable[[Buffer, int], int] | None) -> None:
    """Use `fast(data, start) -> sum` from now on; None goes back to plain Python."""
    global _sum
    _sum = _partial if fast is None else fast


def partial(data: Buffer, start: int = 0) -> int:
    """The folded sum of `data` (padded with a zero to whole words) and of `start`, an earlier sum."""
    return _sum(data, start)


def add(total: int, value: int) -> int:
    """A sum with a 16-bit value, or another sum, added."""
    total += value
    return total if total <= 0xFFFF else (total - 1) % 0xFFFF + 1


def finish(total: int) -> int:
    """What goes into the checksum field. UDP, where 0 means "none", sends 0xffff in its place (RFC 768)."""
    return total ^ 0xFFFF


def checksum(data: Buffer, start: int = 0) -> int:
    """What goes into the field of `data`, in which it is 0; over data with a right field the answer is 0."""
    return _sum(data, start) ^ 0xFFFF


def pseudo4(src: bytes, dst: bytes, proto: int, length: int) -> int:
    """Sum of the IPv4 pseudo-header (RFC 9293, 3.1); with length 0 the part that a connection can keep."""
    return (int.from_bytes(src + dst, "big") + proto + length - 1) % 0xFFFF + 1


def pseudo6(src: bytes, dst: bytes, proto: int, length: int) -> int:
    """Sum of the IPv6 pseudo-header (RFC 8200, 8.1)."""
    return (int.from_bytes(src + dst, "big") + proto + length - 1) % 0xFFFF + 1


def pseudo(src: bytes, dst: bytes, proto: int, length: int) -> int:
    """Of either family: both pseudo-headers add up the same way."""
    return (int.from_bytes(src + dst, "big") + proto + length - 1) % 0xFFFF + 1
