"""mount(2), umount2(2), pivot_root(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.const.mounts import (
    MNT_DETACH,
    MNT_EXPIRE,
    MNT_FORCE,
    MS_BIND,
    MS_MGC_MSK,
    MS_MGC_VAL,
    MS_MOVE,
    MS_PRIVATE,
    MS_REC,
    MS_REMOUNT,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    UMOUNT_NOFOLLOW,
)
from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.errno import EAGAIN, EBUSY, EINVAL, ENODEV, ENOTDIR
from syscalls.args import Addr, MountFlags, Path, PathOrNull, Text, UmountFlags
from syscalls.registry import syscall
from vfs.core import setup
from vfs.core.dentry import forget
from vfs.core.mount import PER_MOUNT, Mount, mounts_of
from vfs.core.walk import FOLLOW, walk
from vfs.fs import boot
from vfs.proc import root as proc
from vfs.sys import cgroup
from vfs.sys import root as sysfs
from vfs.tty import devices

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree

PAGE = 4096
PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE


def _register() -> None:
    """Constructors from layers above vfs.fs."""
    boot.register()
    devices.register()
    setup.register("proc", proc.make)
    setup.register("sysfs", sysfs.make)
    setup.register("cgroup", cgroup.make)
    setup.register("cgroup2", cgroup.make)
    setup.register("devpts", devices.make_devpts)


_register()


@syscall(
    "mount", PathOrNull, Path, Text, MountFlags, Addr, support="partial",
    note="with CAP_SYS_ADMIN: tmpfs, proc, sysfs, devpts, mqueue, cgroup2, bind, remount, move; no propagation",
)  # fmt: skip
def sys_mount(t: Task, source: bytes | None, target: bytes, type_addr: int, flags: int, data_addr: int) -> int:
    if flags & MS_MGC_MSK == MS_MGC_VAL:
        flags &= ~MS_MGC_MSK
    kind = t.mem.cstring(type_addr, PAGE) if type_addr else None
    options = t.mem.read_some(data_addr, PAGE).partition(b"\0")[0] if data_addr else b""
    at = walk(t, AT_FDCWD, target)
    t.creds.require(CAP_SYS_ADMIN)
    mounts = mounts_of(t)
    if flags & (MS_REMOUNT | MS_BIND) == MS_REMOUNT | MS_BIND:
        _top(at).flags = flags & PER_MOUNT
    elif flags & MS_REMOUNT:
        mount = _top(at)
        mount.flags = flags & PER_MOUNT
    elif flags & MS_BIND:
        mounts.bind(_source(t, source), at, bool(flags & MS_REC))
    elif flags & PROPAGATION:
        _top(at)  # every mount is private: nothing is ever propagated
    elif flags & MS_MOVE:
        mounts.move(_top(_source(t, source)), at)
    else:
        if kind is None:
            raise EINVAL
        name = kind.decode("ascii", "replace")
        if not setup.known(name):
            raise ENODEV
        fs = setup.make(t.kernel, name, options)
        mounts.attach(Mount(fs, fs.root, flags, source or fs.source), at)
    return 0


def _source(t: Task, source: bytes | None) -> tree.Path:
    if not source:
        raise EINVAL
    return walk(t, AT_FDCWD, source)


def _top(place: tree.Path) -> Mount:
    """The mount whose root `place` is."""
    if place.dentry is not place.mount.root:
        raise EINVAL
    return place.mount


@syscall("umount2", Path, UmountFlags)
def sys_umount2(t: Task, target: bytes, flags: int) -> int:
    if flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW):
        raise EINVAL
    t.creds.require(CAP_SYS_ADMIN)
    if flags & MNT_EXPIRE and flags & (MNT_FORCE | MNT_DETACH):
        raise EINVAL
    marked = {other for other in mounts_of(t) if other.expiring} if flags & MNT_EXPIRE else ()
    place = walk(t, AT_FDCWD, target, 0 if flags & UMOUNT_NOFOLLOW else FOLLOW)
    while place.dentry in place.mount.children:  # "." and "/" may lie below others, and the uppermost is meant
        place = place.mount.children[place.dentry].top()
    mount = _top(place)
    if not flags & MNT_DETACH and _in_use(t, mount):
        raise EBUSY
    if flags & MNT_EXPIRE:
        if mount.children:
            raise EBUSY
        if mount not in marked:
            mount.expiring = True
            raise EAGAIN
    mounts_of(t).detach(mount, bool(flags & MNT_DETACH))
    spaces = {mounts_of(task) for task in t.kernel.tasks.values()}
    if not any(other.fs is mount.fs for space in spaces for other in space):
        forget(mount.fs.root)
    return 0


def _in_use(t: Task, mount: Mount) -> bool:
    """Does a working directory, a root or an open file lie on it?"""
    for task in t.kernel.tasks.values():
        if task.fs.cwd.mount is mount or task.fs.root.mount is mount:
            return True
        for file in task.fds.files.values():
            opened = file.opened
            if opened is not None and getattr(opened, "mount", None) is mount:
                return True
    return False


@syscall("pivot_root", Path, Path)
def sys_pivot_root(t: Task, new_root: bytes, put_old: bytes) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    new = walk(t, AT_FDCWD, new_root)
    old = walk(t, AT_FDCWD, put_old)
    if not new.dentry.inode.is_dir or not old.dentry.inode.is_dir:
        raise ENOTDIR
    mounts = mounts_of(t)
    root = t.fs.root
    if new.mount is root.mount or old.mount is root.mount:
        raise EBUSY
    top = _top(new)
    if root.dentry is not root.mount.root or root.mount is not mounts.root or not _below(old, new):
        raise EINVAL
    mounts.pivot(top, old)
    for task in t.kernel.tasks.values():
        if task.fs.root.same(root):
            task.fs.root = new
        if task.fs.cwd.same(root):
            task.fs.cwd = new
    return 0


def _below(place: tree.Path, above: tree.Path) -> bool:
    mount: Mount | None = place.mount
    at: tree.Dentry | None = place.dentry
    while mount is not None and at is not None:
        if mount is above.mount and at is above.dentry:
            return True
        if at is mount.root:
            at, mount = mount.point, mount.parent
        else:
            at = at.parent
    return False
