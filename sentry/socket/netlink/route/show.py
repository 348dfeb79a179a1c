"""Objects of a stack as rtnetlink(7) puts them: the contents of RTM_NEW* and RTM_DEL* messages, without the header."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.iface import IFF_LOWER_UP, PERMANENT, Address, Interface
from netstack.route import LOCAL
from sentry.abi.const import rtnetlink as rt
from sentry.abi.flags import AF_INET, AF_INET6, AF_UNSPEC
from sentry.socket.netlink import message as m

if TYPE_CHECKING:
    from netstack.neighbor import Neighbor
    from netstack.route import Route, Rule
    from netstack.stack import Stack

IFINFOMSG, IFADDRMSG, RTMSG = Struct("=BxHiII"), Struct("=BBBBi"), Struct("=BBBBBBBBI")
NDMSG, FIBRULE = Struct("=B3xiHBB"), Struct("=BBBBB2xBI")
CACHEINFO, NDA_CACHEINFO, RTA_CACHEINFO = Struct("=IIII"), Struct("=IIII"), Struct("=IiiIIIII")
STATS64, STATS32 = Struct("=25Q"), Struct("=24I")
FOREVER = 0xFFFFFFFF
HZ = 100  # USER_HZ, of times in hundredths of a second
NS_PER_TICK = 10**9 // HZ
ARPHRD = {"loopback": rt.ARPHRD_LOOPBACK, "ether": rt.ARPHRD_ETHER, "none": rt.ARPHRD_NONE}
LINK_LIMITS = {"loopback": (0, 0), "ether": (68, 65535), "none": (68, 65535)}  # least and greatest MTU
RT6_PRIORITY = 1024  # of an IPv6 route that names none
MAP = bytes(32)


def family_of(address: bytes) -> int:
    return AF_INET if len(address) == 4 else AF_INET6


def operstate(iface: Interface) -> int:
    """RFC 2863, as far as an interface's flags tell it."""
    if not iface.up:
        return rt.IF_OPER_DOWN
    if iface.kind == "loopback":
        return rt.IF_OPER_UNKNOWN
    if not iface.flags & IFF_LOWER_UP:
        return rt.IF_OPER_LOWERLAYERDOWN if peer_index(iface) else rt.IF_OPER_DOWN
    return rt.IF_OPER_UP if device_kind(iface) != b"dummy" else rt.IF_OPER_UNKNOWN


def device_kind(iface: Interface) -> bytes:
    """IFLA_INFO_KIND: what `ip link add type` made it; b"" for a device that is none of those."""
    kind: bytes = getattr(iface.link, "device_kind", b"")
    return kind


def peer_index(iface: Interface) -> int:
    """Of the other end of a veth; 0 when there is none."""
    other: Interface | None = getattr(iface.link, "other", None)
    return other.index if other is not None else 0


def counters64(iface: Interface) -> tuple[int, ...]:
    """struct rtnl_link_stats64."""
    c = iface.counters
    return (
        c.rx_packets, c.tx_packets, c.rx_bytes, c.tx_bytes, c.rx_errors, c.tx_errors, c.rx_dropped, c.tx_dropped,
        c.multicast, *(0,) * 16,
    )  # fmt: skip


def link(stack: Stack, iface: Interface, statistics: bool = True) -> bytes:
    """RTM_NEWLINK. An interface that was removed (index 0) keeps its name."""
    least, most = LINK_LIMITS[iface.kind]
    kind = device_kind(iface)
    queues = 1
    carrier = int(bool(iface.flags & IFF_LOWER_UP) or iface.kind == "loopback" and not iface.up)
    numbers = counters64(iface)
    parts = [
        IFINFOMSG.pack(AF_UNSPEC, ARPHRD[iface.kind], iface.index, iface.flags, 0),
        m.text(rt.IFLA_IFNAME, iface.name),
        m.u32(rt.IFLA_TXQLEN, iface.queue_length),
        m.u8(rt.IFLA_OPERSTATE, operstate(iface)),
        m.u8(rt.IFLA_LINKMODE, 0),
        m.u32(rt.IFLA_MTU, iface.mtu),
        m.u32(rt.IFLA_MIN_MTU, least),
        m.u32(rt.IFLA_MAX_MTU, most),
        m.u32(rt.IFLA_GROUP, iface.device_group),
        m.u32(rt.IFLA_PROMISCUITY, int(bool(iface.flags & rt.IFF_PROMISC))),
        m.u32(rt.IFLA_ALLMULTI, int(bool(iface.flags & rt.IFF_ALLMULTI))),
        m.u32(rt.IFLA_NUM_TX_QUEUES, queues),
        m.u32(rt.IFLA_GSO_MAX_SEGS, 65535),
        m.u32(rt.IFLA_GSO_MAX_SIZE, 65536),
        m.u32(rt.IFLA_GRO_MAX_SIZE, 65536),
        m.u32(rt.IFLA_TSO_MAX_SIZE, 65536),
        m.u32(rt.IFLA_TSO_MAX_SEGS, 65535),
        m.u32(rt.IFLA_NUM_RX_QUEUES, queues),
        m.u8(rt.IFLA_CARRIER, carrier),
        m.text(rt.IFLA_QDISC, b"noqueue" if iface.up else b"noop"),
        m.u32(rt.IFLA_CARRIER_CHANGES, 0),
        m.u32(rt.IFLA_CARRIER_UP_COUNT, 0),
        m.u32(rt.IFLA_CARRIER_DOWN_COUNT, 0),
        m.u8(rt.IFLA_PROTO_DOWN, 0),
        m.attribute(rt.IFLA_MAP, MAP),
    ]
    if iface.alias:
        parts.append(m.text(rt.IFLA_IFALIAS, iface.alias))
    if iface.kind != "none":
        parts.append(m.attribute(rt.IFLA_ADDRESS, iface.mac))
        parts.append(m.attribute(rt.IFLA_BROADCAST, bytes(6) if iface.kind == "loopback" else b"\xff" * 6))
    if statistics:
        parts.append(m.attribute(rt.IFLA_STATS64, STATS64.pack(*numbers)))
        parts.append(m.attribute(rt.IFLA_STATS, STATS32.pack(*(number & FOREVER for number in numbers[:24]))))
    if kind:
        parts.append(m.nest(rt.IFLA_LINKINFO, [m.text(rt.IFLA_INFO_KIND, kind)]))
    other = getattr(iface.link, "other", None)
    if other is not None:
        parts.append(m.u32(rt.IFLA_LINK, other.index))
        if stack.interfaces.get(other.index) is not other:
            parts.append(m.u32(rt.IFLA_LINK_NETNSID, 0))
    inet6 = [m.u32(rt.IFLA_INET6_FLAGS, 0x80000000), m.u8(rt.IFLA_INET6_ADDR_GEN_MODE, 0)]
    parts.append(m.nest(rt.IFLA_AF_SPEC, [m.nest(AF_INET6, inet6)]))
    return b"".join(parts)


def _lifetime(stack: Stack, end_ns: int | None) -> int:
    """Seconds that are left."""
    return FOREVER if end_ns is None else min(max(0, -(-(end_ns - stack.now_ns) // 10**9)), FOREVER - 1)


def address(stack: Stack, iface: Interface, entry: Address) -> bytes:
    """RTM_NEWADDR."""
    four = len(entry.local) == 4
    flags = entry.flags | (PERMANENT if entry.valid_ns is None else 0)
    parts = [IFADDRMSG.pack(family_of(entry.local), entry.prefix, flags & 0xFF, entry.scope, iface.index)]
    if four:
        parts.append(m.attribute(rt.IFA_ADDRESS, entry.peer or entry.local))
        parts.append(m.attribute(rt.IFA_LOCAL, entry.local))
        if entry.broadcast is not None:
            parts.append(m.attribute(rt.IFA_BROADCAST, entry.broadcast))
        parts.append(m.text(rt.IFA_LABEL, entry.label or iface.name))
    elif entry.peer:
        parts.append(m.attribute(rt.IFA_LOCAL, entry.local))
        parts.append(m.attribute(rt.IFA_ADDRESS, entry.peer))
    else:
        parts.append(m.attribute(rt.IFA_ADDRESS, entry.local))
    valid, preferred = _lifetime(stack, entry.valid_ns), _lifetime(stack, entry.preferred_ns)
    parts.append(m.attribute(rt.IFA_CACHEINFO, CACHEINFO.pack(preferred, valid, 0, 0)))
    parts.append(m.u32(rt.IFA_FLAGS, flags))
    return b"".join(parts)


def route(stack: Stack, entry: Route, flags: int = 0) -> bytes:
    """RTM_NEWROUTE as a dump or a change tells it."""
    six = len(entry.dst) == 16
    parts = [
        RTMSG.pack(
            AF_INET6 if six else AF_INET, entry.prefix, 0, entry.tos, min(entry.table, 252) if entry.table > 255
            else entry.table, entry.protocol, 0 if six else entry.scope, entry.kind, flags | entry.flags,
        ),
        m.u32(rt.RTA_TABLE, entry.table),
    ]  # fmt: skip
    if entry.prefix:
        parts.append(m.attribute(rt.RTA_DST, entry.dst))
    if six or entry.metric:
        metric = entry.metric or (RT6_PRIORITY if six and entry.kind != LOCAL else 0)
        parts.append(m.u32(rt.RTA_PRIORITY, metric))
    if entry.mtu:
        parts.append(m.nest(rt.RTA_METRICS, [m.u32(rt.RTAX_MTU, entry.mtu)]))
    if entry.source:
        parts.append(m.attribute(rt.RTA_PREFSRC, entry.source))
    if entry.gateway:
        if len(entry.gateway) == len(entry.dst):
            parts.append(m.attribute(rt.RTA_GATEWAY, entry.gateway))
        else:
            parts.append(m.attribute(rt.RTA_VIA, m.U16.pack(family_of(entry.gateway)) + entry.gateway))
    if entry.oif:
        parts.append(m.u32(rt.RTA_OIF, entry.oif))
    if six:
        left = 0 if entry.expires_ns is None else max(0, entry.expires_ns - stack.now_ns) // NS_PER_TICK
        parts.append(m.attribute(rt.RTA_CACHEINFO, RTA_CACHEINFO.pack(0, 0, left, 0, 0, 0, 0, 0)))
        parts.append(m.u8(rt.RTA_PREF, 0))
    return b"".join(parts)


def neighbor(stack: Stack, entry: Neighbor) -> bytes:
    """RTM_NEWNEIGH."""
    flags = rt.NTF_ROUTER if entry.is_router else 0
    parts = [
        NDMSG.pack(family_of(entry.address), entry.iface.index, entry.current_state, flags, 1),
        m.attribute(rt.NDA_DST, entry.address),
    ]
    if entry.mac:
        parts.append(m.attribute(rt.NDA_LLADDR, entry.mac))
    parts.append(m.u32(rt.NDA_PROBES, entry.probes))
    used, updated = ((stack.now_ns - at) // NS_PER_TICK & FOREVER for at in (entry.used_ns, entry.updated_ns))
    parts.append(m.attribute(rt.NDA_CACHEINFO, NDA_CACHEINFO.pack(updated, used, updated, 0)))
    return b"".join(parts)


def rule(entry: Rule) -> bytes:
    """RTM_NEWRULE."""
    action = entry.action
    flags = rt.FIB_RULE_INVERT if entry.invert else 0
    table = entry.table if action == rt.FR_ACT_TO_TBL else 0
    parts = [
        FIBRULE.pack(
            AF_INET if entry.family == 4 else AF_INET6, entry.dst_prefix, entry.src_prefix, entry.tos,
            table if table < 256 else 252, action, flags,
        ),
        m.u32(rt.FRA_TABLE, table),
        m.u32(rt.FRA_SUPPRESS_PREFIXLEN, FOREVER),
        m.u8(rt.FRA_PROTOCOL, entry.protocol),
    ]  # fmt: skip
    if entry.iif:
        parts.append(m.text(rt.FRA_IIFNAME, entry.iif))
    if entry.oif:
        parts.append(m.text(rt.FRA_OIFNAME, entry.oif))
    if entry.priority:
        parts.append(m.u32(rt.FRA_PRIORITY, entry.priority))
    if entry.dst:
        parts.append(m.attribute(rt.FRA_DST, entry.dst))
    if entry.src:
        parts.append(m.attribute(rt.FRA_SRC, entry.src))
    return b"".join(parts)
