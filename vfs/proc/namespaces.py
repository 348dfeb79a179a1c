"""/proc/PID/ns (namespaces(7)): one namespace of each kind, with the inode numbers of a system's first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFREG
from sentry.abi.const.tasks import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from sentry.abi.errno import EINVAL, ENOTTY, EPERM
from vfs.core.anon import path_of
from vfs.core.file import File, Stat
from vfs.core.node import FileSystem, Inode
from vfs.core.synth import MagicLink, SynthDir, number
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

# name: (kind, inode number)
NAMESPACES = {
    b"cgroup": (b"cgroup", 4026531835), b"ipc": (b"ipc", 4026531839), b"mnt": (b"mnt", 4026531841),
    b"net": (b"net", 4026531840), b"pid": (b"pid", 4026531836), b"pid_for_children": (b"pid", 4026531836),
    b"time": (b"time", 4026531834), b"time_for_children": (b"time", 4026531834),
    b"user": (b"user", 4026531837), b"uts": (b"uts", 4026531838),
}  # fmt: skip
TYPES = {
    b"cgroup": CLONE_NEWCGROUP, b"ipc": CLONE_NEWIPC, b"mnt": CLONE_NEWNS, b"net": CLONE_NEWNET, b"pid": CLONE_NEWPID,
    b"time": CLONE_NEWTIME, b"user": CLONE_NEWUSER, b"uts": CLONE_NEWUTS,
}  # fmt: skip
NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB703, 0xB704  # ioctl_ns(2)
NSFS_DEV = 4


class NamespaceFile(File):
    """What opening such a link gives: something to compare, to hold and to hand to setns(2)."""

    __slots__ = ("ino", "kind")

    def __init__(self, kind: bytes, ino: int, flags: int = 0) -> None:
        super().__init__(flags)
        self.kind = kind
        self.ino = ino

    def name(self) -> bytes:
        return b"%s:[%d]" % (self.kind, self.ino)

    def stat(self) -> Stat:
        return Stat(NSFS_DEV, self.ino, S_IFREG | 0o444, 1, 0, 0, 0, 0, 4096, 0, 0, 0, 0)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        """ioctl_ns(2): all belong to the first user namespace, and none has a parent that could be seen."""
        if request == NS_GET_USERNS:
            if self.kind == b"user":
                raise EPERM
            return t.fds.install(NamespaceFile(b"user", NAMESPACES[b"user"][1]), cloexec=True)
        if request == NS_GET_PARENT:
            raise EPERM if self.kind in (b"pid", b"user") else EINVAL
        if request == NS_GET_NSTYPE:
            return TYPES[self.kind]
        if request == NS_GET_OWNER_UID:
            if self.kind != b"user":
                raise EINVAL
            t.mem.put_u32(arg, 0)
            return 0
        raise ENOTTY

    def reopen(self, flags: int, t: Task) -> File:
        return NamespaceFile(self.kind, self.ino, flags)


def directory(fs: FileSystem, subject: Subject) -> SynthDir:
    uid, gid = subject.owner()
    links: dict[bytes, Inode] = {}
    for name, (kind, ino) in NAMESPACES.items():
        links[name] = _link(fs, subject, name, kind, ino)
    return SynthDir(fs, links, mode=0o511, uid=uid, gid=gid, ino=number("ns", *subject.key), lasting=False)


def _link(fs: FileSystem, subject: Subject, name: bytes, kind: bytes, ino: int) -> MagicLink:
    uid, gid = subject.owner()

    def target(t: Task) -> bytes:
        subject.inspect(t)
        return b"%s:[%d]" % (kind, ino)

    def goto(t: Task) -> Path:
        subject.inspect(t)
        return path_of(NamespaceFile(kind, ino))

    return MagicLink(fs, target, goto, uid=uid, gid=gid, ino=number("ns", name, *subject.key))
