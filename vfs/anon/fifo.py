"""Named pipes: what a FIFO's inode keeps in memory, and the wait in open(2) for a partner (fifo(7))."""

from __future__ import annotations

from sentry.abi.errno import EINVAL, ENXIO, WouldBlock
from sentry.abi.flags import O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from sentry.wait import IN, OUT, WaitQueue
from vfs.anon.inode import HasStat
from vfs.anon.pipe import Pipe, PipeFile


class FifoState:
    """One for each FIFO inode in use; its ring exists while somebody has it open."""

    __slots__ = ("pipe", "queue")

    def __init__(self) -> None:
        self.queue = WaitQueue()
        self.pipe: Pipe | None = None

    def begin_open(self, flags: int, inode: HasStat | None = None) -> FifoOpening:
        """First half of open(2): counts the new end and wakes openers of the other one.

        ENXIO for a writer with O_NONBLOCK and no reader. The caller then runs the result under `retry`, waiting on it.
        """
        access = flags & O_ACCMODE
        if access == O_ACCMODE:
            raise EINVAL
        pipe = self.pipe
        if pipe is None or not (pipe.readers or pipe.writers):
            pipe = self.pipe = Pipe(queue=self.queue)
        if access == O_WRONLY and flags & O_NONBLOCK and not pipe.readers:
            raise ENXIO
        return FifoOpening(pipe, flags, inode)


class FifoOpening:
    """An open(2) of a FIFO under way: `opening()` gives the file or raises WouldBlock; pollable.

    Usage: `opening = state.begin_open(flags, inode)`, then
    `retry(lambda: t.fds.install(opening(), cloexec), [(opening, opening.events)])`.
    Until it is done it owns the file, so that an open given up (a signal, the caller's death) takes the end away again;
    the file that it gives has no reference yet, like every new File.
    """

    __slots__ = ("_done", "_given", "_partner_opens", "events", "file", "queue")

    def __init__(self, pipe: Pipe, flags: int, inode: HasStat | None) -> None:
        access = flags & O_ACCMODE
        self.queue = pipe.read_queue
        self.events = IN | OUT
        self._done = access == O_RDWR
        self._partner_opens = pipe.writer_opens if access == O_RDONLY else pipe.reader_opens
        self.file = PipeFile(pipe, flags, inode)
        self._given = False
        if access == O_RDONLY:
            if pipe.writers:
                self._done = True
            elif flags & O_NONBLOCK:
                self.file.seen_writers = pipe.writer_opens
                self._done = True
        elif access == O_WRONLY and pipe.readers:
            self._done = True
        self.queue.notify(IN | OUT)

    def __call__(self) -> PipeFile:
        if not self._done:
            pipe = self.file.pipe
            # Counted, not looked at: a partner that came and went in the meantime is enough (fifo_open in Linux).
            opens = pipe.writer_opens if self.file.flags & O_ACCMODE == O_RDONLY else pipe.reader_opens
            if opens == self._partner_opens:
                raise WouldBlock
            self._done = True
        self._given = True
        return self.file

    def __del__(self) -> None:
        if not self._given:
            self.file.release()
