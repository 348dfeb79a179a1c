"""memfd_create(2): anonymous files with seals.

Each is a real memfd of the Sentry, so that the host enforces the seals also against what a guest has mapped shared
(F_SEAL_WRITE is EBUSY while a writable mapping exists), and charges its pages to the container.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from sentry.abi.errno import BY_CODE, EINVAL, EIO, ENFILE, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, Errno
from sentry.abi.flags import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    MFD_NOEXEC_SEAL,
    O_ACCMODE,
    O_APPEND,
    O_LARGEFILE,
    O_NONBLOCK,
    O_RDWR,
    S_IFREG,
)
from sentry.engine._engine import lib
from vfs.anon.inode import DEV_SHM, AnonInode
from vfs.core.file import File, Stat

if TYPE_CHECKING:
    from sentry.kernel.task import Task

F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, F_SEAL_EXEC = 1, 2, 4, 8, 16, 32


def errno_of(err: OSError) -> type[Errno]:
    """What a guest is told when the host refused; descriptors of the host are a limit of the system, not its own."""
    if err.errno in (23, 24):
        return ENFILE
    return BY_CODE.get(err.errno or 0, EIO)


class MemInode(AnonInode):
    """The bytes, and the host descriptors that reach them; closed with the last file."""

    __slots__ = ("name", "read_only_fd", "rw_fd", "sealed_exec")

    def __init__(self, name: bytes, flags: int, mode: int, uid: int, gid: int, time_ns: int) -> None:
        self.rw_fd = self.read_only_fd = -1
        super().__init__(DEV_SHM, S_IFREG | mode, uid, gid, time_ns)
        self.name = name
        self.sealed_exec = bool(flags & MFD_NOEXEC_SEAL)
        try:
            self.rw_fd = os.memfd_create("guest", flags & ~MFD_NOEXEC_SEAL | os.MFD_CLOEXEC)
        except OSError as err:
            raise errno_of(err)

    def host_fd(self, writable: bool) -> int:
        if writable:
            return self.rw_fd
        if self.read_only_fd < 0:
            try:
                self.read_only_fd = os.open(f"/proc/self/fd/{self.rw_fd}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as err:
                raise errno_of(err)
        return self.read_only_fd

    def __del__(self) -> None:
        for fd in (self.rw_fd, self.read_only_fd):
            if fd >= 0:
                os.close(fd)


class MemFile(File):
    """An open memfd."""

    __slots__ = ("inode",)

    def __init__(self, inode: MemInode, flags: int = O_RDWR | O_LARGEFILE) -> None:
        super().__init__(flags)
        self.inode = inode

    def peek(self, size: int) -> bytes:
        return self.pread(size, self.pos)

    def write(self, data: bytes) -> int:
        if self.flags & O_APPEND:
            self.pos = os.fstat(self.inode.rw_fd).st_size
        done = self.pwrite(data, self.pos)
        self.pos += done
        return done

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self.inode.rw_fd, size, offset)
        except OSError as err:
            raise errno_of(err)

    def pwrite(self, data: bytes, offset: int) -> int:
        try:
            return os.pwrite(self.inode.rw_fd, data, offset)
        except OSError as err:
            raise errno_of(err)

    def seek(self, offset: int, whence: int) -> int:
        fd = self.inode.rw_fd
        try:
            if whence == os.SEEK_CUR:
                offset, whence = self.pos + offset, os.SEEK_SET
            self.pos = os.lseek(fd, offset, whence)
        except OverflowError:
            raise EINVAL
        except OSError as err:
            raise errno_of(err)
        return self.pos

    def stat(self) -> Stat:
        host, inode = os.fstat(self.inode.rw_fd), self.inode
        return Stat(
            inode.dev, inode.ino, inode.mode, 0, inode.uid, inode.gid, 0, host.st_size, 4096, host.st_blocks,
            host.st_atime_ns, host.st_mtime_ns, host.st_ctime_ns,
        )  # fmt: skip

    def name(self) -> bytes:
        return b"/memfd:" + self.inode.name + b" (deleted)"

    def reopen(self, flags: int, t: Task) -> MemFile:
        return MemFile(self.inode, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK) | O_LARGEFILE)

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self.inode.rw_fd, size)
        except OSError as err:
            raise errno_of(err)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        fd = self.inode.rw_fd
        if mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
            error = lib.eng_fallocate(fd, mode, offset, length)  # the host keeps the seals
            if error:
                raise BY_CODE.get(-error, EIO)
            return
        if mode not in (0, FALLOC_FL_KEEP_SIZE):
            raise EOPNOTSUPP
        # memory is taken when it is written, as from all that the guest has of it
        if mode == 0 and offset + length > os.fstat(fd).st_size:
            self.truncate(offset + length)

    def sync(self, data_only: bool = False) -> None:
        pass

    def host_fd(self, write_shared: bool) -> int:
        return self.inode.host_fd(write_shared)

    def chmod(self, mode: int) -> None:
        inode = self.inode
        if inode.sealed_exec and (mode ^ inode.mode) & 0o111:
            raise EPERM
        inode.mode = S_IFREG | mode

    # seals: F_SEAL_EXEC is kept here, since what runs is decided here; the others are the host's --------------------
    def seals(self) -> int:
        try:
            return fcntl.fcntl(self.inode.rw_fd, fcntl.F_GET_SEALS) | (F_SEAL_EXEC if self.inode.sealed_exec else 0)
        except OSError as err:
            raise errno_of(err)

    def add_seals(self, seals: int) -> int:
        if not self.writable:
            raise EPERM
        inode = self.inode
        if seals & F_SEAL_EXEC and inode.mode & 0o111 and not self.seals() & F_SEAL_SEAL:
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE  # a program that stays as it is
        try:
            result = fcntl.fcntl(inode.rw_fd, fcntl.F_ADD_SEALS, seals & ~F_SEAL_EXEC)
        except OSError as err:
            raise errno_of(err)
        inode.sealed_exec = inode.sealed_exec or bool(seals & F_SEAL_EXEC)
        return result


class HugeFile(MemFile):
    """A memfd of huge pages, of which there are none: it has a size, and nothing can be in it."""

    __slots__ = ("page",)

    def __init__(self, inode: MemInode, page: int) -> None:
        super().__init__(inode)
        self.page = page

    def write(self, data: bytes) -> int:
        raise EINVAL

    def pwrite(self, data: bytes, offset: int) -> int:
        raise EINVAL

    def truncate(self, size: int) -> None:
        if size % self.page:
            raise EINVAL
        super().truncate(size)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        if mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE):
            raise EOPNOTSUPP
        if not mode & FALLOC_FL_PUNCH_HOLE:
            raise ENOSPC

    def stat(self) -> Stat:
        return super().stat()._replace(blksize=self.page)

    def host_fd(self, write_shared: bool) -> int:
        raise ENOMEM
