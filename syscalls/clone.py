"""clone(2), fork(2), vfork(2): checked here, made by the host, seen by the Sentry before the child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import ENOSYS
from sentry.kernel.fork import CLONE_VFORK, CLONE_VM, begin_clone
from syscalls.args import Addr, CloneFlags, Size
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("clone", CloneFlags, Addr, Addr, Addr, Addr, support="partial", note="no new namespaces, no CLONE_PIDFD")
def sys_clone(t: Task, flags: int, stack_addr: int, parent_tid_addr: int, child_tid_addr: int, tls: int) -> int:
    begin_clone(t, flags)
    return CONTINUE


@syscall("fork")
def sys_fork(t: Task) -> int:
    begin_clone(t, 0)
    return CONTINUE


@syscall("vfork")
def sys_vfork(t: Task) -> int:
    begin_clone(t, CLONE_VFORK | CLONE_VM)
    return CONTINUE


@syscall("clone3", Addr, Size, support="missing", note="libraries fall back to clone")
def sys_clone3(t: Task, args_addr: int, size: int) -> int:
    raise ENOSYS
