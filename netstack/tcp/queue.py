"""Bytes in a row, kept in the pieces in which they came: what a receiver has not read, what a sender must keep.

Pieces are never changed once somebody may hold a view of them; small ones that follow each other are put together, so
that a million single bytes do not make a million objects. Positions are those of the stream and do not wrap.
"""

from __future__ import annotations

from bisect import bisect_right

SMALL = 2048  # a piece below this is copied to the one before it
GROWN = 16384  # which grows to about this


class ByteQueue:
    """start, end: the positions of the first byte kept and after the last one."""

    __slots__ = ("_pieces", "_starts", "end", "start")

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.end = start
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._starts: list[int] = []

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: bytes | memoryview) -> None:
        """Add at the end. `data` is kept as it is: nobody may change it afterwards."""
        size = len(data)
        pieces = self._pieces
        if size < SMALL and pieces:
            last = pieces[-1]
            if type(last) is bytearray:
                if len(last) < GROWN:
                    try:
                        last += data
                        self.end += size
                        return
                    except BufferError:  # somebody holds a view of it
                        data = bytearray(data)  # type: ignore[assignment]
            elif len(last) < SMALL:
                last = bytearray(last)
                last += data
                pieces[-1] = last
                self.end += size
                return
        if size:
            pieces.append(data)
            self._starts.append(self.end)
            self.end += size

    def slice(self, start: int, size: int) -> bytes | memoryview:
        """`size` bytes from position `start` on, or what there is of them; copied only where pieces meet."""
        size = min(size, self.end - start)
        if size <= 0:
            return b""
        starts = self._starts
        index = 0 if len(starts) == 1 or start < starts[1] else bisect_right(starts, start) - 1
        piece = self._pieces[index]
        offset = start - starts[index]
        if len(piece) - offset >= size:
            if size <= SMALL:
                return bytes(piece[offset : offset + size])
            if len(piece) == size and type(piece) is bytes:
                return piece
            return memoryview(piece)[offset : offset + size]
        parts = [memoryview(piece)[offset:]]
        missing = size - len(parts[0])
        while missing:
            index += 1
            piece = self._pieces[index]
            parts.append(memoryview(piece)[:missing])
            missing -= len(parts[-1])
        return b"".join(parts)

    def drop(self, position: int) -> None:
        """Forget what lies before `position`."""
        if position >= self.end:
            self._pieces.clear()
            self._starts.clear()
            self.start = self.end = max(position, self.end)
            return
        self.start = position
        starts = self._starts
        if len(starts) > 1 and starts[1] <= position:
            count = bisect_right(starts, position) - 1
            del starts[:count]
            del self._pieces[:count]

    def clear(self) -> None:
        self.drop(self.end)
