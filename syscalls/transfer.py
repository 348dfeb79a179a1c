"""Reads and writes of more than one step (read(2), write(2), readv(2), pread(2)): their progress is an object.

A call moves at most TURN bytes at a time, then lets others run and goes on from the loop: so one guest's gigabyte is
nobody's second of waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ACCESS, IN_MODIFY
from sentry.abi.errno import EAGAIN, EPIPE, Errno, WouldBlock
from sentry.mm.user import Iovec, behind
from sentry.wait import IN, OUT, retry
from vfs.core import notify
from vfs.core.file import O_NONBLOCK
from vfs.core.write import before_write

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

CHUNK = 1 << 20  # bytes of one step
TURN = 8 << 20  # bytes of one stretch


class Transfer:
    """`done` of `total` bytes are moved; `offset` is where they started, None for the file's own position."""

    __slots__ = ("done", "file", "iov", "offset", "t", "total")
    events = IN
    keeps_waiting = False  # a blocking call goes on until all is moved

    def __init__(self, t: Task, file: File, iov: Iovec, offset: int | None = None, done: int = 0) -> None:
        self.t = t
        self.file = file
        self.iov = iov
        self.offset = offset
        self.done = done
        self.total = sum(size for _, size in iov)

    def step(self, size: int) -> bool:
        """Move up to `size` bytes, count them; False when there is no more to come."""
        raise NotImplementedError

    def progress(self) -> int | None:
        return self.done or None

    def __call__(self) -> int:
        pause = self.done + TURN
        while self.done < self.total:
            if self.done >= pause:
                self.t.kernel.defer(self.file.queue.notify)
                raise WouldBlock
            try:
                more = self.step(min(self.total - self.done, CHUNK))
            except WouldBlock:
                nonblock = self.file.flags & O_NONBLOCK
                if self.done and (nonblock or not self.keeps_waiting):
                    break
                if nonblock:
                    raise EAGAIN
                raise
            except EPIPE:
                self.t.kernel.signals.sigpipe(self.t)
                if self.done:
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
            if not more:
                break
        return self.done

    def run(self) -> int:
        return retry(self, [(self.file, self.events)], interrupted=self.progress)

    def at_once(self) -> int:
        """One stretch only, however much is left."""
        try:
            return self()
        except WouldBlock:
            if self.done:
                return self.done
            raise


class Reading(Transfer):
    __slots__ = ()

    def step(self, size: int) -> bool:
        file, t = self.file, self.t
        data = file.peek(size) if self.offset is None else file.pread(size, self.offset + self.done)
        count = t.mem.scatter(behind(self.iov, self.done), data) if data else 0
        if self.offset is None:
            file.consume(count)
        self.done += count
        if notify.active:
            notify.touched_file(file, IN_ACCESS)
        return count == size


class Writing(Transfer):
    __slots__ = ()
    events = OUT
    keeps_waiting = True

    def step(self, size: int) -> bool:
        file, t, offset = self.file, self.t, self.offset
        at = -1 if offset is None else offset + self.done
        size = before_write(t, file, size, at)
        data = t.mem.gather(behind(self.iov, self.done), size)
        count = file.write(data) if offset is None else file.pwrite(data, at)
        self.done += count
        if notify.active:
            notify.touched_file(file, IN_MODIFY)
        return count > 0 and len(data) == size
