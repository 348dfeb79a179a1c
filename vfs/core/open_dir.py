"""Open directories and O_PATH descriptors (open(2), getdents64(2))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sentry.abi.const.files import DT_DIR
from sentry.abi.errno import EBADF, EINVAL, EISDIR, ENOENT
from sentry.abi.structs import DIRENT64
from sentry.engine._engine import ffi, lib
from vfs.core.file import DirEntry, File, Stat, sought
from vfs.core.node import Name

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path


_part = ffi.new("uint64_t[2]")


class PlacedFile(File):
    """An open file that has a path and an inode."""

    __slots__ = ("path",)

    def __init__(self, path: Path, flags: int) -> None:
        super().__init__(flags)
        self.path = path
        self.opened = path

    def stat(self) -> Stat:
        inode = self.path.dentry.inode
        inode.refresh()
        return inode.stat()


class PathFile(PlacedFile):
    """What O_PATH opens: a place, not its contents."""

    __slots__ = ()

    def peek(self, size: int) -> bytes:
        raise EBADF

    def write(self, data: bytes) -> int:
        raise EBADF


class OpenDir(PlacedFile):
    """A directory open for reading. The names are read at the first call and again after a rewind, so that cookies
    (index of the next entry) stay valid while entries come and go."""

    __slots__ = ("_at", "_names", "_records")

    def __init__(self, path: Path, flags: int) -> None:
        super().__init__(path, flags)
        self._names: list[Name] | None = None
        self._records = b""  # or all at once as getdents64 wants them, from a host's directory
        self._at = 0, 0  # a cookie and the byte of its record: where the last answer ended

    def records(self, size: int) -> tuple[bytes, int] | None:
        dentry, pos = self.path.dentry, self.pos
        if dentry.gone:
            raise ENOENT
        inode = dentry.inode
        if not self._records or not pos:
            found = inode.listing(3)
            if found is None:
                return None
            above = (dentry.parent or dentry).inode
            dots = DIRENT64.pack(inode.ino, 1, 24, DT_DIR) + b".\0\0\0\0" + DIRENT64.pack(above.ino, 2, 24, DT_DIR)
            self._records = dots + b"..\0\0\0" + found
            self._at = 0, 0
        last, at = self._at
        if pos < last:
            last = at = 0
        records = self._records
        count = lib.eng_slice(records, len(records), at, pos - last, size, _part)
        begin, end = _part
        if begin == end and end < len(records):
            raise EINVAL
        self._at = pos + count, end
        return records[begin:end], pos + count

    def entries(self, t: Task) -> Iterator[DirEntry]:
        dentry = self.path.dentry
        if dentry.gone:
            raise ENOENT
        pos = self.pos
        if self._names is None or pos == 0:
            self._names = list(dentry.inode.names(t))
        if pos == 0:
            yield DirEntry(dentry.inode.ino, 1, DT_DIR, b".")
            pos = 1
        if pos == 1:
            yield DirEntry((dentry.parent or dentry).inode.ino, 2, DT_DIR, b"..")
            pos = 2
        names = self._names
        make = tuple.__new__
        for index in range(pos - 2, len(names)):
            name, ino, kind = names[index]
            yield make(DirEntry, (ino, index + 3, kind, name))

    def seek(self, offset: int, whence: int) -> int:
        self.pos = sought(self.pos, offset, whence)
        return self.pos

    def peek(self, size: int) -> bytes:
        raise EISDIR

    def pread(self, size: int, offset: int) -> bytes:
        raise EISDIR

    def sync(self, data_only: bool = False) -> None:
        return
