"""Deadlines of the kernel: one heap on CLOCK_MONOTONIC, run by the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from time import monotonic_ns

NEVER_NS = (1 << 63) - 1  # the end of time, as Linux has it (KTIME_MAX): guests may ask for more seconds
MAX_DUE = 64  # callbacks of one round: calls are taken in between


class Timer:
    """A callback at a time; `cancel` is cheap, the heap forgets cancelled ones when they come up."""

    __slots__ = ("deadline_ns", "callback", "order")

    def __init__(self, deadline_ns: int, callback: Callable[[], None], order: int) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback
        self.order = order

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return (self.deadline_ns, self.order) < (other.deadline_ns, other.order)


class Timers:
    """All pending timers."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._order = 0

    def add(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` from the loop at `deadline_ns` (CLOCK_MONOTONIC) or soon after."""
        self._order += 1
        timer = Timer(min(deadline_ns, NEVER_NS), callback, self._order)
        heap = self._heap
        heappush(heap, timer)
        if len(heap) > 4096 and self._order % 4096 == 0:
            self._heap = [entry for entry in heap if entry.callback is not None]
            heapify(self._heap)
        return timer

    def next_ns(self) -> int:
        """The earliest deadline; -1 when there is none."""
        heap = self._heap
        while heap and heap[0].callback is None:
            heappop(heap)
        return heap[0].deadline_ns if heap else -1

    def due(self) -> Iterator[Callable[[], None]]:
        """The callbacks that are due now, MAX_DUE at most; one that adds a due timer does not run it in this round."""
        heap = self._heap
        if not heap or heap[0].deadline_ns > (now := monotonic_ns()):
            return
        due: list[Timer] = []
        while heap and heap[0].deadline_ns <= now and len(due) < MAX_DUE:
            due.append(heappop(heap))
        for timer in due:
            callback = timer.callback
            if callback is not None:  # not cancelled, perhaps by the one before it
                timer.callback = None
                yield callback
