"""file_getattr(2), file_setattr(2): attributes that ext4 and XFS keep. No file system here does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from sentry.abi.errno import E2BIG, EINVAL, EOPNOTSUPP
from syscalls.args import Addr, AtFlags, DirFd, PathAddr, Size
from syscalls.registry import syscall
from vfs.core.walk import FOLLOW, walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task

ATTR_SIZE_VER0 = 24  # struct file_attr: xflags extsize nextents projid cowextsize
PAGE = 4096
NOTE = "no file system keeps such attributes: EOPNOTSUPP"


def _check(t: Task, dirfd: int, path_addr: int, size: int, flags: int) -> None:
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        raise EINVAL
    if size > PAGE:
        raise E2BIG
    if size < ATTR_SIZE_VER0:
        raise EINVAL
    path = t.mem.path(path_addr) if path_addr or not flags & AT_EMPTY_PATH else b""
    if not path and flags & AT_EMPTY_PATH:
        if dirfd != AT_FDCWD:
            t.fds.any(dirfd)
        return
    walk(t, dirfd, path, 0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW)


@syscall("file_getattr", DirFd, PathAddr, Addr, Size, AtFlags, support="stub", note=NOTE)
def sys_file_getattr(t: Task, dirfd: int, path_addr: int, attr_addr: int, size: int, flags: int) -> int:
    _check(t, dirfd, path_addr, size, flags)
    raise EOPNOTSUPP


@syscall("file_setattr", DirFd, PathAddr, Addr, Size, AtFlags, support="stub", note=NOTE)
def sys_file_setattr(t: Task, dirfd: int, path_addr: int, attr_addr: int, size: int, flags: int) -> int:
    _check(t, dirfd, path_addr, size, flags)
    data = t.mem.read(attr_addr, size)
    if any(data[ATTR_SIZE_VER0:]):
        raise E2BIG
    raise EOPNOTSUPP
