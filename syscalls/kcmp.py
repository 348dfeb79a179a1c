"""kcmp(2): do two processes share a resource?"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, EINVAL, ENOENT, EPERM, ESRCH
from syscalls.args import Int, Pid, ULong
from syscalls.registry import syscall
from vfs.anon.epoll import EpollFile
from vfs.core.file import File
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

FILE, VM, FILES, FS, SIGHAND, IO, SYSVSEM, EPOLL_TFD = range(8)
SLOT = Struct("<III")  # struct kcmp_epoll_slot: efd tfd toff
WORD = (1 << 64) - 1
# Objects are ordered by a number that tells nothing of where they lie in the Sentry's memory.
_FACTOR = int.from_bytes(os.urandom(8), "little") | 1
_MASK = int.from_bytes(os.urandom(8), "little")


def _order(a: object, b: object) -> int:
    """0 equal, 1 less, 2 greater."""
    if a is b:
        return 0
    first, second = (((id(x) ^ _MASK) * _FACTOR) & WORD for x in (a, b))
    return 1 if first < second else 2


def _task(t: Task, pid: int) -> Task:
    found = t.kernel.find_task(pid)
    if found is None or found.dead:
        raise ESRCH
    return found


def _file(task: Task, number: int) -> File:
    found = task.fds.files.get(number)
    if found is None:
        raise EBADF
    return found


@syscall("kcmp", Pid, Pid, Int, ULong, ULong, note="nobody has an I/O context, as without block devices")
def sys_kcmp(t: Task, pid1: int, pid2: int, kind: int, index1: int, index2: int) -> int:
    first, second = _task(t, pid1), _task(t, pid2)
    for task in (first, second):
        if task.group is not t.group and not Subject(task.group).may_inspect(t):
            raise EPERM
    if kind == FILE:
        return _order(_file(first, index1), _file(second, index2))
    if kind == VM:
        return _order(first.group.memory, second.group.memory)
    if kind == FILES:
        return _order(first.fds, second.fds)
    if kind == FS:
        return _order(first.fs, second.fs)
    if kind == SIGHAND:
        return _order(first.group.sighand, second.group.sighand)
    if kind == IO:
        return 0
    if kind == SYSVSEM:
        return _order(first.undo, second.undo)
    if kind == EPOLL_TFD:
        return _order(_file(first, index1), _watched(t, second, index2))
    raise EINVAL


def _watched(t: Task, task: Task, slot_addr: int) -> File:
    epoll_fd, target_fd, skip = t.mem.unpack(SLOT, slot_addr)
    epoll = _file(task, epoll_fd)
    if not isinstance(epoll, EpollFile):
        raise EINVAL
    found = [item.file() for (number, _), item in epoll.items.items() if number == target_fd]
    file = found[skip] if skip < len(found) else None
    if file is None:
        raise ENOENT
    return file


