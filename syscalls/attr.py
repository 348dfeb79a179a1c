"""chmod(2), chown(2), utimensat(2), utime(2), truncate(2), fallocate(2)."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ATTRIB, IN_MODIFY
from sentry.abi.const.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_ZERO_RANGE,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISUID,
    UTIME_NOW,
    UTIME_OMIT,
)
from sentry.abi.const.rights import CAP_CHOWN, CAP_FSETID
from sentry.abi.errno import (
    EACCES,
    EBADF,
    EFAULT,
    EFBIG,
    EINVAL,
    EISDIR,
    ENODEV,
    EOPNOTSUPP,
    EPERM,
    EROFS,
    ESPIPE,
    ETXTBSY,
)
from sentry.abi.structs import UTIMBUF, UTIMES
from syscalls.args import Addr, AtFlags, DirFd, Fd, Gid, Int, Mode, Off, Path, PathOrNull, Uid
from syscalls.registry import syscall
from vfs.core import notify
from vfs.core.access import W, allowed, check, check_writable, is_owner
from vfs.core.anon import path_of
from vfs.core.file import O_PATH
from vfs.core.walk import EMPTY, FOLLOW, walk
from vfs.core.write import check_size, without_set_id

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree
    from vfs.core.file import File

KEEP = 0xFFFFFFFF  # (uid_t)-1
MOVING = (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE)
ALLOCATIONS = (0, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_UNSHARE_RANGE, *MOVING)
NS = 1_000_000_000
OFF_MAX = (1 << 63) - 1


def _walk_flags(flags: int) -> int:
    """For the *at calls whose flags are AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL
    return (0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW) | (EMPTY if flags & AT_EMPTY_PATH else 0)


# -- mode ----------------------------------------------------------------------------------------------------------


@syscall("chmod", Path, Mode)
def sys_chmod(t: Task, path: bytes, mode: int) -> int:
    return _chmod(t, walk(t, AT_FDCWD, path), mode)


@syscall("fchmod", Fd, Mode)
def sys_fchmod(t: Task, file: File, mode: int) -> int:
    return _chmod(t, path_of(file), mode)


@syscall("fchmodat", DirFd, Path, Mode)
def sys_fchmodat(t: Task, dirfd: int, path: bytes, mode: int) -> int:
    return _chmod(t, walk(t, dirfd, path), mode)


@syscall("fchmodat2", DirFd, Path, Mode, AtFlags)
def sys_fchmodat2(t: Task, dirfd: int, path: bytes, mode: int, flags: int) -> int:
    return _chmod(t, walk(t, dirfd, path, _walk_flags(flags)), mode)


def _chmod(t: Task, place: tree.Path, mode: int) -> int:
    inode = place.dentry.inode
    check_writable(place.mount)
    if inode.is_link:
        raise EOPNOTSUPP
    if not is_owner(inode, t.creds):
        raise EPERM
    mode &= 0o7777
    if mode & S_ISGID and not t.creds.in_group(inode.gid) and not t.creds.has(CAP_FSETID):
        mode &= ~S_ISGID
    inode.chmod(mode)
    notify.touched(place.dentry, IN_ATTRIB)
    return 0


# -- owner ---------------------------------------------------------------------------------------------------------


@syscall("chown", Path, Uid, Gid)
def sys_chown(t: Task, path: bytes, uid: int, gid: int) -> int:
    return _chown(t, walk(t, AT_FDCWD, path), uid, gid)


@syscall("lchown", Path, Uid, Gid)
def sys_lchown(t: Task, path: bytes, uid: int, gid: int) -> int:
    return _chown(t, walk(t, AT_FDCWD, path, 0), uid, gid)


@syscall("fchown", Fd, Uid, Gid)
def sys_fchown(t: Task, file: File, uid: int, gid: int) -> int:
    return _chown(t, path_of(file), uid, gid)


@syscall("fchownat", DirFd, Path, Uid, Gid, AtFlags)
def sys_fchownat(t: Task, dirfd: int, path: bytes, uid: int, gid: int, flags: int) -> int:
    return _chown(t, walk(t, dirfd, path, _walk_flags(flags)), uid, gid)


def _chown(t: Task, place: tree.Path, uid: int, gid: int) -> int:
    inode = place.dentry.inode
    check_writable(place.mount)
    creds = t.creds
    if not creds.has(CAP_CHOWN):
        if uid != KEEP and (creds.fsuid != inode.uid or uid != inode.uid):
            raise EPERM
        if gid != KEEP and (creds.fsuid != inode.uid or (gid != inode.gid and not creds.in_group(gid))):
            raise EPERM
    mode = inode.mode if inode.is_dir else without_set_id(inode, creds)
    if mode != inode.mode and not is_owner(inode, creds):
        raise EPERM
    inode.chown(-1 if uid == KEEP else uid, -1 if gid == KEEP else gid)
    if mode != inode.mode:
        inode.chmod(mode & 0o7777)  # chown_common in Linux kills set-id bits for everybody, also when nothing changes
    notify.touched(place.dentry, IN_ATTRIB)
    return 0


# -- times ---------------------------------------------------------------------------------------------------------


@syscall("utime", Path, Addr)
def sys_utime(t: Task, path: bytes, times_addr: int) -> int:
    times = None
    if times_addr:
        atime, mtime = t.mem.unpack(UTIMBUF, times_addr)
        times = atime * NS, mtime * NS
    return _utimes(t, walk(t, AT_FDCWD, path), times)


@syscall("utimes", Path, Addr)
def sys_utimes(t: Task, path: bytes, times_addr: int) -> int:
    return sys_futimesat(t, AT_FDCWD, path, times_addr)


@syscall("futimesat", DirFd, PathOrNull, Addr)
def sys_futimesat(t: Task, dirfd: int, path: bytes | None, times_addr: int) -> int:
    times = None
    if times_addr:
        a, a_us, m, m_us = t.mem.unpack(UTIMES, times_addr)
        if not (0 <= a_us < 1_000_000 and 0 <= m_us < 1_000_000):
            raise EINVAL
        times = a * NS + a_us * 1000, m * NS + m_us * 1000
    if path is None and dirfd == AT_FDCWD:
        raise EFAULT
    place = path_of(t.fds.get(dirfd)) if path is None else walk(t, dirfd, path)
    return _utimes(t, place, times)


@syscall("utimensat", DirFd, PathOrNull, Addr, AtFlags)
def sys_utimensat(t: Task, dirfd: int, path: bytes | None, times_addr: int, flags: int) -> int:
    times: tuple[int | None, int | None] | None = None
    if times_addr:
        a, a_ns, m, m_ns = t.mem.unpack(UTIMES, times_addr)
        for ns in (a_ns, m_ns):
            if not 0 <= ns < NS and ns not in (UTIME_NOW, UTIME_OMIT):
                raise EINVAL
        if a_ns == m_ns == UTIME_OMIT:
            return 0
        if not a_ns == m_ns == UTIME_NOW:
            now = time_ns()
            times = _one_time(a, a_ns, now), _one_time(m, m_ns, now)
    how = _walk_flags(flags)
    if path is None:
        if dirfd == AT_FDCWD:
            raise EFAULT
        if flags:
            raise EINVAL
        place = path_of(t.fds.get(dirfd))
    else:
        place = walk(t, dirfd, path, how)
    return _utimes(t, place, times)


def _one_time(seconds: int, ns: int, now: int) -> int | None:
    if ns == UTIME_OMIT:
        return None
    return now if ns == UTIME_NOW else seconds * NS + ns


def _utimes(t: Task, place: tree.Path, times: tuple[int | None, int | None] | None) -> int:
    """None sets both to now, which whoever may write the file is allowed to do; anything else is the owner's."""
    inode = place.dentry.inode
    check_writable(place.mount)
    if not is_owner(inode, t.creds):
        if times is not None:
            raise EPERM
        if not allowed(inode, t.creds, W):
            raise EACCES
    if times is None:
        now = time_ns()
        times = now, now
    inode.utimes(*times)
    notify.touched(place.dentry, IN_ATTRIB)
    return 0


# -- size ----------------------------------------------------------------------------------------------------------


@syscall("truncate", Path, Off)
def sys_truncate(t: Task, path: bytes, size: int) -> int:
    if size < 0:
        raise EINVAL
    place = walk(t, AT_FDCWD, path)
    inode = place.dentry.inode
    kind = inode.mode & S_IFMT
    if kind == S_IFDIR:
        raise EISDIR
    if kind != S_IFREG:
        raise EINVAL
    if place.mount.readonly:
        raise EROFS
    check(inode, t, W)
    if inode.writers < 0:
        raise ETXTBSY
    check_size(t, size)
    inode.truncate(size)
    _drop_set_id(t, place)
    notify.touched(place.dentry, IN_MODIFY)
    return 0


@syscall("ftruncate", Fd, Off)
def sys_ftruncate(t: Task, file: File, size: int) -> int:
    if size < 0:
        raise EINVAL
    if not file.writable:
        raise EINVAL
    check_size(t, size)
    file.truncate(size)
    place = path_of(file)
    _drop_set_id(t, place)
    notify.touched(place.dentry, IN_MODIFY)
    return 0


def _drop_set_id(t: Task, place: tree.Path) -> None:
    inode = place.dentry.inode
    if inode.mode & (S_ISUID | S_ISGID) and inode.is_reg and not t.creds.has(CAP_FSETID):
        mode = without_set_id(inode, t.creds)
        if mode != inode.mode:
            inode.chmod(mode & 0o7777)


@syscall("fallocate", Fd, Int, Off, Off, note="COLLAPSE_RANGE and INSERT_RANGE where the host's file system has them")
def sys_fallocate(t: Task, file: File, mode: int, offset: int, length: int) -> int:
    if offset < 0 or length <= 0:
        raise EINVAL
    kinds = mode & ~FALLOC_FL_KEEP_SIZE
    if kinds & (kinds - 1) or kinds not in ALLOCATIONS or kinds in MOVING and mode & FALLOC_FL_KEEP_SIZE:
        raise EOPNOTSUPP
    if kinds & FALLOC_FL_PUNCH_HOLE and not mode & FALLOC_FL_KEEP_SIZE:
        raise EOPNOTSUPP
    if not file.writable or file.flags & O_PATH:
        raise EBADF
    kind = file.stat().mode & S_IFMT
    if kind == S_IFIFO:
        raise ESPIPE
    if kind == S_IFDIR:
        raise EISDIR
    if kind != S_IFREG:
        raise ENODEV
    if offset + length > OFF_MAX:
        raise EFBIG
    if mode == FALLOC_FL_INSERT_RANGE:
        check_size(t, file.stat().size + length)
    elif not mode & FALLOC_FL_KEEP_SIZE and mode != FALLOC_FL_COLLAPSE_RANGE:
        check_size(t, offset + length)
    file.allocate(mode, offset, length)
    return 0
