"""The kernel object: every table that a call may reach. One thread owns it all: no locks, no races.

The loop (platform/notify.py) calls a handler, and between calls `turn`: re-runs parked calls whose queues were
notified, due timers and deferred work. Nothing here blocks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sentry.failure import described
from sentry.kernel.exit import forget_if_reaped
from sentry.kernel.parking import Parked, run_ready
from sentry.kernel.pause import Pause
from sentry.kernel.signals import Signals
from sentry.kernel.stops import Stops
from sentry.kernel.task import Task, guest_number
from sentry.kernel.temporary_mask import TemporaryMask
from sentry.kernel.timers import Timers

if TYPE_CHECKING:
    from sentry.kernel.spawner import Spawner
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.platform.base import Platform

EIO = 5
LATE_CALLS = 64
MAX_FAILURES_SHOWN = 1000


class Uts:
    """uname(2): the names of the container."""

    __slots__ = ("nodename", "domainname")

    def __init__(self, nodename: bytes, domainname: bytes) -> None:
        self.nodename = nodename
        self.domainname = domainname


class Kernel:
    """All state of one sandbox. `config` is the boot configuration; `platform` answers calls."""

    def __init__(self, platform: Platform, config: Any) -> None:
        self.platform = platform
        self.config = config
        self.current: Task | None = None  # whose call is being served
        self.tasks: dict[int, Task] = {}
        self.groups: dict[int, ThreadGroup] = {}
        self.zombies: dict[int, ThreadGroup] = {}  # dead, perhaps not yet waited for
        self.init: ThreadGroup | None = None
        self.timers = Timers()
        self.ready: list[Parked] = []
        self.deferred: list[Callable[[], None]] = []
        self.late: list[Callable[[], None]] = []  # work for when no call waits to be received
        self._late_calls = 0
        self.signals = Signals(self)
        self.stops = Stops(self)
        self.pause = Pause(self)
        self.temporary_mask = TemporaryMask(self)
        self.mark_at = -1  # and of exec_proof.py's mark, for a moment
        self.loader_at = -1  # real descriptor number of the loader in every guest
        self.loader_fd = -1  # the Sentry's own descriptor of it
        self.native_only: frozenset[int] = frozenset()  # numbers that never reach the Sentry
        self.uts = Uts(b"localhost", b"(none)")
        self.mounts: Any = None
        self.root: Any = None  # Path: where the container begins, whatever its pid 1 makes of its own root
        self.spawner: Spawner | None = None
        self.backing = -1
        self.stopping = False
        self.exit_status: int | None = None  # wait status of pid 1
        self.mortal_init = False  # pid 1 dies of signals from outside as any process does
        self.init_signal = 0  # that it died of so
        self.released = True  # false until `start`: pid 1 waits in the loader
        self.pending_release: Callable[[], None] | None = None
        self.group_death_hooks: list[Callable[[ThreadGroup], None]] = []
        self.at_end: list[Callable[[], None]] = []  # once no guest is left
        self.log_fd = 2
        self.debugging = False
        self.calls = 0  # taken in so far
        self.placement: Any = None
        self.net: Any = None  # NetNamespace: where the container's processes start
        self.lingering: Any = None  # closed just now, with SO_LINGER: its close(2) waits (syscalls/fd.py)
        self.cpus = frozenset(os.sched_getaffinity(0))  # that guests may use and see
        self.failures = 0  # exceptions in handlers: each is a bug

    now_ns = staticmethod(time.monotonic_ns)
    realtime_ns = staticmethod(time.time_ns)

    # looking up ----------------------------------------------------------------------------------
    def find_group(self, pid: int) -> ThreadGroup | None:
        """The process with guest number `pid`, a zombie included; None if there is none."""
        for group in tuple(self.groups.values()):
            if group.pid == pid:
                if group.dead and forget_if_reaped(self, group):
                    continue
                return group
        return None

    def find_task(self, tid: int) -> Task | None:
        """The living thread with guest number `tid`."""
        for task in self.tasks.values():
            if task.tid == tid:
                return task
        return None

    def guest_pid(self, host_pid: int) -> int:
        """A host number (getpgid, getsid) as the guest sees it; 0 for what lies outside."""
        group = self.groups.get(host_pid)
        return group.pid if group is not None else guest_number(host_pid)

    # work between calls --------------------------------------------------------------------------
    def defer(self, callback: Callable[[], None]) -> None:
        """Run `callback` soon, from the loop, after the current call was answered."""
        self.deferred.append(callback)

    def watch(self, host_fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` from the loop while `host_fd` is ready (level-triggered; poll(2) bits)."""
        self.platform.watch(host_fd, events, callback)

    def unwatch(self, host_fd: int) -> None:
        self.platform.unwatch(host_fd)

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Run `callback` once no call waits to be received, or after a bounded number of calls."""
        if not self.late:
            self._late_calls = self.calls
        self.late.append(callback)

    def turn(self, quiet: bool) -> None:
        """One round of the work that does not come from a call; `quiet`: no call was waiting."""
        if self.late and (quiet or self.calls - self._late_calls > LATE_CALLS):
            late, self.late = self.late, []
            for callback in late:
                self.guard(callback)
        if self.deferred:
            work, self.deferred = self.deferred, []
            for callback in work:
                self.guard(callback)
        for callback in self.timers.due():
            self.guard(callback)
        if self.ready:
            run_ready(self)

    def until_ns(self) -> int:
        """Until when (CLOCK_MONOTONIC) the loop may sleep; -1: until something happens, 0: not at all."""
        return 0 if self.ready or self.deferred or self.late else self.timers.next_ns()

    # life ----------------------------------------------------------------------------------------
    def run(self) -> int:
        """Serve until pid 1 of the container is gone; its wait status."""
        self.platform.run(self)
        for callback in self.at_end:
            self.guard(callback)
        return self.exit_status if self.exit_status is not None else 9

    def release_init(self) -> None:
        """`start`: let pid 1 go on from the loader into its program."""
        self.released = True
        pending, self.pending_release = self.pending_release, None
        if pending is not None:
            pending()

    # logs ----------------------------------------------------------------------------------------
    def log(self, text: str) -> None:
        try:
            os.write(self.log_fd, f"runsc-py: {text}\n".encode(errors="replace"))
        except OSError:
            pass

    def debug(self, text: str) -> None:
        if self.debugging:
            self.log(text)

    def guard(self, callback: Callable[..., None], *args: Any) -> None:
        """Run work of the loop; an exception is logged, it must not end the sandbox. It is a bug."""
        try:
            callback(*args)
        except Exception:
            self.failures += 1
            if self.failures <= MAX_FAILURES_SHOWN:
                self.log(f"BUG: in the loop: {described(sys.exception())}")

    def handler_failed(self, t: Task, nr: int) -> int:
        """A handler raised what it may not: log the call, answer EIO, go on. It is a bug to fix at its cause."""
        self.failures += 1
        if self.failures <= MAX_FAILURES_SHOWN:
            self.log(f"BUG: task {t.host_tid} call {nr}: {described(sys.exception())}")
        return -EIO
