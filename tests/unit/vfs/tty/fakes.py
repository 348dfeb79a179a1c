"""A kernel, its processes and their memory, as far as terminals look at them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from sentry.creds import ROOT, Credentials
from sentry.wait import Entry
from tests.unit.guest_memory import GuestMemory
from vfs.core.fd_table import FdTable
from vfs.tty import session

BASE, SIZE = 0x1000, 0x1000


class Signals:
    """Notes what was sent: ("group", host pgid, signo) or ("process", host pid, signo)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self.blocked = 0

    def send_pgrp(self, host_pgid: int, signo: int) -> None:
        self.sent.append(("group", host_pgid, signo))

    def send_group(self, group: Any, signo: int, info: bytes | None = None) -> None:
        self.sent.append(("process", group.host_pid, signo))

    def masks(self, t: Any) -> tuple[int, int, int, int]:
        return 0, 0, self.blocked, 0

    def take(self) -> list[tuple[str, int, int]]:
        sent, self.sent = self.sent, []
        return sent


class Timer:
    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Timers:
    def __init__(self) -> None:
        self.all: list[Timer] = []

    def add(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        self.all.append(Timer(deadline_ns, callback))
        return self.all[-1]


class Action:
    handler = 0


class SigHand:
    def __init__(self) -> None:
        self.ignored: set[int] = set()

    def get(self, signo: int) -> Action:
        action = Action()
        action.handler = int(signo in self.ignored)
        return action


class Group:
    def __init__(self, host_pid: int, parent: Group | None) -> None:
        self.host_pid = host_pid
        self.pid = host_pid - 1000
        self.parent = parent
        self.dead = False
        self.sighand = SigHand()
        self.leader: Any = None


class Task:
    def __init__(self, kernel: Kernel, group: Group) -> None:
        self.kernel = kernel
        self.group = group
        self.host_tid = group.host_pid
        self.request_id = 1
        self.mem = GuestMemory(BASE, SIZE)
        self.creds: Credentials = ROOT
        self.fds = FdTable()
        group.leader = self


class Kernel:
    """Processes 1001.. of the host are 1.. of the guest; `pgids` and `sids` are what the host would tell."""

    def __init__(self) -> None:
        self.groups: dict[int, Group] = {}
        self.group_death_hooks: list[Callable[[Any], None]] = []
        self.signals = Signals()
        self.timers = Timers()
        self.time_ns = 0
        self.pgids: dict[int, int] = {}
        self.sids: dict[int, int] = {}
        self.current: Any = None
        self.deferred: list[Callable[[], None]] = []
        self.watched: dict[int, tuple[int, Callable[[int], None]]] = {}

    def process(self, host_pid: int, pgid: int = 0, sid: int = 0, parent: Group | None = None) -> Any:
        group = Group(host_pid, parent)
        self.groups[host_pid] = group
        self.pgids[host_pid] = pgid or host_pid
        self.sids[host_pid] = sid or host_pid
        return Task(self, group)

    def die(self, t: Any) -> None:
        t.group.dead = True
        for hook in self.group_death_hooks:
            hook(t.group)
        del self.groups[t.group.host_pid], self.pgids[t.group.host_pid], self.sids[t.group.host_pid]

    def find_group(self, pid: int) -> Group | None:
        return self.groups.get(pid + 1000)

    def guest_pid(self, host_pid: int) -> int:
        return host_pid - 1000 if host_pid in self.groups else 0

    def now_ns(self) -> int:
        return self.time_ns

    def watch(self, host_fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.watched[host_fd] = (events, callback)

    def unwatch(self, host_fd: int) -> None:
        del self.watched[host_fd]

    def defer(self, callback: Callable[[], None]) -> None:
        self.deferred.append(callback)

    def turn(self) -> None:
        """What the loop does after a call."""
        while self.deferred:
            self.deferred.pop(0)()

    def pass_time(self, duration_ns: int) -> None:
        self.time_ns += duration_ns
        for timer in self.timers.all:
            if timer.callback is not None and timer.deadline_ns <= self.time_ns:
                callback, timer.callback = timer.callback, None
                callback()


class Watch(Entry):
    def __init__(self, mask: int = 0xFFFF) -> None:
        super().__init__(mask)
        self.events = 0

    def wake(self, events: int) -> None:
        self.events |= events


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Kernel()

    def look(table: dict[int, int], pid: int) -> int:
        if pid not in table:
            raise ProcessLookupError
        return table[pid]

    monkeypatch.setattr(os, "getpgid", lambda pid: look(made.pgids, pid))
    monkeypatch.setattr(session, "host_session", lambda pid: look(made.sids, pid))
    return made
