"""CPU-time clocks of guests (clock_gettime(2), clock_getcpuclockid(3)), as the Sentry reads them from outside.

A negative clock id holds a pid and a kind: (~pid << 3) | kind, kind 2 for run time, 4 set for a thread's.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

PROCESS_CPUTIME, THREAD_CPUTIME = 2, 3
PER_THREAD, KIND, SCHED = 4, 3, 2
MIN_WAIT_NS = 1_000_000  # the host looks at its own once a tick, too
MAX_IDLE_NS = 20_000_000  # between two looks at a process that sleeps
CPUS = os.cpu_count() or 1


class CpuClock:
    """Run time of a process, or of one thread."""

    __slots__ = ("group", "thread", "_last", "_idle_ns")

    def __init__(self, group: ThreadGroup, thread: Task | None) -> None:
        self.group = group
        self.thread = thread
        self._last = 0
        self._idle_ns = MIN_WAIT_NS

    def now_ns(self) -> int:
        """What it has used; after its end the last value that was read."""
        if self.group.dead or self.thread is not None and self.thread.dead:
            return self._last
        try:
            if self.thread is None:
                self._last = time.clock_gettime_ns(~self.group.host_pid << 3 | SCHED)
            else:  # the host gives no other process's thread a clock
                with open(f"/proc/{self.group.host_pid}/task/{self.thread.host_tid}/schedstat", "rb") as f:
                    self._last = int(f.read(64).split()[0])
        except (OSError, ValueError, IndexError):
            pass
        return self._last

    def wait_ns(self, left_ns: int) -> int:
        """How long to wait before `left_ns` more can have been used, having looked just now; more while it sleeps."""
        before, now = self._last, self.now_ns()
        self._idle_ns = min(2 * self._idle_ns, MAX_IDLE_NS) if now == before else MIN_WAIT_NS
        threads = 1 if self.thread is not None else min(len(self.group.tasks), CPUS) or 1
        return max(left_ns // threads, self._idle_ns)


def cpu_clock(t: Task, clock: int) -> CpuClock | None:
    """The CPU clock that a guest's clock id means to `t`; None when it is no CPU clock. EINVAL as timer_create(2)."""
    if clock == PROCESS_CPUTIME:
        return CpuClock(t.group, None)
    if clock == THREAD_CPUTIME:
        return CpuClock(t.group, t)
    if clock >= 0:
        return None
    if clock & KIND != SCHED:
        raise EINVAL  # the older kinds count whole ticks; no library makes them
    pid = ~(clock >> 3)
    if clock & PER_THREAD:
        thread = t if pid == 0 else t.kernel.find_task(pid)
        if thread is None or thread.group is not t.group:
            raise EINVAL
        return CpuClock(t.group, thread)
    group = t.group if pid == 0 else t.kernel.find_group(pid)
    if group is None or group.dead:
        raise EINVAL
    return CpuClock(group, None)
