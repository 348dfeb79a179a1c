"""Multicast listener discovery: ICMPv6 130 to 132 and 143 (RFC 2710, RFC 3810 section 5).

Packers give type, second word and payload, as icmp6.pack takes them. All go with a hop limit of 1 and a router alert
in a hop-by-hop header (ipv6.ROUTER_ALERT_MLD).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import icmp6
from netstack.wire.igmp import MAX_RECORDS, Query, Record, Report3, expand, split_addresses

ALL_REPORTS2 = bytes.fromhex("ff020000000000000000000000000016")
_LONG = struct.Struct("!16sBBH")
_RECORD = struct.Struct("!BBH16s")


class Report(NamedTuple):
    """A report of version 1."""

    group: bytes


class Done(NamedTuple):
    group: bytes


Message = Query | Report | Done | Report3  # Query and Report3 are those of IGMPv3: MLDv2 has the same


def parse(message: icmp6.Icmp6) -> Message:
    """What an ICMPv6 message says; BadPacket also for one that is none of these."""
    kind, code, rest, data = message
    if kind == icmp6.MLD2_REPORT:
        return Report3(_records(data, rest & 0xFFFF))
    if kind not in (icmp6.MLD_QUERY, icmp6.MLD_REPORT, icmp6.MLD_DONE) or code:
        raise BadPacket("mld message", (kind, code))
    if len(data) < 16:
        raise BadPacket("mld message is short", len(data))
    group = bytes(data[:16])
    if group[0] != 0xFF and (kind != icmp6.MLD_QUERY or any(group)):
        raise BadPacket("mld group", group)
    if kind == icmp6.MLD_REPORT:
        return Report(group)
    if kind == icmp6.MLD_DONE:
        return Done(group)
    if len(data) == 16:
        return Query(1, group, rest >> 16)
    if len(data) < 20:
        raise BadPacket("mld query length", len(data))
    _, flags, interval, count = _LONG.unpack_from(data)
    sources = split_addresses(data[20:], count, 16)
    return Query(2, group, expand(rest >> 16, 16), sources, flags & 7, expand(interval), bool(flags & 8))


def _records(data: memoryview, count: int) -> tuple[Record, ...]:
    if count > MAX_RECORDS:
        raise BadPacket("mld report with too many records", count)
    records = []
    at = 0
    for _ in range(count):
        if at + 20 > len(data):
            raise BadPacket("mld record is short", at)
        kind, extra, sources, group = _RECORD.unpack_from(data, at)
        records.append(Record(kind, group, split_addresses(data[at + 20 :], sources, 16)))
        at += 20 + sources * 16 + extra * 4
        if at > len(data):
            raise BadPacket("mld record ends beyond the message", at)
    return tuple(records)


def pack_report(group: bytes) -> tuple[int, int, bytes]:
    return icmp6.MLD_REPORT, 0, group


def pack_done(group: bytes) -> tuple[int, int, bytes]:
    return icmp6.MLD_DONE, 0, group


def pack_report2(records: Sequence[Record]) -> tuple[int, int, bytes]:
    parts = [_RECORD.pack(kind, 0, len(sources), group) + b"".join(sources) for kind, group, sources in records]
    return icmp6.MLD2_REPORT, len(records), b"".join(parts)


def pack_query(query: Query) -> tuple[int, int, bytes]:
    """A query; times of version 2 only as far as they are below the floating-point range."""
    rest = min(query.response_ms, 0xFFFF if query.version == 1 else 0x7FFF) << 16
    if query.version == 1:
        return icmp6.MLD_QUERY, rest, query.group
    flags = query.suppress << 3 | query.robustness
    head = _LONG.pack(query.group, flags, min(query.interval_s, 127), len(query.sources))
    return icmp6.MLD_QUERY, rest, head + b"".join(query.sources)
