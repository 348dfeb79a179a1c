"""What was sent and not yet acknowledged, range by range (RFC 2018, 6675), and in the order of sending (RFC 8985).

A range lies between two positions (sequence numbers that do not wrap) and is in flight, selectively acknowledged, or
lost and waiting to be sent again. Ranges lie side by side from `una` to `nxt`. One is made for what went to the device
at once, up to 64 KiB; an acknowledgement of a part splits it, neighbours that are acknowledged become one again. So the
work for an acknowledgement is in proportion to what it says that is new.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

IN_FLIGHT: Final = 0
SACKED: Final = 1
LOST: Final = 2

MAX_RANGES: Final = 4096  # no more data is sent then: a window of tiny segments costs memory, not only bytes
MAX_SPLIT: Final = 6144  # nor does a peer's choice of SACK blocks make more ...
SEGMENT_SHIFT: Final = 8  # ... nor more than for segments of 256 bytes

NEVER: Final = 1 << 126  # later than any time

_start = attrgetter("start")


def unwrap(seq: int, near: int) -> int:
    """The position with these 32 low bits that is nearest to `near`."""
    return near + (((seq - near) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Range:
    """[start, end), last sent at `sent_ns`, first at `first_ns`; `again`: more than once."""

    __slots__ = ("again", "end", "first_ns", "sent_ns", "start", "state")

    def __init__(self, start: int, end: int, first_ns: int, sent_ns: int, state: int, again: bool) -> None:
        self.start = start
        self.end = end
        self.first_ns = first_ns
        self.sent_ns = sent_ns
        self.state = state
        self.again = again

    def __repr__(self) -> str:
        state = ("in flight", "sacked", "lost")[self.state]
        return f"<{self.start}-{self.end} {state} {self.sent_ns}{' again' * self.again}>"


class Scoreboard:
    """Ranges, their sums, and what the acknowledgement being looked at has delivered.

    una, nxt           first position not acknowledged, first not sent
    pipe               bytes in flight; with sacked_bytes and lost_bytes they add up to nxt - una
    highest_sacked     end of the highest range delivered (RACK.fack)

    After `begin`, `advance` and `sack` of one acknowledgement:
    delivered          bytes that were not known to have arrived; `fresh`, those of them sent only once
    oldest_ns          sending time of the first delivered of those sent only once, NEVER for none
    newest_ns, newest_end   of the one sent last; again_ns, again_end likewise of those sent more than once; -1 for none
    reordered          one sent only once was delivered after a later one
    """

    __slots__ = (
        "_fack", "_lost", "_sends", "again_end", "again_ns", "delivered", "fresh", "highest_sacked", "lost_bytes",
        "newest_end", "newest_ns", "nxt", "oldest_ns", "pipe", "ranges", "reordered", "sacked_bytes", "una",
    )  # fmt: skip

    def __init__(self, start: int) -> None:
        self.una = self.nxt = self.highest_sacked = self._fack = start
        self.pipe = self.sacked_bytes = self.lost_bytes = 0
        self.ranges: list[Range] = []
        self._sends: deque[tuple[int, int, int]] = deque()  # (sent_ns, start, end), oldest first; may be out of date
        self._lost: list[int] = []  # a heap of where lost ranges start; may be out of date
        self.begin()

    # Sending

    def append(self, end: int, now_ns: int) -> None:
        """[nxt, end) is on its way for the first time."""
        start = self.nxt
        self.nxt = end
        self.pipe += end - start
        ranges, sends = self.ranges, self._sends
        if ranges:
            last = ranges[-1]
            if last.sent_ns == now_ns and not last.again and last.state == IN_FLIGHT and sends[-1] == (
                now_ns, last.start, start,
            ):  # fmt: skip
                last.end = end  # one burst: tiny segments do not cost a range each
                sends[-1] = (now_ns, last.start, end)
                return
        ranges.append(Range(start, end, now_ns, now_ns, IN_FLIGHT, False))
        sends.append((now_ns, start, end))

    def resend(self, start: int, end: int, now_ns: int) -> None:
        """[start, end) is on its way again, lost or not."""
        index = self._cut(start)
        stop = self._cut(end)
        for entry in self.ranges[index:stop]:
            if entry.state == SACKED:
                continue
            if entry.state == LOST:
                size = entry.end - entry.start
                self.lost_bytes -= size
                self.pipe += size
                entry.state = IN_FLIGHT
            entry.sent_ns = now_ns
            entry.again = True
        self._sends.append((now_ns, start, end))
        if len(self._sends) > 4 * MAX_RANGES:
            flying = [(entry.sent_ns, entry.start, entry.end) for entry in self.ranges if entry.state == IN_FLIGHT]
            self._sends = deque(sorted(flying))

    def first_lost(self, limit: int) -> tuple[int, int] | None:
        """The first bytes to send again, at most `limit` of them; ranges in a row count as one."""
        heap, ranges = self._lost, self.ranges
        while heap:
            start = heap[0]
            if start < self.una:
                start = self.una
            index = bisect_right(ranges, start, key=_start) - 1
            if index < 0 or ranges[index].state != LOST:
                heappop(heap)
                continue
            start = ranges[index].start
            end = ranges[index].end
            while end - start < limit and index + 1 < len(ranges) and ranges[index + 1].state == LOST:
                index += 1
                end = ranges[index].end
            return start, min(end, start + limit)
        return None

    # Acknowledgements

    def begin(self) -> None:
        """A new acknowledgement is looked at."""
        self.delivered = self.fresh = 0
        self.oldest_ns = NEVER
        self.newest_ns = self.newest_end = self.again_ns = self.again_end = -1
        self.reordered = False
        self._fack = self.highest_sacked

    def advance(self, ack: int) -> None:
        """Everything below `ack` has arrived; una <= ack <= nxt."""
        ranges = self.ranges
        done = 0
        for entry in ranges:
            if entry.end > ack:
                break
            done += 1
            if entry.state == SACKED:
                self.sacked_bytes -= entry.end - entry.start
            else:
                self._deliver(entry, entry.end)
        if done:
            del ranges[:done]
        if ranges:
            entry = ranges[0]
            if entry.start < ack:
                if entry.state == SACKED:
                    self.sacked_bytes -= ack - entry.start
                else:
                    self._deliver(entry, ack)
                entry.start = ack
        self.una = ack
        if ack > self.highest_sacked:
            self.highest_sacked = ack
        sends = self._sends
        while sends and sends[0][2] <= ack:
            sends.popleft()
        if not self.lost_bytes and self._lost:
            self._lost.clear()

    def sack(self, start: int, end: int) -> None:
        """[start, end) has arrived, una <= start < end <= nxt."""
        ranges = self.ranges
        index = bisect_right(ranges, start, key=_start) - 1
        first = ranges[index]
        if first.state == SACKED:
            if first.end >= end:
                return  # nothing new
        elif len(ranges) >= min(MAX_SPLIT, 64 + len(self._sends) + ((self.nxt - self.una) >> SEGMENT_SHIFT)):
            return
        elif first.start < start:
            self._split(index, start)
            index += 1
        stop = index
        while stop < len(ranges):
            entry = ranges[stop]
            if entry.start >= end:
                break
            if entry.state != SACKED:
                if entry.end > end:
                    self._split(stop, end)
                self._deliver(entry, entry.end)
                self.sacked_bytes += entry.end - entry.start
                entry.state = SACKED
            stop += 1
        if index and ranges[index - 1].state == SACKED:
            index -= 1
        if stop < len(ranges) and ranges[stop].state == SACKED:
            stop += 1
        if stop - index > 1:
            ranges[index].end = ranges[stop - 1].end
            del ranges[index + 1 : stop]
        if end > self.highest_sacked:
            self.highest_sacked = end

    def _deliver(self, entry: Range, end: int) -> None:
        """A range in flight or lost has arrived as far as `end`."""
        size = end - entry.start
        self.delivered += size
        if entry.state == IN_FLIGHT:
            self.pipe -= size
        else:
            self.lost_bytes -= size
        sent_ns = entry.sent_ns
        if entry.again:
            if sent_ns >= self.again_ns:
                self.again_ns = sent_ns
                self.again_end = end
            return
        self.fresh += size
        if sent_ns < self.oldest_ns:
            self.oldest_ns = sent_ns
        if sent_ns >= self.newest_ns:
            self.newest_ns = sent_ns
            self.newest_end = end
        if end < self._fack:
            self.reordered = True

    @property
    def oldest_sent_ns(self) -> int:
        """When the first byte not acknowledged was first sent; -1 for none."""
        return self.ranges[0].first_ns if self.ranges else -1

    # Losses

    def lose(self, entry: Range) -> None:
        """A range in flight is believed lost."""
        size = entry.end - entry.start
        entry.state = LOST
        self.pipe -= size
        self.lost_bytes += size
        heappush(self._lost, entry.start)

    def lose_first(self, size: int) -> None:
        """The first segment is believed lost: all that duplicate acknowledgements tell (RFC 6582)."""
        if self.ranges:
            self._cut(min(self.una + size, self.nxt))
            if self.ranges[0].state == IN_FLIGHT:
                self.lose(self.ranges[0])

    def lose_older(self, newest_ns: int, newest_end: int, limit_ns: int) -> int:
        """Lose what was sent before the range that was sent at `newest_ns` and ended at `newest_end`, and not after
        `limit_ns`; returns the sending time of the first that is older than that range but not old enough, -1 for none
        (RFC 8985, 6.2, step 5). Of ranges sent at one time the lower was sent earlier."""
        sends = self._sends
        index = 0
        while index < len(sends):
            sent_ns, start, end = sends[index]
            if sent_ns > newest_ns:
                break
            standing = False
            if end > self.una:
                for entry in self._between(start, end):
                    if entry.sent_ns != sent_ns or entry.state != IN_FLIGHT:
                        continue
                    if sent_ns == newest_ns and entry.end > newest_end:
                        standing = True
                    elif sent_ns > limit_ns:
                        return sent_ns
                    else:
                        self.lose(entry)
            if standing or index:
                index += 1
            else:
                sends.popleft()
        return -1

    def lose_if_older(self, limit_ns: int) -> None:
        """Lose what was sent at `limit_ns` or before, and the first range in any case (RFC 8985, 6.3)."""
        for index, entry in enumerate(self.ranges):
            if entry.state == IN_FLIGHT and (entry.sent_ns <= limit_ns or index == 0):
                self.lose(entry)

    def renege(self) -> None:
        """The peer has thrown away what it had acknowledged selectively, which it may (RFC 2018, 8)."""
        for entry in self.ranges:
            if entry.state == SACKED:
                entry.state = IN_FLIGHT
                self.pipe += entry.end - entry.start
        self.sacked_bytes = 0
        self.highest_sacked = self.una

    def found(self) -> None:
        """Nothing was lost after all."""
        for entry in self.ranges:
            if entry.state == LOST:
                entry.state = IN_FLIGHT
                self.pipe += entry.end - entry.start
        self.lost_bytes = 0
        self._lost.clear()
        self._sends = deque(
            sorted((entry.sent_ns, entry.start, entry.end) for entry in self.ranges if entry.state == IN_FLIGHT)
        )

    # Places in the list

    def _between(self, start: int, end: int) -> list[Range]:
        """The ranges that begin or lie in [start, end)."""
        ranges = self.ranges
        index = bisect_right(ranges, start, key=_start) - 1
        if index < 0:
            index = 0
        stop = index + 1
        while stop < len(ranges) and ranges[stop].start < end:
            stop += 1
        return ranges[index:stop]

    def _cut(self, at: int) -> int:
        """The index of the range that starts at `at`, once it does."""
        if at >= self.nxt:
            return len(self.ranges)
        index = bisect_right(self.ranges, at, key=_start) - 1
        if self.ranges[index].start < at:
            self._split(index, at)
            index += 1
        return index

    def _split(self, index: int, at: int) -> None:
        entry = self.ranges[index]
        rest = Range(at, entry.end, entry.first_ns, entry.sent_ns, entry.state, entry.again)
        entry.end = at
        self.ranges.insert(index + 1, rest)
        if rest.state == LOST:
            heappush(self._lost, at)
