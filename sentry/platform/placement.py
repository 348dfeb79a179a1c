"""On which CPUs the Sentry and its guests run (sched_setaffinity(2)).

A call is two context switches on one CPU, 4.5 us; across CPUs it is a wake-up of an idle one, 15 to 50 us. A fork puts
the child on the idlest CPU, that is on the wrong one. So as long as one guest task at a time wants to run, all stay on
one CPU ("together"); when two want to run, or others crowd the Sentry there, all may go anywhere ("apart"), for a while
at least. A tick decides; it runs only while calls come in or a guest computes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

TICK_NS = 8_000_000
APART_NS = 64_000_000  # how long "apart" lasts at least; doubled up to the maximum when it proves right again at once
APART_MAX_NS = 2_000_000_000
CROWDED = 0.5  # share of its time that the Sentry may wait for its CPU, smoothed over ticks
BUSY = 1.5  # guest tasks that want to run, smoothed over ticks, from which on they go apart
LAZY = 1.1  # and below which they come together again
SMOOTH = 0.25
MAX_LOOK = 64  # tasks looked at in one tick


class Placement:
    """The mode and its tick. Guests see only the affinity that they set themselves (`Task.affinity`)."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.cpus = kernel.cpus
        self.together = len(self.cpus) > 1
        self.enabled = len(self.cpus) > 1
        self.ticking = not self.enabled
        self._until_ns = 0
        self._hold_ns = APART_NS
        self._delay_ns = 0
        self._since_ns = 0
        self._schedstat = self._stat = -1  # our own in /proc, open all the time: descriptors may run out
        self._seen = -1
        self._busy = 0.0
        self._crowding = 0.0
        if self.enabled:
            self._schedstat = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            self._stat = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
            self._gather()

    def start_ticking(self) -> None:
        """A call came in while nothing ticked."""
        self.ticking = True
        self._delay_ns = self._waited()
        self._since_ns = self.kernel.now_ns()
        self.kernel.timers.add(self._since_ns + TICK_NS, self._tick)

    def _tick(self) -> None:
        now = self.kernel.now_ns()
        waited = self._waited()
        share = (waited - self._delay_ns) / max(now - self._since_ns, 1)
        running = self._running()
        self._crowding += SMOOTH * (min(share, 1.0) - self._crowding)
        self._busy += SMOOTH * (running - self._busy)
        if self.together:
            if self._busy > BUSY or self._crowding > CROWDED:
                soon = now < self._until_ns + self._hold_ns  # apart again at once: it was right
                self._hold_ns = min(self._hold_ns * 2, APART_MAX_NS) if soon else APART_NS
                self._until_ns = now + self._hold_ns
                self._spread()
        elif self._busy < LAZY and now >= self._until_ns:
            self._crowding = 0.0
            self._gather()
        if not running and self.kernel.calls == self._seen:
            self.ticking = False
            return
        self._seen = self.kernel.calls
        self._delay_ns, self._since_ns = waited, now
        self.kernel.timers.add(now + TICK_NS, self._tick)

    def _running(self) -> int:
        """Guest tasks that want a CPU now."""
        count = 0
        signals = self.kernel.signals
        for task in tuple(self.kernel.tasks.values())[:MAX_LOOK]:
            if task.parked is None and not task.request_id and signals.state(task) == b"R":
                count += 1
        return count

    def _waited(self) -> int:
        """ns that the Sentry has waited on a run queue (proc(5), schedstat)."""
        return int(os.pread(self._schedstat, 64, 0).split()[1])

    def _gather(self) -> None:
        self.together = True
        cpu = {self._this_cpu()}
        os.sched_setaffinity(0, cpu)
        for task in self.kernel.tasks.values():
            _place(task, cpu)

    def _this_cpu(self) -> int:
        """The CPU that we run on (proc_pid_stat(5), field 39)."""
        cpu = int(os.pread(self._stat, 1024, 0).rpartition(b")")[2].split()[36])
        return cpu if cpu in self.cpus else min(self.cpus)

    def _spread(self) -> None:
        self.together = False
        os.sched_setaffinity(0, self.cpus)
        for task in self.kernel.tasks.values():
            self.place(task)

    def adopt(self, task: Task) -> None:
        """A new task that inherits no guest's CPUs: that of an `exec`."""
        if self.enabled:
            _place(task, {self._this_cpu()} if self.together else self.cpus)

    def place(self, task: Task) -> None:
        """Give `task` the CPUs that it may use in the present mode (its own choice counts when all are apart)."""
        if self.enabled and not self.together:
            _place(task, self.cpus & task.affinity if task.affinity and self.cpus & task.affinity else self.cpus)


def _place(task: Task, cpus: set[int] | frozenset[int]) -> None:
    try:
        os.sched_setaffinity(task.host_tid, cpus)
    except OSError:
        pass  # it is gone
