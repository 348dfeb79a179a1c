"""IGMP messages of all three versions (RFC 1112 appendix I, RFC 2236, RFC 3376 section 4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import checksum

QUERY, REPORT1, REPORT2, LEAVE, REPORT3 = 0x11, 0x12, 0x16, 0x17, 0x22
# kinds of a record in a v3 report, and in MLDv2's
IS_INCLUDE, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK = 1, 2, 3, 4, 5, 6
ALL_HOSTS, ALL_ROUTERS, ALL_REPORTS3 = b"\xe0\0\0\x01", b"\xe0\0\0\x02", b"\xe0\0\0\x16"
ROUTER_ALERT = b"\x94\x04\0\0"  # the IPv4 option that all but v1 carry (RFC 2113)
MAX_RECORDS = 256
_SHORT = struct.Struct("!BBH4s")
_LONG = struct.Struct("!BBH4sBBH")
_RECORD = struct.Struct("!BBH4s")


class Query(NamedTuple):
    """A query of `version` 1 to 3 (of MLD 1 or 2): for all groups when `group` is 0.0.0.0 (or ::); `response_ms` is the
    time to answer in."""

    version: int
    group: bytes
    response_ms: int
    sources: tuple[bytes, ...] = ()
    robustness: int = 0
    interval_s: int = 0
    suppress: bool = False


class Report(NamedTuple):
    """A report of version 1 or 2."""

    version: int
    group: bytes


class Leave(NamedTuple):
    group: bytes


class Record(NamedTuple):
    kind: int
    group: bytes
    sources: tuple[bytes, ...] = ()


class Report3(NamedTuple):
    records: tuple[Record, ...]


Message = Query | Report | Leave | Report3


def expand(code: int, bits: int = 8) -> int:
    """A time as queries write it: small values as they are, large ones as a floating-point number (RFC 3376, 4.1.1)."""
    if code < 1 << bits - 1:
        return code
    mantissa_bits = bits - 4
    mantissa = code & (1 << mantissa_bits) - 1
    return (mantissa | 1 << mantissa_bits) << (code >> mantissa_bits & 7) + 3


def parse(data: memoryview) -> Message:
    if len(data) < 8:
        raise BadPacket("igmp message is short", len(data))
    if checksum.checksum(data):
        raise BadPacket("igmp checksum")
    kind, code, _, group = _SHORT.unpack_from(data)
    if kind == QUERY:
        return _query(data, code, group)
    if kind in (REPORT1, REPORT2, LEAVE):
        if group[0] & 0xF0 != 0xE0:
            raise BadPacket("igmp group", group)
        return Leave(group) if kind == LEAVE else Report(1 if kind == REPORT1 else 2, group)
    if kind == REPORT3:
        return Report3(_records(data, group[2] << 8 | group[3]))
    raise BadPacket("igmp type", kind)


def _query(data: memoryview, code: int, group: bytes) -> Query:
    if group != bytes(4) and group[0] & 0xF0 != 0xE0:
        raise BadPacket("igmp group", group)
    if len(data) == 8:
        return Query(2, group, code * 100) if code else Query(1, group, 10_000)
    if len(data) < 12:
        raise BadPacket("igmp query length", len(data))
    _, _, _, _, flags, interval, count = _LONG.unpack_from(data)
    sources = split_addresses(data[12:], count, 4)
    return Query(3, group, expand(code) * 100, sources, flags & 7, expand(interval), bool(flags & 8))


def _records(data: memoryview, count: int) -> tuple[Record, ...]:
    if count > MAX_RECORDS:
        raise BadPacket("igmp report with too many records", count)
    records = []
    at = 8
    for _ in range(count):
        if at + 8 > len(data):
            raise BadPacket("igmp record is short", at)
        kind, extra, sources, group = _RECORD.unpack_from(data, at)
        records.append(Record(kind, group, split_addresses(data[at + 8 :], sources, 4)))
        at += 8 + sources * 4 + extra * 4
        if at > len(data):
            raise BadPacket("igmp record ends beyond the message", at)
    return tuple(records)


def split_addresses(data: memoryview, count: int, size: int) -> tuple[bytes, ...]:
    if count * size > len(data):
        raise BadPacket("more sources than there are bytes", count)
    return tuple([bytes(data[at : at + size]) for at in range(0, count * size, size)])


def _finished(data: bytes) -> bytes:
    return data[:2] + checksum.checksum(data).to_bytes(2, "big") + data[4:]


def pack_report(version: int, group: bytes) -> bytes:
    """A report of version 1 or 2, without the IP header."""
    return _finished(_SHORT.pack(REPORT1 if version == 1 else REPORT2, 0, 0, group))


def pack_leave(group: bytes) -> bytes:
    return _finished(_SHORT.pack(LEAVE, 0, 0, group))


def pack_report3(records: Sequence[Record]) -> bytes:
    parts = [_SHORT.pack(REPORT3, 0, 0, len(records).to_bytes(4, "big"))]
    for kind, group, sources in records:
        parts.append(_RECORD.pack(kind, 0, len(sources), group) + b"".join(sources))
    return _finished(b"".join(parts))


def pack_query(query: Query) -> bytes:
    """A query; times of version 3 only as far as they are below the floating-point range."""
    code = 0 if query.version == 1 else min(query.response_ms // 100, 127)
    if query.version < 3:
        return _finished(_SHORT.pack(QUERY, code, 0, query.group))
    flags = query.suppress << 3 | query.robustness
    head = _LONG.pack(QUERY, code, 0, query.group, flags, min(query.interval_s, 127), len(query.sources))
    return _finished(head + b"".join(query.sources))
