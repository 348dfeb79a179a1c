"""pidfd_open(2): a process as a file. poll(2) tells its end.

For the calls that the host runs on it (waitid(2) P_PIDFD, pidfd_send_signal(2)) there is a real pidfd behind it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENFILE, ESRCH
from sentry.abi.flags import O_NONBLOCK
from sentry.engine._engine import lib
from sentry.wait import HUP, IN, RDNORM, WaitQueue
from vfs.anon.inode import SHARED
from vfs.core.file import O_RDWR, File, Stat

if TYPE_CHECKING:
    from sentry.kernel.thread_group import ThreadGroup

MAX_FILES = 4096  # each is a descriptor of the Sentry's


class PidFile(File):
    """`group` is the process, `host` the host's pidfd."""

    __slots__ = ("_blocking", "group", "host")
    count = 0

    def __init__(self, group: ThreadGroup, flags: int) -> None:
        super().__init__(O_RDWR | flags & O_NONBLOCK)
        self.group = group
        self._blocking = True
        if PidFile.count >= MAX_FILES:
            raise ENFILE
        self.host: int = lib.eng_pidfd_open(group.host_pid, 0)
        if self.host < 0:
            raise ESRCH if self.host == -ESRCH.code else ENFILE
        PidFile.count += 1
        if group.death_queue is None:
            group.death_queue = WaitQueue()
        self.queue = group.death_queue

    def host_pidfd(self) -> int:
        """The host's pidfd, blocking or not as this file is now: waitid(2) looks at that."""
        if self._blocking == self.nonblock:
            self._blocking = not self._blocking
            os.set_blocking(self.host, self._blocking)
        return self.host

    @property
    def reaped(self) -> bool:
        """Its parent has waited for it: nothing is left."""
        group = self.group
        if not group.dead or group.reaped:
            return group.reaped
        try:
            os.kill(group.host_pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    def poll(self) -> int:
        if not self.group.dead:
            return 0
        return IN | RDNORM | (HUP if self.reaped else 0)

    def peek(self, size: int) -> bytes:
        raise EINVAL

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[pidfd]"

    def fdinfo(self) -> bytes:
        pid = -1 if self.reaped else self.group.pid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (pid, pid)

    def release(self) -> None:
        PidFile.count -= 1
        os.close(self.host)
