"""VTIME of a noncanonical read (termios(3), "Canonical and noncanonical mode")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.wait import IN, RDNORM, WaitQueue

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.timers import Timer

UNIT_NS = 100_000_000  # VTIME counts tenths of a second


class ReadTimer:
    """One deadline of an open terminal. A read that is retried asks again with the same key and sees it run on; another
    read, or one that sees more bytes, starts it anew."""

    __slots__ = ("_expired", "_key", "_kernel", "_queue", "_timer")

    def __init__(self, kernel: Kernel, queue: WaitQueue) -> None:
        self._kernel = kernel
        self._queue = queue
        self._timer: Timer | None = None
        self._key: object = None
        self._expired = False

    def expired(self, key: object, tenths: int) -> bool:
        """Whether the time of the read `key` is up; starts it if it does not run yet."""
        if self._key == key and (self._expired or self._timer is not None):
            if self._expired:
                self.stop()
                return True
            return False
        self.stop()
        self._key = key
        self._timer = self._kernel.timers.add(self._kernel.now_ns() + tenths * UNIT_NS, self._ring)
        return False

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._key = None
        self._expired = False

    def _ring(self) -> None:
        self._timer = None
        self._expired = True
        self._queue.notify(IN | RDNORM)
