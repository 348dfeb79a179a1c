"""Resource limits: getrlimit(2) setrlimit(2) prlimit(2).

The numbers are the Sentry's. Those that only the host can keep (address space, data, stack, locked memory, CPU time)
are also lowered on the process itself; the host's hard limits stay, so that a later raise works again.
"""

from __future__ import annotations

import resource as host
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_RESOURCE
from sentry.abi.const.tasks import (
    RLIM_NLIMITS,
    RLIMIT_AS,
    RLIMIT_CPU,
    RLIMIT_DATA,
    RLIMIT_MEMLOCK,
    RLIMIT_NOFILE,
    RLIMIT_STACK,
)
from sentry.abi.errno import EINVAL, EPERM, ESRCH
from sentry.abi.structs import RLIMIT
from syscalls.args import Addr, Pid, UInt
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

NR_OPEN = 1048576  # /proc/sys/fs/nr_open: the highest RLIMIT_NOFILE
HOST_KEPT = frozenset((RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK))
INFINITY = (1 << 64) - 1


@syscall("getrlimit", UInt, Addr)
def sys_getrlimit(t: Task, resource: int, limit_addr: int) -> int:
    t.mem.pack(RLIMIT, limit_addr, *_get(t.group, resource))
    return 0


@syscall("setrlimit", UInt, Addr, support="partial", note="RLIMIT_NOFILE ends at 16384")
def sys_setrlimit(t: Task, resource: int, limit_addr: int) -> int:
    soft, hard = t.mem.unpack(RLIMIT, limit_addr)
    _set(t, t.group, resource, soft, hard)
    return 0


@syscall("prlimit64", Pid, UInt, Addr, Addr, support="partial", note="RLIMIT_NOFILE ends at 16384")
def sys_prlimit64(t: Task, pid: int, resource: int, new_addr: int, old_addr: int) -> int:
    new = t.mem.unpack(RLIMIT, new_addr) if new_addr else None
    target = t.kernel.find_task(pid) if pid else t
    if target is None:
        raise ESRCH
    if target.group is not t.group:
        _permit(t, target)
    old = _get(target.group, resource)
    if new is not None:
        _set(t, target.group, resource, *new)
    if old_addr:
        t.mem.pack(RLIMIT, old_addr, *old)
    return 0


def _permit(t: Task, target: Task) -> None:
    """All of the target's ids are the caller's real ones, or CAP_SYS_RESOURCE."""
    mine, its = t.creds, target.creds
    same = {its.ruid, its.euid, its.suid} == {mine.ruid} and {its.rgid, its.egid, its.sgid} == {mine.rgid}
    if not same:
        mine.require(CAP_SYS_RESOURCE)


def _get(group: ThreadGroup, resource: int) -> tuple[int, int]:
    if resource >= RLIM_NLIMITS:
        raise EINVAL
    return group.limits.get(resource)


def _set(t: Task, group: ThreadGroup, resource: int, soft: int, hard: int) -> None:
    _, old_hard = _get(group, resource)
    if soft > hard:
        raise EINVAL
    if resource == RLIMIT_NOFILE and hard > NR_OPEN:
        raise EPERM
    if hard > old_hard:
        t.creds.require(CAP_SYS_RESOURCE)
    group.limits.set(resource, soft, hard)
    if resource == RLIMIT_NOFILE:
        for task in group.tasks.values():
            task.fds.limit = group.limits.nofile
    elif resource in HOST_KEPT:
        _lower(group.host_pid, resource, soft, hard)


def _lower(host_pid: int, resource: int, soft: int, hard: int) -> None:
    """Give the host's process the soft limit as far as its hard one allows; CPU time ends at the hard limit too."""
    try:
        _, ceiling = host.prlimit(host_pid, resource)
        if ceiling != host.RLIM_INFINITY:
            soft = min(soft, ceiling)
            hard = min(hard, ceiling)
        top = hard if resource == RLIMIT_CPU else ceiling
        host.prlimit(host_pid, resource, (_signed(soft), _signed(top)))
    except (OSError, ValueError):
        pass  # the process is ending, or the host allows less: the guest's numbers stand


def _signed(value: int) -> int:
    return host.RLIM_INFINITY if value >= 1 << 63 else value
