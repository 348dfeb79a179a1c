"""Addresses of interfaces: what Linux adds and removes with them (ip-address(8)), and which one a packet is sent from
(RFC 6724 for IPv6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EACCES, EADDRNOTAVAIL, EEXIST, EINVAL, ENOBUFS
from netstack.iface import (
    DADFAILED,
    DEPRECATED,
    IFF_LOOPBACK,
    IFF_MULTICAST,
    NOPREFIXROUTE,
    PERMANENT,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    SECONDARY,
    TENTATIVE,
    Address,
    Interface,
)  # fmt: skip
from netstack.lifetimes import Lifetimes
from netstack.route import (
    BROADCAST,
    LOCAL,
    MULTICAST,
    PROTO_KERNEL,
    TABLE_LOCAL,
    TABLE_MAIN,
    UNICAST,
    Route,
    masked,
    within,
)
from netstack.wire import ipv6

if TYPE_CHECKING:
    from netstack.stack import Stack

AT_MOST = 4096  # addresses of one interface
METRIC6 = 256  # IP6_RT_PRIO_ADDRCONF, of routes that come with an address
ANY4 = bytes(4)
LOOPBACK4 = b"\x7f\0\0\x01"
LOOPBACK6 = bytes(15) + b"\x01"


class Addressing:
    """The addresses of all interfaces of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._lifetimes = Lifetimes(stack)
        self.of_route = self._lifetimes.of_route

    def add(self, iface: Interface, address: Address, check: bool = True) -> None:
        bits = len(address.local) * 8
        if bits not in (32, 128) or not 0 <= address.prefix <= bits or not any(address.local):
            raise EINVAL
        if address.local[0] >= 0xE0 and bits == 32 or address.local[0] == 0xFF:  # a group's address is nobody's own
            raise EADDRNOTAVAIL
        if any(entry.local == address.local and (bits == 128 or entry.prefix == address.prefix)
               for entry in iface.addresses):  # fmt: skip
            raise EEXIST
        if len(iface.addresses) >= AT_MOST:
            raise ENOBUFS
        if bits == 32:
            self._add4(iface, address)
        else:
            self._add6(iface, address, check)

    def remove(self, iface: Interface, address: Address) -> None:
        for entry in iface.addresses:
            if entry.local == address.local and entry.prefix == address.prefix:
                break
        else:
            raise EADDRNOTAVAIL
        if len(entry.local) == 4:
            self._remove4(iface, entry)
        else:
            self._remove6(iface, entry)

    def replace(self, iface: Interface, old: Address, new: Address) -> None:
        """The same address with other flags or lifetimes."""
        iface.addresses[iface.addresses.index(old)] = new
        self._usable(iface, new)
        if old.flags & TENTATIVE and not new.flags & TENTATIVE:
            self._add_route(self._own6(iface, new))
        self._lifetimes.of_address(new)
        self.stack.changed("address", (iface, new))

    def up(self, iface: Interface) -> None:
        stack = self.stack
        if iface.flags & IFF_LOOPBACK and not any(len(address.local) == 4 for address in iface.addresses):
            self.add(iface, Address(LOOPBACK4, 8, SCOPE_HOST, label=iface.name))
        with_ipv6 = iface.ipv6 and not stack.settings.ipv6_disable
        if iface.flags & IFF_LOOPBACK and with_ipv6 and iface.find(LOOPBACK6) is None:
            self.add(iface, Address(LOOPBACK6, 128, SCOPE_HOST, flags=PERMANENT))
        if iface.flags & IFF_MULTICAST and with_ipv6:
            self._add_route(
                Route(b"\xff" + bytes(15), 8, iface.index, metric=METRIC6, table=TABLE_LOCAL, kind=MULTICAST,
                      protocol=PROTO_KERNEL)
            )  # fmt: skip
        for address in iface.addresses:
            if len(address.local) == 4:
                self._connect4(iface, address)
            elif not address.flags & NOPREFIXROUTE:
                self._add_route(self._connected6(iface, address))

    def down(self, iface: Interface) -> None:
        """All routes of the interface but those of its IPv4 addresses themselves go, and its IPv6 addresses."""
        for address in [entry for entry in iface.addresses if len(entry.local) == 16]:
            if not self.stack.settings.ipv6_keep_addr_on_down:
                self._remove6(iface, address)
        self.stack.routes.remove_where(
            lambda route: route.oif == iface.index and not (route.kind == LOCAL and len(route.dst) == 4)
        )

    # IPv4: a second address in the same network is a secondary and has no routes of its own but "local".

    def _add4(self, iface: Interface, address: Address) -> None:
        primary = self._primary(iface, address)
        flags = address.flags & ~SECONDARY | (SECONDARY if primary else 0)
        if address.valid_ns is None:
            flags |= PERMANENT
        address = address._replace(flags=flags, label=address.label or iface.name)
        iface.addresses.append(address)
        self._usable(iface, address)
        stack = self.stack
        stack.changed("address", (iface, address))
        self._lifetimes.of_address(address)
        self._add_route(self._own4(iface, address))
        if iface.up:
            self._connect4(iface, address)

    def _primary(self, iface: Interface, address: Address) -> Address | None:
        network = address.peer or address.local
        for entry in iface.addresses:
            if (len(entry.local) == 4 and not entry.flags & SECONDARY and entry.prefix == address.prefix
                    and within(network, entry.peer or entry.local, entry.prefix)):  # fmt: skip
                return entry
        return None

    def _own4(self, iface: Interface, address: Address) -> Route:
        return Route(
            address.local, 32, iface.index, source=address.local, table=TABLE_LOCAL, kind=LOCAL, protocol=PROTO_KERNEL,
            scope=SCOPE_HOST,
        )  # fmt: skip

    def _connected4(self, iface: Interface, address: Address) -> list[Route]:
        """Its network, and its broadcast address."""
        routes = []
        network = masked(address.peer or address.local, address.prefix)
        local = bool(iface.flags & IFF_LOOPBACK)
        source = address.local
        if not address.flags & (SECONDARY | NOPREFIXROUTE) and (address.prefix < 32 or address.peer):
            routes.append(Route(
                network, address.prefix, iface.index, source=source, table=TABLE_LOCAL if local else TABLE_MAIN,
                kind=LOCAL if local else UNICAST, protocol=PROTO_KERNEL, scope=SCOPE_HOST if local else SCOPE_LINK,
            ))  # fmt: skip
        broadcasts = [] if address.broadcast is None else [address.broadcast]
        if not address.flags & SECONDARY and address.prefix < 31:
            last = (int.from_bytes(network) | (1 << (32 - address.prefix)) - 1).to_bytes(4)
            broadcasts.append(last)
        for broadcast in dict.fromkeys(broadcasts):
            if broadcast != address.local and broadcast != b"\xff\xff\xff\xff":
                routes.append(Route(
                    broadcast, 32, iface.index, source=source, table=TABLE_LOCAL, kind=BROADCAST,
                    protocol=PROTO_KERNEL, scope=SCOPE_LINK,
                ))  # fmt: skip
        return routes

    def _connect4(self, iface: Interface, address: Address) -> None:
        for route in self._connected4(iface, address):
            self._add_route(route)

    def _remove4(self, iface: Interface, address: Address) -> None:
        iface.addresses.remove(address)
        self._forget(address.local)
        others = [entry for entry in iface.addresses if len(entry.local) == 4]
        for route in [*self._connected4(iface, address), self._own4(iface, address)]:
            if not any(route in (*self._connected4(iface, entry), self._own4(iface, entry)) for entry in others):
                self.stack.routes.remove_where(lambda entry, route=route: entry == route)  # type: ignore[misc]
        self.stack.routes.remove_where(lambda route: route.source == address.local and not self._held(address.local))
        self.stack.changed("address", (iface, address))
        if address.flags & SECONDARY:
            return
        secondaries = [
            entry
            for entry in others
            if entry.flags & SECONDARY
            and entry.prefix == address.prefix
            and within(entry.peer or entry.local, address.peer or address.local, address.prefix)
        ]
        if self.stack.settings.promote_secondaries and secondaries:
            promoted = secondaries[0]._replace(flags=secondaries[0].flags & ~SECONDARY)
            self.replace(iface, secondaries[0], promoted)
            if iface.up:
                self._connect4(iface, promoted)
        else:
            for entry in secondaries:
                self._remove4(iface, entry)

    # IPv6.

    def _add6(self, iface: Interface, address: Address, check: bool) -> None:
        flags = address.flags | (PERMANENT if address.valid_ns is None else 0)
        stack = self.stack
        if not iface.ipv6 or stack.settings.ipv6_disable:
            raise EACCES
        checked = check and stack.autoconf.needs_check(iface, address)
        flags = flags & ~(TENTATIVE | DADFAILED) | (TENTATIVE if checked else 0)
        address = address._replace(flags=flags, scope=scope6(address.local))
        iface.addresses.append(address)
        self._usable(iface, address)
        stack.changed("address", (iface, address))
        self._lifetimes.of_address(address)
        if not checked:
            self._add_route(self._own6(iface, address))
        if iface.kind == "ether":
            stack.memberships.join(iface, ipv6.solicited_node(address.local), address.local)
            if checked and iface.up:
                stack.autoconf.check(iface, address)
        if not address.flags & NOPREFIXROUTE:
            self._add_route(self._connected6(iface, address))

    def _own6(self, iface: Interface, address: Address) -> Route:
        return Route(
            address.local, 128, iface.index, table=TABLE_LOCAL, kind=LOCAL, protocol=PROTO_KERNEL,
        )  # fmt: skip

    def _connected6(self, iface: Interface, address: Address) -> Route:
        return Route(
            masked(address.local, address.prefix), address.prefix, iface.index, metric=METRIC6, protocol=PROTO_KERNEL
        )

    def _remove6(self, iface: Interface, address: Address) -> None:
        iface.addresses.remove(address)
        if iface.kind == "ether":
            self.stack.autoconf.removed(iface, address)
            self.stack.memberships.leave(iface, ipv6.solicited_node(address.local), address.local)
        self._forget(address.local)
        gone = [self._own6(iface, address)]
        network = self._connected6(iface, address)
        others = [entry for entry in iface.addresses if len(entry.local) == 16]
        if not any(self._connected6(iface, entry) == network for entry in others):
            gone.append(network)
        self.stack.routes.remove_where(lambda route: route in gone)
        self.stack.changed("address", (iface, address))

    def _add_route(self, route: Route) -> None:
        try:
            self.stack.routes.add(route, append=True)
        except EEXIST:
            pass  # of another address in the same network

    # The index of own addresses.

    def _usable(self, iface: Interface, address: Address) -> None:
        if address.flags & (TENTATIVE | DADFAILED):
            self._forget(address.local)
        else:
            self.stack.local[address.local] = iface.index

    def _held(self, local: bytes) -> Interface | None:
        for iface in self.stack.interfaces.values():
            address = iface.find(local)
            if address is not None and not address.flags & (TENTATIVE | DADFAILED):
                return iface
        return None

    def _forget(self, local: bytes) -> None:
        holder = self._held(local)
        if holder is None:
            self.stack.local.pop(local, None)
        else:
            self.stack.local[local] = holder.index


def scope6(address: bytes) -> int:
    """The scope of a unicast IPv6 address, as rtnetlink says it (RFC 4007)."""
    if address == LOOPBACK6:
        return SCOPE_HOST
    if address[0] == 0xFE and address[1] & 0xC0 == 0x80:
        return SCOPE_LINK
    return SCOPE_UNIVERSE


def source4(stack: Stack, iface: Interface, next_hop: bytes) -> bytes:
    """The address that a packet leaves `iface` with, when neither sender nor route say: the first in the next hop's
    network, else the first at all, else that of another interface; 0.0.0.0 for none (RFC 1122 section 3.3.4.3)."""
    first = b""
    for address in iface.addresses:
        if len(address.local) == 4 and not address.flags & SECONDARY:
            if within(next_hop, address.peer or address.local, address.prefix):
                return address.local
            first = first or address.local
    if first:
        return first
    for other in stack.interfaces.values():
        for address in other.addresses:
            if len(address.local) == 4 and address.scope < SCOPE_LINK:
                return address.local
    return ANY4


# The policy table of RFC 6724 section 2.1, labels only: network, prefix, label.
_LABELS = [
    (LOOPBACK6, 128, 0), (bytes(10) + b"\xff\xff" + bytes(4), 96, 4), (bytes(16), 96, 3),
    (b"\x20\x01" + bytes(14), 32, 5), (b"\x20\x02" + bytes(14), 16, 2), (b"\xfc" + bytes(15), 7, 13),
    (b"\xfe\xc0" + bytes(14), 10, 11), (b"\x3f\xfe" + bytes(14), 16, 12), (bytes(16), 0, 1),
]  # fmt: skip


def _label(address: bytes) -> int:
    return next(label for network, prefix, label in _LABELS if within(address, network, prefix))


def _reach(address: bytes) -> int:
    """A scope as RFC 4007 and RFC 6724 section 3.1 number it: 2 link-local, 5 site, 14 global."""
    if address[0] == 0xFF:
        return address[1] & 0xF
    return {SCOPE_HOST: 2, SCOPE_LINK: 2}.get(scope6(address), 14)


def source6(stack: Stack, iface: Interface, dst: bytes) -> bytes:
    """RFC 6724 section 5. Candidates for a link-local or multicast destination are the addresses of the interface that
    the packet leaves by, for others those of all interfaces. EADDRNOTAVAIL when there is none."""
    best: tuple[int, ...] = ()
    source = b""
    narrow = dst[0] == 0xFF or _reach(dst) <= 2
    for other in [iface] if narrow else stack.interfaces.values():
        for address in other.addresses:
            if len(address.local) == 4 or address.flags & (TENTATIVE | DADFAILED):
                continue
            if other is not iface and _reach(address.local) <= 2:
                continue  # of another link, or ::1
            rank = _rank(address, dst, other is iface)
            if rank > best:
                best, source = rank, address.local
    if not source:
        raise EADDRNOTAVAIL
    return source


def _rank(address: Address, dst: bytes, leaves_here: bool) -> tuple[int, ...]:
    """The rules in order, higher is better: same address, appropriate scope (the smallest that is wide enough, else
    the widest), not deprecated, outgoing interface, label, public before temporary (RFC 8981), longest prefix."""
    local = address.local
    reach, wanted = _reach(local), _reach(dst)
    common = 128 - (int.from_bytes(local) ^ int.from_bytes(dst)).bit_length()
    return (
        local == dst,
        32 - reach if reach >= wanted else reach,
        not address.flags & DEPRECATED,
        leaves_here,
        _label(local) == _label(dst),
        not address.flags & SECONDARY,
        min(common, address.prefix),
    )
