"""Scheduling: sched(7), sched_setaffinity(2) sched_setscheduler(2) sched_setattr(2) and getpriority(2).

Nice values are the host's, which schedules the threads; the Sentry decides who may change them. Which of the fair
policies a thread has is the Sentry's own record: the host would let nobody back from SCHED_IDLE. Real-time policies
and a better nice value are what an unprivileged user of the host cannot have: EPERM and EACCES, also for the guest's
root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from sentry.abi.const.rights import CAP_SYS_NICE
from sentry.abi.const.tasks import (
    PRIO_PGRP,
    PRIO_PROCESS,
    PRIO_USER,
    SCHED_BATCH,
    SCHED_DEADLINE,
    SCHED_FIFO,
    SCHED_IDLE,
    SCHED_NORMAL,
    SCHED_RESET_ON_FORK,
    SCHED_RR,
)
from sentry.abi.errno import E2BIG, EACCES, EINVAL, EPERM, ESRCH
from sentry.abi.structs import SCHED_ATTR, SCHED_ATTR_SIZE_VER0, SCHED_PARAM, TIMESPEC
from syscalls.args import Addr, Int, Pid, UInt
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

T = TypeVar("T")
FAIR = (SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE)
REAL_TIME = (SCHED_FIFO, SCHED_RR)
CPUS = os.cpu_count() or 1
MASK_SIZE = (CPUS + 63) // 64 * 8
MAX_MASK = 1024  # bytes of an affinity mask that are read: 8192 CPUs
SLICE_NS = 4_000_000  # what Linux shows as the slice of a fair thread, more or less
HOST_NOTE = "real-time policies and better nice values are refused"
FAIR_NOTE = f"{HOST_NOTE}; SCHED_BATCH and SCHED_IDLE are only noted"


def _target(t: Task, pid: int) -> Task:
    if pid < 0:
        raise EINVAL
    return _found(t, pid)


def _found(t: Task, pid: int) -> Task:
    """The calls for affinity have no other rule for a negative number."""
    target = t if pid in (0, t.tid) else t.kernel.find_task(pid)
    if target is None:
        raise ESRCH
    return target


def _permit(t: Task, target: Task) -> None:
    """The caller's effective id is the target's real or effective one, or CAP_SYS_NICE."""
    if t.creds.euid not in (target.creds.ruid, target.creds.euid):
        t.creds.require(CAP_SYS_NICE)


def _host(do: Callable[[], T]) -> T:
    """Ask the host's scheduler; a thread that has just ended is ESRCH."""
    try:
        return do()
    except ProcessLookupError:
        raise ESRCH
    except PermissionError:
        raise EPERM
    except (OSError, ValueError):
        raise EINVAL


# -- CPU affinity --


@syscall(
    "sched_setaffinity", Pid, UInt, Addr, support="partial",
    note="kept and shown; where one runs it decides only while guests are on several CPUs",
)  # fmt: skip
def sys_sched_setaffinity(t: Task, pid: int, size: int, mask_addr: int) -> int:
    mask = int.from_bytes(t.mem.read(mask_addr, min(size, MAX_MASK)), "little")
    target = _found(t, pid)
    _permit(t, target)
    cpus = frozenset(cpu for cpu in t.kernel.cpus if mask >> cpu & 1)
    if not cpus:
        raise EINVAL
    target.affinity = cpus  # the host's own mask is the Sentry's means (platform/placement.py)
    return 0


@syscall("sched_getaffinity", Pid, UInt, Addr)
def sys_sched_getaffinity(t: Task, pid: int, size: int, mask_addr: int) -> int:
    if size * 8 < CPUS or size & 7:
        raise EINVAL
    target = _found(t, pid)
    mask = sum(1 << cpu for cpu in target.affinity or t.kernel.cpus)
    count = min(size, MASK_SIZE)
    t.mem.write(mask_addr, mask.to_bytes(MASK_SIZE, "little")[:count])
    return count


# -- policies --


def _set_policy(t: Task, target: Task, policy: int, priority: int) -> None:
    plain = policy & ~SCHED_RESET_ON_FORK
    if plain in FAIR:
        if priority != 0:
            raise EINVAL
    elif plain not in REAL_TIME or not 1 <= priority <= 99:
        raise EINVAL
    _permit(t, target)
    if plain in REAL_TIME:
        raise EPERM
    old = target.policy
    from_idle = old & ~SCHED_RESET_ON_FORK == SCHED_IDLE != plain
    if from_idle or old & SCHED_RESET_ON_FORK and not policy & SCHED_RESET_ON_FORK:
        t.creds.require(CAP_SYS_NICE)
    target.policy = policy


@syscall("sched_setscheduler", Pid, Int, Addr, support="partial", note=FAIR_NOTE)
def sys_sched_setscheduler(t: Task, pid: int, policy: int, param_addr: int) -> int:
    if param_addr == 0 or pid < 0 or policy < 0:
        raise EINVAL
    (priority,) = t.mem.unpack(SCHED_PARAM, param_addr)
    _set_policy(t, _target(t, pid), policy, priority)
    return 0


@syscall("sched_getscheduler", Pid)
def sys_sched_getscheduler(t: Task, pid: int) -> int:
    return _target(t, pid).policy


@syscall("sched_setparam", Pid, Addr, support="partial", note=HOST_NOTE)
def sys_sched_setparam(t: Task, pid: int, param_addr: int) -> int:
    if param_addr == 0 or pid < 0:
        raise EINVAL
    (priority,) = t.mem.unpack(SCHED_PARAM, param_addr)
    target = _target(t, pid)
    _set_policy(t, target, target.policy, priority)
    return 0


@syscall("sched_getparam", Pid, Addr)
def sys_sched_getparam(t: Task, pid: int, param_addr: int) -> int:
    if param_addr == 0:
        raise EINVAL
    _target(t, pid)
    t.mem.pack(SCHED_PARAM, param_addr, 0)
    return 0


@syscall("sched_get_priority_max", Int)
def sys_sched_get_priority_max(t: Task, policy: int) -> int:
    return 99 if _known(policy) in REAL_TIME else 0


@syscall("sched_get_priority_min", Int)
def sys_sched_get_priority_min(t: Task, policy: int) -> int:
    return 1 if _known(policy) in REAL_TIME else 0


def _known(policy: int) -> int:
    if policy not in (*FAIR, *REAL_TIME, SCHED_DEADLINE):
        raise EINVAL
    return policy


@syscall("sched_rr_get_interval", Pid, Addr, note="a constant for fair policies")
def sys_sched_rr_get_interval(t: Task, pid: int, interval_addr: int) -> int:
    _target(t, pid)
    t.mem.pack(TIMESPEC, interval_addr, 0, SLICE_NS)
    return 0


@syscall("sched_getattr", Pid, Addr, UInt, UInt)
def sys_sched_getattr(t: Task, pid: int, attr_addr: int, size: int, flags: int) -> int:
    if attr_addr == 0 or flags or not SCHED_ATTR_SIZE_VER0 <= size <= 4096:
        raise EINVAL
    target = _target(t, pid)
    policy = target.policy
    nice = _nice(target)
    reset = 1 if policy & SCHED_RESET_ON_FORK else 0
    used = min(size, SCHED_ATTR.size)
    data = SCHED_ATTR.pack(used, policy & ~SCHED_RESET_ON_FORK, reset, nice, 0, 0, 0, 0, 0, 1024)
    t.mem.write(attr_addr, data[:used])
    return 0


@syscall("sched_setattr", Pid, Addr, UInt, support="partial", note=FAIR_NOTE)
def sys_sched_setattr(t: Task, pid: int, attr_addr: int, flags: int) -> int:
    if attr_addr == 0 or pid < 0 or flags:
        raise EINVAL
    size = t.mem.u32(attr_addr) or SCHED_ATTR_SIZE_VER0
    if not SCHED_ATTR_SIZE_VER0 <= size <= 4096:
        t.mem.put_u32(attr_addr, SCHED_ATTR.size)
        raise E2BIG
    data = t.mem.read(attr_addr, size)
    if any(data[SCHED_ATTR.size :]):
        t.mem.put_u32(attr_addr, SCHED_ATTR.size)
        raise E2BIG
    padded = data[: SCHED_ATTR.size].ljust(SCHED_ATTR.size, b"\0")
    _, policy, attr_flags, nice, priority, _, _, _, _, _ = SCHED_ATTR.unpack(padded)
    if attr_flags & ~0x7F:
        raise EINVAL
    target = _target(t, pid)
    if attr_flags & 0x08:  # SCHED_FLAG_KEEP_POLICY
        policy = target.policy & ~SCHED_RESET_ON_FORK
    if policy == SCHED_DEADLINE:
        raise EPERM
    _set_policy(t, target, policy | (SCHED_RESET_ON_FORK if attr_flags & 1 else 0), priority)
    if policy in (SCHED_NORMAL, SCHED_BATCH) and not attr_flags & 0x10:  # SCHED_FLAG_KEEP_PARAMS
        _renice(target, max(-20, min(19, nice)), EPERM)
    return 0


# -- nice values --


def _chosen(t: Task, which: int, who: int) -> Iterable[Task]:
    """The threads that getpriority(2) means."""
    tasks = t.kernel.tasks
    if which == PRIO_PROCESS:
        target = t if who == 0 else t.kernel.find_task(who)
        return () if target is None else (target,)
    if which == PRIO_USER:
        uid = t.creds.ruid if who == 0 else who & 0xFFFFFFFF
        return [task for task in tuple(tasks.values()) if task.creds.ruid == uid]
    if which == PRIO_PGRP:
        wanted = _group_of(t) if who == 0 else None
        leader = t.kernel.find_group(who) if who else None
        if leader is not None:
            wanted = leader.host_pid
        if wanted is None:
            return ()
        return [task for task in tuple(tasks.values()) if _group_of(task) == wanted]
    raise EINVAL


def _group_of(task: Task) -> int | None:
    try:
        return os.getpgid(task.group.host_pid)
    except OSError:
        return None


@syscall("getpriority", Int, Pid)
def sys_getpriority(t: Task, which: int, who: int) -> int:
    found = []
    for task in _chosen(t, which, who):
        try:
            found.append(20 - _nice(task))
        except ESRCH:
            continue
    if not found:
        raise ESRCH
    return max(found)


@syscall("setpriority", Int, Pid, Int, support="partial", note=HOST_NOTE)
def sys_setpriority(t: Task, which: int, who: int, nice: int) -> int:
    nice = max(-20, min(19, nice))
    tasks = tuple(_chosen(t, which, who))
    if not tasks:
        raise ESRCH
    error: type[EPERM | EACCES] | None = None
    for task in tasks:
        if t.creds.euid not in (task.creds.ruid, task.creds.euid) and not t.creds.has(CAP_SYS_NICE):
            error = EPERM
            continue
        try:
            _renice(task, nice, EACCES)
        except EACCES:
            error = EACCES
    if error is not None:
        raise error
    return 0


def _nice(task: Task) -> int:
    """The thread's nice value, field 19 of proc_pid_stat(5)."""
    try:
        with open(f"/proc/{task.host_tid}/stat", "rb") as f:
            return int(f.read(1024).rpartition(b")")[2].split()[16])
    except OSError:
        raise ESRCH


def _renice(task: Task, nice: int, refused: type[EPERM] | type[EACCES]) -> None:
    if nice < _nice(task):
        raise refused
    _host(lambda: os.setpriority(os.PRIO_PROCESS, task.host_tid, nice))
