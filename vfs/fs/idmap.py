"""User and group numbers inside and outside of the container (user_namespaces(7), uid_map)."""

from __future__ import annotations

OVERFLOW = 65534  # what an unmapped number looks like


class IdMap:
    """`ranges` are (inside, outside, count) as in uid_map; none means that both sides are the same."""

    __slots__ = ("_in", "_out", "ranges")

    def __init__(self, ranges: tuple[tuple[int, int, int], ...] = ()) -> None:
        self.ranges = ranges
        self._in: dict[int, int] = {}
        self._out: dict[int, int] = {}

    @property
    def identity(self) -> bool:
        return not self.ranges or all(inside == outside for inside, outside, _ in self.ranges) and self._whole()

    def _whole(self) -> bool:
        return sum(count for _, _, count in self.ranges) >= 0xFFFF_FFFF

    def inside(self, outside: int) -> int:
        """What the guest sees of a number on disk."""
        found = self._in.get(outside)
        if found is None:
            found = OVERFLOW
            for first, host, count in self.ranges:
                if host <= outside < host + count:
                    found = first + outside - host
            if len(self._in) < 4096:
                self._in[outside] = found
        return found

    def outside(self, inside: int) -> int:
        """What is written to disk; -1 for a number without a mapping, where Linux says EINVAL or EOVERFLOW."""
        found = self._out.get(inside)
        if found is None:
            found = -1
            for first, host, count in self.ranges:
                if first <= inside < first + count:
                    found = host + inside - first
            if len(self._out) < 4096:
                self._out[inside] = found
        return found
