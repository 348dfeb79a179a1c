"""/proc/PID/ns (namespaces(7)): the namespaces of a process. There are several of the network and of mounts, one of
each other kind; the first have the inode numbers of a system's first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFREG
from sentry.abi.const.mounts import NSFS_MAGIC
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
from sentry.net.namespace import NetNamespace
from sentry.nsfs import FIRST
from vfs.core.anon import AnonInode
from vfs.core.dentry import Dentry, Path
from vfs.core.file import File, Stat
from vfs.core.mount import Mount, MountNamespace, mounts_of
from vfs.core.node import FileSystem, Inode
from vfs.core.synth import MagicLink, SynthDir, number
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

# name of the link: kind
NAMESPACES = {
    b"cgroup": b"cgroup", b"ipc": b"ipc", b"mnt": b"mnt", b"net": b"net", b"pid": b"pid", b"pid_for_children": b"pid",
    b"time": b"time", b"time_for_children": b"time", b"user": b"user", b"uts": b"uts",
}  # fmt: skip
TYPES = {
    b"cgroup": CLONE_NEWCGROUP, b"ipc": CLONE_NEWIPC, b"mnt": CLONE_NEWNS, b"net": CLONE_NEWNET, b"pid": CLONE_NEWPID,
    b"time": CLONE_NEWTIME, b"user": CLONE_NEWUSER, b"uts": CLONE_NEWUTS,
}  # fmt: skip
NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB703, 0xB704  # ioctl_ns(2)
NSFS_DEV = 4

Space = NetNamespace | MountNamespace | None


class NsFs(FileSystem):
    """Where such a link leads; a bind mount of it keeps the namespace (ip-netns(8))."""

    name = b"nsfs"
    magic = NSFS_MAGIC
    source = b"nsfs"
    nameless = True


_fs = NsFs()
_fs.set_root(Inode(_fs, 1, S_IFDIR))
_mount = Mount(_fs, _fs.root)


class NamespaceFile(File):
    """What opening such a link gives: something to compare, to hold and to hand to setns(2). `space` is the namespace,
    None for the kinds of which there is one."""

    __slots__ = ("ino", "kind", "space")

    def __init__(self, kind: bytes, space: Space, flags: int = 0) -> None:
        super().__init__(flags)
        self.kind = kind
        self.space = space
        self.ino = FIRST[kind] if space is None else space.ino

    def name(self) -> bytes:
        return b"%s:[%d]" % (self.kind, self.ino)

    def stat(self) -> Stat:
        return Stat(NSFS_DEV, self.ino, S_IFREG | 0o444, 1, 0, 0, 0, 0, 4096, 0, 0, 0, 0)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        """ioctl_ns(2): all belong to the first user namespace, and none has a parent that could be seen."""
        if request == NS_GET_USERNS:
            if self.kind == b"user":
                raise EPERM
            return t.fds.install(NamespaceFile(b"user", None), cloexec=True)
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
        return NamespaceFile(self.kind, self.space, flags)


class NamespaceInode(AnonInode):
    """Opened by a bind mount or a link of /proc, the file knows where it was found."""

    __slots__ = ()

    def open(self, path: Path, flags: int, t: Task) -> File:
        file = super().open(path, flags, t)
        file.opened = path
        return file


def directory(fs: FileSystem, subject: Subject) -> SynthDir:
    uid, gid = subject.owner()
    links: dict[bytes, Inode] = {}
    for name, kind in NAMESPACES.items():
        links[name] = _link(fs, subject, name, kind)
    return SynthDir(fs, links, mode=0o511, uid=uid, gid=gid, ino=number("ns", *subject.key), lasting=False)


def place_of(file: NamespaceFile) -> Path:
    return Path(_mount, Dentry(None, file.name(), NamespaceInode(_fs, file)))


def _space(subject: Subject, kind: bytes) -> Space:
    if kind == b"net":
        return subject.task.net
    return mounts_of(subject.task) if kind == b"mnt" else None


def _link(fs: FileSystem, subject: Subject, name: bytes, kind: bytes) -> MagicLink:
    uid, gid = subject.owner()

    def target(t: Task) -> bytes:
        subject.inspect(t)
        return NamespaceFile(kind, _space(subject, kind)).name()

    def goto(t: Task) -> Path:
        subject.inspect(t)
        return place_of(NamespaceFile(kind, _space(subject, kind)))

    return MagicLink(fs, target, goto, uid=uid, gid=gid, ino=number("ns", name, *subject.key))
