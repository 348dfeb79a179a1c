"""Netlink messages and their attributes to bytes and back (netlink(7), netlink(3)). Numbers are the host's order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct, error

from sentry.abi.errno import EINVAL, ERANGE

HEADER = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
ATTRIBUTE = Struct("=HH")  # struct nlattr: length, type
TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
NESTED = 0x8000
U8, U16, U32, U64, S32 = Struct("=B"), Struct("=H"), Struct("=I"), Struct("=Q"), Struct("=i")
PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

Attributes = dict[int, bytes]


def attribute(kind: int, body: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(body), kind) + body + PADDING[len(body) & 3]


def u8(kind: int, value: int) -> bytes:
    return b"\5\0" + U16.pack(kind) + U8.pack(value & 0xFF) + b"\0\0\0"


def u32(kind: int, value: int) -> bytes:
    return b"\b\0" + U16.pack(kind) + U32.pack(value & 0xFFFFFFFF)


def text(kind: int, value: bytes) -> bytes:
    return attribute(kind, value + b"\0")


def nest(kind: int, parts: Iterable[bytes]) -> bytes:
    return attribute(kind, b"".join(parts))


def message(kind: int, flags: int, seq: int, port: int, body: bytes) -> bytes:
    """One message, padded so that the next can follow."""
    return HEADER.pack(16 + len(body), kind, flags, seq, port) + body + PADDING[len(body) & 3]


def walk(data: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """(type, contents) of each attribute, up to the first that does not fit (libnetlink's RTA_OK)."""
    at, end = 0, len(data)
    while end - at >= 4:
        size, kind = ATTRIBUTE.unpack_from(data, at)
        if not 4 <= size <= end - at:
            return
        yield kind & TYPE_MASK, bytes(data[at + 4 : at + size])
        at += size + 3 & ~3


def parse(data: bytes | memoryview, strict: bool = False) -> Attributes:
    """Attributes by type; of equals the last holds. With `strict` (NETLINK_GET_STRICT_CHK) all must fit: EINVAL."""
    found, at, end = {}, 0, len(data)
    while end - at >= 4:
        size, kind = ATTRIBUTE.unpack_from(data, at)
        if not 4 <= size <= end - at:
            break
        found[kind & TYPE_MASK] = bytes(data[at + 4 : at + size])
        at += size + 3 & ~3
    if strict and at < end:
        raise EINVAL("Attributes have leftover bytes")
    return found


def number(attributes: Attributes, kind: int, shape: Struct = U32, default: int = 0) -> int:
    """A number of this size; ERANGE for an attribute that is shorter, as the kernel's policies have it."""
    body = attributes.get(kind)
    if body is None:
        return default
    try:
        return int(shape.unpack_from(body)[0])
    except error:
        raise ERANGE("Attribute failed policy validation")


def name(attributes: Attributes, kind: int, size: int = 16) -> bytes:
    """A string with or without its NUL; ERANGE for one that is longer than fits."""
    value = attributes.get(kind, b"").partition(b"\0")[0]
    if len(value) >= size:
        raise ERANGE("Attribute failed policy validation")
    return value
