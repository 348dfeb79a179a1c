"""signalfd(2): signals of whoever reads, as a file.

The Sentry cannot take signals out of a guest's queue, a host signalfd can: it takes them from the queue of the thread
that reads. So there is a real one behind this file; every read of it is run by the host (syscalls/signalfd.py) at a
number of the guest's real table. Only poll(2) is answered here, by what is pending for the caller.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakSet

from sentry.abi.errno import EINVAL, ENFILE, WouldBlock
from sentry.abi.flags import O_NONBLOCK
from sentry.engine._engine import lib
from sentry.wait import IN, RDNORM
from vfs.anon.inode import SHARED
from vfs.core.file import O_RDWR, File, Stat

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.thread_group import ThreadGroup

MAX_FILES = 2048  # each is a descriptor of the Sentry's
INFO_SIZE = 128  # of a struct signalfd_siginfo
UNBLOCKABLE = 1 << 8 | 1 << 18  # SIGKILL and SIGSTOP, silently left out


class SignalFile(File):
    """`host` is the host's signalfd; `mask` the signals that it takes; `pollers` the processes that have asked here."""

    __slots__ = ("_blocking", "host", "kernel", "mask", "pollers")
    native_read = True

    def __init__(self, kernel: Kernel, mask: int, flags: int) -> None:
        super().__init__(O_RDWR | flags & O_NONBLOCK)
        self.kernel = kernel
        self.mask = mask & ~UNBLOCKABLE
        self.pollers: WeakSet[ThreadGroup] = WeakSet()
        self._blocking = True
        followers = kernel.signals.followers
        self.host: int = lib.eng_signalfd(-1, self.mask) if len(followers) < MAX_FILES else -1
        if self.host < 0:
            raise ENFILE
        followers.add(self)

    def set_mask(self, mask: int) -> None:
        self.mask = mask & ~UNBLOCKABLE
        lib.eng_signalfd(self.host, self.mask)
        self.queue.notify(IN | RDNORM)

    def host_reader(self) -> int:
        """The host's signalfd, blocking or not as this file is now."""
        if self._blocking == self.nonblock:
            self._blocking = not self._blocking
            os.set_blocking(self.host, self._blocking)
        return self.host

    def peek(self, size: int) -> bytes:
        if size < INFO_SIZE:
            raise EINVAL
        raise WouldBlock  # read(2) then has the host do it

    def poll(self) -> int:
        t = self.kernel.current
        if t is None:
            return 0
        self.pollers.add(t.group)
        masks = self.kernel.signals.masks(t)
        return IN | RDNORM if masks is not None and (masks[0] | masks[1]) & self.mask else 0

    def signals_came(self, group: ThreadGroup | None) -> None:
        if group is None or group in self.pollers:
            self.queue.notify(IN | RDNORM)

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[signalfd]"

    def fdinfo(self) -> bytes:
        return b"sigmask:\t%016x\n" % self.mask

    def release(self) -> None:
        self.kernel.signals.followers.discard(self)
        os.close(self.host)
