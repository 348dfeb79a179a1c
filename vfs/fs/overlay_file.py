"""A file of an overlay's lower layer, open for reading; after a copy-up it reads the copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET
from sentry.abi.errno import EACCES
from vfs.core.file import File, Stat
from vfs.fs import host_calls as host
from vfs.fs.host_file import budget, seek_regular

if TYPE_CHECKING:
    from vfs.core.dentry import Path
    from vfs.fs.overlay import OverlayInode


class OverlayFile(File):
    __slots__ = ("fd", "inode")

    def __init__(self, path: Path, inode: OverlayInode, flags: int, fd: int) -> None:
        super().__init__(flags)
        budget.take(fd)
        self.opened = path
        self.inode = inode
        self.fd = fd

    def peek(self, size: int) -> bytes:
        blob = self.inode.blob
        return host.pread(self.fd, size, self.pos) if blob is None else blob.pread(size, self.pos)

    def pread(self, size: int, offset: int) -> bytes:
        blob = self.inode.blob
        return host.pread(self.fd, size, offset) if blob is None else blob.pread(size, offset)

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_SET and offset >= 0:
            self.pos = offset
            return offset
        blob = self.inode.blob
        if blob is None:
            self.pos = seek_regular(self.fd, self.pos, offset, whence)
        elif whence in (SEEK_DATA, SEEK_HOLE):
            self.pos = blob.seek(offset, whence)
        else:
            self.pos = seek_regular(-1, self.pos, offset, whence, blob.size if whence == SEEK_END else 0)
        return self.pos

    def stat(self) -> Stat:
        return self.inode.stat()

    def sync(self, data_only: bool = False) -> None:
        return

    def host_fd(self, write_shared: bool) -> int:
        if write_shared:
            raise EACCES
        blob = self.inode.blob
        return self.fd if blob is None else blob.host_fd(False)

    def release(self) -> None:
        budget.left += 1
        host.close(self.fd)
        self.fd = -1
