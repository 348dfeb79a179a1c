"""signalfd(2), signalfd4(2), and how such a file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from sentry.abi.flags import SFD_CLOEXEC, SFD_NONBLOCK
from sentry.kernel.injection import inject, injected
from syscalls.args import Addr, FdNum, Int, Size
from syscalls.registry import CONTINUE, syscall
from vfs.anon.signalfd import SignalFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


@syscall("signalfd", FdNum, Addr, Size)
def sys_signalfd(t: Task, fd: int, mask_addr: int, size: int) -> int:
    return sys_signalfd4(t, fd, mask_addr, size, 0)


@syscall("signalfd4", FdNum, Addr, Size, Int, note="ssi_overrun of a timer is of when its signal was sent")
def sys_signalfd4(t: Task, fd: int, mask_addr: int, size: int, flags: int) -> int:
    if size != 8:
        raise EINVAL
    mask = t.mem.u64(mask_addr)
    if flags & ~(SFD_CLOEXEC | SFD_NONBLOCK):
        raise EINVAL
    if fd == -1:
        return t.fds.install(SignalFile(t.kernel, mask, flags), bool(flags & SFD_CLOEXEC))
    file = t.fds.get(fd)
    if not isinstance(file, SignalFile):
        raise EINVAL
    file.set_mask(mask)
    return fd


def read_by_host(t: Task, fd: int, file: File) -> int:
    """The host runs the caller's read(2) or readv(2): what is at `fd` in the real table becomes the host's signalfd."""
    assert isinstance(file, SignalFile)
    host = file.host_reader()
    if not injected(t, fd, file):
        inject(t, fd, file, host)
    return CONTINUE
