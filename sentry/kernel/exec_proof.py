"""Has the host really run an exec (execve(2))? The loader's call can be forged: by a sibling thread before the host has
ended it, or by the old program after an exec that the host refused (EFAULT, ENOMEM).

Where the new program has rights that the caller could not get by running a program of its own, a descriptor with
O_CLOEXEC is put into the caller's real table first, at a number that no guest can name: only the host's exec takes it
away. And what was decided for an exec counts only while the caller still has the credentials that it was decided for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import EACCES
from vfs.core.access import R, check

if TYPE_CHECKING:
    from sentry.kernel.exec import Exec
    from sentry.kernel.task import Task


def mark(t: Task, exec_: Exec) -> None:
    """Before the exec is set off; the caller's notification is still open."""
    exec_.caller = t.creds
    exec_.marked = exec_.creds != t.creds.for_exec()[0] or not _may_read(t, exec_)
    if exec_.marked:
        t.kernel.platform.add_fd(t, t.kernel.loader_fd, t.kernel.mark_at, cloexec=True)


def has_happened(t: Task, exec_: Exec) -> bool:
    """`t`, which makes the loader's call, is alone in the new program that `exec_` has decided."""
    if t.creds is not exec_.caller:
        return False
    if not exec_.marked:
        return True
    try:
        os.lstat(f"/proc/{t.host_tid}/fd/{t.kernel.mark_at}")
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _may_read(t: Task, exec_: Exec) -> bool:
    try:
        check(exec_.path.dentry.inode, t, R)
    except EACCES:
        return False
    return True
