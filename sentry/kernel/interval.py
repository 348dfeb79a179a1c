"""Timers that send signals: setitimer(2) ITIMER_REAL, alarm(2), timer_create(2). CPU-time timers are the host's.

Linux queues a timer's signal once; expirations that come while it is pending are its overrun count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EAGAIN, EINVAL
from sentry.kernel.siginfo import SI_KERNEL, plain_info, timer_info
from sentry.kernel.signals import SIGALRM

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.kernel.timers import Timer

CLOCK_REALTIME = 0
SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 0, 1, 2, 4
DELAYTIMER_MAX = 0x7FFF_FFFF
MAX_TIMERS = 4096
MIN_INTERVAL_NS = 1_000  # an interval of a nanosecond must not keep the Sentry busy for ever


class Alarm:
    """A deadline with an interval on one clock; calls `fire(expirations)`."""

    __slots__ = ("kernel", "clock", "deadline_ns", "interval_ns", "timer")

    def __init__(self, kernel: Kernel, clock: int) -> None:
        self.kernel = kernel
        self.clock = clock
        self.deadline_ns = 0  # on CLOCK_MONOTONIC, 0 when disarmed
        self.interval_ns = 0
        self.timer: Timer | None = None

    def get(self) -> tuple[int, int]:
        """(ns left, interval in ns); left is 0 when disarmed and at least 1 when armed."""
        if not self.deadline_ns:
            return 0, self.interval_ns
        return max(self.deadline_ns - self.kernel.now_ns(), 1), self.interval_ns

    def set(self, value_ns: int, interval_ns: int, absolute: bool = False) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.interval_ns = interval_ns
        if not value_ns:
            self.deadline_ns = 0
            return
        now = self.kernel.now_ns()
        if absolute:
            shift = now - self.kernel.realtime_ns() if self.clock == CLOCK_REALTIME else 0
            self.deadline_ns = max(value_ns + shift, 1)
        else:
            self.deadline_ns = now + value_ns
        self.timer = self.kernel.timers.add(self.deadline_ns, self._due)

    def _due(self) -> None:
        now = self.kernel.now_ns()
        count = 1
        if self.interval_ns:
            step = max(self.interval_ns, MIN_INTERVAL_NS)
            count += max(now - self.deadline_ns, 0) // step
            self.deadline_ns += count * step
            self.timer = self.kernel.timers.add(max(self.deadline_ns, now + 1), self._due)
        else:
            self.deadline_ns = 0
            self.timer = None
        self.fire(count)

    def fire(self, count: int) -> None:
        raise NotImplementedError


class RealTimer(Alarm):
    """ITIMER_REAL of a process."""

    __slots__ = ("group",)

    def __init__(self, kernel: Kernel, group: ThreadGroup) -> None:
        super().__init__(kernel, 1)
        self.group = group

    def fire(self, count: int) -> None:
        self.kernel.signals.send_group(self.group, SIGALRM, plain_info(SIGALRM, SI_KERNEL))


class PosixTimer(Alarm):
    """timer_create(2): `target` is the thread of SIGEV_THREAD_ID, else None."""

    __slots__ = ("group", "id", "signo", "value", "notify", "target", "overrun", "_reported")

    def __init__(
        self, kernel: Kernel, group: ThreadGroup, number: int, clock: int, notify: int, signo: int, value: int, target: Task | None
    ) -> None:
        super().__init__(kernel, clock)
        self.group = group
        self.id = number
        self.notify = notify
        self.signo = signo
        self.value = value
        self.target = target
        self.overrun = 0
        self._reported = 0

    def fire(self, count: int) -> None:
        if self.notify == SIGEV_NONE:
            return
        signals = self.kernel.signals
        task = self.target if self.target is not None else self.group.leader
        if self.interval_ns:
            masks = signals.masks(task)
            pending = masks is not None and (masks[0] | masks[1]) >> (self.signo - 1) & 1
            if pending or any(queued[0] == self.signo for queued in task.queued_exact):
                self._reported = min(self._reported + count, DELAYTIMER_MAX)
                return
        self.overrun, self._reported = min(self._reported + count - 1, DELAYTIMER_MAX), 0
        info = timer_info(self.signo, self.id, self.overrun, self.value)
        if self.target is None:
            signals.send_group(self.group, self.signo, info)
        elif not self.target.dead:
            signals.send_task(self.target, self.signo, info)


class GroupTimers:
    """All signal timers of a process; not inherited by fork; POSIX timers end at exec."""

    __slots__ = ("kernel", "group", "real", "posix", "_next")

    def __init__(self, kernel: Kernel, group: ThreadGroup) -> None:
        self.kernel = kernel
        self.group = group
        self.real = RealTimer(kernel, group)
        self.posix: dict[int, PosixTimer] = {}
        self._next = 0

    def create(self, clock: int, notify: int, signo: int, value: int, target: Task | None) -> PosixTimer:
        if len(self.posix) >= MAX_TIMERS:
            raise EAGAIN
        number = self._next
        self._next = (number + 1) & 0x7FFF_FFFF
        timer = PosixTimer(self.kernel, self.group, number, clock, notify, signo, value, target)
        self.posix[number] = timer
        return timer

    def find(self, number: int) -> PosixTimer:
        timer = self.posix.get(number)
        if timer is None:
            raise EINVAL
        return timer

    def delete(self, number: int) -> None:
        self.find(number).set(0, 0)
        del self.posix[number]

    def exec(self) -> None:
        for number in tuple(self.posix):
            self.delete(number)

    def clear(self) -> None:
        self.exec()
        self.real.set(0, 0)


def timers_of(t: Task) -> GroupTimers:
    group = t.group
    if group.timers is None:
        group.timers = GroupTimers(t.kernel, group)
    return group.timers
