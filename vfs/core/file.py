"""Open file descriptions (open(2), "Open file descriptions")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.const.files import SEEK_CUR, SEEK_END, SEEK_SET
from sentry.abi.errno import EINVAL, ENODEV, ENOTDIR, ENOTTY, ENXIO, ESPIPE
from sentry.wait import IN, OUT, RDNORM, WRNORM, WaitQueue

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path
    from vfs.core.fd_table import FdTable

O_ACCMODE, O_WRONLY, O_RDWR = 0o3, 0o1, 0o2
OFFSET_MAX = (1 << 63) - 1
O_APPEND, O_NONBLOCK, O_PATH = 0o2000, 0o4000, 0o10000000


watched_closing: list[Callable[[File], None]] = []  # who is told of the last close of a file with a path (inotify)


class Stat(NamedTuple):
    """stat(2) and statx(2) in one; times are ns since the epoch, `blocks` are 512 B, dev and rdev 64 bits."""

    dev: int
    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int = 0


class DirEntry(NamedTuple):
    """One line of getdents64(2): `next_pos` is the d_off cookie to go on behind this entry, `kind` a DT_* value."""

    ino: int
    next_pos: int
    kind: int
    name: bytes


def sought(pos: int, offset: int, whence: int, end: int | None = None) -> int:
    """The new position of lseek(2), where SEEK_END is known only with an `end`; EINVAL beyond what an off_t holds."""
    if whence == SEEK_CUR:
        offset += pos
    elif whence == SEEK_END and end is not None:
        offset += end
    elif whence != SEEK_SET:
        raise EINVAL
    if not 0 <= offset <= OFFSET_MAX:
        raise EINVAL
    return offset


class File:
    """An open file description, shared by dup(2), fork(2) and SCM_RIGHTS; counted by `refs`.

    A file never blocks: it raises WouldBlock and calls `queue.notify(events)` when that changes. It knows no task,
    except that `ioctl` is given the caller for its memory. Reading is in two steps, so that an EFAULT loses no data:
    `peek(size)` returns what a read would return, `consume(count)` commits the part that was copied out.
    """

    __slots__ = ("flags", "pos", "refs", "queue", "opened", "__weakref__")
    native_read = False  # True: `peek` never has data, the host runs the read (signalfd)

    def __init__(self, flags: int = 0) -> None:
        self.flags = flags  # O_ACCMODE and the status flags that F_GETFL shows
        self.pos = 0  # offset in bytes; directories keep their cookie here
        self.refs = 0  # fd table slots and in-flight SCM_RIGHTS messages
        self.queue = WaitQueue()
        self.opened: Path | None = None  # by which it was opened, or None (pipes, sockets)

    @property
    def nonblock(self) -> bool:
        return bool(self.flags & O_NONBLOCK)

    @property
    def readable(self) -> bool:
        return self.flags & O_ACCMODE != O_WRONLY and not self.flags & O_PATH

    @property
    def writable(self) -> bool:
        return self.flags & O_ACCMODE in (O_WRONLY, O_RDWR) and not self.flags & O_PATH

    # data -------------------------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        """Up to `size` bytes from the current position; b"" is end of file. Raises WouldBlock when there is none."""
        raise EINVAL

    def consume(self, count: int) -> None:
        """Commit `count` bytes of the last `peek`."""
        self.pos += count

    def write(self, data: bytes) -> int:
        """Write at the current position (or the end, O_APPEND); returns how much was taken; WouldBlock if nothing."""
        raise EINVAL

    def pread(self, size: int, offset: int) -> bytes:
        raise ESPIPE

    def pwrite(self, data: bytes, offset: int) -> int:
        raise ESPIPE

    def seek(self, offset: int, whence: int) -> int:
        raise ESPIPE

    def poll(self) -> int:
        """Events that are true now (sentry.wait bits); a file without a queue of its own is always ready."""
        return IN | OUT | RDNORM | WRNORM

    # the object behind --------------------------------------------------------------------------------------------
    def stat(self) -> Stat:
        raise NotImplementedError

    def name(self) -> bytes:
        """What readlink(/proc/self/fd/N) shows: b"pipe:[123]", b"socket:[7]", b"anon_inode:[eventpoll]"; files with a
        path are shown through `opened`."""
        return b"anon_inode:[file]"

    def reopen(self, flags: int, t: Task) -> File:
        """Opening /proc/PID/fd/N of a file without a path: a new description of the same object (pipes, memfd)."""
        raise ENXIO

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        raise ENOTTY

    def entries(self, t: Task) -> Iterator[DirEntry]:
        """Directory entries from the cookie `self.pos` on, "." and ".." included."""
        raise ENOTDIR

    def records(self, size: int) -> tuple[bytes, int] | None:
        """The same as records of getdents64(2), at most `size` bytes of them, and the cookie behind the last; None
        where the entries are not at hand in this form."""
        return None

    def chmod(self, mode: int) -> None:
        """fchmod(2) of a file without a path: forgotten where the object keeps no mode."""

    def truncate(self, size: int) -> None:
        raise EINVAL

    def allocate(self, mode: int, offset: int, length: int) -> None:
        raise ENODEV

    def sync(self, data_only: bool = False) -> None:
        raise EINVAL

    def host_fd(self, write_shared: bool) -> int:
        """A host descriptor of the same bytes for mmap(2), read-only unless `write_shared`; ENODEV if it has none."""
        raise ENODEV

    # life ---------------------------------------------------------------------------------------------------------
    def flush(self, table: FdTable) -> None:
        """One descriptor of `table` was closed: its record locks on the inode go, whichever descriptor set them."""
        opened = self.opened
        if opened is not None and opened.dentry.inode.locks is not None:
            opened.dentry.inode.locks.release(table)

    def release(self) -> None:
        """The last reference is gone."""

    def ref(self) -> File:
        self.refs += 1
        return self

    def unref(self) -> None:
        self.refs -= 1
        if self.refs == 0:
            opened = self.opened
            if opened is not None:
                inode = opened.dentry.inode
                if inode.locks is not None:
                    inode.locks.release(self)
                for tell in watched_closing:
                    tell(self)
            self.release()
