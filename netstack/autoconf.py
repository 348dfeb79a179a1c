"""IPv6 addresses that come by themselves (RFC 4862): link-local ones, those of advertised prefixes, the check for
duplicates, and default routers (RFC 4861 section 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import BadPacket, NetError
from netstack.iface import DADFAILED, NODAD, PERMANENT, SCOPE_LINK, TENTATIVE, Address, Interface
from netstack.packet import Packet
from netstack.route import PROTO_KERNEL, PROTO_RA, TABLE_MAIN, Route, masked
from netstack.wire import ipv6, ndp

if TYPE_CHECKING:
    from netstack.stack import Stack
    from netstack.timers import Timer

ANY6 = bytes(16)
LINK_LOCAL = b"\xfe\x80" + bytes(6)
TWO_HOURS_S = 7200
METRIC = 1024  # IP6_RT_PRIO_USER, of default routes
METRIC_PREFIX = 256
ROUTES_AT_MOST = 64  # that advertisements may bring to one interface
SECOND_NS = 10**9


class _Check:
    """An address that is being checked for a duplicate."""

    __slots__ = ("left", "nonce", "timer")

    def __init__(self, left: int, nonce: bytes) -> None:
        self.left = left
        self.nonce = nonce  # RFC 7527: our own question that some hub gives back is no conflict
        self.timer: Timer | None = None


class Autoconf:
    """Autoconfiguration of all interfaces of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._checks: dict[tuple[int, bytes], _Check] = {}
        self._solicits: dict[int, Timer] = {}  # by interface: when a router is asked for again

    def up(self, iface: Interface) -> None:
        """A link-local address, and the check of all that are there."""
        settings = self.stack.settings
        if iface.kind != "ether" or not iface.ipv6 or settings.ipv6_disable:
            return
        for address in [entry for entry in iface.addresses if entry.flags & TENTATIVE and len(entry.local) == 16]:
            self.check(iface, address)
        if not any(ipv6.is_link_local(entry.local) for entry in iface.addresses if len(entry.local) == 16):
            local = LINK_LOCAL + interface_id(iface.mac)
            self.stack.add_address(iface, Address(local, 64, SCOPE_LINK, flags=PERMANENT))
        elif any(ipv6.is_link_local(entry.local) for entry in iface.addresses if not entry.flags & TENTATIVE):
            self._ask_routers(iface)

    def down(self, iface: Interface) -> None:
        timer = self._solicits.pop(iface.index, None)
        if timer is not None:
            timer.cancel()
        for key in [key for key in self._checks if key[0] == iface.index]:
            self._end_check(key)
        iface.hop_limit = iface.mtu6 = 0

    # The check for duplicates (RFC 4862 section 5.4).

    def needs_check(self, iface: Interface, address: Address) -> bool:
        settings = self.stack.settings
        return (
            iface.kind == "ether"
            and not address.flags & NODAD
            and settings.ipv6_dad_transmits > 0
            and settings.ipv6_accept_dad > 0
        )

    def check(self, iface: Interface, address: Address) -> None:
        """Ask, up to a second from now, whether somebody has it."""
        key = (iface.index, address.local)
        if key in self._checks:
            return
        check = self._checks[key] = _Check(max(self.stack.settings.ipv6_dad_transmits, 1), self.stack.random(6))
        self._later(check, key, iface, self.random_ns(self.stack.settings.ipv6_router_solicitation_delay * SECOND_NS))

    def _later(self, check: _Check, key: tuple[int, bytes], iface: Interface, delay_ns: int) -> None:
        check.timer = self.stack.timers.add(self.stack.now_ns + delay_ns, lambda: self._due(key, iface))

    def _due(self, key: tuple[int, bytes], iface: Interface) -> None:
        check = self._checks[key]
        address = iface.find(key[1])
        if address is None or not address.flags & TENTATIVE:
            self._end_check(key)
            return
        if check.left:
            check.left -= 1
            said = ndp.NeighborSolicitation(address.local, None, check.nonce)
            self.stack.ndp.send(iface, ANY6, ipv6.solicited_node(address.local), said)
            self._later(check, key, iface, self.stack.settings.neigh_retrans_time_ms * 10**6)
            return
        self._end_check(key)
        self.stack.addressing.replace(iface, address, address._replace(flags=address.flags & ~TENTATIVE))
        self.stack.memberships.source_known(iface)
        if ipv6.is_link_local(address.local):
            self._ask_routers(iface)

    def _end_check(self, key: tuple[int, bytes]) -> None:
        check = self._checks.pop(key, None)
        if check is not None and check.timer is not None:
            check.timer.cancel()

    def removed(self, iface: Interface, address: Address) -> None:
        self._end_check((iface.index, address.local))

    def is_ours(self, iface: Interface, said: ndp.NeighborSolicitation) -> bool:
        check = self._checks.get((iface.index, said.target))
        return check is not None and said.nonce is not None and said.nonce[:6] == check.nonce

    def conflict(self, iface: Interface, address: Address) -> None:
        """Somebody has it: an address of ours that was set stays, unusable; one that came by itself goes."""
        self._end_check((iface.index, address.local))
        if address.flags & PERMANENT:
            self.stack.addressing.replace(iface, address, address._replace(flags=address.flags | DADFAILED))
        else:
            self.stack.remove_address(iface, address)

    # Routers.

    def _ask_routers(self, iface: Interface) -> None:
        if self._accepts() and iface.index not in self._solicits and self.stack.settings.ipv6_router_solicitations:
            delay_ns = self.random_ns(self.stack.settings.ipv6_router_solicitation_delay * SECOND_NS)
            self._ask_at(iface, delay_ns, 0)

    def _accepts(self) -> bool:
        settings = self.stack.settings
        return settings.ipv6_accept_ra == 2 or settings.ipv6_accept_ra == 1 and not settings.ipv6_forwarding

    def _ask_at(self, iface: Interface, delay_ns: int, asked: int) -> None:
        self._solicits[iface.index] = self.stack.timers.add(
            self.stack.now_ns + delay_ns, lambda: self._ask(iface, asked)
        )

    def _ask(self, iface: Interface, asked: int) -> None:
        """RFC 4861 section 6.3.7, with the back-off of RFC 7559 instead of an end after three."""
        del self._solicits[iface.index]
        settings = self.stack.settings
        try:
            source = self.stack.source6(iface, ipv6.ALL_ROUTERS)
        except NetError:
            return
        self.stack.ndp.send(iface, source, ipv6.ALL_ROUTERS, ndp.RouterSolicitation(iface.mac))
        asked += 1
        if asked == settings.ipv6_router_solicitations:
            return
        interval_ns = settings.ipv6_router_solicitation_interval * SECOND_NS << min(asked - 1, 16)
        interval_ns = min(interval_ns, settings.ipv6_router_solicitation_max_interval * SECOND_NS)
        self._ask_at(iface, interval_ns * 9 // 10 + self.random_ns(interval_ns // 5), asked)

    def advertised(self, packet: Packet, said: ndp.RouterAdvertisement) -> None:
        """A router's advertisement, its hop limit found to be 255 (RFC 4861 section 6.1.2). Raises BadPacket."""
        iface, router, stack, settings = packet.iface, packet.src, self.stack, self.stack.settings
        if not ipv6.is_link_local(router):
            raise BadPacket("router advertisement source", router)
        if not self._accepts():
            return
        timer = self._solicits.get(iface.index)
        if timer is not None and said.lifetime_s:
            timer.cancel()
            del self._solicits[iface.index]
        if said.hop_limit:
            iface.hop_limit = said.hop_limit
        if said.source_link is not None and not said.source_link[0] & 1:
            neighbor = stack.neighbors.update(iface, router, said.source_link)
            if neighbor is not None:
                neighbor.is_router = True
        if settings.ipv6_accept_ra_mtu and ipv6.MIN_MTU <= said.mtu <= iface.mtu and said.mtu != iface.mtu6:
            iface.mtu6 = said.mtu
            stack.changed("link", iface)
        if settings.ipv6_accept_ra_defrtr:
            default = Route(ANY6, 0, iface.index, router, metric=METRIC, protocol=PROTO_RA)
            self._route(default, said.lifetime_s)
        if settings.ipv6_accept_ra_pinfo:
            for prefix in said.prefixes:
                if ipv6.is_link_local(prefix.prefix) or prefix.prefix[0] == 0xFF:
                    continue
                if prefix.on_link:
                    network = masked(prefix.prefix, prefix.length)
                    route = Route(network, prefix.length, iface.index, metric=METRIC_PREFIX, protocol=PROTO_KERNEL)
                    self._route(route, prefix.valid_s)
                if prefix.autonomous and settings.ipv6_autoconf and prefix.length == 64:
                    self._address(iface, prefix)

    def _route(self, wanted: Route, lifetime_s: int) -> None:
        """Add, prolong or, with a lifetime of 0, remove a route that an advertisement speaks of."""
        routes = self.stack.routes
        of_iface = [route for route in routes if route.oif == wanted.oif and route.table == TABLE_MAIN]
        for route in of_iface:
            if route._replace(expires_ns=None, protocol=wanted.protocol) != wanted:
                continue
            if route.expires_ns is None:  # it was set, or came with an address: not an advertisement's to change
                return
            routes.remove_where(lambda entry: entry == route)  # noqa: B023
            break
        if not lifetime_s or sum(route.expires_ns is not None for route in of_iface) >= ROUTES_AT_MOST:
            return
        routes.add(wanted._replace(expires_ns=self._end(lifetime_s) or 1 << 62), append=True)

    def _end(self, lifetime_s: int) -> int | None:
        return None if lifetime_s == ndp.FOREVER_S else self.stack.now_ns + lifetime_s * SECOND_NS

    def _address(self, iface: Interface, prefix: ndp.Prefix) -> None:
        """RFC 4862 section 5.5.3: a new address, or new lifetimes, of which the valid one is not cut below two hours
        by what anybody on the link might have said."""
        local = prefix.prefix[:8] + interface_id(iface.mac)
        valid_ns, preferred_ns = self._end(prefix.valid_s), self._end(prefix.preferred_s)
        known = iface.find(local)
        if known is None:
            if prefix.valid_s and sum(len(entry.local) == 16 for entry in iface.addresses) < (
                self.stack.settings.ipv6_max_addresses
            ):
                self.stack.add_address(
                    iface, Address(local, 64, valid_ns=valid_ns or 1 << 62, preferred_ns=preferred_ns)
                )
            return
        if known.flags & PERMANENT:
            return
        remaining_s = ((known.valid_ns or 0) - self.stack.now_ns) // SECOND_NS
        if prefix.valid_s < TWO_HOURS_S and prefix.valid_s <= remaining_s:
            valid_ns = known.valid_ns if remaining_s <= TWO_HOURS_S else self._end(TWO_HOURS_S)
        self.stack.addressing.replace(
            iface, known, known._replace(valid_ns=valid_ns or 1 << 62, preferred_ns=preferred_ns)
        )

    def no_router(self, iface: Interface, address: bytes) -> None:
        """A neighbour says that it is no router any longer (RFC 4861 section 7.2.5)."""
        self.stack.routes.remove_where(
            lambda route: route.gateway == address and route.oif == iface.index and route.protocol == PROTO_RA
        )

    def random_ns(self, below_ns: int) -> int:
        return below_ns * int.from_bytes(self.stack.random(4)) >> 32


def interface_id(mac: bytes) -> bytes:
    """Modified EUI-64 (RFC 4291 appendix A)."""
    return bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]
