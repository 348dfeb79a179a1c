"""The steps of open(2) and openat2(2) between the walk and the open file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
)
from sentry.abi.const.mounts import MS_NODEV
from sentry.abi.errno import EACCES, EEXIST, EISDIR, ELOOP, ENOTDIR, EPERM, EROFS, ETXTBSY
from vfs.core.access import R, W, check, check_entry, is_owner
from vfs.core.acl import masked
from vfs.core.dentry import Dentry, Path
from vfs.core.names import create_file
from vfs.core.open_dir import PathFile
from vfs.core.walk import FOLLOW, walk, walk_create

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

UNNAMED = O_TMPFILE & ~O_DIRECTORY
_WANT = (R, W, R | W, R | W)
SHOWN = ~(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC)  # F_GETFL shows neither these nor O_NOCTTY, O_CLOEXEC
_PATH_KEPT = O_PATH | O_DIRECTORY | O_NOFOLLOW


def locate(t: Task, dirfd: int, path: bytes, flags: int, mode: int, resolve: int = 0) -> tuple[Path, bool]:
    """The object to open, made if O_CREAT asks for it; (place, whether it is new)."""
    if flags & O_CREAT and not flags & O_PATH:
        place, name = walk_create(t, dirfd, path, not flags & (O_NOFOLLOW | O_EXCL), resolve)
        if name:
            try:
                return create_file(t, place, name, mode), True
            except EEXIST:
                if flags & O_EXCL:
                    raise
            # Somebody outside was faster: open what is there now.
            return walk(t, dirfd, path, 0 if flags & O_NOFOLLOW else FOLLOW, resolve), False
        if flags & O_EXCL:
            raise EEXIST
        if place.dentry.inode.mode & S_IFMT == S_IFDIR:
            raise EISDIR
        return place, False
    return walk(t, dirfd, path, 0 if flags & O_NOFOLLOW else FOLLOW, resolve), False


def open_place(t: Task, place: Path, flags: int, new: bool = False) -> File:
    """An open file for `place`, after all checks. Fifos are opened by the handler, which may wait."""
    inode = place.dentry.inode
    kind = inode.mode & S_IFMT
    if flags & O_DIRECTORY and kind != S_IFDIR:
        raise ENOTDIR
    if flags & O_PATH:
        return PathFile(place, flags & _PATH_KEPT)
    if kind == S_IFLNK:
        raise ELOOP
    if not new:
        may_open(t, place, flags)
    if flags & O_TRUNC and kind == S_IFREG:
        inode.empty()
    # A terminal wants to see O_NOCTTY and takes it off itself.
    file = inode.open(place, flags & SHOWN | flags & O_NOCTTY if kind == S_IFCHR else flags & SHOWN, t)
    if flags & O_TRUNC and kind == S_IFREG and not new:
        if flags & 3:
            file.truncate(0)
        else:
            inode.truncate(0)
    return file


def may_open(t: Task, place: Path, flags: int) -> None:
    """Permission for an existing object."""
    inode = place.dentry.inode
    kind = inode.mode & S_IFMT
    want = _WANT[flags & 3]
    if flags & O_TRUNC:
        want |= W
    if want & W:
        if kind == S_IFDIR:
            raise EISDIR
        if kind == S_IFREG:
            if place.mount.readonly:
                raise EROFS
            if inode.writers < 0:
                raise ETXTBSY
    if kind in (S_IFCHR, S_IFBLK) and place.mount.flags & MS_NODEV:
        raise EACCES
    check(inode, t, want)
    if flags & O_NOATIME and not is_owner(inode, t.creds):
        raise EPERM


def open_unnamed(t: Task, dirfd: int, path: bytes, flags: int, mode: int) -> File:
    """O_TMPFILE."""
    place = walk(t, dirfd, path, FOLLOW)
    directory = place.dentry
    if not directory.inode.is_dir:
        raise ENOTDIR
    check_entry(place.mount, directory.inode, t)
    inode = directory.inode.tmpfile(masked(directory.inode, mode & 0o7777, t.fs.umask), t.creds)
    dentry = Dentry(directory, b"#%d" % inode.ino, inode)
    dentry.gone = True
    return inode.open(Path(place.mount, dentry), flags & SHOWN & ~UNNAMED, t)
