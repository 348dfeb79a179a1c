"""/proc/PID and /proc/PID/task/TID (proc(5)): the directory of a process or thread and the table of its entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFLNK, S_IFREG
from sentry.abi.errno import ENOENT
from vfs.core.dentry import Path
from vfs.core.file import File
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.open_dir import OpenDir
from vfs.core.synth import MagicLink, SynthFile, number
from vfs.core.walk import path_name
from vfs.proc import maps, namespaces, net, stat, status, texts
from vfs.proc.descriptors import DescriptorDir
from vfs.proc.memory import MemoryFile
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

Render = Callable[[Subject, "Task"], bytes]
Store = Callable[[Subject, "Task", bytes], None]

DIR, LINK, FILE = S_IFDIR >> 12, S_IFLNK >> 12, S_IFREG >> 12
ID_MAP = b"         0          0 4294967295\n"

# name: (render, mode, whether it takes the right to inspect, store)
FILES: dict[bytes, tuple[Render, int, bool, Store | None]] = {
    b"auxv": (texts.auxv_text, 0o400, True, None),
    b"cgroup": (lambda s, t: b"0::/\n", 0o444, False, None),
    b"cmdline": (texts.cmdline_text, 0o444, False, None),
    b"comm": (texts.comm_text, 0o644, False, None),
    b"coredump_filter": (lambda s, t: b"00000033\n", 0o644, False, None),
    b"cpuset": (lambda s, t: b"/\n", 0o444, False, None),
    b"environ": (texts.environ_text, 0o400, True, None),
    b"gid_map": (lambda s, t: ID_MAP, 0o644, False, None),
    b"io": (texts.io_text, 0o400, True, None),
    b"limits": (texts.limits_text, 0o644, False, None),
    b"loginuid": (lambda s, t: b"4294967295", 0o644, False, None),
    b"maps": (maps.maps_text, 0o444, True, None),
    b"mountinfo": (texts.mountinfo, 0o444, False, None),
    b"mounts": (texts.mounts, 0o444, False, None),
    b"mountstats": (texts.mountstats, 0o400, True, None),
    b"oom_score": (texts.oom_score, 0o444, False, None),
    b"oom_score_adj": (texts.oom_score_adj, 0o644, False, texts.set_oom_score_adj),
    b"personality": (texts.personality, 0o400, True, None),
    b"projid_map": (lambda s, t: ID_MAP, 0o644, False, None),
    b"schedstat": (texts.schedstat, 0o444, False, None),
    b"sessionid": (lambda s, t: b"4294967295", 0o444, False, None),
    b"setgroups": (lambda s, t: b"allow\n", 0o644, False, None),
    b"smaps": (maps.smaps_text, 0o444, True, None),
    b"smaps_rollup": (maps.rollup_text, 0o444, True, None),
    b"stat": (stat.stat_text, 0o444, False, None),
    b"statm": (stat.statm_text, 0o444, False, None),
    b"status": (status.status_text, 0o444, False, None),
    b"syscall": (texts.syscall, 0o400, True, None),
    b"timerslack_ns": (texts.timerslack, 0o666, False, texts.set_timerslack),
    b"uid_map": (lambda s, t: ID_MAP, 0o644, False, None),
    b"wchan": (lambda s, t: b"0", 0o444, False, None),
}
THREAD_FILES = {**FILES, b"children": (texts.children, 0o444, False, None)}
KINDS = {b"cwd": LINK, b"exe": LINK, b"root": LINK, b"fd": DIR, b"fdinfo": DIR, b"mem": FILE, b"net": DIR, b"ns": DIR}


class ProcessFile(SynthFile):
    """A file of a process; one that is private is checked when it is opened and again when it is read."""

    __slots__ = ("private", "subject")

    def __init__(
        self,
        fs: FileSystem,
        subject: Subject,
        name: bytes,
        render: Render,
        mode: int,
        private: bool,
        store: Store | None,
    ) -> None:
        uid, gid = subject.owner()
        super().__init__(
            fs,
            partial(self._text, render),
            None if store is None else partial(store, subject),
            mode=mode,
            uid=uid,
            gid=gid,
            ino=number(name, *subject.key),
        )
        self.subject = subject
        self.private = private

    def _text(self, render: Render, t: Task) -> bytes:
        if self.private:
            self.subject.inspect(t)
        return render(self.subject, t)

    def open(self, path: Path, flags: int, t: Task) -> File:
        if self.private:
            self.subject.inspect(t)
        return super().open(path, flags, t)


class ProcessDir(Inode):
    """Its entries are made when they are looked up: a lookup costs one dictionary access, whatever the table's size."""

    __slots__ = ("subject",)

    def __init__(self, fs: FileSystem, subject: Subject) -> None:
        uid, gid = subject.owner()
        super().__init__(fs, number("process", *subject.key), S_IFDIR | 0o555, uid, gid)
        self.subject = subject
        self.nlink = 9 if subject.thread is None else 7

    def lookup(self, name: bytes, t: Task) -> Inode:
        subject, fs = self.subject, self.fs
        if not subject.alive():
            raise ENOENT
        entry = (FILES if subject.thread is None else THREAD_FILES).get(name)
        if entry is not None:
            return ProcessFile(fs, subject, name, *entry)
        if name in (b"fd", b"fdinfo"):
            return DescriptorDir(fs, subject, name == b"fdinfo", t)
        if name in (b"cwd", b"exe", b"root"):
            return self._link(name)
        if name == b"mem":
            return MemoryFile(fs, subject)
        if name == b"ns":
            return namespaces.directory(fs, subject)
        if name == b"net":
            return net.directory(fs, subject)
        if name == b"task" and subject.thread is None:
            return TaskDir(fs, subject)
        raise ENOENT

    def keeps(self, name: bytes) -> bool:
        return False

    def names(self, t: Task) -> Iterable[Name]:
        whole = self.subject.thread is None
        kinds = {**dict.fromkeys(FILES if whole else THREAD_FILES, FILE), **KINDS}
        if whole:
            kinds[b"task"] = DIR
        return [Name(name, number(name, *self.subject.key), kind) for name, kind in sorted(kinds.items())]

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenDir(path, flags)

    def _link(self, name: bytes) -> MagicLink:
        return MagicLink(
            self.fs,
            lambda t: path_name(self._place(name, t), t.fs.root),
            lambda t: self._place(name, t),
            uid=self.uid,
            gid=self.gid,
            ino=number(name, *self.subject.key),
        )

    def _place(self, name: bytes, t: Task) -> Path:
        """Where cwd, root or exe leads; EACCES for who may not inspect, ENOENT for a process without."""
        subject = self.subject
        subject.inspect(t)
        if subject.group.dead:
            raise ENOENT
        place = subject.group.exe
        if name == b"cwd":
            place = subject.task.fs.cwd
        elif name == b"root":
            place = subject.task.fs.root
        if place is None:
            raise ENOENT
        return place


class TaskDir(Inode):
    """/proc/PID/task: the threads."""

    __slots__ = ("subject",)

    def __init__(self, fs: FileSystem, subject: Subject) -> None:
        uid, gid = subject.owner()
        super().__init__(fs, number("task", *subject.key), S_IFDIR | 0o555, uid, gid)
        self.subject = subject
        self.nlink = 2 + len(subject.group.tasks)

    def lookup(self, name: bytes, t: Task) -> Inode:
        if name.isdigit() and len(name) <= 10 and name[:1] != b"0":
            wanted = int(name)
            for task in tuple(self.subject.group.tasks.values()):
                if task.tid == wanted and not self.subject.group.dead:
                    return ProcessDir(self.fs, Subject(self.subject.group, task))
        raise ENOENT

    def keeps(self, name: bytes) -> bool:
        return False

    def names(self, t: Task) -> Iterable[Name]:
        group = self.subject.group
        if group.dead:
            return []
        threads = sorted(group.tasks.values(), key=lambda task: task.tid)
        return [
            Name(b"%d" % task.tid, number("process", group.host_pid, task.host_tid), DIR)
            for task in threads
            if task.tid
        ]

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenDir(path, flags)
