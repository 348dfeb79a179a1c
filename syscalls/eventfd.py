"""eventfd(2), eventfd2(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from sentry.abi.flags import EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE
from syscalls.args import UInt
from syscalls.registry import syscall
from vfs.anon.eventfd import EventFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("eventfd", UInt)
def sys_eventfd(t: Task, count: int) -> int:
    return sys_eventfd2(t, count, 0)


@syscall("eventfd2", UInt, UInt)
def sys_eventfd2(t: Task, count: int, flags: int) -> int:
    if flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK):
        raise EINVAL
    file = EventFile(count, bool(flags & EFD_SEMAPHORE), flags & EFD_NONBLOCK)
    return t.fds.install(file, bool(flags & EFD_CLOEXEC))
