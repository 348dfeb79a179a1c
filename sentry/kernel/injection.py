"""Host descriptors at a guest's own numbers (seccomp_unotify(2), ADDFD), for calls that the host runs.

The real table of a guest holds the loader and these, no more. Each is O_CLOEXEC, remembered in `FdTable.injected`, and
goes with the guest's own close of the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


def inject(t: Task, fd: int, file: File, host_fd: int, writable: bool = False) -> None:
    """While the call of `t` is open: put a copy of `host_fd`, which stands for `file`, at `fd` of its real table."""
    t.kernel.platform.add_fd(t, host_fd, fd)
    t.fds.injected[fd] = (file, writable)
    if fd == t.kernel.loader_at:
        t.fds.loader_lost = True  # put back by the next exec


def injected(t: Task, fd: int, file: File) -> bool:
    """Whether `file` is there already."""
    known = t.fds.injected.get(fd)
    return known is not None and known[0] is file
