"""Timers that send signals: setitimer(2) ITIMER_REAL, alarm(2), timer_create(2).

Linux queues a timer's signal once; expirations that come while it is pending are its overrun count, fixed when it is
taken. The Sentry cannot change a queued signal: `PosixTimer.missed` is kept until somebody asks (timer_getoverrun(2))
or takes the signal by rt_sigtimedwait(2) (overrun.py); else the next signal carries it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentry.abi.errno import EAGAIN, EINVAL
from sentry.kernel.siginfo import SI_KERNEL, plain_info, timer_info
from sentry.kernel.signals import SIGALRM

if TYPE_CHECKING:
    from sentry.kernel.cpu_clock import CpuClock
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.kernel.timers import Timer

CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 0, 1, 2, 4
DELAYTIMER_MAX = 0x7FFF_FFFF
MAX_TIMERS = 4096
PENDING_NS = 1_000_000  # how soon an interval timer looks again whether its last signal was taken
MIN_INTERVAL_NS = 1_000  # an interval of a nanosecond must not keep the Sentry busy for ever


class Alarm:
    """A deadline with an interval on one clock; calls `fire(expirations)`."""

    __slots__ = ("kernel", "clock", "cpu", "deadline_ns", "interval_ns", "silent", "timer")

    def __init__(self, kernel: Kernel, clock: int, cpu: CpuClock | None = None) -> None:
        self.kernel = kernel
        self.clock = clock
        self.cpu = cpu
        self.deadline_ns = 0  # on `cpu`, else on CLOCK_MONOTONIC; 0 when disarmed
        self.interval_ns = 0
        self.silent = False  # nobody is told of an expiration: it is counted when somebody asks
        self.timer: Timer | None = None

    def now_ns(self) -> int:
        return self.kernel.now_ns() if self.cpu is None else self.cpu.now_ns()

    def get(self) -> tuple[int, int]:
        """(ns left, interval in ns); left is 0 when disarmed and at least 1 when armed."""
        if self.silent and self.deadline_ns:
            self._forward()
        if not self.deadline_ns:
            return 0, self.interval_ns
        return max(self.deadline_ns - self.now_ns(), 1), self.interval_ns

    def set(self, value_ns: int, interval_ns: int, absolute: bool = False) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.interval_ns = interval_ns
        if not value_ns:
            self.deadline_ns = 0
            return
        now = self.now_ns()
        if not absolute:
            self.deadline_ns = now + value_ns
        elif self.cpu is not None or self.clock == CLOCK_MONOTONIC:
            self.deadline_ns = max(value_ns, 1)
        else:
            self.deadline_ns = max(now + value_ns - time.clock_gettime_ns(self.clock), 1)
        self._wait(now)

    def _wait(self, now: int) -> None:
        """Have `_due` called at the deadline; for a CPU clock at the earliest time at which it can be reached."""
        if self.silent:
            return
        timers = self.kernel.timers
        if self.cpu is None:
            self.timer = timers.add(max(self.deadline_ns, now + 1), self._due)
        else:
            self.timer = timers.add(self.kernel.now_ns() + self.cpu.wait_ns(self.deadline_ns - now), self._due)

    def _due(self) -> None:
        self.timer = None
        now = self.now_ns()
        if now < self.deadline_ns:
            self._wait(now)
            return
        count = self._forward()
        if self.deadline_ns:
            self._wait(now)
        self.fire(count)

    def _forward(self) -> int:
        """Past the expirations that were; their number."""
        late_ns = self.now_ns() - self.deadline_ns
        if late_ns < 0:
            return 0
        if not self.interval_ns:
            self.deadline_ns = 0
            return 1
        step = max(self.interval_ns, MIN_INTERVAL_NS)
        count = 1 + late_ns // step
        self.deadline_ns += count * step
        return count

    def later(self, delay_ns: int) -> None:
        """Not before that time, however short the interval is."""
        if self.timer is not None and self.cpu is None:
            self.timer.cancel()
            self.timer = self.kernel.timers.add(max(self.deadline_ns, self.kernel.now_ns() + delay_ns), self._due)

    def fire(self, count: int) -> None:
        raise NotImplementedError


class RealTimer(Alarm):
    """ITIMER_REAL of a process."""

    __slots__ = ("group",)

    def __init__(self, kernel: Kernel, group: ThreadGroup) -> None:
        super().__init__(kernel, CLOCK_MONOTONIC)
        self.group = group

    def fire(self, count: int) -> None:
        self.kernel.signals.send_group(self.group, SIGALRM, plain_info(SIGALRM, SI_KERNEL))


class PosixTimer(Alarm):
    """timer_create(2): `target` is the thread of SIGEV_THREAD_ID, else None.

    overrun  what timer_getoverrun(2) tells: of the signal that was taken last
    queued   the overrun count in the siginfo that was sent last, `missed` the expirations since then
    """

    __slots__ = ("group", "id", "signo", "value", "notify", "target", "overrun", "queued", "missed")

    def __init__(
        self, kernel: Kernel, group: ThreadGroup, number: int, clock: int, cpu: CpuClock | None, notify: int,
        signo: int, value: int, target: Task | None,
    ) -> None:  # fmt: skip
        super().__init__(kernel, clock, cpu)
        self.group = group
        self.id = number
        self.notify = notify
        self.silent = notify == SIGEV_NONE
        self.signo = signo
        self.value = value
        self.target = target
        self.overrun = self.queued = self.missed = 0

    def fire(self, count: int) -> None:
        if self.interval_ns and self.pending():
            self.missed = min(self.missed + count, DELAYTIMER_MAX)
            self.later(PENDING_NS)
            return
        self.overrun = self.queued
        self.queued, self.missed = min(self.missed + count - 1, DELAYTIMER_MAX), 0
        info = timer_info(self.signo, self.id, self.queued, self.value)
        signals = self.kernel.signals
        if self.target is None:
            signals.send_group(self.group, self.signo, info)
        elif not self.target.dead:
            signals.send_task(self.target, self.signo, info)

    def pending(self) -> bool:
        """Whether the signal that was sent last waits still to be taken."""
        task = self.target if self.target is not None else self.group.leader
        if any(waiting.signo == self.signo for waiting in task.queued_exact):
            return True
        masks = self.kernel.signals.masks(task)
        return masks is not None and bool((masks[0] | masks[1]) >> (self.signo - 1) & 1)

    def taken(self) -> int:
        """The overrun count of the signal that was taken last."""
        if not self.pending():
            self.overrun = self.queued = min(self.queued + self.missed, DELAYTIMER_MAX)
            self.missed = 0
        return self.overrun


class GroupTimers:
    """All signal timers of a process; not inherited by fork; POSIX timers end at exec."""

    __slots__ = ("kernel", "group", "real", "posix", "_next")

    def __init__(self, kernel: Kernel, group: ThreadGroup) -> None:
        self.kernel = kernel
        self.group = group
        self.real = RealTimer(kernel, group)
        self.posix: dict[int, PosixTimer] = {}
        self._next = 0

    def create(
        self, clock: int, cpu: CpuClock | None, notify: int, signo: int, value: int, target: Task | None
    ) -> PosixTimer:
        if len(self.posix) >= MAX_TIMERS:
            raise EAGAIN
        number = self._next
        self._next = (number + 1) & 0x7FFF_FFFF
        timer = PosixTimer(self.kernel, self.group, number, clock, cpu, notify, signo, value, target)
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
