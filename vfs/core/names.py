"""Making, removing and moving names, with the rules that hold for every file system (open(2) O_CREAT, mkdir(2),
unlink(2), rename(2), link(2)): permission, sticky bit, mounts, the dentry cache, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ATTRIB
from sentry.abi.const.files import S_IFCHR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP
from sentry.abi.const.rights import CAP_FOWNER
from sentry.abi.errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    EMLINK,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    EXDEV,
)
from vfs.core import notify
from vfs.core.access import R, W, allowed, check, check_entry, check_sticky, check_writable
from vfs.core.acl import masked
from vfs.core.dentry import Dentry, Path
from vfs.core.mount import mounts_of
from vfs.core.walk import NAME_MAX, find

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.node import Inode

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4


def enter(directory: Dentry, name: bytes, inode: Inode) -> Dentry:
    """A dentry for something just made."""
    dentry = Dentry(directory, name, inode)
    if directory.inode.keeps(name):
        dentry.cache()
    notify.created(directory, name, inode)
    return dentry


def check_new(t: Task, place: Path, name: bytes) -> None:
    """May the caller make `name` here? The name must be known to be free."""
    if len(name) > NAME_MAX:
        raise ENAMETOOLONG
    if place.dentry.gone:
        raise ENOENT
    check_entry(place.mount, place.dentry.inode, t)


def make(
    t: Task,
    place: Path,
    name: bytes,
    build: Callable[[Inode], Inode],
    slash: bool = False,
    before: Callable[[], None] | None = None,
) -> Path:
    """The common part of mkdir, mknod, symlink and link. EEXIST wins over a slash behind what is no directory (ENOENT),
    that over what `before` raises, and that over a lack of permission."""
    if name in (b"", b".", b".."):
        raise EEXIST
    try:
        find(t, place, name)
    except ENOENT:
        pass
    else:
        raise EEXIST
    if slash:
        raise ENOENT
    if before is not None:
        before()
    check_new(t, place, name)
    return Path(place.mount, enter(place.dentry, name, build(place.dentry.inode)))


def create_file(t: Task, place: Path, name: bytes, mode: int) -> Path:
    """open(2) with O_CREAT found nothing."""
    check_new(t, place, name)
    directory = place.dentry
    inode = directory.inode.create(name, masked(directory.inode, mode & 0o7777, t.fs.umask), t.creds)
    return Path(place.mount, enter(directory, name, inode))


def _victim(t: Task, place: Path, name: bytes) -> Path:
    """What is to be removed or moved: exists, and the caller may take it out."""
    victim = find(t, place, name)
    check_entry(place.mount, place.dentry.inode, t)
    check_sticky(place.dentry.inode, victim.dentry.inode, t.creds)
    return victim


def _busy(t: Task, place: Path, victim: Path) -> bool:
    """Is something mounted on it in the caller's namespace? Mounts of others do not hold a name (rmdir(2), NOTES)."""
    dentry = victim.dentry
    return victim.mount is not place.mount or bool(
        dentry.mounts and any(mount.point is dentry for mount in mounts_of(t))
    )


def _uncover(t: Task, dentry: Dentry) -> None:
    """A name goes, and with it what others have mounted on it."""
    if dentry.mounts:
        for space in {mounts_of(task) for task in t.kernel.tasks.values()}:
            for mount in [mount for mount in space if mount.point is dentry]:
                space.detach(mount, lazy=True)


def unlink(t: Task, place: Path, name: bytes, slash: bool) -> None:
    if name in (b"", b".", b".."):
        raise EISDIR
    victim = find(t, place, name)
    if slash:
        raise EISDIR if victim.dentry.inode.is_dir else ENOTDIR
    victim = _victim(t, place, name)
    dentry = victim.dentry
    inode = dentry.inode
    if inode.is_dir:
        raise EISDIR
    if _busy(t, place, victim):
        raise EBUSY
    place.dentry.inode.unlink(name, inode)
    _uncover(t, dentry)
    notify.removed(dentry, inode.nlink == 0, _holders(t, inode))
    dentry.remove()


def _holders(t: Task, inode: Inode) -> int:
    """How many open files keep an inode that somebody watches: it ends with the last of them (inotify(7))."""
    if inode.watches is None:
        return 0
    tables = {id(task.fds): task.fds for task in tuple(t.kernel.tasks.values())}
    files = {file for fds in tables.values() for file in fds.files.values()}
    return sum(file.opened is not None and file.opened.dentry.inode is inode for file in files)


def rmdir(t: Task, place: Path, name: bytes) -> None:
    if name == b".":
        raise EINVAL
    if name == b"..":
        raise ENOTEMPTY
    if not name:
        raise EBUSY
    victim = _victim(t, place, name)
    dentry = victim.dentry
    if not dentry.inode.is_dir:
        raise ENOTDIR
    if _busy(t, place, victim):
        raise EBUSY
    place.dentry.inode.rmdir(name, dentry.inode)
    _uncover(t, dentry)
    notify.removed(dentry, True, _holders(t, dentry.inode))
    dentry.remove()


def link(t: Task, source: Path, place: Path, name: bytes, slash: bool) -> None:
    inode = source.dentry.inode

    def before() -> None:
        if source.mount is not place.mount:
            raise EXDEV
        if not _may_link(t, inode):
            raise EPERM

    def build(directory: Inode) -> Inode:
        if inode.is_dir:
            raise EPERM
        if inode.nlink >= 65000:
            raise EMLINK
        if inode.nlink == 0 and not inode.linkable:
            raise ENOENT
        directory.link(name, inode)
        return inode

    make(t, place, name, build, slash, before)
    if notify.active:
        notify.send(inode, IN_ATTRIB)  # its link count


def _may_link(t: Task, inode: Inode) -> bool:
    """fs.protected_hardlinks of proc_sys_fs(5), as every distribution sets it."""
    creds = t.creds
    if creds.fsuid == inode.uid or creds.has(CAP_FOWNER):
        return True
    mode = inode.mode
    if mode & S_IFMT != S_IFREG or mode & S_ISUID or mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP:
        return False
    return allowed(inode, creds, R | W)


def rename(
    t: Task, old: Path, name: bytes, old_slash: bool, new: Path, new_name: bytes, new_slash: bool, flags: int
) -> None:
    """`old` and `new` are the directories."""
    if old.mount is not new.mount:
        raise EXDEV
    for last in (name, new_name):
        if last in (b"", b".", b".."):
            raise EBUSY
    check_writable(old.mount)
    source = find(t, old, name)
    try:
        target: Path | None = find(t, new, new_name)
    except ENOENT:
        target = None
    moved = source.dentry.inode
    if flags & NOREPLACE and target is not None:
        raise EEXIST
    if flags & EXCHANGE and target is None:
        raise ENOENT
    if not moved.is_dir and (old_slash or new_slash and not flags & EXCHANGE):
        raise ENOTDIR
    if _within(new.dentry, source.dentry):
        raise EINVAL
    if target is not None and _within(old.dentry, target.dentry):
        raise EINVAL if flags & EXCHANGE else ENOTEMPTY
    if target is not None and target.dentry.inode is moved:
        return
    _victim(t, old, name)
    if target is None:
        check_new(t, new, new_name)
    else:
        check_entry(new.mount, new.dentry.inode, t)
        check_sticky(new.dentry.inode, target.dentry.inode, t.creds)
        if not flags & EXCHANGE:
            if moved.is_dir and not target.dentry.inode.is_dir:
                raise ENOTDIR
            if target.dentry.inode.is_dir and not moved.is_dir:
                raise EISDIR
        if _busy(t, new, target):
            raise EBUSY
    if _busy(t, old, source):
        raise EBUSY
    if moved.is_dir and old.dentry is not new.dentry:
        check(moved, t, W)  # its ".." changes
    if flags & WHITEOUT and not old.dentry.inode.fs.whiteouts:
        raise EINVAL
    _move(t, old, name, source.dentry, new, new_name, target, bool(flags & EXCHANGE))
    if flags & WHITEOUT:
        mark = old.dentry.inode.mknod(name, S_IFCHR, 0, t.creds)
        enter(old.dentry, name, mark)


def _move(
    t: Task, old: Path, name: bytes, source: Dentry, new: Path, new_name: bytes, target: Path | None, exchange: bool
) -> None:
    other = None if target is None else target.dentry
    replaced = None if other is None else other.inode
    old.dentry.inode.rename(name, source.inode, new.dentry.inode, new_name, replaced, exchange)
    notify.renamed(source.inode, old.dentry, name, new.dentry, new_name)
    if other is None:
        source.move(new.dentry, new_name)
    elif exchange:
        notify.renamed(other.inode, new.dentry, new_name, old.dentry, name)
        source.drop()
        other.move(old.dentry, name)
        source.parent, source.name = new.dentry, new_name
        source.cache()
    else:
        if notify.active:
            notify.replaced(other.inode, other.inode.is_dir or other.inode.nlink == 0, _holders(t, other.inode))
        other.remove()
        source.move(new.dentry, new_name)


def _within(dentry: Dentry, ancestor: Dentry) -> bool:
    """Is `dentry` the same as `ancestor`, or below it?"""
    at: Dentry | None = dentry
    while at is not None:
        if at is ancestor:
            return True
        at = at.parent
    return False
