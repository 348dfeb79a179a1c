"""RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE (rtnetlink(7), ip-route(8))."""

from __future__ import annotations

from netstack.errors import EINVAL as StackEINVAL
from netstack.errors import ENETUNREACH as StackENETUNREACH
from netstack.errors import NetError
from netstack.flow import Flow
from netstack.route import BROADCAST, LOCAL, MULTICAST, UNICAST, Route, masked
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import (
    EAFNOSUPPORT,
    EEXIST,
    EINVAL,
    ENETDOWN,
    ENETUNREACH,
    ENODEV,
    ENOENT,
    EOPNOTSUPP,
)
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
)
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

HEADER = show.RTMSG
REFUSED = {
    rt.RTA_MULTIPATH: "Multipath routes are not supported", rt.RTA_ENCAP: "Encapsulation is not supported",
    rt.RTA_NH_ID: "Nexthop objects are not supported",
}  # fmt: skip
DEAD = (rt.RTN_BLACKHOLE, rt.RTN_UNREACHABLE, rt.RTN_PROHIBIT, rt.RTN_THROW)
RTCF_LOCAL, RTCF_BROADCAST, RTCF_MULTICAST = 0x80000000, 0x10000000, 0x20000000


def _address(attributes: m.Attributes, kind: int, size: int) -> bytes:
    body = attributes.get(kind, b"")
    if body and len(body) < size:
        raise EINVAL("Invalid attribute")
    return body[:size]


def _parse(request: Request) -> Route:
    """The route that a request describes, as it stands there; kind and metric 0 when not given."""
    header = request.fixed(HEADER, "route request")
    family, prefix, source_prefix, tos, table, protocol, scope, kind, flags = header
    if family not in (AF_INET, AF_INET6):
        raise EAFNOSUPPORT
    size = 4 if family == AF_INET else 16
    if prefix > size * 8:
        raise EINVAL("Invalid prefix length")
    if source_prefix:
        raise EINVAL("Source routing is not supported")
    if kind > rt.RTN_THROW:
        raise EINVAL("Invalid route type")
    attributes = request.attributes(HEADER)
    for unknown, text in REFUSED.items():
        if unknown in attributes:
            raise EOPNOTSUPP(text)
    dst = _address(attributes, rt.RTA_DST, size) or bytes(size)
    if size == 4 and masked(dst, prefix) != dst:
        raise EINVAL("Invalid prefix for given prefix length")
    gateway = _address(attributes, rt.RTA_GATEWAY, size)
    if rt.RTA_VIA in attributes:
        via = attributes[rt.RTA_VIA]
        if size == 16 or len(via) < 6:
            raise EINVAL("IPv6 does not support RTA_VIA attribute")
        gateway = via[2:]
        if len(gateway) not in (4, 16):
            raise EINVAL("Invalid address length in RTA_VIA")
    metrics = m.parse(attributes.get(rt.RTA_METRICS, b""))
    expires = m.number(attributes, rt.RTA_EXPIRES)
    return Route(
        masked(dst, prefix), prefix, m.number(attributes, rt.RTA_OIF),
        gateway if any(gateway) else b"", _address(attributes, rt.RTA_PREFSRC, size),
        m.number(attributes, rt.RTA_PRIORITY), m.number(attributes, rt.RTA_TABLE, default=table) or rt.RT_TABLE_MAIN,
        kind, protocol, scope, tos, m.number(metrics, rt.RTAX_MTU), flags & rt.RTNH_F_ONLINK,
        request.stack.now_ns + expires * 10**9 if expires else None,
    )  # fmt: skip


def new(request: Request) -> None:
    route = _parse(request)
    six = len(route.dst) == 16
    if not route.kind:
        route = route._replace(kind=UNICAST)
    if six:
        route = route._replace(metric=route.metric or show.RT6_PRIORITY, scope=0)
    if route.kind in DEAD:
        if not six and (route.oif or route.gateway):
            raise EINVAL("Routes with no destination can not have a device or gateway")
        route = route._replace(oif=1 if six else 0, gateway=b"")
    else:
        _check_hop(request, route)
    install(request, route)


def _check_hop(request: Request, route: Route) -> None:
    stack = request.stack
    if route.oif:
        iface = stack.interfaces.get(route.oif)
        if iface is None:
            raise ENODEV
        if not iface.up:
            raise ENETDOWN("Device for nexthop is not up" if len(route.dst) == 4 else None)
    elif not route.gateway:
        raise ENODEV
    if route.source and not stack.is_local(route.source):
        raise EINVAL("Invalid prefsrc address" if len(route.dst) == 4 else "Invalid source address")


def install(request: Request, route: Route) -> None:
    flags, routes = request.flags, request.stack.routes
    same = any(
        entry.dst == route.dst and entry.prefix == route.prefix and entry.table == route.table
        and entry.metric == route.metric and entry.tos == route.tos
        for entry in routes
    )  # fmt: skip
    if same and flags & NLM_F_EXCL:
        raise EEXIST
    if not same and not flags & NLM_F_CREATE:
        raise ENOENT
    replace = bool(flags & NLM_F_REPLACE)
    try:
        routes.add(route, replace=replace, append=not replace and (bool(flags & NLM_F_APPEND) or same))
    except StackENETUNREACH:
        raise ENETUNREACH("Nexthop has invalid gateway")
    except StackEINVAL:
        raise EINVAL("Invalid gateway address")


def delete(request: Request) -> None:
    route = _parse(request)
    request.stack.routes.remove(route._replace(flags=0, mtu=0))


def get(request: Request) -> None:
    """Which way a packet would go (ip route get)."""
    family, _, _, tos, _, _, _, _, flags = request.fixed(HEADER)
    if family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP if family else EINVAL
    size = 4 if family == AF_INET else 16
    attributes = request.attributes(HEADER)
    dst = _address(attributes, rt.RTA_DST, size) or bytes(size)
    src = _address(attributes, rt.RTA_SRC, size)
    oif = m.number(attributes, rt.RTA_OIF)
    stack = request.stack
    for kind in (rt.RTA_OIF, rt.RTA_IIF):
        if kind in attributes and m.number(attributes, kind) not in stack.interfaces:
            raise ENODEV
    if size == 16:
        route = stack.routes.lookup(dst, src, oif, tos)
        body = show.route(stack, route) if flags & rt.RTM_F_FIB_MATCH else _found6(request, route, dst, src)
        request.reply(rt.RTM_NEWROUTE, body)
        return
    flow = stack.flow(dst, src or None, oif, tos)
    if flags & rt.RTM_F_FIB_MATCH:
        name = flow.iface.name if oif else b""
        route = stack.routes.lookup(flow.dst, src, 0 if flow.local else flow.iface.index, tos, oif_name=name)
        request.reply(rt.RTM_NEWROUTE, show.route(stack, route))
        return
    request.reply(rt.RTM_NEWROUTE, _found4(request, flow, src, tos))


def _found4(request: Request, flow: Flow, src: bytes, tos: int) -> bytes:
    kind = BROADCAST if flow.broadcast else MULTICAST if flow.multicast else LOCAL if flow.local else UNICAST
    bits = rt.RTM_F_CLONED | (RTCF_LOCAL if kind != UNICAST else 0)
    bits |= RTCF_BROADCAST if flow.broadcast else RTCF_MULTICAST if flow.multicast else 0
    parts = [
        HEADER.pack(AF_INET, 32, 32 if src else 0, tos, rt.RT_TABLE_MAIN, AF_UNSPEC, 0, kind, bits),
        m.u32(rt.RTA_TABLE, rt.RT_TABLE_MAIN),
        m.attribute(rt.RTA_DST, flow.dst),
    ]
    if src:
        parts.append(m.attribute(rt.RTA_SRC, src))
    parts.append(m.u32(rt.RTA_OIF, flow.iface.index))
    if not src:
        parts.append(m.attribute(rt.RTA_PREFSRC, flow.src))
    if flow.next_hop != flow.dst and not flow.local:
        parts.append(m.attribute(rt.RTA_GATEWAY, flow.next_hop))
    if flow.mtu < flow.iface.mtu:
        parts.append(m.nest(rt.RTA_METRICS, [m.u32(rt.RTAX_MTU, flow.mtu)]))
    parts.append(m.u32(rt.RTA_UID, request.t.creds.fsuid))
    parts.append(m.attribute(rt.RTA_CACHEINFO, show.RTA_CACHEINFO.pack(0, 0, 0, 0, 0, 0, 0, 0)))
    return b"".join(parts)


def _found6(request: Request, route: Route, dst: bytes, src: bytes) -> bytes:
    """The entry itself, for one address, with the source that would be chosen."""
    stack = request.stack
    source = route.source
    out = stack.interfaces.get(route.oif, stack.loopback)
    if not source:
        try:
            source = dst if route.kind == LOCAL else stack.source6(out, dst)
        except NetError:
            source = b""
    one = route._replace(dst=dst, prefix=128, source=source)
    return show.route(stack, one) + m.attribute(rt.RTA_SRC, src or bytes(16))


def ordered(routes: list[Route]) -> list[Route]:
    """As Linux walks its tables: IPv4's by address, the longer prefix first; IPv6's a network behind all in it."""

    def place(entry: Route) -> tuple[int, ...]:
        start, bits = int.from_bytes(entry.dst), len(entry.dst) * 8
        table = (entry.table & 0xFF, entry.table)
        if bits == 32:
            return (*table, start, -entry.prefix, -entry.tos, entry.metric)
        return (*table, start | (1 << (bits - entry.prefix)) - 1, -entry.prefix, entry.metric)

    return sorted(routes, key=place)


def dump(request: Request) -> list[Body]:
    family, prefix, source_prefix, tos, table, protocol, _, kind, flags = request.filter(HEADER)
    oif = 0
    if request.strict:
        attributes = request.attributes(HEADER)
        if prefix or source_prefix or tos:
            raise EINVAL("Invalid values in header for FIB dump request")
        table = m.number(attributes, rt.RTA_TABLE, default=table)
        oif = m.number(attributes, rt.RTA_OIF)
        if oif and oif not in request.stack.interfaces:
            raise ENODEV
    if flags & rt.RTM_F_CLONED:
        return []
    found: list[Body] = []
    tables = set()
    for size in (4, 16):
        if family in (AF_INET, AF_INET6) and (family == AF_INET) != (size == 4):
            continue
        routes = [entry for entry in request.stack.routes if len(entry.dst) == size]
        tables |= {entry.table for entry in routes}
        found += [
            (rt.RTM_NEWROUTE, show.route(request.stack, entry))
            for entry in ordered(routes)
            if table in (0, entry.table) and protocol in (0, entry.protocol) and kind in (0, entry.kind)
            and oif in (0, entry.oif)
        ]  # fmt: skip
    if table and table not in tables and family:
        raise ENOENT("FIB table does not exist")
    return found
