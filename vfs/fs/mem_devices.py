"""/dev/null, zero, full, random, urandom (null(4), full(4), random(4))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENODEV, ENOSPC, ENOTTY, EPERM
from vfs.core.file import File
from vfs.core.open_dir import PlacedFile
from vfs.core.special import register_char

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path
    from vfs.core.node import Inode

MAJOR = 1
NULL, ZERO, FULL, RANDOM, URANDOM = 3, 5, 7, 8, 9
RNDGETENTCNT, RNDADDTOENTCNT, RNDADDENTROPY = 0x80045200, 0x40045201, 0x40085203
ENTROPY_BITS = 256  # a full pool
_zero_fd = -1


class NullFile(PlacedFile):
    __slots__ = ()

    def peek(self, size: int) -> bytes:
        return b""

    def consume(self, count: int) -> None:
        return

    def pread(self, size: int, offset: int) -> bytes:
        return self.peek(size)

    def write(self, data: bytes) -> int:
        return len(data)

    def pwrite(self, data: bytes, offset: int) -> int:
        return self.write(data)

    def seek(self, offset: int, whence: int) -> int:
        return 0

    def truncate(self, size: int) -> None:
        raise EINVAL


class ZeroFile(NullFile):
    __slots__ = ()

    def peek(self, size: int) -> bytes:
        return bytes(size)

    def host_fd(self, write_shared: bool) -> int:
        if _zero_fd < 0:
            raise ENODEV
        return _zero_fd


class FullFile(ZeroFile):
    __slots__ = ()

    def write(self, data: bytes) -> int:
        if data:
            raise ENOSPC
        return 0

    def host_fd(self, write_shared: bool) -> int:
        raise ENODEV


class RandomFile(NullFile):
    """What is written is taken and changes nothing: the host's generator needs no help."""

    __slots__ = ()

    def peek(self, size: int) -> bytes:
        return os.urandom(size)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request == RNDGETENTCNT:
            t.mem.put_i32(arg, ENTROPY_BITS)
            return 0
        if request in (RNDADDTOENTCNT, RNDADDENTROPY):
            raise EPERM
        raise ENOTTY


_KINDS = {NULL: NullFile, ZERO: ZeroFile, FULL: FullFile, RANDOM: RandomFile, URANDOM: RandomFile}


def _open(inode: Inode, path: Path, flags: int, t: Task) -> File:
    return _KINDS[os.minor(inode.rdev)](path, flags)


def register() -> None:
    """Enter the drivers. The host's /dev/zero is kept for mmap(2): it has no state, and nothing can be stored in it."""
    global _zero_fd
    for number in _KINDS:
        register_char(MAJOR, number, _open)
    if _zero_fd < 0:
        try:
            _zero_fd = os.open("/dev/zero", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            _zero_fd = -1
