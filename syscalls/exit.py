"""exit(2) of a thread, exit_group(2) of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.kernel.exit import begin_exit, begin_exit_group
from syscalls.args import Int
from syscalls.registry import CONTINUE, DEFERRED, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("exit", Int)
def sys_exit(t: Task, status: int) -> int:
    return CONTINUE if begin_exit(t) else DEFERRED


@syscall("exit_group", Int)
def sys_exit_group(t: Task, status: int) -> int:
    return CONTINUE if begin_exit_group(t) else DEFERRED
