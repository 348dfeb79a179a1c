"""clone(2), fork(2), vfork(2), clone3(2): checked here, made by the host, seen by the Sentry before the child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const import tasks as k
from sentry.abi.errno import E2BIG, EBADF, EINVAL, ENOSYS, EOPNOTSUPP, EPERM
from sentry.abi.structs import CLONE_ARGS
from sentry.kernel.clone3 import CloneRequest, allow_redirected, redirect
from sentry.kernel.fork import NAMESPACES, begin_clone
from syscalls.args import Addr, CloneFlags, Size
from syscalls.registry import CONTINUE, DEFERRED, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NR_CLONE, NR_CLONE3 = 56, 435
CSIGNAL, CLONE_DETACHED = 0xFF, 0x40_0000
REWRITTEN = k.CLONE_PIDFD | k.CLONE_PTRACE | k.CLONE_UNTRACED | NAMESPACES & ~k.CLONE_NEWTIME
KNOWN = 0xFFFF_FFFF | k.CLONE_CLEAR_SIGHAND | k.CLONE_INTO_CGROUP
MAX_PID_NS_LEVEL = 32
NSIG = 64
ADDRESS_END = (1 << 47) - 4096

# What glibc asks clone3 for, and clone(2) after ENOSYS: pthread_create(3) and posix_spawn(3).
THREAD = (
    k.CLONE_VM | k.CLONE_FS | k.CLONE_FILES | k.CLONE_SIGHAND | k.CLONE_THREAD | k.CLONE_SYSVSEM | k.CLONE_SETTLS
    | k.CLONE_PARENT_SETTID | k.CLONE_CHILD_CLEARTID
)  # fmt: skip
SPAWN = k.CLONE_VM | k.CLONE_VFORK
FALLING_BACK = (THREAD, SPAWN, SPAWN | k.CLONE_CLEAR_SIGHAND)


@syscall("clone", CloneFlags, Addr, Addr, Addr, Addr, support="partial", note="new namespaces: of network and mounts")
def sys_clone(t: Task, flags: int, stack_addr: int, parent_tid_addr: int, child_tid_addr: int, tls: int) -> int:
    flags &= 0xFFFF_FFFF
    if t.clone_request is not None and allow_redirected(t, flags):
        return CONTINUE
    if flags & REWRITTEN:
        if flags & k.CLONE_PIDFD and flags & (k.CLONE_PARENT_SETTID | CLONE_DETACHED | k.CLONE_THREAD):
            raise EINVAL
        redirect(
            t, CloneRequest(NR_CLONE, flags, stack_addr, parent_tid_addr, child_tid_addr, tls, parent_tid_addr)
        )
        return DEFERRED
    begin_clone(t, flags)
    return CONTINUE


@syscall("fork")
def sys_fork(t: Task) -> int:
    begin_clone(t, 0)
    return CONTINUE


@syscall("vfork")
def sys_vfork(t: Task) -> int:
    begin_clone(t, k.CLONE_VFORK | k.CLONE_VM)
    return CONTINUE


@syscall(
    "clone3", Addr, Size, support="partial",
    note="ENOSYS for the flags of pthread_create and posix_spawn: their clone instead is quicker than a rewritten "
    "call; new namespaces of network and mounts only; no set_tid, CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP",
)  # fmt: skip
def sys_clone3(t: Task, args_addr: int, size: int) -> int:
    flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup = _read(
        t, args_addr, size
    )
    if set_tid_size > MAX_PID_NS_LEVEL or bool(set_tid) != bool(set_tid_size):
        raise EINVAL
    if exit_signal > NSIG:
        raise EINVAL
    if flags & k.CLONE_INTO_CGROUP and (cgroup > 0x7FFF_FFFF or size < k.CLONE_ARGS_SIZE_VER2):
        raise EINVAL
    _check_flags(flags, exit_signal)
    if bool(stack) != bool(stack_size) or stack + stack_size > ADDRESS_END:
        raise EINVAL
    if flags & k.CLONE_PIDFD and (
        flags & k.CLONE_THREAD or flags & k.CLONE_PARENT_SETTID and pidfd == parent_tid
    ):
        raise EINVAL
    if set_tid_size:
        raise EPERM  # takes CAP_CHECKPOINT_RESTORE of the pid namespace's owner
    if flags & k.CLONE_INTO_CGROUP:
        raise EOPNOTSUPP if cgroup in t.fds else EBADF
    if flags in FALLING_BACK:
        raise ENOSYS
    if flags & k.CLONE_CLEAR_SIGHAND:
        raise EINVAL  # as before Linux 5.5
    request = CloneRequest(
        NR_CLONE3, flags | exit_signal, stack + stack_size, parent_tid, child_tid, tls, pidfd
    )
    redirect(t, request)
    return DEFERRED


def _read(t: Task, args_addr: int, size: int) -> tuple[int, ...]:
    """The struct, copied once: shorter ones of older programs are filled with zeros, longer ones must end in zeros."""
    if size > 4096:
        raise E2BIG
    if size < k.CLONE_ARGS_SIZE_VER0:
        raise EINVAL
    data = t.mem.read(args_addr, size)
    if any(data[CLONE_ARGS.size :]):
        raise E2BIG
    return CLONE_ARGS.unpack(data[: CLONE_ARGS.size].ljust(CLONE_ARGS.size, b"\0"))


def _check_flags(flags: int, exit_signal: int) -> None:
    if flags & ~KNOWN or flags & (CLONE_DETACHED | CSIGNAL & ~k.CLONE_NEWTIME):
        raise EINVAL
    if flags & k.CLONE_SIGHAND and flags & k.CLONE_CLEAR_SIGHAND:
        raise EINVAL
    if flags & (k.CLONE_THREAD | k.CLONE_PARENT) and exit_signal:
        raise EINVAL
