"""What opening a fifo or a device node means, wherever in the tree it stands (mknod(2), fifo(7), null(4)).

Drivers enter themselves here; the host's own devices are never opened on a guest's behalf.
"""

from __future__ import annotations

from collections.abc import Callable
from os import major, minor
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK
from sentry.abi.errno import ELOOP, ENXIO, Errno
from vfs.core.open_dir import OpenDir

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path
    from vfs.core.file import File
    from vfs.core.node import Inode

# (inode, path, flags, task) -> open file; raises WouldBlock where open(2) waits (a fifo without its other end)
Opener = Callable[["Inode", "Path", int, "Task"], "File"]

_char: dict[tuple[int, int], Opener] = {}
_char_major: dict[int, Opener] = {}


def register_char(dev_major: int, dev_minor: int | None, opener: Opener) -> None:
    """A driver for one character device, or for every minor of `dev_major`."""
    if dev_minor is None:
        _char_major[dev_major] = opener
    else:
        _char[dev_major, dev_minor] = opener


def open_special(inode: Inode, path: Path, flags: int, t: Task) -> File:
    """Open anything that is not a regular file."""
    kind = inode.mode & S_IFMT
    if kind == S_IFDIR:
        return OpenDir(path, flags)
    if kind == S_IFCHR:
        number = major(inode.rdev), minor(inode.rdev)
        opener = _char.get(number) or _char_major.get(number[0])
        if opener is None:
            raise ENXIO
        return opener(inode, path, flags, t)
    refused: type[Errno] = ELOOP if kind == S_IFLNK else ENXIO
    assert kind in (S_IFLNK, S_IFSOCK, S_IFBLK, S_IFIFO)
    raise refused
