"""/proc/PID/mem (proc_pid_mem(5)): the memory of a process as a file, for debuggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFREG, SEEK_CUR, SEEK_SET
from sentry.abi.errno import EFAULT, EINVAL, EIO
from vfs.core.node import FileSystem, Inode
from vfs.core.open_dir import PlacedFile
from vfs.core.synth import number
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.mm.user import UserMemory
    from vfs.core.dentry import Path
    from vfs.core.file import File

CHUNK = 1 << 20
OFFSET_MAX = (1 << 63) - 1


class MemoryFile(Inode):
    __slots__ = ("subject",)

    def __init__(self, fs: FileSystem, subject: Subject) -> None:
        uid, gid = subject.owner()
        super().__init__(fs, number("mem", *subject.key), S_IFREG | 0o600, uid, gid)
        self.subject = subject

    def open(self, path: Path, flags: int, t: Task) -> File:
        self.subject.inspect(t)
        return OpenMemory(path, flags, self.subject)

    def truncate(self, size: int) -> None:
        return


class OpenMemory(PlacedFile):
    """Offsets are addresses. The memory is that of the opening: after an exec there is nothing to read any more."""

    __slots__ = ("_mem", "_subject")

    def __init__(self, path: Path, flags: int, subject: Subject) -> None:
        super().__init__(path, flags)
        self._subject = subject
        self._mem: UserMemory = subject.task.mem

    def _memory(self) -> UserMemory | None:
        if not self._subject.alive() or self._subject.group.dead or self._subject.task.mem is not self._mem:
            return None
        return self._mem

    def peek(self, size: int) -> bytes:
        return self.pread(size, self.pos)

    def pread(self, size: int, offset: int) -> bytes:
        mem = self._memory()
        if mem is None or not size:
            return b""
        try:
            return mem.read_some(offset, min(size, CHUNK))
        except EFAULT:
            raise EIO

    def write(self, data: bytes) -> int:
        done = self.pwrite(data, self.pos)
        self.pos += done
        return done

    def pwrite(self, data: bytes, offset: int) -> int:
        mem = self._memory()
        if mem is None or not data:
            return 0
        try:
            return mem.write_some(offset, data[:CHUNK])
        except EFAULT:
            raise EIO

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_CUR:
            offset += self.pos
        elif whence != SEEK_SET:
            raise EINVAL
        if not 0 <= offset <= OFFSET_MAX:
            raise EINVAL
        self.pos = offset
        return offset
