"""ioctl(2): the requests that every file knows; the rest is the file's own (ioctl_list(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, ENOTTY
from sentry.abi.flags import (
    F_GETOWN,
    F_SETOWN,
    FIGETBSZ,
    FIOASYNC,
    FIOCLEX,
    FIOGETOWN,
    FIONBIO,
    FIONCLEX,
    FIONREAD,
    FIOQSIZE,
    FIOSETOWN,
    O_ASYNC,
    O_NONBLOCK,
    O_PATH,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    SIOCGPGRP,
    SIOCSPGRP,
)
from sentry.socket.base import Socket
from syscalls.args import FdNum, Ioctl, ULong
from syscalls.fcntl import socket_owner
from syscalls.registry import syscall
from vfs.anon.async_io import may_be_async, set_async

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

OWNER = {FIOSETOWN: F_SETOWN, SIOCSPGRP: F_SETOWN, FIOGETOWN: F_GETOWN, SIOCGPGRP: F_GETOWN}


@syscall("ioctl", FdNum, Ioctl, ULong, support="partial", note="what each kind of file knows is listed with it")
def sys_ioctl(t: Task, fd: int, request: int, arg: int) -> int:
    fds = t.fds
    file = fds.any(fd)
    if file.flags & O_PATH:
        raise EBADF
    request &= 0xFFFFFFFF
    if request == FIOCLEX:
        fds.cloexec.add(fd)
        return 0
    if request == FIONCLEX:
        fds.cloexec.discard(fd)
        return 0
    if request == FIONBIO:
        on = t.mem.i32(arg)
        file.flags = file.flags | O_NONBLOCK if on else file.flags & ~O_NONBLOCK
        return 0
    if request == FIOASYNC:
        on = bool(t.mem.i32(arg))
        if on != bool(file.flags & O_ASYNC):
            if not may_be_async(file):
                raise ENOTTY
            set_async(t.kernel, file, on)
            file.flags ^= O_ASYNC
        return 0
    if request in OWNER and isinstance(file, Socket):
        return socket_owner(t, file, OWNER[request], arg)
    if request in (FIONREAD, FIOQSIZE, FIGETBSZ):
        return _size(t, file, request, arg)
    return file.ioctl(t, request, arg)


def _size(t: Task, file: File, request: int, arg: int) -> int:
    try:
        return file.ioctl(t, request, arg)
    except ENOTTY:
        stat = file.stat()
        kind = stat.mode & S_IFMT
        if request == FIGETBSZ and kind in (S_IFREG, S_IFDIR):
            t.mem.put_i32(arg, stat.blksize)
        elif request == FIONREAD and kind == S_IFREG:
            t.mem.put_i32(arg, max(-(1 << 31), min(stat.size - file.pos, (1 << 31) - 1)))
        elif request == FIOQSIZE and kind in (S_IFREG, S_IFDIR, S_IFLNK):
            t.mem.put_u64(arg, stat.size)
        else:
            raise
        return 0
