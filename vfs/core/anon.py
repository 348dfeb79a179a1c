"""A place in the tree for open files that have none (pipes, sockets, anon_inode; proc(5), /proc/PID/fd).

Such a place serves stat through /proc/PID/fd/N and opening it again; its name is `File.name()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfs.core.dentry import Dentry, Path
from vfs.core.file import File, Stat
from vfs.core.mount import Mount
from vfs.core.node import FileSystem, Inode

if TYPE_CHECKING:
    from sentry.kernel.task import Task


class AnonFs(FileSystem):
    name = b"anon_inodefs"
    magic = 0x09041934
    nameless = True


class AnonInode(Inode):
    """Stands for the object behind `file`."""

    __slots__ = ("file",)
    stable = False

    def __init__(self, fs: FileSystem, file: File) -> None:
        stat = file.stat()
        super().__init__(fs, stat.ino, stat.mode, stat.uid, stat.gid, stat.rdev)
        self.file = file

    def stat(self) -> Stat:
        return self.file.stat()

    def chmod(self, mode: int) -> None:
        self.file.chmod(mode)

    def open(self, path: Path, flags: int, t: Task) -> File:
        return self.file.reopen(flags, t)


_fs = AnonFs()
_top = Dentry(None, b"", Inode(_fs, 1, 0o040000))
_mount = Mount(_fs, _top)


def path_of(file: File) -> Path:
    """Where `file` was opened, or a place made up for it."""
    opened = file.opened
    if opened is not None:
        return opened
    dentry = Dentry(None, file.name(), AnonInode(_fs, file))
    return Path(_mount, dentry)


def is_anon(path: Path) -> bool:
    mount = path.mount
    return mount.fs.nameless and mount.parent is None
