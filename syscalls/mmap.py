"""mmap(2) of files: the host descriptor of the file is put at the guest's own number, then the host maps it.

Anonymous memory never comes here (platform/native.py). A read-only descriptor makes the host refuse what Linux refuses.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import EACCES, EBADF, EINVAL, ENOMEM, EPERM
from sentry.kernel.in_place import allow_in_place
from sentry.kernel.injection import inject
from syscalls.args import Addr, FdNum, MapFlags, Off, Prot, Size
from syscalls.registry import CONTINUE, syscall
from vfs.core.walk import Path
from vfs.fs.mem_devices import ZeroFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task

PROT_WRITE, PROT_EXEC = 2, 4
MAP_SHARED, MAP_SHARED_VALIDATE, MAP_TYPE, MAP_ANONYMOUS, MAP_HUGETLB = 1, 3, 0xF, 0x20, 0x40000
MS_NOEXEC = 8
NR_MMAP = 9


@syscall("mmap", Addr, Size, Prot, MapFlags, FdNum, Off, note="there are no huge pages: ENOMEM")
def sys_mmap(t: Task, addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    if flags & MAP_ANONYMOUS:
        raise ENOMEM if flags & MAP_HUGETLB else EINVAL
    try:
        file = t.fds.get(fd)
    except EBADF:
        if allow_in_place(t, NR_MMAP, fd):
            return CONTINUE
        raise
    if not length or offset & 4095:
        raise EINVAL
    if not file.readable:
        raise EACCES
    shared = flags & MAP_TYPE in (MAP_SHARED, MAP_SHARED_VALIDATE)
    if shared and prot & PROT_WRITE and not file.writable:
        raise EACCES
    opened = file.opened
    if prot & PROT_EXEC and isinstance(opened, Path) and opened.mount.flags & MS_NOEXEC:
        raise EPERM
    writable = shared and file.writable
    if isinstance(file, ZeroFile):
        _inject_zeros(t, file, fd, writable)
        return CONTINUE
    injected = t.fds.injected.get(fd)
    if injected is None or injected[0] is not file or writable and not injected[1]:
        inject(t, fd, file, file.host_fd(writable), writable)
    return CONTINUE


def _inject_zeros(t: Task, file: ZeroFile, fd: int, writable: bool) -> None:
    host_fd = file.fresh_fd(writable)
    try:
        inject(t, fd, file, host_fd, writable)
    finally:
        os.close(host_fd)
