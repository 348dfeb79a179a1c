"""Pipes: a ring of bytes between open files (pipe(7), fcntl(2) F_SETPIPE_SZ). Named ones are in vfs/anon/fifo.py.

Linux's ring is made of pages; ours is made of bytes with the same borders: a page is free again when all of it was
read (`offset` counts what was read of the first one), a pipe is writable while a page is free, and writers are woken
when that becomes true again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sentry.abi.errno import EBUSY, EINVAL, ENOMEM, ENOTTY, EPERM, EPIPE, WouldBlock
from sentry.abi.flags import FIONREAD, O_ACCMODE, O_DIRECT, O_RDONLY, O_RDWR, O_WRONLY, S_IFIFO
from sentry.wait import ERR, HUP, IN, OUT, RDNORM, WRNORM, WaitQueue
from vfs.anon.inode import DEV_PIPEFS, AnonInode, HasStat
from vfs.core.file import File, Stat

if TYPE_CHECKING:
    from sentry.kernel.task import Task

PAGE = 4096  # also PIPE_BUF
DEFAULT_CAPACITY = 16 * PAGE
MAX_UNPRIVILEGED = 1 << 20  # /proc/sys/fs/pipe-max-size
MAX_PRIVILEGED = 16 << 20  # bounds what CAP_SYS_RESOURCE may pin in the Sentry's memory
READABLE, WRITABLE = IN | RDNORM, OUT | WRNORM


class Pipe:
    """The ring, its ends counted; a FIFO keeps one between the first open and the last close."""

    __slots__ = (
        "capacity", "data", "inode", "offset", "packets", "read_queue", "reader_opens", "readers", "write_queue",
        "writer_opens", "writers",
    )  # fmt: skip

    def __init__(self, inode: AnonInode | None = None, queue: WaitQueue | None = None) -> None:
        self.data = bytearray()
        self.capacity = DEFAULT_CAPACITY
        self.offset = 0
        self.readers = 0
        self.writers = 0
        self.reader_opens = 0  # how often each end was ever opened: fifo(7) waits for changes of these
        self.writer_opens = 0
        # Two queues, so that an edge-triggered watcher of one end is not woken by the other; a FIFO shares one because
        # an O_RDWR open is both ends.
        self.read_queue = WaitQueue() if queue is None else queue
        self.write_queue = WaitQueue() if queue is None else queue
        self.packets: deque[list[int]] | None = None  # [length, is a packet] once O_DIRECT was used
        self.inode = inode

    def resize(self, size: int, privileged: bool) -> int:
        """F_SETPIPE_SZ: the next power of two of pages; EBUSY if the data would not fit."""
        if size < 0 or size > 1 << 31:
            raise EINVAL
        capacity = PAGE if size <= PAGE else 1 << (size - 1).bit_length()
        if capacity > MAX_UNPRIVILEGED and capacity > self.capacity and not privileged:
            raise EPERM
        if capacity > MAX_PRIVILEGED:
            raise ENOMEM
        if capacity < len(self.data) + self.offset:
            raise EBUSY
        grown = capacity > self.capacity
        self.capacity = capacity
        if grown:
            self.write_queue.notify(WRITABLE)
        return capacity

    def _write_packets(self, data: bytes, room: int, direct: bool) -> int:
        """A write while packet borders are kept; `room` suffices for all of `data` if it is one packet."""
        if self.packets is None:
            self.packets = deque([[len(self.data), 0]] if self.data else ())
        if not direct:
            if self.packets and not self.packets[-1][1]:
                self.packets[-1][0] += min(len(data), room)
            else:
                self.packets.append([min(len(data), room), 0])
            self.data += data[:room]
            return min(len(data), room)
        done = 0
        while done < len(data):  # longer writes are cut into packets of a page
            size = min(PAGE, len(data) - done)
            if size > room - done:
                break
            self.packets.append([size, 1])
            self.data += data[done : done + size]
            done += size
        if not done:
            raise WouldBlock
        return done

    def _consume_packets(self, count: int) -> int:
        """How many bytes leave the ring when `count` were read: a packet goes whole, its unread rest is lost."""
        packets = self.packets
        assert packets
        if packets[0][1]:
            gone = packets.popleft()[0]
        else:
            gone = count
            packets[0][0] -= count
            if packets[0][0] <= 0:
                packets.popleft()
        if not packets:
            self.packets = None
        return gone


class PipeFile(File):
    """One end of a pipe, or both (a FIFO opened O_RDWR)."""

    __slots__ = ("inode", "pipe", "seen_writers")

    def __init__(self, pipe: Pipe, flags: int, inode: HasStat | None = None) -> None:
        super().__init__(flags)
        self.pipe = pipe
        self.inode = inode
        self.seen_writers = -1  # value of `writer_opens` before which the absence of writers is not a hang-up
        access = flags & O_ACCMODE
        if access == O_RDONLY:
            pipe.readers += 1
            pipe.reader_opens += 1
            self.queue = pipe.read_queue
        else:
            pipe.writers += 1
            pipe.writer_opens += 1
            self.queue = pipe.write_queue
            if access == O_RDWR:
                pipe.readers += 1
                pipe.reader_opens += 1

    # data -------------------------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        pipe = self.pipe
        data = pipe.data
        if not data:
            if not size or not pipe.writers:
                return b""
            raise WouldBlock
        if pipe.packets and pipe.packets[0][0] < size:
            size = pipe.packets[0][0]
        if size >= len(data):
            return bytes(data)
        with memoryview(data) as view:
            return bytes(view[:size])

    def consume(self, count: int) -> None:
        pipe = self.pipe
        data = pipe.data
        if not count:
            return
        if pipe.packets:
            count = pipe._consume_packets(count)
        used = pipe.offset + len(data)
        del data[:count]
        pipe.offset = (pipe.offset + count) % PAGE if data else 0
        if pipe.capacity - used < PAGE and pipe.capacity - pipe.offset - len(data) >= PAGE:
            pipe.write_queue.notify(WRITABLE)

    def write(self, data: bytes) -> int:
        pipe = self.pipe
        size = len(data)
        if not size:
            return 0
        if not pipe.readers:
            raise EPIPE
        ring = pipe.data
        room = pipe.capacity - pipe.offset - len(ring)
        if size > room:
            if size <= PAGE or room <= 0:  # up to PIPE_BUF bytes go in one piece
                if self.nonblock:
                    pipe.read_queue.notify(READABLE)  # an edge for EPOLLET, as every attempt to write is in Linux
                raise WouldBlock
            taken = room
        else:
            taken = size
        if self.flags & O_DIRECT or pipe.packets is not None:
            taken = pipe._write_packets(data, room, bool(self.flags & O_DIRECT))
        elif taken == size:
            ring += data
        else:
            ring += memoryview(data)[:taken]
        pipe.read_queue.notify(READABLE)
        return taken

    def poll(self) -> int:
        pipe = self.pipe
        access = self.flags & O_ACCMODE
        events = 0
        if access != O_WRONLY:
            if pipe.data:
                events = READABLE
            if not pipe.writers and pipe.writer_opens != self.seen_writers:
                events |= HUP
        if access != O_RDONLY:
            if pipe.capacity - pipe.offset - len(pipe.data) >= PAGE:
                events |= WRITABLE
            if not pipe.readers:
                events |= ERR
        return events

    # the object behind --------------------------------------------------------------------------------------------
    def stat(self) -> Stat:
        inode = self.inode
        assert inode is not None  # the VFS gives a FIFO's inode to `begin_open`
        return inode.stat()

    def name(self) -> bytes:
        return b"pipe:[%d]" % self.stat().ino

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request == FIONREAD:
            t.mem.put_i32(arg, len(self.pipe.data))
            return 0
        raise ENOTTY

    def reopen(self, flags: int, t: Task) -> PipeFile:
        """Another file on the same pipe, which never waits for a partner."""
        return PipeFile(self.pipe, flags, self.inode)

    def release(self) -> None:
        pipe = self.pipe
        access = self.flags & O_ACCMODE
        if access != O_WRONLY:
            pipe.readers -= 1
        if access != O_RDONLY:
            pipe.writers -= 1
        if not pipe.writers:
            pipe.read_queue.notify(READABLE | HUP)
        if not pipe.readers:
            pipe.write_queue.notify(WRITABLE | ERR)
            if not pipe.writers:
                pipe.data.clear()
                pipe.offset = 0
                pipe.packets = None


def make_pipe(flags: int, uid: int, gid: int, time_ns: int) -> tuple[PipeFile, PipeFile]:
    """The read and the write end of a new pipe; `flags` are O_NONBLOCK and O_DIRECT."""
    inode = AnonInode(DEV_PIPEFS, S_IFIFO | 0o600, uid, gid, time_ns)
    pipe = Pipe(inode)
    return PipeFile(pipe, O_RDONLY | flags, inode), PipeFile(pipe, O_WRONLY | flags, inode)
