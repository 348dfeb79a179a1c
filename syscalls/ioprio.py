"""ioprio_set(2), ioprio_get(2): kept for each thread. The host schedules I/O, by priorities of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_ADMIN, CAP_SYS_NICE
from sentry.abi.const.tasks import (
    IOPRIO_CLASS_BE,
    IOPRIO_CLASS_IDLE,
    IOPRIO_CLASS_NONE,
    IOPRIO_CLASS_RT,
    IOPRIO_CLASS_SHIFT,
    IOPRIO_WHO_PGRP,
    IOPRIO_WHO_PROCESS,
    IOPRIO_WHO_USER,
)
from sentry.abi.errno import EINVAL, EPERM, ESRCH
from syscalls.args import Int, Pid
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

BY_NICE = IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | 4  # what is told where nothing was set
LEVEL = 7
NOTE = "kept and told; the host schedules all I/O alike, as the scheduler none does"


@syscall("ioprio_get", Int, Pid, note=NOTE)
def sys_ioprio_get(t: Task, which: int, who: int) -> int:
    """The best of those that are meant."""
    return min(task.ioprio or BY_NICE for task in _meant(t, which, who))


@syscall("ioprio_set", Int, Pid, Int, note=NOTE)
def sys_ioprio_set(t: Task, which: int, who: int, priority: int) -> int:
    kind, level = priority >> IOPRIO_CLASS_SHIFT & 7, priority & LEVEL
    if kind == IOPRIO_CLASS_RT:
        if not (t.creds.has(CAP_SYS_ADMIN) or t.creds.has(CAP_SYS_NICE)):
            raise EPERM
    elif kind == IOPRIO_CLASS_NONE:
        if level:
            raise EINVAL
    elif kind not in (IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE):
        raise EINVAL
    creds = t.creds
    for task in _meant(t, which, who):
        if task.creds.ruid not in (creds.euid, creds.ruid) and not creds.has(CAP_SYS_NICE):
            raise EPERM
        task.ioprio = priority & 0xFFFF if kind != IOPRIO_CLASS_NONE else 0
    return 0


def _meant(t: Task, which: int, who: int) -> list[Task]:
    """ESRCH when there is none."""
    kernel = t.kernel
    if which == IOPRIO_WHO_PROCESS:
        one = t if not who else kernel.find_task(who)
        found = [] if one is None else [one]
    elif which == IOPRIO_WHO_PGRP:
        found = _process_group(t, who)
    elif which == IOPRIO_WHO_USER:
        uid = who & 0xFFFFFFFF if who else t.creds.ruid
        found = [task for task in kernel.tasks.values() if task.creds.ruid == uid]
    else:
        raise EINVAL
    if not found:
        raise ESRCH
    return found


def _process_group(t: Task, who: int) -> list[Task]:
    """The main threads of its processes."""
    try:
        if not who:
            wanted = os.getpgid(t.group.host_pid)
        else:
            leader = t.kernel.find_group(who)
            if leader is None:
                return []
            wanted = leader.host_pid
    except OSError:
        return []
    found = []
    for group in tuple(t.kernel.groups.values()):
        try:
            if not group.dead and group.tasks and os.getpgid(group.host_pid) == wanted:
                found.append(group.leader)
        except OSError:
            continue
    return found
