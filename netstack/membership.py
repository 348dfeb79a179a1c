"""Multicast groups: who on this host wants which, and how routers hear of it: IGMP (RFC 1112, 2236, 3376) and MLD
(RFC 2710, 3810). What sockets wanted is filtered by sockets; here is what an interface takes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EADDRNOTAVAIL, EINVAL, ENOBUFS, BadPacket, NetError
from netstack.flow import Flow
from netstack.iface import TENTATIVE, Interface
from netstack.packet import Packet
from netstack.wire import icmp6, igmp, ipv4, ipv6, mld

if TYPE_CHECKING:
    from netstack.stack import Stack
    from netstack.timers import Timer

AT_MOST = 4096  # groups of one interface
UNSOLICITED_NS = 10 * 10**9  # of IGMPv2 and MLDv1; the later versions have one second
INTERVAL_S = 125  # between queries, when a query does not say
ALL_HOSTS4 = b"\xe0\0\0\x01"
ALL_ROUTERS4 = b"\xe0\0\0\x02"
ANY4, ANY6 = bytes(4), bytes(16)
_ALERT6 = ipv6.pack_options(ipv6.ICMPV6, ipv6.ROUTER_ALERT_MLD)
RECORDS_AT_ONCE = 40


Filter = tuple[bool, frozenset[bytes]]  # all but these sources (True), or none but them
ALL_SOURCES: Filter = (True, frozenset())
NO_SOURCES: Filter = (False, frozenset())


class Group:
    """One group on one interface: what each owner (a socket) wants of it, and what routers have been told."""

    __slots__ = ("address", "changes", "owners", "reported", "timer")

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.owners: dict[object, Filter] = {}
        self.reported = NO_SOURCES  # before the change that is being told
        self.changes = 0  # reports of that change still to be sent
        self.timer: Timer | None = None

    def wanted(self) -> Filter:
        """What all owners together want (RFC 3376 section 3.2)."""
        excluded = [sources for exclude, sources in self.owners.values() if exclude]
        included: frozenset[bytes] = frozenset().union(
            *(sources for exclude, sources in self.owners.values() if not exclude)
        )
        if not excluded:
            return False, included
        return True, frozenset.intersection(*excluded) - included

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Querier:
    """What queries have told about an interface's routers, of one family."""

    __slots__ = ("older_until_ns", "timer", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.older_until_ns = 0
        self.timer: Timer | None = None  # of the answer to a general query


class Memberships:
    """The groups of all interfaces of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._queriers: dict[tuple[int, int], _Querier] = {}

    def join(self, iface: Interface, group: bytes, owner: object, wanted: Filter = ALL_SOURCES) -> None:
        """`owner` wants packets to `group`, from these sources and from then on no others. EINVAL for what is no group,
        ENOBUFS."""
        if not (0xE0 <= group[0] <= 0xEF if len(group) == 4 else group[0] == 0xFF):
            raise EINVAL
        entry = iface.groups.get(group)
        if entry is None:
            if len(iface.groups) >= AT_MOST:
                raise ENOBUFS
            entry = iface.groups[group] = Group(group)
        before = entry.wanted()
        entry.owners[owner] = wanted
        self._changed(iface, entry, before)

    def leave(self, iface: Interface, group: bytes, owner: object) -> None:
        """EADDRNOTAVAIL when `owner` is no member."""
        entry = iface.groups.get(group)
        if entry is None or owner not in entry.owners:
            raise EADDRNOTAVAIL
        before = entry.wanted()
        del entry.owners[owner]
        if not entry.owners:
            del iface.groups[group]
        self._changed(iface, entry, before)

    def up(self, iface: Interface) -> None:
        """The groups of all hosts; and routers on the link hear of all groups that there are."""
        for group in (ALL_HOSTS4, ipv6.ALL_NODES) if iface.ipv6 else (ALL_HOSTS4,):
            self.join(iface, group, self)
        for entry in list(iface.groups.values()):
            self._changed(iface, entry, NO_SOURCES)

    def down(self, iface: Interface) -> None:
        for group in (ALL_HOSTS4, ipv6.ALL_NODES):
            if group in iface.groups and self in iface.groups[group].owners:
                self.leave(iface, group, self)
        for entry in iface.groups.values():
            entry.cancel()
            entry.changes = 0
        for version in (4, 6):
            querier = self._queriers.pop((iface.index, version), None)
            if querier is not None and querier.timer is not None:
                querier.timer.cancel()

    def gone(self, iface: Interface) -> None:
        self.down(iface)
        iface.groups.clear()

    def source_known(self, iface: Interface) -> None:
        """A link-local address may be used now: what was said from :: is said again (RFC 3590)."""
        for entry in list(iface.groups.values()):
            if len(entry.address) == 16:
                self._changed(iface, entry, NO_SOURCES)

    # Reports of changes.

    def _silent(self, iface: Interface, group: bytes) -> bool:
        """Groups that are never reported (RFC 3376 section 6, RFC 3810 section 6)."""
        if iface.link is None or not iface.up:
            return True
        return group == ALL_HOSTS4 or len(group) == 16 and (group == ipv6.ALL_NODES or group[1] & 0xF <= 1)

    def _changed(self, iface: Interface, entry: Group, before: Filter) -> None:
        wanted = entry.wanted()
        if wanted == before or self._silent(iface, entry.address):
            if not entry.owners:
                entry.cancel()
            return
        settings = self.stack.settings
        robustness = settings.igmp_qrv if len(entry.address) == 4 else settings.mld_qrv
        if not entry.changes:
            entry.reported = before
        entry.changes = max(robustness, 1)
        self._tell(iface, entry)

    def _tell(self, iface: Interface, entry: Group) -> None:
        """A report now, and once more a little later: the first may be lost."""
        entry.cancel()
        entry.changes -= 1
        old = self._is_old(iface, len(entry.address))
        if not old:
            records = _difference(entry.address, entry.reported, entry.wanted())
            self._send_records(iface, len(entry.address), records)
        elif entry.owners:
            self._report_old(iface, entry)
        else:
            entry.changes = 0
            self._leave_old(iface, entry)
        if entry.changes:
            delay_ns = self.stack.autoconf.random_ns(UNSOLICITED_NS if old else 10**9)
            entry.timer = self.stack.timers.add(self.stack.now_ns + delay_ns, lambda: self._tell(iface, entry))
        else:
            entry.reported = entry.wanted()

    def _is_old(self, iface: Interface, size: int) -> int:
        """The version to speak to an old router, 0 for the newest."""
        settings = self.stack.settings
        forced, newest = (settings.force_igmp_version, 3) if size == 4 else (settings.ipv6_force_mld_version, 2)
        if forced:
            return forced if forced < newest else 0
        querier = self._queriers.get((iface.index, size))
        return querier.version if querier is not None and querier.older_until_ns > self.stack.now_ns else 0

    # Queries, and reports of others.

    def heard4(self, packet: Packet) -> None:
        """An IGMP message."""
        try:
            message = igmp.parse(packet.payload)
        except BadPacket:
            return
        iface = packet.iface
        if isinstance(message, igmp.Query):
            older = message.version if message.version < 3 else 0
            self._asked(iface, message.group, older, message.response_ms, message.robustness, message.interval_s)
        elif isinstance(message, igmp.Report):
            self._heard_report(iface, message.group)

    def heard6(self, packet: Packet, message: icmp6.Icmp6) -> None:
        """An MLD message; raises BadPacket. Only from the link, with a hop limit of 1 (RFC 3810 section 5.1.14)."""
        said = mld.parse(message)
        if packet.ttl != 1 or not ipv6.is_link_local(packet.src) and not isinstance(said, igmp.Report3):
            raise BadPacket("mld message from elsewhere", packet.src)
        iface = packet.iface
        if isinstance(said, igmp.Query):
            older = 1 if said.version == 1 else 0
            self._asked(iface, said.group, older, said.response_ms, said.robustness, said.interval_s)
        elif isinstance(said, mld.Report):
            self._heard_report(iface, said.group)

    def _asked(
        self, iface: Interface, group: bytes, older: int, response_ms: int, robustness: int, interval_s: int
    ) -> None:
        stack, size = self.stack, len(group)
        if older:
            querier = self._querier(iface, size)
            querier.version = older
            lasts_s = (robustness or 2) * (interval_s or INTERVAL_S) + 10  # RFC 3376 section 8.12
            querier.older_until_ns = stack.now_ns + lasts_s * 10**9
        within_ns = max(response_ms, 1) * 10**6
        if any(group) or self._is_old(iface, size):
            for entry in list(iface.groups.values()):
                if len(entry.address) == size and (entry.address == group or not any(group)):
                    self._answer(iface, entry, within_ns)
            return
        querier = self._querier(iface, size)
        deadline_ns = stack.now_ns + stack.autoconf.random_ns(within_ns)
        if querier.timer is not None and querier.timer.pending and querier.timer.deadline_ns <= deadline_ns:
            return
        if querier.timer is not None:
            querier.timer.cancel()
        querier.timer = stack.timers.add(deadline_ns, lambda: self._report_all(iface, size))

    def _querier(self, iface: Interface, size: int) -> _Querier:
        return self._queriers.setdefault((iface.index, size), _Querier(0))

    def _answer(self, iface: Interface, entry: Group, within_ns: int) -> None:
        if entry.changes or self._silent(iface, entry.address):
            return
        deadline_ns = self.stack.now_ns + self.stack.autoconf.random_ns(within_ns)
        if entry.timer is not None and entry.timer.pending and entry.timer.deadline_ns <= deadline_ns:
            return
        entry.cancel()
        entry.timer = self.stack.timers.add(deadline_ns, lambda: self._report(iface, entry))

    def _report(self, iface: Interface, entry: Group) -> None:
        entry.timer = None
        if self._is_old(iface, len(entry.address)):
            self._report_old(iface, entry)
        else:
            self._send_records(iface, len(entry.address), [_current(entry)])

    def _report_all(self, iface: Interface, size: int) -> None:
        records = [
            _current(entry)
            for entry in iface.groups.values()
            if len(entry.address) == size and not self._silent(iface, entry.address)
        ]
        for at in range(0, len(records), RECORDS_AT_ONCE):
            self._send_records(iface, size, records[at : at + RECORDS_AT_ONCE])

    def _heard_report(self, iface: Interface, group: bytes) -> None:
        """Another member has answered: old versions need no second answer (RFC 2236 section 3)."""
        entry = iface.groups.get(group)
        if entry is not None and not entry.changes:
            entry.cancel()

    # Sending.

    def _send_records(self, iface: Interface, size: int, records: list[igmp.Record]) -> None:
        if not records or not iface.up:
            return
        if size == 4:
            self._send4(iface, igmp.ALL_REPORTS3, igmp.pack_report3(records))
        else:
            self._send6(iface, mld.ALL_REPORTS2, mld.pack_report2(records))

    def _report_old(self, iface: Interface, entry: Group) -> None:
        if len(entry.address) == 16:
            self._send6(iface, entry.address, mld.pack_report(entry.address))
        else:
            version = self._is_old(iface, 4)
            self._send4(iface, entry.address, igmp.pack_report(version, entry.address))

    def _leave_old(self, iface: Interface, entry: Group) -> None:
        if len(entry.address) == 16:
            self._send6(iface, ipv6.ALL_ROUTERS, mld.pack_done(entry.address))
        elif self._is_old(iface, 4) != 1:
            self._send4(iface, ALL_ROUTERS4, igmp.pack_leave(entry.address))

    def _send4(self, iface: Interface, dst: bytes, body: bytes) -> None:
        source = self.stack.source4(iface, dst)
        try:
            self.stack.send(
                self._flow(iface, source, dst), ipv4.IGMP, body, ttl=1, tos=0xC0, options=igmp.ROUTER_ALERT, loop=False
            )
        except NetError:
            pass  # the interface is going down

    def _send6(self, iface: Interface, dst: bytes, message: tuple[int, int, bytes]) -> None:
        source = next(
            (entry.local for entry in iface.addresses
             if len(entry.local) == 16 and ipv6.is_link_local(entry.local) and not entry.flags & TENTATIVE),
            ANY6,
        )  # fmt: skip
        kind, rest, payload = message
        body = icmp6.pack(kind, 0, rest, payload, source, dst)
        try:
            self.stack.send(
                self._flow(iface, source, dst), ipv6.ICMPV6, body, ttl=1, options=_ALERT6,
                first_option=ipv6.HOP_BY_HOP, loop=False,
            )  # fmt: skip
            self.stack.icmp6.count_out(kind)
        except NetError:
            pass

    def _flow(self, iface: Interface, source: bytes, dst: bytes) -> Flow:
        """No route is asked: a report belongs on its own link."""
        neighbor = self.stack.neighbors.hop(iface, dst, multicast=True) if iface.kind == "ether" else None
        return Flow(self.stack, iface, source, dst, dst, iface.mtu, multicast=True, neighbor=neighbor)


def _current(entry: Group) -> igmp.Record:
    exclude, sources = entry.wanted()
    return igmp.Record(igmp.IS_EXCLUDE if exclude else igmp.IS_INCLUDE, entry.address, tuple(sorted(sources)))


def _difference(group: bytes, before: Filter, after: Filter) -> list[igmp.Record]:
    """The records that tell a change (RFC 3376 section 5.1)."""
    (was_exclude, old), (is_exclude, new) = before, after
    if was_exclude != is_exclude:
        kind = igmp.TO_EXCLUDE if is_exclude else igmp.TO_INCLUDE
        return [igmp.Record(kind, group, tuple(sorted(new)))]
    allowed, blocked = (old - new, new - old) if is_exclude else (new - old, old - new)
    records = [igmp.Record(igmp.ALLOW, group, tuple(sorted(allowed)))] if allowed else []
    if blocked:
        records.append(igmp.Record(igmp.BLOCK, group, tuple(sorted(blocked))))
    return records
