"""Descriptor numbers: close(2), dup(2), dup2(2), dup3(2), close_range(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, EINVAL
from sentry.abi.flags import CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, O_CLOEXEC
from sentry.kernel.in_place import allow_in_place
from sentry.wait import OUT, retry
from syscalls.args import FdAny, FdNum, OpenFlags, UInt
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

NR_CLOSE = 3


@syscall("close", FdNum)
def sys_close(t: Task, fd: int) -> int:
    fds, kernel = t.fds, t.kernel
    kernel.lingering = None  # what exit or dup2(2) has closed did not wait, and this call does not wait for it
    try:
        fds.close(fd)
    except EBADF:
        if allow_in_place(t, NR_CLOSE, fd):
            return CONTINUE
        raise
    if fd in fds.injected:  # a host descriptor of the file sits there too, for mmap: the guest's own close drops it
        del fds.injected[fd]
        return CONTINUE
    if kernel.lingering is not None:
        return linger(t)
    return 0


def linger(t: Task) -> int:
    """SO_LINGER: close(2) of a connection waits until the peer has everything, or the time is over (socket(7))."""
    sock, t.kernel.lingering = t.kernel.lingering, None
    deadline_ns = t.kernel.now_ns() + sock.options.linger[1] * 1_000_000_000
    return retry(
        sock.lingers, [(sock, OUT)], deadline_ns=deadline_ns, expired=sock.lingered, interrupted=sock.lingered,
    )  # fmt: skip


@syscall("dup", FdAny)
def sys_dup(t: Task, file: File) -> int:
    return t.fds.install(file)


@syscall("dup2", FdNum, FdNum)
def sys_dup2(t: Task, old_fd: int, new_fd: int) -> int:
    fds = t.fds
    file = fds.any(old_fd)
    if old_fd != new_fd:
        fds.put(new_fd, file)
    return new_fd


@syscall("dup3", FdNum, FdNum, OpenFlags)
def sys_dup3(t: Task, old_fd: int, new_fd: int, flags: int) -> int:
    fds = t.fds
    if flags & ~O_CLOEXEC or old_fd == new_fd:
        raise EINVAL
    if not 0 <= new_fd < fds.limit:
        raise EBADF
    fds.put(new_fd, fds.any(old_fd), bool(flags))
    return new_fd


@syscall("close_range", UInt, UInt, UInt)
def sys_close_range(t: Task, first: int, last: int, flags: int) -> int:
    if first > last or flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC):
        raise EINVAL
    if flags & CLOSE_RANGE_UNSHARE and t.fds.users > 1:
        shared = t.fds
        t.fds = shared.copy()
        shared.release()
    fds = t.fds
    numbers = [fd for fd in fds if first <= fd <= last]
    if flags & CLOSE_RANGE_CLOEXEC:
        fds.cloexec.update(numbers)
        return 0
    for fd in numbers:
        fds.close(fd)  # an injected descriptor stays until its number is closed again or until execve
    return 0
