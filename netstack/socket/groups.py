"""The multicast groups of one socket and whom it hears in them (ip(7) IP_ADD_MEMBERSHIP and its kin, ipv6(7), RFC 3376
section 3.1, RFC 3678). What an interface listens to is the sum over all sockets: netstack/membership.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV
from netstack.membership import ALL_SOURCES, NO_SOURCES, Filter

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack


class Groups:
    """`filters` is by interface and group; a plain membership excludes nobody."""

    __slots__ = ("filters", "stack")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.filters: dict[tuple[int, bytes], Filter] = {}

    def hears(self, group: bytes, source: bytes, iface: int) -> bool | None:
        """Whether what `source` sends to the group is wanted; None for a group that was not joined there."""
        wanted = self.filters.get((iface, group))
        if wanted is None:
            return None
        exclude, sources = wanted
        return (source in sources) != exclude

    def join(self, iface: Interface, group: bytes) -> None:
        """IP_ADD_MEMBERSHIP: EADDRINUSE for a second time, ENOBUFS beyond igmp_max_memberships."""
        key = iface.index, group
        if key in self.filters:
            raise EADDRINUSE
        self._room(group)
        self._change(iface, group, ALL_SOURCES)

    def leave(self, iface: Interface, group: bytes) -> None:
        """IP_DROP_MEMBERSHIP: EADDRNOTAVAIL without a membership."""
        if (iface.index, group) not in self.filters:
            raise EADDRNOTAVAIL
        self._change(iface, group, None)

    def join_source(self, iface: Interface, group: bytes, source: bytes) -> None:
        """IP_ADD_SOURCE_MEMBERSHIP: one source more, the first of a group that was joined for all. EINVAL when some of
        all have been blocked."""
        known = self.filters.get((iface.index, group))
        if known is None:
            self._room(group)
            known = NO_SOURCES
        exclude, sources = known
        if exclude and sources:
            raise EINVAL
        if source in sources:
            raise EADDRNOTAVAIL
        self._sources(iface, group, (False, sources | {source}))

    def leave_source(self, iface: Interface, group: bytes, source: bytes) -> None:
        """IP_DROP_SOURCE_MEMBERSHIP: the last one leaves the group."""
        known = self.filters.get((iface.index, group))
        if known is None:
            raise EINVAL
        exclude, sources = known
        if exclude and sources:
            raise EINVAL
        if source not in sources:
            raise EADDRNOTAVAIL
        left = sources - {source}
        self._change(iface, group, (False, left) if left else None)

    def block(self, iface: Interface, group: bytes, source: bytes) -> None:
        """IP_BLOCK_SOURCE: of a group that was joined for all, all but this one."""
        sources = self._blocked(iface, group)
        if source in sources:
            raise EADDRNOTAVAIL
        self._sources(iface, group, (True, sources | {source}))

    def unblock(self, iface: Interface, group: bytes, source: bytes) -> None:
        """IP_UNBLOCK_SOURCE."""
        sources = self._blocked(iface, group)
        if source not in sources:
            raise EADDRNOTAVAIL
        self._change(iface, group, (True, sources - {source}))

    def _blocked(self, iface: Interface, group: bytes) -> frozenset[bytes]:
        """Of a group that was joined for all: EINVAL for others."""
        exclude, sources = self.filters.get((iface.index, group), NO_SOURCES)
        if not exclude:
            raise EINVAL
        return sources

    def set_filter(self, iface: Interface, group: bytes, wanted: Filter) -> None:
        """IP_MSFILTER, MCAST_MSFILTER: all at once; INCLUDE of nobody leaves. EINVAL without a membership."""
        if wanted == NO_SOURCES:
            self.leave(iface, group)
            return
        if (iface.index, group) not in self.filters:
            raise EINVAL
        self._sources(iface, group, wanted)

    def filter_of(self, iface: Interface, group: bytes) -> Filter:
        """IP_MSFILTER read back; EADDRNOTAVAIL without a membership."""
        known = self.filters.get((iface.index, group))
        if known is None:
            raise EADDRNOTAVAIL
        return known

    def leave_all(self) -> None:
        """The end of the socket. An interface that is gone has forgotten its groups by itself."""
        for index, group in list(self.filters):
            iface = self.stack.interfaces.get(index)
            if iface is None:
                del self.filters[index, group]
            else:
                self._change(iface, group, None)

    def _room(self, group: bytes) -> None:
        """The sysctls that bound a socket's groups; IPv6 has none in Linux but the memory of a socket."""
        most = self.stack.settings.igmp_max_memberships if len(group) == 4 else 1024
        if sum(len(other) == len(group) for _, other in self.filters) >= most:
            raise ENOBUFS

    def _sources(self, iface: Interface, group: bytes, wanted: Filter) -> None:
        settings = self.stack.settings
        if len(wanted[1]) > (settings.igmp_max_msf if len(group) == 4 else settings.mld_max_msf):
            raise ENOBUFS
        self._change(iface, group, wanted)

    def _change(self, iface: Interface, group: bytes, wanted: Filter | None) -> None:
        if self.stack.interfaces.get(iface.index) is not iface:
            raise ENODEV
        key = iface.index, group
        if wanted is None:
            self.stack.memberships.leave(iface, group, self)
            del self.filters[key]
        else:
            self.stack.memberships.join(iface, group, self, wanted)
            self.filters[key] = wanted
