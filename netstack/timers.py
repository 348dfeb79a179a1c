"""Deadlines of a stack: a heap that somebody else's clock drives. A day of retransmissions is a fast test."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Timer:
    """A callback at a time; `cancel` is cheap, the heap forgets cancelled ones when they come up."""

    __slots__ = ("callback", "deadline_ns", "order")

    def __init__(self, deadline_ns: int, callback: Callable[[], None], order: int) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback
        self.order = order

    def cancel(self) -> None:
        self.callback = None

    @property
    def pending(self) -> bool:
        return self.callback is not None

    def __lt__(self, other: Timer) -> bool:
        return (self.deadline_ns, self.order) < (other.deadline_ns, other.order)


class Timers:
    """All pending timers; `earlier` is told when the next deadline has moved forward: the driver sleeps less then."""

    __slots__ = ("_heap", "_order", "earlier")

    def __init__(self, earlier: Callable[[], None]) -> None:
        self._heap: list[Timer] = []
        self._order = 0
        self.earlier = earlier

    def add(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        self._order += 1
        timer = Timer(deadline_ns, callback, self._order)
        heap = self._heap
        heappush(heap, timer)
        if len(heap) > 4096 and self._order % 4096 == 0:
            self._heap = heap = [entry for entry in heap if entry.callback is not None]
            heapify(heap)
        if heap[0] is timer:
            self.earlier()
        return timer

    def next_ns(self) -> int:
        """The earliest deadline; -1 when there is none."""
        heap = self._heap
        while heap and heap[0].callback is None:
            heappop(heap)
        return heap[0].deadline_ns if heap else -1

    def run(self, now_ns: int, at_most: int = 256) -> None:
        """Run what is due. A callback that adds a due timer does not run it in this round."""
        heap = self._heap
        due: list[Timer] = []
        while heap and heap[0].deadline_ns <= now_ns and len(due) < at_most:
            due.append(heappop(heap))
        for timer in due:
            callback = timer.callback
            if callback is not None:  # not cancelled, perhaps by the one before it
                timer.callback = None
                callback()
