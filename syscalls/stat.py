"""stat(2), fstat(2), lstat(2), fstatat(2), statx(2), access(2), faccessat2(2)."""

from __future__ import annotations

from os import major, minor
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    S_IFBLK,
    S_IFCHR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    STATX__RESERVED,
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_BTIME,
    STATX_MNT_ID,
    STATX_MNT_ID_UNIQUE,
)
from sentry.abi.const.mounts import MS_NOEXEC
from sentry.abi.errno import EACCES, EINVAL, ENOENT, EROFS, ESTALE
from sentry.abi.structs import STATX
from sentry.creds import Credentials
from syscalls.args import AccessMode, Addr, AtFlags, DirFd, FdAny, Path, PathOrNull, StatxMask
from syscalls.registry import syscall
from syscalls.statmount import unique_id
from vfs.core.access import W, X, allowed
from vfs.core.walk import EMPTY, FOLLOW, lone, walk, walk_stat

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree
    from vfs.core.file import File, Stat

NS = 1_000_000_000
_STAT_FLAGS = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW


def _put(t: Task, addr: int, st: Stat) -> int:
    t.mem.put_stat(addr, st)
    return 0


def _stat(t: Task, dirfd: int, path: bytes, flags: int, addr: int) -> int:
    directory = lone(t, dirfd, path)
    if directory is not None:
        try:
            record = directory.stat_record(path)
        except ESTALE:
            record = None
        if record is not None:
            t.mem.write(addr, record)
            return 0
    return _put(t, addr, walk_stat(t, dirfd, path, flags))


@syscall("stat", Path, Addr)
def sys_stat(t: Task, path: bytes, addr: int) -> int:
    if not path:
        raise ENOENT
    return _stat(t, AT_FDCWD, path, FOLLOW, addr)


@syscall("lstat", Path, Addr)
def sys_lstat(t: Task, path: bytes, addr: int) -> int:
    if not path:
        raise ENOENT
    return _stat(t, AT_FDCWD, path, 0, addr)


@syscall("fstat", FdAny, Addr)
def sys_fstat(t: Task, file: File, addr: int) -> int:
    return _put(t, addr, file.stat())


@syscall("newfstatat", DirFd, PathOrNull, Addr, AtFlags)
def sys_newfstatat(t: Task, dirfd: int, path: bytes | None, addr: int, flags: int) -> int:
    if flags & ~_STAT_FLAGS:
        raise EINVAL
    if path:
        return _stat(t, dirfd, path, 0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW, addr)
    return _put(t, addr, _itself(t, dirfd, path, flags))


def _itself(t: Task, dirfd: int, path: bytes | None, flags: int) -> Stat:
    """The descriptor's own file (AT_EMPTY_PATH; a NULL path does as an empty one)."""
    if dirfd != AT_FDCWD and flags & AT_EMPTY_PATH:
        return t.fds.any(dirfd).stat()  # what fstat(3) of current C libraries comes to
    if path is None:
        path = b"" if flags & AT_EMPTY_PATH else t.mem.path(0)
    inode = walk(t, dirfd, path, EMPTY if flags & AT_EMPTY_PATH else 0).dentry.inode
    inode.refresh()
    return inode.stat()


@syscall("statx", DirFd, PathOrNull, AtFlags, StatxMask, Addr)
def sys_statx(t: Task, dirfd: int, path: bytes | None, flags: int, mask: int, addr: int) -> int:
    if mask & STATX__RESERVED or flags & ~(_STAT_FLAGS | AT_STATX_SYNC_TYPE):
        raise EINVAL
    if flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE:
        raise EINVAL
    place: tree.Path | None = None
    if path:
        place = walk(t, dirfd, path, 0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW)
        st = place.dentry.inode.stat()
    else:
        st = _itself(t, dirfd, path, flags)
        opened = t.fs.cwd if dirfd == AT_FDCWD else t.fds.any(dirfd).opened
        place = opened
    got, mount_id, attributes = STATX_BASIC_STATS, 0, 0
    if place is not None:
        got |= STATX_MNT_ID_UNIQUE if mask & STATX_MNT_ID_UNIQUE else STATX_MNT_ID
        mount_id = unique_id(place.mount) if mask & STATX_MNT_ID_UNIQUE else place.mount.id
        if place.dentry is place.mount.root:
            attributes = STATX_ATTR_MOUNT_ROOT
    if st.btime_ns:
        got |= STATX_BTIME
    t.mem.write(
        addr,
        STATX.pack(
            got, st.blksize, attributes, st.nlink, st.uid, st.gid, st.mode, st.ino, st.size, st.blocks,
            STATX_ATTR_MOUNT_ROOT, *divmod(st.atime_ns, NS), *divmod(st.btime_ns, NS), *divmod(st.ctime_ns, NS),
            *divmod(st.mtime_ns, NS), major(st.rdev), minor(st.rdev), major(st.dev), minor(st.dev), mount_id, 0, 0, 0,
        ),
    )  # fmt: skip
    return 0


# -- access --------------------------------------------------------------------------------------------------------


@syscall("access", Path, AccessMode)
def sys_access(t: Task, path: bytes, mode: int) -> int:
    return _access(t, AT_FDCWD, path, mode, 0)


@syscall("faccessat", DirFd, Path, AccessMode)
def sys_faccessat(t: Task, dirfd: int, path: bytes, mode: int) -> int:
    return _access(t, dirfd, path, mode, 0)


@syscall("faccessat2", DirFd, Path, AccessMode, AtFlags)
def sys_faccessat2(t: Task, dirfd: int, path: bytes, mode: int, flags: int) -> int:
    if flags & ~(AT_EACCESS | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise EINVAL
    return _access(t, dirfd, path, mode, flags)


def _access(t: Task, dirfd: int, path: bytes, mode: int, flags: int) -> int:
    if mode & ~7:
        raise EINVAL
    mine = t.creds
    if not flags & AT_EACCESS:
        real = as_real(mine)
        if real is not mine:
            t.creds = real  # the walk's search permission is asked for the real ids, too
    try:
        how = (0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW) | (EMPTY if flags & AT_EMPTY_PATH else 0)
        place = walk(t, dirfd, path, how)
        inode = place.dentry.inode
        if not mode:
            return 0
        kind = inode.mode & S_IFMT
        if mode & X and kind == S_IFREG and place.mount.flags & MS_NOEXEC:
            raise EACCES
        if not allowed(inode, t.creds, mode):
            raise EACCES
        if inode.guarded:
            inode.permission(t, mode)
        if mode & W and place.mount.readonly and kind not in (S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
            raise EROFS
        return 0
    finally:
        t.creds = mine


def as_real(creds: Credentials) -> Credentials:
    """The identity that access(2) asks for: real ids, and the capabilities that they would have."""
    caps = creds.permitted if creds.ruid == 0 else 0
    if creds.fsuid == creds.ruid and creds.fsgid == creds.rgid and creds.effective == caps:
        return creds
    if creds.fsuid == creds.ruid and creds.fsgid == creds.rgid and creds.ruid != 0 and not creds.effective:
        return creds
    return creds._replace(fsuid=creds.ruid, fsgid=creds.rgid, effective=caps)
