"""read(2), write(2), pread(2), pwrite(2), readv(2), writev(2), preadv2(2), pwritev2(2), lseek(2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ACCESS, IN_MODIFY
from sentry.abi.const.files import (
    MAX_RW_COUNT,
    RWF_APPEND,
    RWF_DSYNC,
    RWF_HIPRI,
    RWF_NOWAIT,
    RWF_SYNC,
    S_IFBLK,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
)
from sentry.abi.errno import EBADF, EINVAL, EOPNOTSUPP, EPIPE, ESPIPE, WouldBlock
from sentry.mm.user import Iovec
from sentry.wait import IN, Park
from syscalls.args import Addr, Buffer, Fd, FdNum, Int, Off, OutBuffer, Size, UInt, ULong, Whence
from syscalls.registry import syscall
from syscalls.signalfd import read_by_host
from syscalls.transfer import CHUNK, Reading, Writing
from vfs.core import notify
from vfs.core.file import O_NONBLOCK
from vfs.core.write import before_write

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

_RWF = RWF_APPEND | RWF_DSYNC | RWF_HIPRI | RWF_NOWAIT | RWF_SYNC


@syscall("read", FdNum, OutBuffer, Size)
def sys_read(t: Task, fd: int, buf_addr: int, size: int) -> int:
    file = t.fds.get(fd & 0xFFFFFFFF)
    try:
        return _read(t, file, buf_addr, size)
    except WouldBlock:
        if file.native_read:
            return read_by_host(t, fd, file)
        if file.flags & O_NONBLOCK:
            raise
    raise Park(partial(_read, t, file, buf_addr, size), [(file, IN)])  # it was tried just now


def _read(t: Task, file: File, buf_addr: int, size: int) -> int:
    if file.flags & 3 in (1, 3):
        raise EBADF
    if size > CHUNK:
        return Reading(t, file, [(buf_addr, min(size, MAX_RW_COUNT))]).run()
    try:
        data = file.peek(size)
    except WouldBlock:
        if size == 0:
            return 0
        raise
    if not data:
        return 0
    done = t.mem.write_some(buf_addr, data)
    file.consume(done)
    if notify.active:
        notify.touched_file(file, IN_ACCESS)
    return done


@syscall("readv", FdNum, Addr, ULong)
def sys_readv(t: Task, fd: int, iov_addr: int, count: int) -> int:
    file = t.fds.get(fd)
    if file.flags & 3 in (1, 3):
        raise EBADF
    if file.native_read:
        return read_by_host(t, fd, file)
    return _readv(t, file, t.mem.iovec(iov_addr, count))


def _readv(t: Task, file: File, iov: Iovec) -> int:
    if not any(size for _, size in iov):
        return 0
    return Reading(t, file, iov).run()


@syscall("pread64", Fd, OutBuffer, Size, Off)
def sys_pread64(t: Task, file: File, buf_addr: int, size: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 in (1, 3):
        raise EBADF
    if size > CHUNK:
        return Reading(t, file, [(buf_addr, min(size, MAX_RW_COUNT))], offset).run()
    data = file.pread(size, offset)
    if notify.active and data:
        notify.touched_file(file, IN_ACCESS)
    return t.mem.write_some(buf_addr, data) if data else 0


def _preadv(t: Task, file: File, iov: Iovec, offset: int) -> int:
    if not any(size for _, size in iov):
        return len(file.pread(0, offset))
    return Reading(t, file, iov, offset).run()


@syscall("preadv", Fd, Addr, ULong, Off)
def sys_preadv(t: Task, file: File, iov_addr: int, count: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 in (1, 3):
        raise EBADF
    return _preadv(t, file, t.mem.iovec(iov_addr, count), offset)


@syscall("preadv2", Fd, Addr, ULong, Off, ULong, Int)
def sys_preadv2(t: Task, file: File, iov_addr: int, count: int, offset: int, _high: int, flags: int) -> int:
    if flags & ~_RWF:
        raise EOPNOTSUPP
    if offset != -1:
        return sys_preadv(t, file, iov_addr, count, offset)
    if file.flags & 3 in (1, 3):
        raise EBADF
    iov = t.mem.iovec(iov_addr, count)
    if flags & RWF_NOWAIT:
        return Reading(t, file, iov).at_once()
    return _readv(t, file, iov)


@syscall("write", Fd, Buffer, Size)
def sys_write(t: Task, file: File, buf_addr: int, size: int) -> int:
    if file.flags & 3 not in (1, 2):
        raise EBADF
    if size <= CHUNK:
        left = before_write(t, file, size) if file.opened is not None else size
        data = t.mem.read_some(buf_addr, left) if left else b""
        try:
            done = file.write(data)
        except EPIPE:
            t.kernel.signals.sigpipe(t)
            raise
        except WouldBlock:
            if file.flags & O_NONBLOCK:
                raise
            done = 0
            if not size:
                return 0
        else:
            if notify.active:
                notify.touched_file(file, IN_MODIFY)
            if done == len(data):
                return done
        return Writing(t, file, [(buf_addr, left)], done=done).run()
    return Writing(t, file, [(buf_addr, min(size, MAX_RW_COUNT))]).run()


@syscall("writev", Fd, Addr, ULong)
def sys_writev(t: Task, file: File, iov_addr: int, count: int) -> int:
    if file.flags & 3 not in (1, 2):
        raise EBADF
    return _writev(t, file, t.mem.iovec(iov_addr, count))


def _writev(t: Task, file: File, iov: Iovec) -> int:
    if not any(size for _, size in iov):
        return 0
    return Writing(t, file, iov).run()


@syscall("pwrite64", Fd, Buffer, Size, Off)
def sys_pwrite64(t: Task, file: File, buf_addr: int, size: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 not in (1, 2):
        raise EBADF
    if size > CHUNK:
        return Writing(t, file, [(buf_addr, min(size, MAX_RW_COUNT))], offset).run()
    if file.opened is not None:
        size = before_write(t, file, size, offset)
    done = file.pwrite(t.mem.read_some(buf_addr, size) if size else b"", offset)
    if notify.active:
        notify.touched_file(file, IN_MODIFY)
    return done


def _pwritev(t: Task, file: File, iov: Iovec, offset: int) -> int:
    if not any(size for _, size in iov):
        return file.pwrite(b"", offset)
    return Writing(t, file, iov, offset).run()


@syscall("pwritev", Fd, Addr, ULong, Off)
def sys_pwritev(t: Task, file: File, iov_addr: int, count: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 not in (1, 2):
        raise EBADF
    return _pwritev(t, file, t.mem.iovec(iov_addr, count), offset)


@syscall("pwritev2", Fd, Addr, ULong, Off, ULong, Int)
def sys_pwritev2(t: Task, file: File, iov_addr: int, count: int, offset: int, _high: int, flags: int) -> int:
    if flags & ~_RWF:
        raise EOPNOTSUPP
    if file.flags & 3 not in (1, 2):
        raise EBADF
    if offset < -1:
        raise EINVAL
    iov = t.mem.iovec(iov_addr, count)
    if not flags & (RWF_APPEND | RWF_DSYNC | RWF_NOWAIT | RWF_SYNC):
        return _writev(t, file, iov) if offset == -1 else _pwritev(t, file, iov, offset)
    regular = file.stat().mode & S_IFMT == S_IFREG  # of anything else there is no end to append to, nothing to sync
    append = regular and bool(flags & RWF_APPEND)
    at = file.stat().size if append else None if offset == -1 else offset
    writing = Writing(t, file, iov, at)
    if not regular and not flags & RWF_NOWAIT:
        return writing.run()
    done = writing.at_once()
    if append and offset == -1 and at is not None:
        file.pos = at + done
    if regular and flags & (RWF_DSYNC | RWF_SYNC):
        file.sync(not flags & RWF_SYNC)
    return done


@syscall("lseek", Fd, Off, Whence)
def sys_lseek(t: Task, file: File, offset: int, whence: int) -> int:
    return file.seek(offset, whence)


@syscall("readahead", Fd, Off, Size, note="checked and ignored")
def sys_readahead(t: Task, file: File, offset: int, size: int) -> int:
    if file.flags & 3 in (1, 3):
        raise EBADF
    if file.stat().mode & S_IFMT not in (S_IFREG, S_IFBLK):
        raise EINVAL
    return 0


@syscall("fadvise64", Fd, Off, Off, UInt, note="checked and ignored")
def sys_fadvise64(t: Task, file: File, offset: int, size: int, advice: int) -> int:
    if file.stat().mode & S_IFMT == S_IFIFO:
        raise ESPIPE
    if advice > 5 or size < 0:
        raise EINVAL
    return 0
