"""wait4(2), waitid(2): the host keeps the family, so it waits, reaps and interrupts; right in every case tried.

P_PIDFD names a descriptor: a real pidfd is put at that number of the caller's real table, which costs no ptrace stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from syscalls.args import Addr, Int, Pid
from syscalls.pidfd import give_host, pidfd_of
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

P_PIDFD = 3


@syscall("wait4", Pid, Addr, Int, Addr)
def sys_wait4(t: Task, pid: int, status_addr: int, options: int, usage_addr: int) -> int:
    return CONTINUE


@syscall("waitid", Int, Pid, Addr, Int, Addr)
def sys_waitid(t: Task, which: int, pid: int, info_addr: int, options: int, usage_addr: int) -> int:
    if which == P_PIDFD:
        if pid < 0:
            raise EINVAL
        give_host(t, pid, pidfd_of(t, pid))
    return CONTINUE
