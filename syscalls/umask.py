"""The mask of new files' modes: umask(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syscalls.args import Mode
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("umask", Mode)
def sys_umask(t: Task, mask: int) -> int:
    old = t.fs.umask
    t.fs.umask = mask & 0o777
    return old
