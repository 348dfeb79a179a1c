"""Fragments put together again (RFC 791, RFC 8200 section 4.5), within bounds of time and memory.

Overlapping fragments are an attack or a fault: the whole packet is dropped (RFC 5722, and Linux for IPv4 as well);
an exact repetition is just a duplicate."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from netstack.errors import BadPacket
from netstack.wire import checksum, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack
    from netstack.timers import Timer

OVERHEAD = 256  # what a fragment costs beside its bytes
MAX_LEN = 65535
_CE, _ECT_ANY = 3, 3


class _Partial:
    """A packet of which some is there: offsets in order, and the pieces."""

    __slots__ = ("cost", "end", "first", "iface", "offsets", "pieces", "raw_first", "received", "timer", "tos")

    def __init__(self, iface: Interface, tos: int) -> None:
        self.iface = iface
        self.offsets: list[int] = []
        self.pieces: list[bytes] = []
        self.received = 0
        self.end = -1  # length of the payload, once the last fragment has come
        self.first = b""  # headers of the fragment with offset 0
        self.raw_first = b""  # that fragment, to be quoted
        self.tos = tos
        self.cost = OVERHEAD
        self.timer: Timer | None = None

    def put(self, offset: int, payload: memoryview, more: bool) -> bool:
        """Add a piece; False for a duplicate. BadPacket when it does not fit those that are there."""
        end = offset + len(payload)
        at = bisect_left(self.offsets, offset)
        if at < len(self.offsets) and self.offsets[at] == offset and len(self.pieces[at]) == len(payload):
            return False
        if at and self.offsets[at - 1] + len(self.pieces[at - 1]) > offset:
            raise BadPacket("fragments overlap", offset)
        if at < len(self.offsets) and self.offsets[at] < end:
            raise BadPacket("fragments overlap", offset)
        if more:
            if self.end >= 0 and end > self.end:
                raise BadPacket("fragment beyond the last one", offset)
        else:
            last = self.offsets[-1] + len(self.pieces[-1]) if self.offsets else 0
            if self.end not in (-1, end) or end < last:
                raise BadPacket("two last fragments", offset)
            self.end = end
        self.offsets.insert(at, offset)
        self.pieces.insert(at, bytes(payload))  # not the frame around it: that may be larger
        self.received += len(payload)
        return True


class Reassembly:
    """All packets of a stack that are not complete yet."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._partial: dict[tuple[object, ...], _Partial] = {}
        self.bytes = 0  # /proc/net/sockstat: FRAG memory

    def __len__(self) -> int:
        return len(self._partial)

    def add4(self, iface: Interface, packet: ipv4.Ipv4, raw: memoryview) -> bytes | None:
        """A fragment; the whole packet when it was the last one missing."""
        key = (packet.src, packet.dst, packet.ident, packet.proto)
        settings, counters = self.stack.settings, self.stack.counters.ip
        partial = self._take(
            key, iface, packet.tos, packet.offset, packet.payload, packet.more, counters, settings.ipfrag_time
        )
        if packet.offset == 0:
            partial.first = bytes(raw[: 20 + len(packet.options)])
            partial.raw_first = bytes(raw[:576])
        if partial.received != partial.end:
            return None
        self._forget(key)
        first = partial.first
        size = len(first) + partial.end
        if not first or size > MAX_LEN:
            counters["ReasmFails"] += 1
            return None
        counters["ReasmOKs"] += 1
        head = first[:1] + bytes((partial.tos,)) + size.to_bytes(2) + first[4:6] + b"\0\0" + first[8:10] + b"\0\0"
        head += first[12:]
        head = head[:10] + checksum.checksum(head).to_bytes(2) + head[12:]
        return b"".join((head, *partial.pieces))

    def add6(
        self, iface: Interface, packet: ipv6.Ipv6, fragment: ipv6.Fragment, raw: memoryview, answer: bool
    ) -> bytes | None:
        """The same for IPv6; the next header is that of the first fragment."""
        key = (packet.src, packet.dst, fragment.ident, iface.index if packet.dst[0] >= 0xFE else 0)
        settings, counters = self.stack.settings, self.stack.counters.ip6
        partial = self._take(
            key, iface, packet.tos, fragment.offset, fragment.payload, fragment.more, counters, settings.ip6frag_time
        )
        if fragment.offset == 0:
            head = bytearray(raw[: fragment.at])
            head[fragment.next_at] = fragment.next_header
            partial.first = bytes(head)
            partial.raw_first = bytes(raw[:1232]) if answer else b""
        if partial.received != partial.end:
            return None
        self._forget(key)
        first = partial.first
        size = len(first) - 40 + partial.end
        if not first or size > MAX_LEN:
            counters["ReasmFails"] += 1
            if first and answer:  # RFC 8200 section 4.5; the pointer is that of the offset in the fragment header
                self.stack.icmp6.problem(iface, packet, raw, ipv6.BAD_FIELD, fragment.at + 2)
            return None
        counters["ReasmOKs"] += 1
        words = int.from_bytes(first[:4]) & ~(0xFF << 20) | partial.tos << 20
        return b"".join((words.to_bytes(4), size.to_bytes(2), first[6:], *partial.pieces))

    def _take(
        self, key: tuple[object, ...], iface: Interface, tos: int, offset: int, payload: memoryview, more: bool,
        counters: dict[str, int], time_s: int,
    ) -> _Partial:  # fmt: skip
        counters["ReasmReqds"] += 1
        partial = self._partial.get(key)
        if partial is None:
            partial = self._partial[key] = _Partial(iface, tos)
            self.bytes += partial.cost
            partial.timer = self.stack.timers.add(
                self.stack.now_ns + time_s * 10**9, lambda: self._expired(key, counters)
            )
        elif (partial.tos & _ECT_ANY) != tos & _ECT_ANY:  # RFC 3168 section 5.3
            if 0 in (partial.tos & 3, tos & 3) and _CE in (partial.tos & 3, tos & 3):
                self._forget(key)
                counters["ReasmFails"] += 1
                raise BadPacket("fragments disagree on congestion", tos)
            partial.tos |= tos & 3 if tos & 3 == _CE else 0
        try:
            if partial.put(offset, payload, more):
                cost = len(payload) + OVERHEAD
                partial.cost += cost
                self.bytes += cost
        except BadPacket:
            self._forget(key)
            counters["ReasmFails"] += 1
            raise
        limit = self.stack.settings.ipfrag_high_thresh
        while self.bytes > limit and len(self._partial) > 1:  # the oldest goes, never the one at hand
            oldest = next(iter(self._partial))
            if oldest == key:
                self._partial[key] = self._partial.pop(key)
                continue
            self._forget(oldest)
            counters["ReasmFails"] += 1
        return partial

    def _forget(self, key: tuple[object, ...]) -> _Partial:
        partial = self._partial.pop(key)
        self.bytes -= partial.cost
        if partial.timer is not None:
            partial.timer.cancel()
        return partial

    def _expired(self, key: tuple[object, ...], counters: dict[str, int]) -> None:
        """RFC 1122 section 3.3.2, RFC 8200 section 4.5: the sender hears of it when the first fragment is there."""
        partial = self._forget(key)
        counters["ReasmTimeout"] += 1
        counters["ReasmFails"] += 1
        if partial.raw_first and partial.iface.index:
            self.stack.reassembly_expired(partial.iface, memoryview(partial.raw_first))
