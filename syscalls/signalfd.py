"""signalfd(2), signalfd4(2): not yet.

The Sentry cannot take signals out of a guest's queue; a real host signalfd can, injected at the guest's number, with
every read of it run by the host (reads are from the reader's own queue). What is to be done here: validate mask and
flags, make the host signalfd, have the platform inject it (`Platform.add_fd`), install a File whose `poll` is
(SigPnd | ShdPnd) & mask of the asking process, notified after every signal that the kernel learns of, and answer
reads with CONTINUE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOSYS
from sentry.abi.flags import SFD_CLOEXEC, SFD_NONBLOCK
from syscalls.args import Addr, FdNum, Int, Size
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


@syscall("signalfd", FdNum, Addr, Size, support="missing", note="arguments are checked, then ENOSYS")
def sys_signalfd(t: Task, fd: int, mask_addr: int, size: int) -> int:
    return sys_signalfd4(t, fd, mask_addr, size, 0)


@syscall("signalfd4", FdNum, Addr, Size, Int, support="missing", note="arguments are checked, then ENOSYS")
def sys_signalfd4(t: Task, fd: int, mask_addr: int, size: int, flags: int) -> int:
    if size != 8 or flags & ~(SFD_CLOEXEC | SFD_NONBLOCK):
        raise EINVAL
    t.mem.u64(mask_addr)
    raise ENOSYS
