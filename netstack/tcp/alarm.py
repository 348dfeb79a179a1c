"""A deadline that moves often and is seldom reached: the timer behind it is left alone as long as it only moves on."""

from __future__ import annotations

from collections.abc import Callable

from netstack.timers import Timer, Timers


class Alarm:
    """`callback` at `deadline_ns`, -1 for never."""

    __slots__ = ("_callback", "_timer", "_timers", "deadline_ns")

    def __init__(self, timers: Timers, callback: Callable[[], None]) -> None:
        self._timers = timers
        self._callback = callback
        self._timer: Timer | None = None
        self.deadline_ns = -1

    def set(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        if deadline_ns < 0:
            return
        timer = self._timer
        if timer is not None:
            if timer.deadline_ns <= deadline_ns:
                return  # it comes too early, and is set anew then
            timer.cancel()
        self._timer = self._timers.add(deadline_ns, self._ring)

    def clear(self) -> None:
        self.deadline_ns = -1

    def stop(self) -> None:
        """For good: the timer goes, too."""
        self.deadline_ns = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        timer, self._timer = self._timer, None
        deadline_ns = self.deadline_ns
        if timer is None or deadline_ns < 0:
            return
        if deadline_ns > timer.deadline_ns:
            self._timer = self._timers.add(deadline_ns, self._ring)
            return
        self.deadline_ns = -1
        self._callback()
