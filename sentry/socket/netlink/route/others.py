"""The rest of rtnetlink(7) that programs ask: queueing disciplines, settings of interfaces, statistics, numbers of
namespaces."""

from __future__ import annotations

from struct import Struct

from netstack.iface import PERMANENT, Interface
from sentry.abi.const import inet
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EINVAL, ENODEV
from sentry.abi.flags import AF_INET, AF_INET6
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

RTGENMSG, NETCONFMSG = Struct("=B"), Struct("=B3x")
TCMSG, IFSTATSMSG = Struct("=B3xiIII"), Struct("=B3xII")
TCA_KIND, TCA_STATS, TCA_STATS2, TCA_HW_OFFLOAD = 1, 3, 7, 12
TCA_STATS_BASIC, TCA_STATS_QUEUE = 1, 3
ROOT = 0xFFFFFFFF  # TC_H_ROOT
NSID_UNKNOWN = 0xFFFFFFFF


def nothing(request: Request) -> list[Body]:
    return []


def queues(request: Request) -> list[Body]:
    """Every interface that is up sends without a queue."""
    _, index, _, _, _ = request.filter(TCMSG)
    found = []
    for iface in request.stack.interfaces.values():
        if index in (0, iface.index) and (iface.up or iface.kind == "loopback"):
            stats = [m.attribute(TCA_STATS_BASIC, bytes(16)), m.attribute(TCA_STATS_QUEUE, bytes(20))]
            body = (
                TCMSG.pack(0, iface.index, 0, ROOT, 2), m.text(TCA_KIND, b"noqueue"), m.u8(TCA_HW_OFFLOAD, 0),
                m.attribute(TCA_STATS2, b"".join(stats)), m.attribute(TCA_STATS, bytes(40)),
            )  # fmt: skip
            found.append((rt.RTM_NEWQDISC, b"".join(body)))
    return found


def _netconf(request: Request, family: int, index: int) -> bytes:
    settings = request.stack.settings
    forwarding = settings.ip_forward if family == AF_INET else settings.ipv6_forwarding
    parts = [NETCONFMSG.pack(family), m.u32(inet.NETCONFA_IFINDEX, index), m.u32(inet.NETCONFA_FORWARDING, forwarding)]
    if family == AF_INET:
        parts.append(m.u32(inet.NETCONFA_RP_FILTER, settings.rp_filter))
    parts.append(m.u32(inet.NETCONFA_MC_FORWARDING, 0))
    if family == AF_INET:
        parts.append(m.u32(inet.NETCONFA_BC_FORWARDING, 0))
    parts.append(m.u32(inet.NETCONFA_PROXY_NEIGH, 0))
    parts.append(m.u32(inet.NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, 0))
    return b"".join(parts)


def netconf(request: Request) -> None:
    (family,) = request.fixed(NETCONFMSG)
    attributes = request.attributes(NETCONFMSG)
    if family not in (AF_INET, AF_INET6) or inet.NETCONFA_IFINDEX not in attributes:
        raise EINVAL
    index = m.number(attributes, inet.NETCONFA_IFINDEX, m.S32)
    common = index in (inet.NETCONFA_IFINDEX_ALL, inet.NETCONFA_IFINDEX_DEFAULT)
    if not common and index not in request.stack.interfaces:
        raise EINVAL
    request.reply(rt.RTM_NEWNETCONF, _netconf(request, family, index))


def netconf_all(request: Request) -> list[Body]:
    (family,) = request.filter(RTGENMSG)
    families = [family] if family in (AF_INET, AF_INET6) else [AF_INET, AF_INET6]
    numbers = [*request.stack.interfaces, inet.NETCONFA_IFINDEX_ALL, inet.NETCONFA_IFINDEX_DEFAULT]
    return [(rt.RTM_NEWNETCONF, _netconf(request, each, index)) for each in families for index in numbers]


def _statistics(iface: Interface, mask: int) -> bytes:
    body = IFSTATSMSG.pack(0, iface.index, mask)
    if mask & 1 << (rt.IFLA_STATS_LINK_64 - 1):
        body += m.attribute(rt.IFLA_STATS_LINK_64, show.STATS64.pack(*show.counters64(iface)))
    return body


def statistics(request: Request) -> None:
    _, index, mask = request.fixed(IFSTATSMSG, "stats get")
    iface = request.stack.interfaces.get(index) if index else None
    if not index:
        raise EINVAL
    if iface is None:
        raise ENODEV
    if not mask:
        raise EINVAL("Filter mask must be set for stats get")
    request.reply(rt.RTM_NEWSTATS, _statistics(iface, mask))


def statistics_all(request: Request) -> list[Body]:
    _, _, mask = request.fixed(IFSTATSMSG, "stats dump")
    if not mask:
        raise EINVAL("Filter mask must be set for stats dump")
    return [(rt.RTM_NEWSTATS, _statistics(iface, mask)) for iface in request.stack.interfaces.values()]


def namespace_id(request: Request) -> None:
    """Nobody has given another namespace a number here (ip-netns(8), set)."""
    body = RTGENMSG.pack(0) + bytes(3) + m.u32(rt.NETNSA_NSID, NSID_UNKNOWN)
    request.reply(rt.RTM_NEWNSID, body)


def multicast(request: Request) -> list[Body]:
    """IPv6 groups of the interfaces (RTM_GETMULTICAST)."""
    return [
        (rt.RTM_GETMULTICAST, show.IFADDRMSG.pack(AF_INET6, 128, PERMANENT, 0, iface.index)
         + m.attribute(rt.IFA_MULTICAST, group))
        for iface in request.stack.interfaces.values()
        for group in iface.groups
        if len(group) == 16
    ]  # fmt: skip
