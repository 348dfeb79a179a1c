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
from sentry.abi.errno import EBADF, EINVAL, EOPNOTSUPP, EPIPE, ESPIPE, Errno, WouldBlock
from sentry.wait import IN, OUT, retry
from syscalls.args import Addr, Buffer, Fd, FdNum, Int, Off, OutBuffer, Size, UInt, ULong, Whence
from syscalls.registry import syscall
from syscalls.signalfd import read_by_host
from vfs.core import notify
from vfs.core.file import O_NONBLOCK
from vfs.core.write import before_write

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

CHUNK = 1 << 20  # bytes that one step of a call moves
Iovec = list[tuple[int, int]]
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
    return retry(partial(_read, t, file, buf_addr, size), [(file, IN)])


def _read(t: Task, file: File, buf_addr: int, size: int) -> int:
    if file.flags & 3 in (1, 3):
        raise EBADF
    if size > CHUNK:
        return _read_long(t, file, [(buf_addr, min(size, MAX_RW_COUNT))])
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


def _read_long(t: Task, file: File, iov: Iovec) -> int:
    """In steps, as long as each is filled; what was copied out counts, whatever then happens."""
    total = sum(size for _, size in iov)
    done = 0
    while done < total:
        step = min(total - done, CHUNK)
        try:
            data = file.peek(step)
            count = t.mem.scatter(_behind(iov, done), data) if data else 0
        except Errno:
            if done:
                break
            raise
        file.consume(count)
        done += count
        if count < step:
            break
    if notify.active and done:
        notify.touched_file(file, IN_ACCESS)
    return done


def _behind(iov: Iovec, done: int) -> Iovec:
    """The rest of `iov` after its first `done` bytes."""
    if not done:
        return iov
    rest = []
    for base, length in iov:
        if done >= length:
            done -= length
            continue
        rest.append((base + done, length - done))
        done = 0
    return rest


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
    return retry(partial(_read_long, t, file, iov), [(file, IN)], nonblock=file.nonblock)


@syscall("pread64", Fd, OutBuffer, Size, Off)
def sys_pread64(t: Task, file: File, buf_addr: int, size: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 in (1, 3):
        raise EBADF
    if size > CHUNK:
        return _pread_long(t, file, [(buf_addr, min(size, MAX_RW_COUNT))], offset)
    data = file.pread(size, offset)
    if notify.active and data:
        notify.touched_file(file, IN_ACCESS)
    return t.mem.write_some(buf_addr, data) if data else 0


def _pread_long(t: Task, file: File, iov: Iovec, offset: int) -> int:
    total = sum(size for _, size in iov)
    done = 0
    if not total:
        file.pread(0, offset)
    while done < total:
        step = min(total - done, CHUNK)
        try:
            data = file.pread(step, offset + done)
            count = t.mem.scatter(_behind(iov, done), data) if data else 0
        except Errno:
            if done:
                break
            raise
        done += count
        if count < step:
            break
    if notify.active and done:
        notify.touched_file(file, IN_ACCESS)
    return done


@syscall("preadv", Fd, Addr, ULong, Off)
def sys_preadv(t: Task, file: File, iov_addr: int, count: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 in (1, 3):
        raise EBADF
    return _pread_long(t, file, t.mem.iovec(iov_addr, count), offset)


@syscall("preadv2", Fd, Addr, ULong, Off, ULong, Int)
def sys_preadv2(t: Task, file: File, iov_addr: int, count: int, offset: int, _high: int, flags: int) -> int:
    if flags & ~(RWF_HIPRI | RWF_NOWAIT | RWF_DSYNC | RWF_SYNC):
        raise EOPNOTSUPP
    if offset != -1:
        return sys_preadv(t, file, iov_addr, count, offset)
    if file.flags & 3 in (1, 3):
        raise EBADF
    iov = t.mem.iovec(iov_addr, count)
    if flags & RWF_NOWAIT:
        return _read_long(t, file, iov)
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
        return _write(t, file, [(buf_addr, left)], done)
    return _write(t, file, [(buf_addr, min(size, MAX_RW_COUNT))])


def _write(t: Task, file: File, iov: Iovec, done: int = 0) -> int:
    step = Writing(t, file, iov, done)
    return retry(step, [(file, OUT)], nonblock=file.nonblock, interrupted=step.progress)


class Writing:
    """A write in steps; `done` bytes are in the file already."""

    __slots__ = ("done", "file", "iov", "t", "total")

    def __init__(self, t: Task, file: File, iov: Iovec, done: int) -> None:
        self.t = t
        self.file = file
        self.iov = iov
        self.done = done
        self.total = sum(size for _, size in iov)

    def progress(self) -> int | None:
        return self.done or None

    def __call__(self) -> int:
        file = self.file
        while True:
            try:
                size = before_write(self.t, file, min(self.total - self.done, CHUNK))
                data = self.t.mem.gather(_behind(self.iov, self.done), size) if size else b""
                count = file.write(data)
            except WouldBlock:
                if file.flags & O_NONBLOCK and self.done:
                    return self.done
                raise
            except EPIPE:
                self.t.kernel.signals.sigpipe(self.t)
                if self.done:
                    return self.done
                raise
            except Errno:
                if self.done:
                    return self.done
                raise
            self.done += count
            if notify.active:
                notify.touched_file(file, IN_MODIFY)
            if self.done >= self.total or len(data) < size or not count:
                return self.done


@syscall("writev", Fd, Addr, ULong)
def sys_writev(t: Task, file: File, iov_addr: int, count: int) -> int:
    if file.flags & 3 not in (1, 2):
        raise EBADF
    return _writev(t, file, t.mem.iovec(iov_addr, count))


def _writev(t: Task, file: File, iov: Iovec) -> int:
    if not any(size for _, size in iov):
        return 0
    return _write(t, file, iov)


@syscall("pwrite64", Fd, Buffer, Size, Off)
def sys_pwrite64(t: Task, file: File, buf_addr: int, size: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 not in (1, 2):
        raise EBADF
    if size > CHUNK:
        return _pwrite_long(t, file, [(buf_addr, min(size, MAX_RW_COUNT))], offset)
    if file.opened is not None:
        size = before_write(t, file, size, offset)
    done = file.pwrite(t.mem.read_some(buf_addr, size) if size else b"", offset)
    if notify.active:
        notify.touched_file(file, IN_MODIFY)
    return done


def _pwrite_long(t: Task, file: File, iov: Iovec, offset: int) -> int:
    total = sum(size for _, size in iov)
    done = 0
    if not total:
        file.pwrite(b"", offset)
    while done < total:
        try:
            size = before_write(t, file, min(total - done, CHUNK), offset + done)
            data = t.mem.gather(_behind(iov, done), size)
            count = file.pwrite(data, offset + done)
        except Errno:
            if done:
                break
            raise
        done += count
        if count < len(data) or len(data) < size:
            break
    if notify.active and done:
        notify.touched_file(file, IN_MODIFY)
    return done


@syscall("pwritev", Fd, Addr, ULong, Off)
def sys_pwritev(t: Task, file: File, iov_addr: int, count: int, offset: int) -> int:
    if offset < 0:
        raise EINVAL
    if file.flags & 3 not in (1, 2):
        raise EBADF
    return _pwrite_long(t, file, t.mem.iovec(iov_addr, count), offset)


@syscall("pwritev2", Fd, Addr, ULong, Off, ULong, Int)
def sys_pwritev2(t: Task, file: File, iov_addr: int, count: int, offset: int, _high: int, flags: int) -> int:
    if flags & ~_RWF:
        raise EOPNOTSUPP
    if file.flags & 3 not in (1, 2):
        raise EBADF
    if offset < -1:
        raise EINVAL
    iov = t.mem.iovec(iov_addr, count)
    if flags & RWF_APPEND:
        pos = file.pos
        end = file.stat().size
        done = _pwrite_long(t, file, iov, end)
        file.pos = end + done if offset == -1 else pos
    elif offset == -1:
        done = _writev(t, file, iov)
    else:
        done = _pwrite_long(t, file, iov, offset)
    if flags & (RWF_DSYNC | RWF_SYNC):
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
