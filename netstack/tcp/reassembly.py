"""Data that came before what should have come first, and what SACK says of it (RFC 2018, RFC 2883)."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

PIECES_AT_MOST: Final = 2048  # each gap costs a piece: a peer that sends every other byte does not fill our memory


class OutOfOrder:
    """Pieces of the stream beyond the next byte expected; none overlap.

    bytes    in all pieces
    ranges   what is contiguous, the one that changed last first: the order of SACK blocks
    doubled  the range that the last segment brought again, for a DSACK; None once it was reported
    """

    __slots__ = ("_pieces", "bytes", "doubled", "ranges")

    def __init__(self) -> None:
        self._pieces: list[tuple[int, int, bytes | memoryview]] = []
        self.bytes = 0
        self.ranges: list[tuple[int, int]] = []
        self.doubled: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, start: int, data: bytes | memoryview) -> None:
        """Keep what of `data` is not there yet."""
        pieces = self._pieces
        end = start + len(data)
        if len(pieces) >= PIECES_AT_MOST:
            return
        first = bisect_left(pieces, (start,))
        if first and pieces[first - 1][1] > start:
            first -= 1
        at = start
        fresh: list[tuple[int, int, bytes | memoryview]] = []
        for piece_start, piece_end, _ in pieces[first:]:
            if piece_start >= end:
                break
            if at < piece_start:
                fresh.append((at, piece_start, data[at - start : piece_start - start]))
            at = max(at, piece_end)
        if at < end:
            fresh.append((at, end, data[at - start :]))
        new = 0
        for piece in fresh:
            insort(pieces, piece, key=_start)
            new += piece[1] - piece[0]
        self.bytes += new
        if new < end - start:
            self.doubled = self._overlap(start, end)
        self._note(start, end)

    def _overlap(self, start: int, end: int) -> tuple[int, int]:
        """The part that an earlier range had (the whole segment, if it is not one piece of it)."""
        for low, high in self.ranges:
            if low < end and start < high:
                return max(low, start), min(high, end)
        return start, end

    def _note(self, start: int, end: int) -> None:
        rest = []
        for low, high in self.ranges:
            if high < start or low > end:
                rest.append((low, high))
            else:
                start, end = min(start, low), max(end, high)
        self.ranges = [(start, end), *rest]

    def take(self, position: int) -> list[bytes | memoryview]:
        """The pieces that follow `position` without a gap, and no longer are out of order."""
        pieces = self._pieces
        taken: list[bytes | memoryview] = []
        count = 0
        for start, end, data in pieces:
            if start > position:
                break
            count += 1
            self.bytes -= end - start
            if end > position:
                taken.append(data[position - start :] if start < position else data)
                position = end
        if count:
            del pieces[:count]
        if self.ranges:
            self.ranges = [(low, high) for low, high in self.ranges if low > position]
        return taken

    def blocks(self) -> list[tuple[int, int]]:
        """What an acknowledgement says: the DSACK, once, then the ranges."""
        if self.doubled is None:
            return self.ranges[:4]
        doubled, self.doubled = self.doubled, None
        return [doubled, *self.ranges[:3]]

    def clear(self) -> None:
        self._pieces.clear()
        self.ranges.clear()
        self.bytes = 0


def _start(piece: tuple[int, int, bytes | memoryview]) -> int:
    return piece[0]
