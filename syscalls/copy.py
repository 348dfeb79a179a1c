"""sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ACCESS, IN_MODIFY
from sentry.abi.const.files import O_APPEND, S_IFDIR, S_IFMT, S_IFREG
from sentry.abi.errno import EBADF, EINVAL, EISDIR, EPIPE, ESPIPE, Errno, WouldBlock
from sentry.wait import IN, OUT, retry
from syscalls.args import Addr, Fd, Size, UInt, ULong
from syscalls.registry import syscall
from vfs.anon.pipe import PipeFile
from vfs.core import notify
from vfs.core.file import O_NONBLOCK
from vfs.core.write import before_write

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

CHUNK = 1 << 20
STEP = 4 << 20  # at most this much at a time: then others run, or the call ends, if it need not move all
MAX_COUNT = 0x7FFFF000  # of one call (sendfile(2))
SPLICE_F_NONBLOCK = 2
_SPLICE = 0xF


class Copying:
    """Moves bytes from `source` to `target`; `done` of them so far. Positions are None where a file's own is used.
    `whole`: a target without room is waited for until all is moved."""

    __slots__ = ("done", "in_pos", "nonblock", "out_pos", "size", "source", "t", "target", "whole")

    def __init__(
        self, t: Task, source: File, in_pos: int | None, target: File, out_pos: int | None, size: int, nonblock: bool,
        whole: bool = False,
    ) -> None:  # fmt: skip
        self.t = t
        self.source = source
        self.target = target
        self.in_pos = in_pos
        self.out_pos = out_pos
        self.whole = whole and not nonblock
        self.size = min(size, MAX_COUNT if self.whole else STEP)
        self.nonblock = nonblock
        self.done = 0

    def progress(self) -> int | None:
        return self.done or None

    def __call__(self) -> int:
        """Returns when `size` bytes are moved, at the end of `source`, or when one side has no more after some."""
        pause = self.done + STEP
        while self.done < self.size:
            if self.done >= pause:
                self.t.kernel.defer(self.source.queue.notify)
                raise WouldBlock
            try:
                count = self._step(min(self.size - self.done, CHUNK))
            except EPIPE:
                self.t.kernel.signals.sigpipe(self.t)
                if self.done:
                    break
                raise
            except WouldBlock:
                if self.done and not self.whole:
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
            if not count:
                break
            self.done += count
        if self.done and notify.active:
            notify.touched_file(self.source, IN_ACCESS)
            notify.touched_file(self.target, IN_MODIFY)
        return self.done

    def _step(self, size: int) -> int:
        source, target = self.source, self.target
        size = before_write(self.t, target, size, -1 if self.out_pos is None else self.out_pos)
        data = source.peek(size) if self.in_pos is None else source.pread(size, self.in_pos)
        if not data:
            return 0
        if self.out_pos is None:
            count = target.write(data)
        else:
            count = target.pwrite(data, self.out_pos)
            self.out_pos += count
        if self.in_pos is None:
            source.consume(count)
        else:
            self.in_pos += count
        return count


def _run(copying: Copying, finish: partial[int] | None = None) -> int:
    def step() -> int:
        done = copying()
        return done if finish is None else finish(done)

    def interrupted() -> int | None:
        done = copying.progress()
        return done if done is None or finish is None else finish(done)

    on = [(copying.source, IN), (copying.target, OUT)]
    return retry(step, on, nonblock=copying.nonblock, interrupted=interrupted)


def _kind(file: File) -> int:
    return file.stat().mode & S_IFMT


def _check(source: File, target: File) -> None:
    if not source.readable or not target.writable:
        raise EBADF


def _offset(t: Task, addr: int) -> int | None:
    if not addr:
        return None
    offset = t.mem.i64(addr)
    if offset < 0:
        raise EINVAL
    return offset


# -- between files -------------------------------------------------------------------------------------------------


@syscall("sendfile", Fd, Fd, Addr, Size)
def sys_sendfile(t: Task, target: File, source: File, offset_addr: int, size: int) -> int:
    _check(source, target)
    if target.flags & O_APPEND or _kind(source) == S_IFDIR:
        raise EINVAL
    offset = _offset(t, offset_addr)
    if offset is not None and isinstance(source, PipeFile):
        raise ESPIPE
    whole = not isinstance(target, PipeFile)  # a pipe is filled once
    copying = Copying(t, source, offset, target, None, size, bool(target.flags & O_NONBLOCK), whole)
    return _run(copying, partial(_store, t, copying, offset_addr, 0))


def _store(t: Task, copying: Copying, in_addr: int, out_addr: int, done: int) -> int:
    """Write the offsets back."""
    if in_addr and copying.in_pos is not None:
        t.mem.put_u64(in_addr, copying.in_pos)
    if out_addr and copying.out_pos is not None:
        t.mem.put_u64(out_addr, copying.out_pos)
    return done


@syscall("copy_file_range", Fd, Addr, Fd, Addr, Size, UInt)
def sys_copy_file_range(t: Task, source: File, in_addr: int, target: File, out_addr: int, size: int, flags: int) -> int:
    if flags:
        raise EINVAL
    kinds = _kind(source), _kind(target)
    if S_IFDIR in kinds:
        raise EISDIR
    if kinds != (S_IFREG, S_IFREG):
        raise EINVAL
    _check(source, target)
    if target.flags & O_APPEND:
        raise EBADF
    in_pos, out_pos = _offset(t, in_addr), _offset(t, out_addr)
    one, two = source.stat(), target.stat()
    if (one.dev, one.ino) == (two.dev, two.ino):
        start, to = source.pos if in_pos is None else in_pos, target.pos if out_pos is None else out_pos
        if start < to + size and to < start + size:
            raise EINVAL
    copying = Copying(t, source, in_pos, target, out_pos, size, True)
    return _store(t, copying, in_addr, out_addr, copying())


# -- with pipes ----------------------------------------------------------------------------------------------------


@syscall("splice", Fd, Addr, Fd, Addr, Size, UInt)
def sys_splice(t: Task, source: File, in_addr: int, target: File, out_addr: int, size: int, flags: int) -> int:
    if flags & ~_SPLICE:
        raise EINVAL
    if not size:
        return 0
    _check(source, target)
    pipes = isinstance(source, PipeFile), isinstance(target, PipeFile)
    if not any(pipes):
        raise EINVAL
    if pipes[0] and in_addr or pipes[1] and out_addr:
        raise ESPIPE
    if isinstance(source, PipeFile) and isinstance(target, PipeFile) and source.pipe is target.pipe:
        raise EINVAL
    if target.flags & O_APPEND:
        raise EINVAL
    in_pos, out_pos = _offset(t, in_addr), _offset(t, out_addr)
    nonblock = bool(flags & SPLICE_F_NONBLOCK) or any(
        pipe and file.flags & O_NONBLOCK for pipe, file in zip(pipes, (source, target), strict=True)
    )
    copying = Copying(t, source, in_pos, target, out_pos, size, nonblock)
    return _run(copying, partial(_store, t, copying, in_addr, out_addr))


@syscall("tee", Fd, Fd, Size, UInt)
def sys_tee(t: Task, source: File, target: File, size: int, flags: int) -> int:
    if flags & ~_SPLICE:
        raise EINVAL
    _check(source, target)
    if not isinstance(source, PipeFile) or not isinstance(target, PipeFile) or source.pipe is target.pipe:
        raise EINVAL
    if not size:
        return 0
    nonblock = bool(flags & SPLICE_F_NONBLOCK or (source.flags | target.flags) & O_NONBLOCK)
    return retry(partial(_tee, t, source, target, size), [(source, IN), (target, OUT)], nonblock=nonblock)


def _tee(t: Task, source: File, target: File, size: int) -> int:
    data = source.peek(min(size, CHUNK))
    if not data:
        return 0
    try:
        return target.write(data)
    except EPIPE:
        t.kernel.signals.sigpipe(t)
        raise


@syscall("vmsplice", Fd, Addr, ULong, UInt)
def sys_vmsplice(t: Task, file: File, iov_addr: int, count: int, flags: int) -> int:
    """Pages are copied, which vmsplice(2) allows."""
    if flags & ~_SPLICE:
        raise EINVAL
    if not isinstance(file, PipeFile):
        raise EBADF
    iov = t.mem.iovec(iov_addr, count)
    if not any(size for _, size in iov):
        return 0
    nonblock = bool(flags & SPLICE_F_NONBLOCK or file.flags & O_NONBLOCK)
    if file.writable:
        return retry(partial(_give, t, file, iov), [(file, OUT)], nonblock=nonblock)
    return retry(partial(_take, t, file, iov), [(file, IN)], nonblock=nonblock)


def _give(t: Task, file: File, iov: list[tuple[int, int]]) -> int:
    try:
        return file.write(t.mem.gather(iov, CHUNK))
    except EPIPE:
        t.kernel.signals.sigpipe(t)
        raise


def _take(t: Task, file: File, iov: list[tuple[int, int]]) -> int:
    data = file.peek(min(sum(size for _, size in iov), CHUNK))
    done = t.mem.scatter(iov, data) if data else 0
    file.consume(done)
    return done
