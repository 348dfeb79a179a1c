"""An open regular file of tmpfs (read(2), write(2), mmap(2))."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from sentry.abi.const.files import SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET
from sentry.abi.errno import EACCES
from vfs.core.file import O_ACCMODE, O_APPEND, File, Stat
from vfs.fs import host_file
from vfs.fs.backing import Blob

if TYPE_CHECKING:
    from vfs.core.dentry import Path
    from vfs.fs.tmpfs import TmpInode


class TmpFile(File):
    __slots__ = ("blob", "inode")

    def __init__(self, path: Path, inode: TmpInode, blob: Blob, flags: int) -> None:
        super().__init__(flags)
        self.opened = path
        self.inode = inode
        self.blob = blob
        if flags & O_ACCMODE:
            inode.writers += 1

    def peek(self, size: int) -> bytes:
        return self.pread(size, self.pos)

    def pread(self, size: int, offset: int) -> bytes:
        inode = self.inode
        if inode.atime_ns <= inode.mtime_ns:  # as relatime has it (mount(8))
            inode.atime_ns = time_ns()
        return self.blob.pread(size, offset)

    def write(self, data: bytes) -> int:
        if self.flags & O_APPEND:
            self.pos = self.blob.size
        done = self.pwrite(data, self.pos)
        self.pos += done
        return done

    def pwrite(self, data: bytes, offset: int) -> int:
        blob, inode = self.blob, self.inode
        if self.flags & O_APPEND:
            offset = blob.size  # pwrite(2), "BUGS"
        done = blob.pwrite(data, offset)
        inode.size = blob.size
        inode.mtime_ns = inode.ctime_ns = time_ns()
        return done

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_SET and offset >= 0:
            self.pos = offset
        elif whence in (SEEK_DATA, SEEK_HOLE):
            self.pos = self.blob.seek(offset, whence)
        else:
            self.pos = host_file.seek_regular(-1, self.pos, offset, whence, self.blob.size if whence == SEEK_END else 0)
        return self.pos

    def stat(self) -> Stat:
        return self.inode.stat()

    def truncate(self, size: int) -> None:
        self.inode.truncate(size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        self.inode.allocate(mode, offset, length)

    def sync(self, data_only: bool = False) -> None:
        return

    def host_fd(self, write_shared: bool) -> int:
        if not self.flags & O_ACCMODE and write_shared:
            raise EACCES
        return self.blob.host_fd(bool(self.flags & O_ACCMODE))

    def release(self) -> None:
        if self.flags & O_ACCMODE:
            self.inode.writers -= 1
