"""Mounts and the tree that they make (mount(2), mount_namespaces(7), /proc/PID/mountinfo in proc(5))."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from os import major, minor
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFMT
from sentry.abi.const.mounts import (
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_NOSYMFOLLOW,
    MS_RDONLY,
    MS_RELATIME,
)
from sentry.abi.errno import EBUSY, EINVAL, ENOENT, ENOSPC, ENOTDIR
from sentry.nsfs import FIRST, new_number
from vfs.core.dentry import Dentry, Path
from vfs.core.node import FileSystem

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MOUNT_LIMIT = 4096  # as a guest's share of fs.mount-max
PER_MOUNT = (
    MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW
)
_SHOWN = (
    (MS_NOSUID, b",nosuid"),
    (MS_NODEV, b",nodev"),
    (MS_NOEXEC, b",noexec"),
    (MS_NOATIME, b",noatime"),
    (MS_NODIRATIME, b",nodiratime"),
    (MS_RELATIME, b",relatime"),
    (MS_NOSYMFOLLOW, b",nosymfollow"),
)
_ids = count(20)


class Mount:
    """A subtree of a file system, seen from `root` down; sits on `point` of `parent` once it is attached.

    children  mounts that sit on dentries of this one
    """

    __slots__ = ("children", "expiring", "flags", "fs", "id", "parent", "point", "root", "source")

    def __init__(self, fs: FileSystem, root: Dentry, flags: int = 0, source: bytes | None = None) -> None:
        self.fs = fs
        self.root = root
        self.flags = flags & PER_MOUNT
        self.source = fs.source if source is None else source
        self.parent: Mount | None = None
        self.point: Dentry | None = None
        self.children: dict[Dentry, Mount] = {}
        self.expiring = False  # umount2(2) with MNT_EXPIRE has marked it, and nobody has used it since
        self.id = next(_ids)

    @property
    def readonly(self) -> bool:
        return bool(self.flags & MS_RDONLY) or self.fs.readonly

    def top(self) -> Path:
        return Path(self, self.root)

    def size(self) -> int:
        """Mounts in the tree that hangs on this one, itself included."""
        return 1 + sum(child.size() for child in self.children.values())

    def tree(self) -> Iterator[Mount]:
        yield self
        for child in self.children.values():
            yield from child.tree()


def graft(mount: Mount, at: Path) -> None:
    """Hang `mount` on `at`, in whatever tree that is."""
    mount.parent = at.mount
    mount.point = at.dentry
    at.mount.children[at.dentry] = mount
    at.dentry.mounts += 1


def cut(mount: Mount) -> None:
    """Take a mount and what hangs on it out of its tree."""
    assert mount.parent is not None and mount.point is not None
    del mount.parent.children[mount.point]
    mount.point.mounts -= 1
    mount.parent = mount.point = None


def dissolve(mount: Mount) -> None:
    """A tree that hangs nowhere is given up."""
    for child in list(mount.children.values()):
        cut(child)
        dissolve(child)


class MountNamespace:
    """The tree of mounts; `root` is the mount of "/". The number of the first one is that of a system's."""

    __slots__ = ("copied", "count", "ino", "loose", "root")

    def __init__(self, root: Mount) -> None:
        self.root = root
        self.ino = FIRST[b"mnt"]
        self.copied = False
        self.count = 1
        self.loose = 0  # mounts of trees that hang nowhere

    def copy(self) -> tuple[MountNamespace, dict[Mount, Mount]]:
        """CLONE_NEWNS: a namespace with equal mounts, and which of them is whose copy."""
        new, copies = MountNamespace(self.root), {}
        for mount in self.root.tree():
            copies[mount] = twin = Mount(mount.fs, mount.root, mount.flags, mount.source)
            if mount.parent is not None and mount.point is not None:
                graft(twin, Path(copies[mount.parent], mount.point))
        new.root, new.count, new.ino, new.copied = copies[self.root], self.count, new_number(), True
        return new, copies

    def __del__(self) -> None:
        if self.copied:  # its last process has gone
            dissolve(self.root)

    def attach(self, mount: Mount, at: Path) -> None:
        """Put `mount` on `at` (already resolved through mounts that sit there)."""
        if self.count + mount.size() > MOUNT_LIMIT:
            raise ENOSPC
        if at.dentry.gone:
            raise ENOENT
        if (mount.root.inode.mode & S_IFMT == S_IFDIR) != at.dentry.inode.is_dir:
            raise ENOTDIR
        graft(mount, at)
        self.count += mount.size()

    def detach(self, mount: Mount, lazy: bool = False) -> None:
        """umount2(2): EBUSY while something is mounted below, unless `lazy`, which takes that away too."""
        if mount.parent is None or mount.point is None:
            raise EINVAL
        if mount.children:
            if not lazy:
                raise EBUSY
            for child in list(mount.children.values()):
                self.detach(child, lazy=True)
        del mount.parent.children[mount.point]
        mount.point.mounts -= 1
        mount.parent = mount.point = None
        self.count -= 1

    def clone(self, source: Path, recursive: bool) -> Mount:
        """A tree of its own that shows what is below `source` (open_tree(2))."""
        if recursive and self.loose + source.mount.size() > MOUNT_LIMIT:
            raise ENOSPC
        return self._clone(source, recursive)

    def _clone(self, source: Path, recursive: bool) -> Mount:
        new = Mount(source.mount.fs, source.dentry, source.mount.flags, source.mount.source)
        if recursive:
            for mount, point in self._within(source):
                graft(self._clone(mount.top(), True), Path(new, point))
        return new

    def slip_beneath(self, mount: Mount, top: Mount) -> None:
        """MOVE_MOUNT_BENEATH: `mount`, which hangs nowhere, takes the place of `top`, which comes to sit on it."""
        if top.parent is None or top.point is None:
            raise EINVAL
        at = Path(top.parent, top.point)
        cut(top)
        graft(mount, at)
        self.count += mount.size()
        graft(top, mount.top())

    def move(self, mount: Mount, to: Path) -> None:
        """MS_MOVE: EINVAL for the root or into itself."""
        if mount.parent is None or mount.point is None:
            raise EINVAL
        above: Mount | None = to.mount
        while above is not None:
            if above is mount:
                raise EINVAL
            above = above.parent
        parent, point = mount.parent, mount.point
        self.attach(mount, to)
        self.count -= mount.size()
        del parent.children[point]
        point.mounts -= 1

    def pivot(self, new: Mount, put_old: Path) -> None:
        """pivot_root(2): `new` becomes the root, and the old one sits on `put_old` below it."""
        old = self.root
        assert new.parent is not None and new.point is not None
        del new.parent.children[new.point]
        new.point.mounts -= 1
        new.parent = new.point = None
        self.root = new
        self.attach(old, put_old)
        self.count -= old.size()

    def bind(self, source: Path, at: Path, recursive: bool, flags: int | None = None) -> Mount:
        """MS_BIND: show the tree below `source` at `at`; with `recursive` the mounts in it as well."""
        new = Mount(source.mount.fs, source.dentry, source.mount.flags if flags is None else flags, source.mount.source)
        below = list(self._within(source)) if recursive else []
        self.attach(new, at)
        for mount, point in below:
            self.bind(mount.top(), Path(new, point), True)
        return new

    def _within(self, source: Path) -> Iterator[tuple[Mount, Dentry]]:
        """The mounts that sit on `source.mount` at or below `source.dentry`."""
        for point, mount in source.mount.children.items():
            dentry: Dentry | None = point
            while dentry is not None and dentry is not source.dentry:
                dentry = dentry.parent
            if dentry is not None:
                yield mount, point

    def __iter__(self) -> Iterator[Mount]:
        """Every mount, parents first, in the order in which they were made."""
        found = [self.root]
        for mount in found:
            found.extend(mount.children.values())
        return iter(sorted(found, key=lambda m: m.id))


def mounts_of(t: Task) -> MountNamespace:
    """The namespace that `t` is in: the container's, or one of its own."""
    space: MountNamespace = t.fs.own_mounts or t.kernel.mounts
    return space


def escape(text: bytes) -> bytes:
    """As in /proc/mounts: space, tab, newline, backslash and # in octal."""
    for char in (b"\\", b" ", b"\t", b"\n", b"#"):
        text = text.replace(char, b"\\%03o" % char[0])
    return text


def shown_flags(mount: Mount) -> bytes:
    return (b"ro" if mount.flags & MS_RDONLY else b"rw") + b"".join(text for bit, text in _SHOWN if mount.flags & bit)


def shown_options(mount: Mount) -> bytes:
    """The file system's part: ro or rw of the whole instance, and its own options."""
    return (b"ro" if mount.fs.readonly else b"rw") + mount.fs.options()


def mounts_text(namespace: MountNamespace, root: Path) -> bytes:
    """/proc/PID/mounts for a process whose root directory is `root`."""
    lines = []
    for mount, where in _visible(namespace, root):
        first = b"ro" if mount.readonly else b"rw"
        flags = first + shown_flags(mount)[2:] + mount.fs.options()
        lines.append(b"%s %s %s %s 0 0\n" % (escape(mount.source), escape(where), mount.fs.name, flags))
    return b"".join(lines)


def mountinfo_text(namespace: MountNamespace, root: Path) -> bytes:
    """/proc/PID/mountinfo."""
    from vfs.core.walk import dentry_name

    lines = []
    for mount, where in _visible(namespace, root):
        parent = mount.parent.id if mount.parent is not None else mount.id - 1
        inner = escape(dentry_name(mount.root)) or b"/"
        number = b"%d:%d" % (major(mount.fs.dev), minor(mount.fs.dev))
        lines.append(
            b"%d %d %s %s %s %s - %s %s %s\n"
            % (mount.id, parent, number, inner, escape(where), shown_flags(mount), mount.fs.name, escape(mount.source),
               shown_options(mount))
        )  # fmt: skip
    return b"".join(lines)


def _visible(namespace: MountNamespace, root: Path) -> Iterator[tuple[Mount, bytes]]:
    from vfs.core.walk import path_name

    for mount in namespace:
        where = path_name(mount.top(), root)
        if where.startswith(b"/"):
            yield mount, where
