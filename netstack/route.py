"""Route tables and rules (ip-route(8), ip-rule(8), rtnetlink(7)): which way a packet goes, longest prefix first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from netstack.errors import EACCES, EEXIST, EHOSTUNREACH, EINVAL, ENETUNREACH, ENOBUFS, ESRCH, NetError
from netstack.iface import SCOPE_LINK, SCOPE_UNIVERSE

UNICAST, LOCAL, BROADCAST, ANYCAST, MULTICAST, BLACKHOLE, UNREACHABLE, PROHIBIT, THROW = range(1, 10)  # RTN_*
TABLE_DEFAULT, TABLE_MAIN, TABLE_LOCAL = 253, 254, 255
PROTO_REDIRECT, PROTO_KERNEL, PROTO_BOOT, PROTO_STATIC, PROTO_RA = 1, 2, 3, 4, 9  # RTPROT_*
FLAG_ONLINK = 0x4  # RTNH_F_ONLINK: the gateway is on the link though no route says so
AT_MOST = 65536  # routes and, each for itself, rules: a guest with CAP_NET_ADMIN may add as many

# What the kinds that lead nowhere say to a sender (fib_props of the man page ip-route(8), "unreachable - ..." etc.).
_REFUSALS: dict[int, type[NetError]] = {BLACKHOLE: EINVAL, UNREACHABLE: EHOSTUNREACH, PROHIBIT: EACCES}


class Route(NamedTuple):
    """A route; the length of `dst` is the family. `oif` 0 and no gateway is a route that leads nowhere by `kind`."""

    dst: bytes
    prefix: int
    oif: int = 0
    gateway: bytes = b""
    source: bytes = b""  # RTA_PREFSRC
    metric: int = 0
    table: int = TABLE_MAIN
    kind: int = UNICAST
    protocol: int = PROTO_BOOT
    scope: int = SCOPE_UNIVERSE
    tos: int = 0
    mtu: int = 0
    flags: int = 0
    expires_ns: int | None = None


class Rule(NamedTuple):
    """Packets that match look into `table`; an action of BLACKHOLE, UNREACHABLE or PROHIBIT refuses them instead."""

    family: int  # 4 or 6
    priority: int
    table: int = TABLE_MAIN
    action: int = UNICAST  # FR_ACT_TO_TBL has the same number
    src: bytes = b""
    src_prefix: int = 0
    dst: bytes = b""
    dst_prefix: int = 0
    iif: bytes = b""
    oif: bytes = b""
    tos: int = 0
    invert: bool = False
    protocol: int = PROTO_KERNEL


def masked(address: bytes, prefix: int) -> bytes:
    """The network that an address is in."""
    shift = len(address) * 8 - prefix
    return (int.from_bytes(address) >> shift << shift).to_bytes(len(address))


def within(address: bytes, network: bytes, prefix: int) -> bool:
    if len(address) != len(network):
        return False
    return (int.from_bytes(address) ^ int.from_bytes(network)) >> (len(address) * 8 - prefix) == 0


class _Table:
    """Routes of one family and table, by prefix length and network; the best of equals stands first."""

    __slots__ = ("lengths", "networks")

    def __init__(self) -> None:
        self.networks: dict[int, dict[int, list[Route]]] = {}
        self.lengths: list[int] = []  # of `networks`, longest first

    def insert(self, route: Route, bits: int) -> None:
        if route.prefix not in self.networks:
            self.networks[route.prefix] = {}
            self.lengths = sorted(self.networks, reverse=True)
        routes = self.networks[route.prefix].setdefault(int.from_bytes(route.dst) >> (bits - route.prefix), [])
        routes.append(route)
        routes.sort(key=lambda entry: (-entry.tos, entry.metric))  # a stable sort: the older one wins

    def remove(self, route: Route, bits: int) -> None:
        networks = self.networks[route.prefix]
        key = int.from_bytes(route.dst) >> (bits - route.prefix)
        networks[key].remove(route)
        if not networks[key]:
            del networks[key]
        if not networks:
            del self.networks[route.prefix]
            self.lengths.remove(route.prefix)

    def matching(self, address: bytes) -> Iterator[Route]:
        """The routes to an address, best first."""
        value, bits = int.from_bytes(address), len(address) * 8
        for length in self.lengths:
            yield from self.networks[length].get(value >> (bits - length), ())

    def __iter__(self) -> Iterator[Route]:
        for length in self.lengths:
            for routes in self.networks[length].values():
                yield from routes


class Routes:
    """All tables and rules of a stack. `usable` says whether an interface is there and up; `changed` is told of every
    change as (event, route or rule)."""

    def __init__(self, usable: Callable[[int], bool], changed: Callable[[str, Route | Rule], None]) -> None:
        self._usable = usable
        self._changed = changed
        self._tables: dict[tuple[int, int], _Table] = {}
        self._count = 0
        self.rules = [
            Rule(4, 0, TABLE_LOCAL), Rule(4, 32766, TABLE_MAIN), Rule(4, 32767, TABLE_DEFAULT),
            Rule(6, 0, TABLE_LOCAL), Rule(6, 32766, TABLE_MAIN),
        ]  # fmt: skip
        self._plain = True  # no rules but those

    def __iter__(self) -> Iterator[Route]:
        for table in list(self._tables.values()):
            yield from list(table)

    def add(self, route: Route, replace: bool = False, append: bool = False) -> None:
        """ip route add, replace, append. EEXIST, ENETUNREACH for a gateway that no link has, EINVAL, ENOBUFS."""
        bits = len(route.dst) * 8
        if not 0 <= route.prefix <= bits or masked(route.dst, route.prefix) != route.dst:
            raise EINVAL
        if self._count >= AT_MOST:
            raise ENOBUFS
        if route.gateway:
            route = self._through(route)
        table = self._tables.setdefault((bits, route.table), _Table())
        same = [entry for entry in table.networks.get(route.prefix, {}).get(
            int.from_bytes(route.dst) >> (bits - route.prefix), ()
        ) if entry.metric == route.metric and entry.tos == route.tos]  # fmt: skip
        if replace and same:
            self._drop(table, same[0], bits)
        elif same and (not append or route in same):
            raise EEXIST
        table.insert(route, bits)
        self._count += 1
        self._changed("add", route)

    def _through(self, route: Route) -> Route:
        """A gateway must be on a link (RFC 1122 section 3.3.1.2); its interface is found when none is named."""
        if route.flags & FLAG_ONLINK or (len(route.gateway) == 16 and route.gateway[:2] == b"\xfe\x80"):
            if not route.oif:
                raise EINVAL
            return route
        try:
            hop = self.lookup(route.gateway, oif=route.oif)
        except NetError:
            raise ENETUNREACH
        if hop.kind == LOCAL:  # an own address is no gateway
            raise EINVAL
        if hop.kind != UNICAST or hop.gateway and len(route.gateway) == 4:
            raise ENETUNREACH
        return route if route.oif else route._replace(oif=hop.oif)

    def remove(self, route: Route) -> None:
        """Remove the first route that `route` describes: empty gateway, metric 0, interface 0 and the like match any.
        ESRCH when there is none."""
        bits = len(route.dst) * 8
        table = self._tables.get((bits, route.table))
        if table is not None and 0 <= route.prefix <= bits:
            key = int.from_bytes(route.dst) >> (bits - route.prefix)
            for entry in table.networks.get(route.prefix, {}).get(key, ()):
                if _describes(route, entry):
                    self._drop(table, entry, bits)
                    return
        raise ESRCH

    def remove_where(self, unwanted: Callable[[Route], bool]) -> None:
        """Remove all routes that a condition picks, as when an interface goes."""
        for (bits, _), table in self._tables.items():
            for entry in [entry for entry in table if unwanted(entry)]:
                self._drop(table, entry, bits)

    def _drop(self, table: _Table, route: Route, bits: int) -> None:
        table.remove(route, bits)
        self._count -= 1
        self._changed("remove", route)

    def add_rule(self, rule: Rule) -> None:
        if rule in self.rules:
            raise EEXIST
        if len(self.rules) >= AT_MOST:
            raise ENOBUFS
        self.rules.append(rule)
        self._rules_changed("add", rule)

    def remove_rule(self, rule: Rule) -> None:
        if rule not in self.rules:
            raise ESRCH
        self.rules.remove(rule)
        self._rules_changed("remove", rule)

    def _rules_changed(self, event: str, rule: Rule) -> None:
        self.rules.sort(key=lambda entry: (entry.family, entry.priority))
        self._plain = all(
            not (entry.src or entry.dst or entry.iif or entry.oif or entry.tos or entry.invert) for entry in self.rules
        )
        self._changed(event, rule)

    def lookup(
        self, dst: bytes, src: bytes = b"", oif: int = 0, tos: int = 0, iif: bytes = b"lo", oif_name: bytes = b""
    ) -> Route:
        """The route that a packet takes, or the error that its kind or the lack of one means to a sender. What is sent
        from here comes in by the loopback, to a rule (ip-rule(8), iif)."""
        family, bits = (4, 32) if len(dst) == 4 else (6, 128)
        for rule in self.rules:
            if rule.family != family or not (self._plain or _matches(rule, dst, src, tos, iif, oif_name)):
                continue
            if rule.action != UNICAST:
                raise _REFUSALS.get(rule.action, ENETUNREACH)
            table = self._tables.get((bits, rule.table))
            if table is None:
                continue
            for route in table.matching(dst):
                if route.tos and route.tos != tos & 0x1C:
                    continue
                if route.kind in _REFUSALS:
                    raise _REFUSALS[route.kind]
                if route.kind == THROW:
                    break
                if oif and route.oif != oif or not self._usable(route.oif) and route.kind != LOCAL:
                    continue
                return route
        raise ENETUNREACH

    def on_link(self, route: Route) -> bool:
        return not route.gateway and route.scope >= SCOPE_LINK


def _describes(pattern: Route, route: Route) -> bool:
    return (
        pattern.dst == route.dst
        and pattern.tos == route.tos
        and pattern.kind in (route.kind, 0)
        and pattern.oif in (route.oif, 0)
        and pattern.metric in (route.metric, 0)
        and pattern.gateway in (route.gateway, b"")
        and pattern.source in (route.source, b"")
    )


def _matches(rule: Rule, dst: bytes, src: bytes, tos: int, iif: bytes, oif: bytes) -> bool:
    hit = (
        (not rule.src or within(src, rule.src, rule.src_prefix))
        and (not rule.dst or within(dst, rule.dst, rule.dst_prefix))
        and rule.iif in (iif, b"")
        and rule.oif in (oif, b"")
        and rule.tos in (tos & 0x1C, 0)
    )
    return hit != rule.invert
