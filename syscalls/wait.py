"""wait4(2), waitid(2): the host keeps the family, so it waits, reaps and interrupts; right in every case tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from syscalls.args import Addr, Int, Pid
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

P_PIDFD = 3


@syscall("wait4", Pid, Addr, Int, Addr)
def sys_wait4(t: Task, pid: int, status_addr: int, options: int, usage_addr: int) -> int:
    return CONTINUE


@syscall("waitid", Int, Pid, Addr, Int, Addr, support="partial", note="P_PIDFD is EINVAL")
def sys_waitid(t: Task, which: int, pid: int, info_addr: int, options: int, usage_addr: int) -> int:
    if which == P_PIDFD:  # a number of the guest's table; the host's table holds something else there
        raise EINVAL
    return CONTINUE
