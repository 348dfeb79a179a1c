"""A kernel, a task and a guest memory for tests of handlers: nothing here touches the host."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

from sentry.abi.errno import Errno
from sentry.creds import Credentials
from sentry.net.namespace import NetNamespace
from sentry.wait import Entry, Park, Pollable
from syscalls.registry import ENTRIES, _caller
from tests.unit.guest_memory import GuestMemory
from vfs.core.fd_table import FdTable

BASE, SIZE = 0x10000, 0x40000


class FakeTimer:
    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeTimers:
    def __init__(self) -> None:
        self.heap: list[tuple[int, int, FakeTimer]] = []
        self.serial = count()

    def add(self, deadline_ns: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(deadline_ns, callback)
        heapq.heappush(self.heap, (deadline_ns, next(self.serial), timer))
        return timer


class FakeSignals:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, int]] = []

    def sigpipe(self, t: Any) -> None:
        self.sent.append((t, 13))

    def send_task(self, task: Any, signo: int, info: Any = None) -> None:
        self.sent.append((task, signo))

    def send_group(self, group: Any, signo: int, info: Any = None) -> None:
        self.sent.append((group, signo))

    def send_pgrp(self, host_pgid: int, signo: int) -> None:
        self.sent.append((host_pgid, signo))


class FakeKernel:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000
        self.timers = FakeTimers()
        self.signals = FakeSignals()
        self.deferred: list[Callable[[], None]] = []
        self.watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self.groups: dict[int, Any] = {}
        self.tasks: dict[int, Any] = {}
        self.lingering: Any = None
        self.net = NetNamespace(self)  # type: ignore[arg-type]

    def now_ns(self) -> int:
        return self.time_ns

    def realtime_ns(self) -> int:
        return self.time_ns + 1_700_000_000_000_000_000

    def defer(self, callback: Callable[[], None]) -> None:
        self.deferred.append(callback)

    def watch(self, host_fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.watched[host_fd] = (events, callback)

    def unwatch(self, host_fd: int) -> None:
        self.watched.pop(host_fd, None)

    def find_group(self, pid: int) -> Any:
        return self.groups.get(pid)

    def find_task(self, tid: int) -> Any:
        return self.tasks.get(tid)

    def guest_pid(self, host_pid: int) -> int:
        return host_pid

    def advance(self, delta_ns: int) -> None:
        self.time_ns += delta_ns
        heap = self.timers.heap
        while heap and heap[0][0] <= self.time_ns:
            callback = heapq.heappop(heap)[2].callback
            if callback is not None:
                callback()
        self.run_deferred()

    def run_deferred(self) -> None:
        while self.deferred:
            self.deferred.pop(0)()

    def log(self, text: str) -> None:
        raise AssertionError(text)

    debug = log


def make_task(kernel: FakeKernel | None = None, pid: int = 100, uid: int = 1000, caps: tuple[int, ...] = ()) -> Any:
    kernel = kernel or FakeKernel()
    effective = sum(1 << cap for cap in caps)
    creds = Credentials(uid, uid, uid, uid, uid, uid, uid, uid, permitted=effective, effective=effective)
    group = SimpleNamespace(pid=pid, host_pid=pid, tasks={})
    t = SimpleNamespace(
        kernel=kernel, mem=GuestMemory(BASE, SIZE), fds=FdTable(1024), creds=creds, group=group, tid=pid, host_tid=pid,
        saved_deadline=None, in_place=None, net=kernel.net,
    )  # fmt: skip
    group.leader = t
    group.tasks[pid] = t
    kernel.groups[pid] = group
    kernel.tasks[pid] = t
    return t


def call(t: Any, name: str, *registers: int) -> int:
    """What the guest gets: the result, or -errno; Park passes through."""
    padded = tuple(r & 0xFFFF_FFFF_FFFF_FFFF for r in registers) + (0,) * (6 - len(registers))
    try:
        return _caller(ENTRIES[name])(t, padded)  # type: ignore[arg-type]
    except Errno as err:
        return -err.code


class Sleeper(Entry):
    """A parked call, as the loop keeps it: `woken` tells that one of its queues called."""

    def __init__(self, t: Any, name: str, *registers: int) -> None:
        super().__init__(0)
        self.t = t
        self.woken = False
        self.result: int | None = None
        self.entries: list[tuple[Pollable, Entry]] = []
        try:
            self.result = call(t, name, *registers)
        except Park as park:
            self.park = park
            for pollable, mask in park.on:
                entry = _Hook(mask, self)
                pollable.queue.add(entry)
                self.entries.append((pollable, entry))

    def run(self) -> int | None:
        """Run the operation again if it was woken; the result, or None while it sleeps on."""
        if self.result is None and self.woken:
            self.woken = False
            self._step(self.park.op)
        return self.result

    def expire(self) -> int | None:
        """The deadline has come."""
        assert self.park.deadline_ns is not None and self.park.expired is not None
        self.t.kernel.advance(max(0, self.park.deadline_ns - self.t.kernel.time_ns))
        self._step(self.park.expired)
        return self.result

    def interrupt(self) -> int:
        """A handler runs: partial progress or -EINTR."""
        done = self.park.interrupted() if self.park.interrupted is not None else None
        self._finish(-4 if done is None else done)
        assert self.result is not None
        return self.result

    def _step(self, op: Callable[[], int]) -> None:
        from sentry.abi.errno import WouldBlock

        try:
            self._finish(op())
        except WouldBlock:
            return
        except Errno as err:
            self._finish(-err.code)

    def _finish(self, result: int) -> None:
        self.result = result
        for pollable, entry in self.entries:
            pollable.queue.remove(entry)
        self.entries.clear()


class _Hook(Entry):
    def __init__(self, mask: int, sleeper: Sleeper) -> None:
        super().__init__(mask)
        self.sleeper = sleeper

    def wake(self, events: int) -> None:
        self.sleeper.woken = True
