"""Neighbours: which MAC a next hop has, and whether it is still there (RFC 4861 section 7.3, for ARP as well as in
Linux, arp(7)). How they are asked is in `arp.py` and `ndp.py`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netstack.errors import ENOBUFS, ENOENT
from netstack.wire import ether

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.iface import Interface
    from netstack.packet import Offload
    from netstack.stack import Stack
    from netstack.timers import Timer

# NUD_*, the states by rtnetlink's numbers
NONE, INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NOARP, PERMANENT = 0, 1, 2, 4, 8, 16, 32, 64, 128
NAMES = {NONE: "NONE", INCOMPLETE: "INCOMPLETE", REACHABLE: "REACHABLE", STALE: "STALE", DELAY: "DELAY",
         PROBE: "PROBE", FAILED: "FAILED", NOARP: "NOARP", PERMANENT: "PERMANENT"}  # fmt: skip
VALID = REACHABLE | STALE | DELAY | PROBE | NOARP | PERMANENT  # states in which the MAC is used
FOR_EVER = 1 << 62
QUEUED_AT_MOST = 4 << 20  # bytes that wait for all neighbours together
LOCKTIME_NS = 10**9  # an entry does not change its MAC twice within this time (arp(7) locktime)
REROLL_NS = 300 * 10**9  # how long a random reachable time is kept (RFC 4861 section 6.3.4)
SWEEP_NS = 5 * 10**9
_WORTH = {FAILED: 0, NONE: 0, STALE: 1, INCOMPLETE: 2, DELAY: 3, PROBE: 3, REACHABLE: 4}


class Neighbor:
    """One next hop on one interface. While `now_ns < usable_until_ns` a packet goes out with `header` in front and
    nothing else is to be done; a flow looks at nothing more."""

    __slots__ = (
        "address", "dead", "header", "iface", "is_router", "mac", "probes", "queue", "queued_bytes", "source", "state",
        "table", "timer", "updated_ns", "usable_until_ns", "used_ns",
    )  # fmt: skip

    def __init__(self, table: Neighbors, iface: Interface, address: bytes, state: int = NONE, mac: bytes = b"") -> None:
        self.table = table
        self.iface = iface
        self.address = address
        self.state = state
        self.mac = b""
        self.header = b""
        self.usable_until_ns = FOR_EVER if state & (NOARP | PERMANENT) else 0
        self.is_router = False
        self.dead = False  # no longer in the table
        self.probes = 0
        self.timer: Timer | None = None
        self.queue: deque[tuple[bytes, bytes | memoryview, Offload]] = deque()
        self.queued_bytes = 0
        self.source = b""  # address of ours that the one who waits sends from
        self.updated_ns = self.used_ns = table.stack.now_ns
        if mac:
            self.set_mac(mac)

    def set_mac(self, mac: bytes) -> None:
        self.mac = mac
        kind = ether.IP4 if len(self.address) == 4 else ether.IP6
        self.header = ether.pack_header(mac, self.iface.mac, kind)

    def confirm(self) -> None:
        """It has answered, or has got what we sent: reachable from now on for a while."""
        if self.state & (REACHABLE | STALE | DELAY | PROBE):
            self.table.reachable(self)

    @property
    def current_state(self) -> int:
        """The state; a REACHABLE one becomes STALE by the mere passing of time."""
        if self.state == REACHABLE and self.table.stack.now_ns >= self.usable_until_ns:
            return STALE
        return self.state


class Neighbors:
    """The neighbours of all interfaces of a stack, bounded by the sysctl neigh_gc_thresh3."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._known: dict[tuple[int, bytes], Neighbor] = {}
        self._queued_bytes = 0
        self._reachable_ns = 0
        self._rerolled_ns = -REROLL_NS
        self._swept_ns = 0

    def __iter__(self) -> Iterator[Neighbor]:
        return iter(list(self._known.values()))

    def entries(self) -> list[Neighbor]:
        """What `ip neighbour` lists: all but those that nobody has asked for yet."""
        return [entry for entry in self._known.values() if entry.state != NONE]

    def find(self, iface: Interface, address: bytes) -> Neighbor | None:
        return self._known.get((iface.index, address))

    def add(self, iface: Interface, address: bytes, mac: bytes, state: int = PERMANENT) -> Neighbor:
        """ip neighbour replace."""
        entry = self._known.get((iface.index, address)) or self._create(iface, address)
        self._stop(entry)
        if mac:
            entry.set_mac(mac)
        entry.updated_ns = self.stack.now_ns
        if state == REACHABLE:
            self.reachable(entry)
        else:
            entry.usable_until_ns = FOR_EVER if state & (NOARP | PERMANENT) else 0
            self._turn(entry, state)
        if entry.mac and state & VALID:
            self._flush(entry)
        return entry

    def remove(self, iface: Interface, address: bytes) -> None:
        """ip neighbour del; ENOENT."""
        entry = self._known.get((iface.index, address))
        if entry is None:
            raise ENOENT
        self._turn(entry, FAILED)
        self._discard(entry)

    def flush(self, iface: Interface, keep_permanent: bool = False) -> None:
        """Forget all of an interface that goes down, or has got another MAC."""
        for entry in [entry for entry in self._known.values() if entry.iface is iface]:
            if not (keep_permanent and entry.state == PERMANENT):
                self._discard(entry)

    # Sending.

    def hop(self, iface: Interface, address: bytes, broadcast: bool = False, multicast: bool = False) -> Neighbor:
        """The entry for a next hop, made when there is none; ENOBUFS."""
        if broadcast:
            return Neighbor(self, iface, address, NOARP, ether.BROADCAST)
        if multicast:
            return Neighbor(self, iface, address, NOARP, ether.multicast_mac(address))
        entry = self._known.get((iface.index, address))
        return entry if entry is not None else self._create(iface, address)

    def output(self, flow: Flow, head: bytes, data: bytes | memoryview, offload: Offload) -> None:
        """Send a packet (an IP header and what follows) to a next hop that may not be usable as it is."""
        entry = flow.neighbor
        assert entry is not None
        if entry.dead:
            entry = flow.neighbor = self.hop(flow.iface, flow.next_hop)
        now_ns = entry.used_ns = self.stack.now_ns
        if entry.state & (STALE | REACHABLE) and entry.usable_until_ns <= now_ns:
            self._delay(entry)
        if entry.state & VALID:
            self._transmit(entry, head, data, offload)
            return
        entry.source = flow.src
        self._enqueue(entry, head, data, offload)
        if entry.state != INCOMPLETE:
            entry.probes = 0
            self._turn(entry, INCOMPLETE)
            self._solicit(entry)

    def _transmit(self, entry: Neighbor, head: bytes, data: bytes | memoryview, offload: Offload) -> None:
        self.stack.output.transmit(entry.iface, (entry.header + head, data), offload)

    def _enqueue(self, entry: Neighbor, head: bytes, data: bytes | memoryview, offload: Offload) -> None:
        """A full queue loses its oldest packet, as in Linux: what is newest is what somebody still waits for."""
        size = len(head) + len(data)
        entry.queue.append((head, data, offload))
        entry.queued_bytes += size
        self._queued_bytes += size
        limit = self.stack.settings.neigh_unres_qlen_bytes
        while entry.queue and (entry.queued_bytes > limit or self._queued_bytes > QUEUED_AT_MOST):
            old_head, old_data, _ = entry.queue.popleft()
            entry.queued_bytes -= len(old_head) + len(old_data)
            self._queued_bytes -= len(old_head) + len(old_data)
            entry.iface.counters.tx_dropped += 1

    def _take_queue(self, entry: Neighbor) -> deque[tuple[bytes, bytes | memoryview, Offload]]:
        queue, entry.queue = entry.queue, deque()
        self._queued_bytes -= entry.queued_bytes
        entry.queued_bytes = 0
        return queue

    def _flush(self, entry: Neighbor) -> None:
        for head, data, offload in self._take_queue(entry):
            self._transmit(entry, head, data, offload)

    # What neighbours say.

    def update(
        self, iface: Interface, address: bytes, mac: bytes, *, solicited: bool = False, override: bool = True,
        create: bool = True,
    ) -> Neighbor | None:  # fmt: skip
        """A neighbour has told its MAC. `solicited`: in answer to us, so that it is reachable both ways; without
        `override` another MAC than the known one does not replace it but casts doubt on it (RFC 4861 section 7.2.5)."""
        entry = self._known.get((iface.index, address))
        if entry is None:
            if not create:
                return None
            try:
                entry = self._create(iface, address)
            except ENOBUFS:
                return None
        if entry.state & (NOARP | PERMANENT):
            return entry
        now_ns = self.stack.now_ns
        known = entry.state & VALID
        changed = entry.mac != mac
        if known and changed:
            if not override:
                if entry.state == REACHABLE:
                    entry.usable_until_ns = 0
                    self._turn(entry, STALE)
                return entry
            if len(address) == 4 and now_ns - entry.updated_ns < LOCKTIME_NS:
                return entry  # of two that claim one address the first wins
        if changed or not known:
            entry.set_mac(mac)
            entry.updated_ns = now_ns
        if solicited:
            self.reachable(entry)
        elif not known or changed:
            self._stop(entry)
            entry.usable_until_ns = 0
            self._turn(entry, STALE)
        if entry.queue:
            if entry.state == STALE:
                self._delay(entry)
            self._flush(entry)
        return entry

    def reachable(self, entry: Neighbor) -> None:
        now_ns = self.stack.now_ns
        if now_ns - self._rerolled_ns >= REROLL_NS:
            base_ns = self.stack.settings.neigh_base_reachable_time_ms * 10**6
            self._reachable_ns = base_ns // 2 + base_ns * int.from_bytes(self.stack.random(2)) // 65536
            self._rerolled_ns = now_ns
        entry.usable_until_ns = now_ns + self._reachable_ns
        if entry.state != REACHABLE:
            self._stop(entry)
            self._turn(entry, REACHABLE)

    # Time.

    def _delay(self, entry: Neighbor) -> None:
        """Used while stale: whoever is above may confirm it, else it is asked."""
        self._turn(entry, DELAY)
        entry.usable_until_ns = FOR_EVER
        delay_ns = self.stack.settings.neigh_delay_first_probe_time * 10**9
        self._later(entry, delay_ns)

    def _solicit(self, entry: Neighbor) -> None:
        """Ask, and again after a second."""
        entry.probes += 1
        self._later(entry, self.stack.settings.neigh_retrans_time_ms * 10**6)
        to = entry.mac if entry.state == PROBE else b""
        if len(entry.address) == 4:
            self.stack.arp.request(entry.iface, entry.address, entry.source, to)
        else:
            self.stack.ndp.solicit(entry.iface, entry.address, entry.source, to)

    def _later(self, entry: Neighbor, delay_ns: int) -> None:
        self._stop(entry)
        entry.timer = self.stack.timers.add(self.stack.now_ns + delay_ns, lambda: self._due(entry))

    def _stop(self, entry: Neighbor) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _due(self, entry: Neighbor) -> None:
        entry.timer = None
        settings = self.stack.settings
        if entry.state == DELAY:
            entry.probes = 0
            self._turn(entry, PROBE)
        limit = settings.neigh_ucast_solicit if entry.state == PROBE else settings.neigh_mcast_solicit
        if entry.probes < limit:
            self._solicit(entry)
        else:
            self._fail(entry)

    def _fail(self, entry: Neighbor) -> None:
        """Nobody answers: whoever waits hears of it (RFC 1122 section 2.3.2.2, RFC 4861 section 7.2.2)."""
        entry.usable_until_ns = 0
        self._turn(entry, FAILED)
        for head, data, _ in self._take_queue(entry):
            entry.iface.counters.tx_errors += 1
            self.stack.next_hop_failed(entry.iface, memoryview(head + data))

    def _turn(self, entry: Neighbor, state: int) -> None:
        if entry.state != state:
            entry.state = state
            self.stack.changed("neighbor", entry)

    # The table.

    def _create(self, iface: Interface, address: bytes) -> Neighbor:
        known, settings, now_ns = self._known, self.stack.settings, self.stack.now_ns
        if len(known) >= settings.neigh_gc_thresh1 and now_ns - self._swept_ns >= SWEEP_NS:
            self._swept_ns = now_ns
            old_ns = now_ns - settings.neigh_gc_stale_time * 10**9
            for entry in list(known.values()):
                if entry.current_state & (STALE | FAILED) and max(entry.used_ns, entry.updated_ns) < old_ns:
                    self._discard(entry)
        if len(known) >= settings.neigh_gc_thresh3:
            self._evict(settings.neigh_gc_thresh3 // 16 + 1)
            if len(known) >= settings.neigh_gc_thresh3:
                raise ENOBUFS
        entry = known[iface.index, address] = Neighbor(self, iface, address)
        return entry

    def _evict(self, count: int) -> None:
        """The table is full: those go that are worth least, and of them the ones longest unused."""
        some = [entry for entry in self._known.values() if entry.state not in (PERMANENT, NOARP)]
        some.sort(key=lambda entry: (_WORTH[entry.current_state], entry.used_ns))
        for entry in some[:count]:
            self._discard(entry)

    def _discard(self, entry: Neighbor) -> None:
        self._stop(entry)
        del self._known[entry.iface.index, entry.address]
        entry.dead = True
        entry.usable_until_ns = 0
        self._take_queue(entry)
