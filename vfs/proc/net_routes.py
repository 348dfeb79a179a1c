"""The routes of a network namespace under /proc/net (proc_pid_net(5)): route, ipv6_route, fib_trie."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.route import (
    BROADCAST,
    LOCAL,
    MULTICAST,
    PROTO_RA,
    TABLE_LOCAL,
    TABLE_MAIN,
    UNICAST,
    Route,
)
from sentry.abi.flags import RTF_GATEWAY, RTF_HOST, RTF_REJECT, RTF_UP
from sentry.socket.netlink.route.entry import ordered
from sentry.socket.netlink.route.show import RT6_PRIORITY

if TYPE_CHECKING:
    from sentry.net.namespace import NetNamespace

WIDTH = 127  # lines are padded
HEAD = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
RTF_ADDRCONF, RTF_EXPIRES = 0x40000, 0x400000  # linux/ipv6_route.h
LOCAL6 = 0x80200000  # RTF_LOCAL | RTF_NONEXTHOP
NO_ROUTE = b"0" * 32 + b" 00 " + b"0" * 32 + b" 00 " + b"0" * 32 + b" ffffffff 00000001 00000000 00200200       lo\n"
KINDS = (b"UNSPEC", b"UNICAST", b"LOCAL", b"BROADCAST", b"ANYCAST", b"MULTICAST", b"BLACKHOLE", b"UNREACHABLE",
         b"PROHIBIT", b"THROW")  # fmt: skip
SCOPES = {0: b"universe", 200: b"site", 253: b"link", 254: b"host", 255: b"nowhere"}


def _name(net: NetNamespace, index: int) -> bytes:
    iface = net.stack.interfaces.get(index)
    return iface.name if iface is not None else b"*"


def _word(address: bytes) -> int:
    return int.from_bytes(address, "little")


def route(net: NetNamespace) -> bytes:
    """IPv4's main table."""
    lines = [HEAD]
    for entry in ordered([entry for entry in net.enter().routes if len(entry.dst) == 4 and entry.table == TABLE_MAIN]):
        if entry.kind in (BROADCAST, MULTICAST):
            continue
        flags = RTF_UP | (RTF_GATEWAY if entry.gateway else 0) | (RTF_HOST if entry.prefix == 32 else 0)
        if entry.kind not in (UNICAST, LOCAL):
            flags |= RTF_REJECT
        mask = (0xFFFFFFFF << (32 - entry.prefix) & 0xFFFFFFFF).to_bytes(4, "big")
        lines.append(
            b"%s\t%08X\t%08X\t%04X\t%d\t%d\t%d\t%08X\t%d\t%d\t%d"
            % (_name(net, entry.oif), _word(entry.dst), _word(entry.gateway if len(entry.gateway) == 4 else b""), flags,
               0, 0, entry.metric, _word(mask), entry.mtu and entry.mtu - 40, 0, 0)
        )  # fmt: skip
    return b"".join(line.ljust(WIDTH) + b"\n" for line in lines)


def _line6(net: NetNamespace, entry: Route) -> bytes:
    flags = RTF_UP | (RTF_GATEWAY if entry.gateway else 0)
    if entry.kind == LOCAL:
        flags |= LOCAL6
    elif entry.kind not in (UNICAST, MULTICAST):
        flags |= RTF_REJECT | 0x200000
    if entry.protocol == PROTO_RA:
        flags |= RTF_ADDRCONF
    if entry.expires_ns is not None:
        flags |= RTF_EXPIRES
    metric = entry.metric or (0 if entry.kind == LOCAL else RT6_PRIORITY)
    return b"%s %02x %s 00 %s %08x %08x %08x %08x %8s\n" % (
        entry.dst.hex().encode(), entry.prefix, b"0" * 32, (entry.gateway or bytes(16)).hex().encode(), metric, 1, 0,
        flags, _name(net, entry.oif),
    )  # fmt: skip


def ipv6_route(net: NetNamespace) -> bytes:
    """All tables of IPv6; each ends with the entry that says that nothing else is reachable."""
    routes = [entry for entry in net.enter().routes if len(entry.dst) == 16]
    lines = []
    for table in sorted({TABLE_MAIN, TABLE_LOCAL, *(entry.table for entry in routes)}):
        lines += [_line6(net, entry) for entry in ordered([entry for entry in routes if entry.table == table])]
        lines.append(NO_ROUTE)
    return b"".join(lines)


def fib_trie(net: NetNamespace) -> bytes:
    """Prefixes and their kinds in the form of Linux's trie; the shape of its inner nodes is only hinted at: one for
    each network that holds others."""
    lines = []
    for title, table in ((b"Main", TABLE_MAIN), (b"Local", TABLE_LOCAL)):
        lines.append(title + b":\n")
        found = ordered([entry for entry in net.enter().routes if len(entry.dst) == 4 and entry.table == table])
        lines.append(b"  +-- 0.0.0.0/0 3 0 5\n")
        for dst in dict.fromkeys(entry.dst for entry in found):
            lines.append(b"     |-- %s\n" % b".".join(b"%d" % byte for byte in dst))
            lines += [
                b"        /%d %s %s\n" % (entry.prefix, SCOPES.get(entry.scope, b"%d" % entry.scope), KINDS[entry.kind])
                for entry in found
                if entry.dst == dst
            ]
    return b"".join(lines)


FILES: dict[bytes, Callable[[NetNamespace], bytes]] = {
    b"route": route, b"ipv6_route": ipv6_route, b"fib_trie": fib_trie,
}  # fmt: skip
