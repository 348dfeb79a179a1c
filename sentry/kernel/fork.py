"""clone(2), fork(2), vfork(2): the host makes the task, the Sentry sees it before it runs.

The cloner is SEIZEd with the fork options and its call CONTINUEd; the event gives the child's number while both stand
still, and the snapshot of descriptors, directories and credentials is taken there, so it is exact. A clone that fails
gives no event: the trace then stays in force until the next stop (stops.Stops).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentry.abi.errno import EAGAIN, EINVAL, EPERM, ESRCH
from sentry.engine._engine import lib
from sentry.ipc.sem import UndoList
from sentry.kernel.exe import set_program
from sentry.kernel.stops import EVENT_CLONE, EVENT_FORK, EVENT_VFORK, RestartNow, StopHandler
from sentry.kernel.task import Task
from sentry.kernel.thread_group import AddressSpace, ThreadGroup
from sentry.mm.user import UserMemory
from sentry.net.namespace import NetNamespace
from vfs.core.mount import mounts_of

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel

CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_PIDFD, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT = 0x1000, 0x2000, 0x4000, 0x8000
CLONE_THREAD, CLONE_SYSVSEM, CLONE_UNTRACED = 0x1_0000, 0x4_0000, 0x80_0000
CLONE_NEWNS, CLONE_NEWNET = 0x2_0000, 0x4000_0000
NAMESPACES = 0x80 | 0x2_0000 | 0x200_0000 | 0x400_0000 | 0x800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
CLONE_INTO_CGROUP = 0x2_0000_0000
CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 21, 24
SCHED_RESET_ON_FORK = 0x4000_0000


def check_clone(t: Task, flags: int) -> None:
    """Errno when `t` may not clone with `flags`."""
    if flags & NAMESPACES:
        check_namespaces(t, flags)
    if flags & CLONE_THREAD and not flags & CLONE_SIGHAND or flags & CLONE_SIGHAND and not flags & CLONE_VM:
        raise EINVAL
    if t.on_stop is not None:  # another purpose is bringing it to a stop: that first, then the call is made again
        raise RestartNow
    nproc = t.group.limits.nproc
    if len(t.kernel.tasks) >= nproc and _has_as_many(t, nproc):
        raise EAGAIN


def check_namespaces(t: Task, flags: int) -> None:
    """New ones are those of the network and of mounts, for who has CAP_SYS_ADMIN."""
    if flags & CLONE_NEWNS and flags & CLONE_FS:
        raise EINVAL
    if flags & NAMESPACES & ~(CLONE_NEWNS | CLONE_NEWNET):
        raise EPERM
    t.creds.require(CAP_SYS_ADMIN)


def begin_clone(t: Task, flags: int) -> None:
    """Check `flags` and trace the cloner; the caller then lets the host run the call. Errno when it may not."""
    check_clone(t, flags)
    if not t.kernel.stops.seize(t):
        raise ESRCH
    t.clone_pending = flags
    t.on_stop = _cloner_stopped


def clone_failed(t: Task) -> None:
    """`t` makes a further call: its clone gave no event, and no trap is on its way. It stays traced until its next
    stop."""
    t.clone_pending = None
    if t.on_stop is _cloner_stopped:
        t.on_stop = None


def _has_as_many(t: Task, nproc: int) -> bool:
    """RLIMIT_NPROC counts the threads of the real user id; it binds neither root nor CAP_SYS_RESOURCE or
    CAP_SYS_ADMIN."""
    creds = t.creds
    if creds.ruid == 0 or creds.has(CAP_SYS_RESOURCE) or creds.has(CAP_SYS_ADMIN):
        return False
    return sum(1 for task in t.kernel.tasks.values() if task.creds.ruid == creds.ruid) >= nproc


def _cloner_stopped(t: Task, status: int) -> None:
    event = status >> 16
    kernel = t.kernel
    flags = t.clone_pending
    t.clone_pending = None
    if event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE) and flags is not None:
        child_tid = lib.eng_event_message(t.host_tid)
        if child_tid > 0:
            add_child(kernel, t, int(child_tid), flags)
    kernel.stops.finish(t, status)


def add_child(kernel: Kernel, t: Task, host_tid: int, flags: int, at_stop: StopHandler | None = None) -> Task:
    """The new task, while it and the cloner stand still; `at_stop` is what to do at its own first stop."""
    if flags & CLONE_FILES:
        t.fds.users += 1
        fds = t.fds
    else:
        fds = t.fds.copy()
    fs = t.fs if flags & CLONE_FS else t.fs.part(mounts_of(t)) if flags & CLONE_NEWNS else t.fs.copy()
    if flags & CLONE_THREAD:
        group = t.group
    else:
        parent = t.group.parent if flags & CLONE_PARENT else t.group
        sighand = t.group.sighand if flags & CLONE_SIGHAND else t.group.sighand.copy()
        start_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        group = ThreadGroup(host_tid, parent, sighand, t.group.limits.copy(), start_ns)
        group.exe, group.loader_range = t.group.exe, t.group.loader_range
        if t.group.program is not None:
            set_program(group, t.group.program.again())
        group.personality, group.dumpable = t.group.personality, t.group.dumpable
        group.oom_score_adj = t.group.oom_score_adj
        add_group(kernel, group)
        if flags & CLONE_FS:
            fs.shared = True
        shared = t.group.memory
        group.memory = shared if flags & CLONE_VM else AddressSpace(shared.segments)
        if flags & CLONE_VFORK:
            group.vfork_parent = t
            t.vforking = True
    child = Task(kernel, host_tid, group, fds, fs, t.creds, UserMemory(host_tid))
    child.net = NetNamespace(kernel, first=False) if flags & CLONE_NEWNET else t.net
    if flags & CLONE_SYSVSEM:
        if t.undo is None:
            t.undo = UndoList()
        t.undo.users += 1
        child.undo = t.undo
    child.personality = t.personality
    child.affinity = t.affinity
    child.mempolicy = t.mempolicy
    child.ioprio = t.ioprio
    child.policy = t.policy & ~SCHED_RESET_ON_FORK  # a fair one stays: sched(7)
    child.checked_epoch = group.epoch
    group.tasks[host_tid] = child
    kernel.tasks[host_tid] = child
    kernel.stops.guest.born(t, child)
    child.traced = True
    child.on_stop = at_stop = at_stop or _child_stopped
    early = kernel.stops.early.pop(host_tid, None)
    if early is not None:
        at_stop(child, early)
    return child


def _child_stopped(t: Task, status: int) -> None:
    t.kernel.stops.finish(t, status)


def add_group(kernel: Kernel, group: ThreadGroup) -> None:
    """Watch a new process for its end; an older one of the same host number was reaped."""
    from sentry.kernel.exit import group_died, remove_group

    stale = kernel.groups.get(group.host_pid)
    if stale is not None:
        remove_group(kernel, stale)
    kernel.groups[group.host_pid] = group
    pidfd = lib.eng_pidfd_open(group.host_pid, 0)
    if pidfd >= 0:
        group.pidfd = pidfd
        kernel.watch(pidfd, 1, lambda events: group_died(kernel, group))
    else:
        kernel.defer(lambda: group_died(kernel, group))
