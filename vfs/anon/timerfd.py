"""timerfd_create(2): a timer as a file.

As in Linux an interval timer fires once and is started again when its expirations are read or asked for, so that a
guest's shortest interval costs nothing while nobody looks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOTTY, WouldBlock
from sentry.abi.flags import (
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    TFD_IOC_SET_TICKS,
)
from sentry.wait import IN, RDNORM
from vfs.anon.inode import SHARED
from vfs.core.file import O_RDWR, File, Stat

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.timers import Timer


class TimerFile(File):
    """`ticks` are expirations that were counted and not yet read; `due_ns` is the next one, on the timer's clock."""

    __slots__ = ("_timer", "clock", "due_ns", "interval_ns", "kernel", "settings", "ticks")

    def __init__(self, kernel: Kernel, clock: int, flags: int) -> None:
        super().__init__(O_RDWR | flags)
        self.kernel = kernel
        self.clock = clock
        self.ticks = 0
        self.due_ns = 0  # 0: disarmed
        self.interval_ns = 0
        self.settings = 0  # flags of timerfd_settime, shown in fdinfo
        self._timer: Timer | None = None

    def now_ns(self) -> int:
        clock = self.clock
        if clock in (CLOCK_REALTIME, CLOCK_REALTIME_ALARM):
            return self.kernel.realtime_ns()
        if clock in (CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return self.kernel.now_ns()

    def arm(self, value_ns: int, interval_ns: int, absolute: bool, settings: int) -> None:
        """timerfd_settime; a value of 0 disarms."""
        self._cancel()
        self.ticks = 0
        self.settings = settings
        self.interval_ns = interval_ns
        self.due_ns = 0
        if value_ns:
            self.due_ns = value_ns if absolute else self.now_ns() + value_ns
            self._start()

    def remaining(self) -> tuple[int, int]:
        """(time to the next expiration or 0, interval), after counting what has passed."""
        self._forward()
        return (max(self.due_ns - self.now_ns(), 1) if self.due_ns else 0), self.interval_ns

    def _start(self) -> None:
        kernel = self.kernel
        deadline_ns = kernel.now_ns() + self.due_ns - self.now_ns()
        self._timer = kernel.timers.add(deadline_ns, self._fire)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self.due_ns > self.now_ns():  # the clock was set back, or it is not the loop's
            self._start()
            return
        self.ticks += 1
        if self.interval_ns:
            self.due_ns += self.interval_ns
        else:
            self.due_ns = 0
        self.queue.notify(IN | RDNORM)

    def _forward(self) -> None:
        """Count the expirations since the last look and start an interval timer again."""
        if self._timer is not None and self.due_ns <= self.now_ns():  # due, but the loop has not come to it yet
            self._cancel()
            self._fire()
        if self.due_ns and self._timer is None:
            late_ns = self.now_ns() - self.due_ns
            if late_ns >= 0:
                passed = late_ns // self.interval_ns + 1
                self.ticks = min(self.ticks + passed, (1 << 64) - 1)
                self.due_ns += passed * self.interval_ns
            self._start()

    # data -------------------------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        if size < 8:
            raise EINVAL
        self._forward()
        if not self.ticks:
            raise WouldBlock
        return self.ticks.to_bytes(8, "little")

    def consume(self, count: int) -> None:
        if count:
            self.ticks = 0

    def write(self, data: bytes) -> int:
        raise EINVAL

    def poll(self) -> int:
        if not self.ticks and self._timer is not None and self.due_ns <= self.now_ns():
            self._cancel()
            self._fire()
        return IN | RDNORM if self.ticks else 0

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request != TFD_IOC_SET_TICKS:
            raise ENOTTY
        ticks = t.mem.u64(arg)
        if not ticks:
            raise EINVAL
        self.ticks = ticks
        self.queue.notify(IN | RDNORM)
        return 0

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[timerfd]"

    def release(self) -> None:
        self._cancel()
