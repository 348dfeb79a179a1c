"""Signal-driven I/O: F_SETOWN, F_SETSIG and O_ASYNC (fcntl(2), "Managing signals")."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary, ref

from sentry.abi.flags import F_OWNER_PGRP, F_OWNER_TID, SIGIO, SIGURG
from sentry.wait import IN, OUT, PRI, RDHUP, Entry
from vfs.anon.epoll import EpollFile
from vfs.anon.eventfd import EventFile
from vfs.anon.timerfd import TimerFile
from vfs.core.file import File

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task


class Owner(NamedTuple):
    """Who is told, by whose right, and with which signal (0: SIGIO)."""

    kind: int
    who: int
    creds: Credentials | None
    signo: int


NOBODY = Owner(F_OWNER_PGRP - 1, 0, None, 0)

_owners: WeakKeyDictionary[File, Owner] = WeakKeyDictionary()
_watches: WeakKeyDictionary[File, AsyncWatch] = WeakKeyDictionary()
_urgent: WeakKeyDictionary[File, UrgentWatch] = WeakKeyDictionary()


def owner_of(file: File) -> Owner:
    return _owners.get(file, NOBODY)


def set_owner(kernel: Kernel, file: File, owner: Owner) -> None:
    _owners[file] = owner
    watch = _watches.get(file)
    if watch is not None:
        watch.owner = owner
    if getattr(file, "has_urgent", False):
        urgent = _urgent.get(file)
        if urgent is None:
            urgent = _urgent[file] = UrgentWatch(kernel, file, owner)
            file.queue.add(urgent)
        urgent.owner = owner


def may_be_async(file: File) -> bool:
    """Terminals, pipes, sockets and inotify know signal-driven I/O; regular files and counters do not."""
    return type(file).poll is not File.poll and not isinstance(file, (EventFile, TimerFile, EpollFile))


def set_async(kernel: Kernel, file: File, on: bool) -> None:
    """O_ASYNC was set or cleared."""
    watch = _watches.pop(file, None)
    if watch is not None:
        file.queue.remove(watch)
    if on:
        watch = _watches[file] = AsyncWatch(kernel, file, owner_of(file))
        file.queue.add(watch)


class AsyncWatch(Entry):
    """Sends the signal when the file's readiness changes; at most one is on its way at a time."""

    __slots__ = ("__weakref__", "file", "kernel", "owner", "pending")

    def __init__(self, kernel: Kernel, file: File, owner: Owner) -> None:
        super().__init__(IN | OUT | PRI | RDHUP)
        self.kernel = kernel
        self.file = ref(file)  # its queue may outlive it: the ends of a pipe share theirs
        self.owner = owner
        self.pending = False

    def wake(self, events: int) -> None:
        file = self.file()
        if file is not None and file.refs > 0 and not self.pending and self.owner.who:
            self.pending = True
            self.kernel.defer(self._send)

    def _send(self) -> None:
        self.pending = False
        kernel, owner, signo = self.kernel, self.owner, self.signo()
        if owner.kind == F_OWNER_TID:
            task = kernel.find_task(owner.who)
            if task is not None and self._may(task):
                kernel.signals.send_task(task, signo)
            return
        group = kernel.find_group(owner.who)
        if group is None:
            return
        if owner.kind != F_OWNER_PGRP:
            if self._may(group.leader):
                kernel.signals.send_group(group, signo)
            return
        for member in tuple(kernel.groups.values()):
            try:
                belongs = os.getpgid(member.host_pid) == group.host_pid
            except ProcessLookupError:
                continue
            if belongs and self._may(member.leader):
                kernel.signals.send_group(member, signo)

    def signo(self) -> int:
        return self.owner.signo or SIGIO

    def _may(self, task: Task | None) -> bool:
        """sigio_perm in Linux: the one who called F_SETOWN is root or has the target's uid."""
        owner = self.owner.creds
        if owner is None or task is None:
            return False
        target = task.creds
        mine = (owner.euid, owner.ruid)
        return owner.euid == 0 or target.suid in mine or target.ruid in mine


class UrgentWatch(AsyncWatch):
    """SIGURG, which the owner of a socket gets without O_ASYNC (socket(7), "Signals"). An event of PRI alone is the
    announcement of urgent data; with others it says that the data is there."""

    __slots__ = ()

    def __init__(self, kernel: Kernel, file: File, owner: Owner) -> None:
        super().__init__(kernel, file, owner)
        self.mask = PRI

    def wake(self, events: int) -> None:
        if events == PRI:
            super().wake(events)

    def signo(self) -> int:
        return SIGURG
