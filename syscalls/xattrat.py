"""setxattrat(2), getxattrat(2), listxattrat(2), removexattrat(2): xattr(7) by a directory and flags."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.files import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW
from sentry.abi.errno import E2BIG, EBADF, EINVAL
from syscalls.args import Addr, AtFlags, DirFd, PathAddr, Size
from syscalls.registry import syscall
from syscalls.xattr import get_at, list_at, remove_at, set_at
from vfs.core.anon import path_of
from vfs.core.file import O_PATH
from vfs.core.walk import FOLLOW, walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree

XATTR_ARGS = Struct("<QII")  # struct xattr_args: value size flags
PAGE = 4096


def _place(t: Task, dirfd: int, path_addr: int, flags: int) -> tree.Path:
    """NULL or an empty path with AT_EMPTY_PATH is the descriptor itself, as for the f calls."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL
    if flags & AT_EMPTY_PATH:
        path = t.mem.path(path_addr) if path_addr else b""
        if not path:
            if dirfd == -100:
                return t.fs.cwd
            file = t.fds.any(dirfd)
            if file.flags & O_PATH:
                raise EBADF
            return path_of(file)
    else:
        path = t.mem.path(path_addr)
    return walk(t, dirfd, path, 0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW)


def _args(t: Task, addr: int, size: int) -> tuple[int, int, int]:
    """value_addr, size, flags."""
    if size < XATTR_ARGS.size:
        raise EINVAL
    if size > PAGE:
        raise E2BIG
    data = t.mem.read(addr, size)
    if any(data[XATTR_ARGS.size :]):
        raise E2BIG
    value_addr, length, flags = XATTR_ARGS.unpack_from(data)
    return value_addr, length, flags


@syscall("setxattrat", DirFd, PathAddr, AtFlags, Addr, Addr, Size)
def sys_setxattrat(t: Task, dirfd: int, path_addr: int, at: int, name_addr: int, args_addr: int, size: int) -> int:
    value_addr, length, flags = _args(t, args_addr, size)
    return set_at(t, _place(t, dirfd, path_addr, at), name_addr, value_addr, length, flags)


@syscall("getxattrat", DirFd, PathAddr, AtFlags, Addr, Addr, Size)
def sys_getxattrat(t: Task, dirfd: int, path_addr: int, at: int, name_addr: int, args_addr: int, size: int) -> int:
    value_addr, length, flags = _args(t, args_addr, size)
    if flags:
        raise EINVAL
    return get_at(t, _place(t, dirfd, path_addr, at), name_addr, value_addr, length)


@syscall("listxattrat", DirFd, PathAddr, AtFlags, Addr, Size)
def sys_listxattrat(t: Task, dirfd: int, path_addr: int, at: int, list_addr: int, size: int) -> int:
    return list_at(t, _place(t, dirfd, path_addr, at), list_addr, size)


@syscall("removexattrat", DirFd, PathAddr, AtFlags, Addr)
def sys_removexattrat(t: Task, dirfd: int, path_addr: int, at: int, name_addr: int) -> int:
    return remove_at(t, _place(t, dirfd, path_addr, at), name_addr)
