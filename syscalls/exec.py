"""execve(2), execveat(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, EINVAL
from sentry.kernel.exec import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, allow_injected, begin
from syscalls.args import Addr, DirFd, Int, Text
from syscalls.registry import CONTINUE, DEFERRED, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("execve", Text, Addr, Addr)
def sys_execve(t: Task, path_addr: int, argv_addr: int, envp_addr: int) -> int:
    begin(t, AT_FDCWD, t.mem.path(path_addr), argv_addr, envp_addr, 0)
    return DEFERRED


@syscall("execveat", DirFd, Text, Addr, Addr, Int)
def sys_execveat(t: Task, dirfd: int, path_addr: int, argv_addr: int, envp_addr: int, flags: int) -> int:
    if allow_injected(t, dirfd, flags):
        return CONTINUE
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise EINVAL
    if dirfd == t.kernel.loader_at:
        raise EBADF
    begin(t, dirfd, t.mem.path(path_addr), argv_addr, envp_addr, flags)
    return DEFERRED
