"""/dev/null, zero, full, random, urandom (null(4), full(4), random(4))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOMEM, ENOSPC, ENOTTY, EPERM
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
WHOLE = (1 << 63) - 4096  # bytes of the file behind a mapping of /dev/zero: any offset, any growth by mremap(2)


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

    def fresh_fd(self, write_shared: bool) -> int:
        """For one mmap(2), closed by the caller: every shared mapping is memory of its own (mem(4))."""
        fd = os.memfd_create("zero", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, WHOLE)
            if write_shared:
                return fd
            read_only = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(fd)
            raise ENOMEM
        os.close(fd)
        return read_only


class FullFile(NullFile):
    __slots__ = ()

    def peek(self, size: int) -> bytes:
        return bytes(size)

    def write(self, data: bytes) -> int:
        if data:
            raise ENOSPC
        return 0


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
    """Enter the drivers."""
    for number in _KINDS:
        register_char(MAJOR, number, _open)
