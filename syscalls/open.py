"""open(2), openat(2), openat2(2), creat(2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    AT_FDCWD,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_LARGEFILE,
    O_NOFOLLOW,
    O_PATH,
    O_TRUNC,
    O_WRONLY,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    S_IFIFO,
    S_IFMT,
)
from sentry.abi.errno import E2BIG, EACCES, EINVAL
from sentry.abi.structs import OPEN_HOW
from sentry.wait import retry
from syscalls.args import Addr, DirFd, Mode, OpenFlags, Path, Size
from syscalls.registry import syscall
from vfs.anon.fifo import FifoOpening, FifoState
from vfs.core import notify
from vfs.core.anon import is_anon
from vfs.core.opening import SHOWN, UNNAMED, locate, may_open, open_place, open_unnamed

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree

PAGE = 4096
_RESOLVE = (
    RESOLVE_BENEATH | RESOLVE_CACHED | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
)
_VALID = 0o17777703 | UNNAMED | O_LARGEFILE  # the flags that Linux knows; open(2) ignores others, openat2(2) does not
_WITH_PATH = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC


@syscall("open", Path, OpenFlags, Mode)
def sys_open(t: Task, path: bytes, flags: int, mode: int) -> int:
    return _open(t, AT_FDCWD, path, flags, mode)


@syscall("creat", Path, Mode)
def sys_creat(t: Task, path: bytes, mode: int) -> int:
    return _open(t, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall("openat", DirFd, Path, OpenFlags, Mode)
def sys_openat(t: Task, dirfd: int, path: bytes, flags: int, mode: int) -> int:
    return _open(t, dirfd, path, flags, mode)


@syscall("openat2", DirFd, Path, Addr, Size)
def sys_openat2(t: Task, dirfd: int, path: bytes, how_addr: int, size: int) -> int:
    if size < OPEN_HOW.size:
        raise EINVAL
    if size > PAGE:
        raise E2BIG
    how = t.mem.read(how_addr, size)
    if how[OPEN_HOW.size :].strip(b"\0"):
        raise E2BIG
    flags, mode, resolve = OPEN_HOW.unpack_from(how)
    if flags & ~_VALID or resolve & ~_RESOLVE:
        raise EINVAL
    if flags & O_PATH and flags & ~_WITH_PATH:
        raise EINVAL
    if mode and not flags & (O_CREAT | UNNAMED) or mode & ~0o7777:
        raise EINVAL
    if resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT:
        raise EINVAL
    return _open(t, dirfd, path, flags, mode, resolve)


def _open(t: Task, dirfd: int, path: bytes, flags: int, mode: int, resolve: int = 0) -> int:
    fds = t.fds
    fds.need_room()
    cloexec = bool(flags & O_CLOEXEC)
    if flags & O_PATH:
        flags &= _WITH_PATH
    else:
        flags = flags & _VALID | O_LARGEFILE
        if flags & UNNAMED:
            if not flags & O_DIRECTORY or flags & O_CREAT or not flags & O_ACCMODE:
                raise EINVAL
            return fds.install(open_unnamed(t, dirfd, path, flags, mode), cloexec)
        if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY:
            raise EINVAL
    place, new = locate(t, dirfd, path, flags, mode, resolve)
    inode = place.dentry.inode
    if inode.mode & S_IFMT == S_IFIFO and not flags & (O_PATH | O_DIRECTORY) and not is_anon(place):
        return _open_fifo(t, place, flags, cloexec)
    file = open_place(t, place, flags, new)
    fd = fds.install(file, cloexec)
    if notify.active:
        notify.opened(file)
    return fd


def _open_fifo(t: Task, place: tree.Path, flags: int, cloexec: bool) -> int:
    if flags & O_ACCMODE == O_ACCMODE:
        raise EACCES
    may_open(t, place, flags)
    inode = place.dentry.inode
    state = inode.pipe
    if not isinstance(state, FifoState):
        state = inode.pipe = FifoState()
    opening = state.begin_open(flags & SHOWN, inode)
    opening.file.opened = place
    return retry(partial(_fifo_opened, t, opening, cloexec), [(opening, opening.events)])


def _fifo_opened(t: Task, opening: FifoOpening, cloexec: bool) -> int:
    return t.fds.install(opening(), cloexec)
