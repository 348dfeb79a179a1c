"""/proc/PID/fd and fdinfo (proc_pid_fd(5), proc_pid_fdinfo(5))."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFLNK, S_IFREG
from sentry.abi.errno import EACCES, ENOENT
from vfs.core.anon import path_of
from vfs.core.dentry import Path
from vfs.core.file import File
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.open_dir import OpenDir
from vfs.core.synth import MagicLink, SynthFile, number
from vfs.core.walk import path_name
from vfs.proc.subject import Subject, link_mode

if TYPE_CHECKING:
    from sentry.kernel.task import Task

O_CLOEXEC = 0o2000000


class DescriptorDir(Inode):
    """Names are descriptor numbers. `info` tells fdinfo from fd."""

    __slots__ = ("info", "subject")
    guarded = True

    def __init__(self, fs: FileSystem, subject: Subject, info: bool, t: Task) -> None:
        # One's own descriptors can be reached always, also by a program that is not dumpable.
        uid, gid = (t.creds.fsuid, t.creds.fsgid) if subject.group is t.group else subject.owner()
        ino = number("fdinfo" if info else "fd", *subject.key)
        super().__init__(fs, ino, S_IFDIR | (0o555 if info else 0o500), uid, gid)
        self.subject = subject
        self.info = info
        self.size = len(subject.files())

    def permission(self, t: Task, want: int) -> None:
        """Listing and searching take the right to inspect, whatever the mode bits say."""
        self.subject.inspect(t)
        if want & 2:
            raise EACCES

    def lookup(self, name: bytes, t: Task) -> Inode:
        self.subject.inspect(t)
        if not name.isdigit() or len(name) > 10 or (name[0] == 0x30 and len(name) > 1):
            raise ENOENT
        fd = int(name)
        file = self.subject.file(fd)
        if file is None:
            raise ENOENT
        if self.info:
            return SynthFile(
                self.fs,
                lambda caller: self._info(fd, caller),
                mode=0o444,
                uid=self.uid,
                gid=self.gid,
                ino=number("fdinfo", *self.subject.key, fd),
            )
        return MagicLink(
            self.fs,
            lambda caller: self._target(fd, caller),
            lambda caller: self._goto(fd, caller),
            mode=link_mode(file),
            uid=self.uid,
            gid=self.gid,
            ino=number("fd", *self.subject.key, fd),
        )

    def keeps(self, name: bytes) -> bool:
        return False

    def names(self, t: Task) -> Iterable[Name]:
        self.subject.inspect(t)
        what, kind = ("fdinfo", S_IFREG >> 12) if self.info else ("fd", S_IFLNK >> 12)
        return [Name(b"%d" % fd, number(what, *self.subject.key, fd), kind) for fd in sorted(self.subject.files())]

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenDir(path, flags)

    def _file(self, fd: int, t: Task) -> File:
        self.subject.inspect(t)
        file = self.subject.file(fd)
        if file is None:
            raise ENOENT
        return file

    def _target(self, fd: int, t: Task) -> bytes:
        return file_name(self._file(fd, t), t)

    def _goto(self, fd: int, t: Task) -> Path:
        return path_of(self._file(fd, t))

    def _info(self, fd: int, t: Task) -> bytes:
        file = self._file(fd, t)
        flags = file.flags | (O_CLOEXEC if fd in self.subject.task.fds.cloexec else 0)
        path = path_of(file)
        text = b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n" % (file.pos, flags, path.mount.id, file.stat().ino)
        more = getattr(file, "fdinfo", None)
        return text + more() if more is not None else text


def file_name(file: File, t: Task) -> bytes:
    """What readlink shows."""
    opened = file.opened
    return path_name(opened, t.fs.root) if isinstance(opened, Path) else file.name()
