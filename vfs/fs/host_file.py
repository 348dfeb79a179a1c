"""An open regular file on the host: reads and writes go straight to its descriptor (read(2), pwrite(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)
from sentry.abi.errno import EINVAL, ENFILE, EOPNOTSUPP, EOVERFLOW
from vfs.core.file import O_ACCMODE, O_APPEND, File, Stat
from vfs.fs import host_calls as host

if TYPE_CHECKING:
    from vfs.core.dentry import Path
    from vfs.fs.hostfs import HostInode

MAX_OFFSET = (1 << 63) - 1
MAX_FILES = 12_000


class Budget:
    """Descriptors of the Sentry that guests' open files may take, all processes together."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, fd: int) -> None:
        if self.left <= 0:
            host.close(fd)
            raise ENFILE
        self.left -= 1


budget = Budget(MAX_FILES)


class HostFile(File):
    __slots__ = ("_append", "fd", "inode")

    def __init__(self, path: Path, inode: HostInode, flags: int, fd: int) -> None:
        super().__init__(flags)
        budget.take(fd)
        self.opened = path
        self.inode = inode
        self.fd = fd
        self._append = flags & O_APPEND
        if not inode.opens:
            inode.fs.in_use[inode.st.st_dev, inode.ino] = inode
        inode.opens.append(fd)
        if flags & O_ACCMODE:
            inode.writers += 1

    def peek(self, size: int) -> bytes:
        return host.pread(self.fd, size, self.pos)

    def pread(self, size: int, offset: int) -> bytes:
        return host.pread(self.fd, size, offset)

    def write(self, data: bytes) -> int:
        if (self.flags & O_APPEND) != self._append:  # fcntl(2) F_SETFL
            self._append ^= O_APPEND
            host.set_append(self.fd, bool(self._append))
        if self._append:
            self.pos = host.fstat(self.fd).st_size  # the host's own O_APPEND keeps writers outside apart
        done = host.pwrite(self.fd, data, self.pos)
        self.pos += done
        return done

    def pwrite(self, data: bytes, offset: int) -> int:
        return host.pwrite(self.fd, data, offset)

    def seek(self, offset: int, whence: int) -> int:
        self.pos = offset = seek_regular(self.fd, self.pos, offset, whence)
        return offset

    def stat(self) -> Stat:
        return self.inode.fs.shown(host.fstat(self.fd))

    def truncate(self, size: int) -> None:
        host.truncate(self.fd, size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        allocate(self.fd, mode, offset, length)

    def sync(self, data_only: bool = False) -> None:
        host.sync(self.fd, data_only)

    def host_fd(self, write_shared: bool) -> int:
        return self.fd

    def release(self) -> None:
        inode = self.inode
        inode.opens.remove(self.fd)
        if not inode.opens:
            inode.fs.in_use.pop((inode.st.st_dev, inode.ino), None)
        if self.flags & O_ACCMODE:
            inode.writers -= 1
        budget.left += 1
        host.close(self.fd)
        self.fd = -1


def seek_regular(fd: int, pos: int, offset: int, whence: int, size: int = -1) -> int:
    """lseek(2) on a regular file; `size` saves asking when it is known."""
    if whence == SEEK_SET:
        pass
    elif whence == SEEK_CUR:
        offset += pos
    elif whence == SEEK_END:
        offset += host.fstat(fd).st_size if size < 0 else size
    elif whence in (SEEK_DATA, SEEK_HOLE):
        return host.seek(fd, offset, whence)
    else:
        raise EINVAL
    if offset < 0:
        raise EINVAL
    if offset > MAX_OFFSET:
        raise EOVERFLOW
    return offset


# the whole of what hostfs passes on
ALLOCATIONS = (0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
               FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE,
               FALLOC_FL_INSERT_RANGE)  # fmt: skip


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2)."""
    if mode not in ALLOCATIONS:
        raise EOPNOTSUPP
    host.allocate(fd, mode, offset, length)
