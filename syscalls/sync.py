"""fsync(2), fdatasync(2), sync(2), syncfs(2), sync_file_range(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFBLK, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from sentry.abi.errno import EINVAL, ESPIPE
from syscalls.args import Fd, Off, UInt
from syscalls.registry import syscall
from vfs.core.anon import path_of
from vfs.core.mount import mounts_of

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


@syscall("fsync", Fd)
def sys_fsync(t: Task, file: File) -> int:
    file.sync()
    return 0


@syscall("fdatasync", Fd)
def sys_fdatasync(t: Task, file: File) -> int:
    file.sync(True)
    return 0


@syscall("sync", support="partial", note="what is dirty in the host's cache is left to the host")
def sys_sync(t: Task) -> int:
    for mount in mounts_of(t):
        mount.fs.sync()
    return 0


@syscall("syncfs", Fd, support="partial", note="as sync")
def sys_syncfs(t: Task, file: File) -> int:
    path_of(file).mount.fs.sync()
    return 0


@syscall("sync_file_range", Fd, Off, Off, UInt, note="checked and ignored: it promises no durability")
def sys_sync_file_range(t: Task, file: File, offset: int, count: int, flags: int) -> int:
    if flags & ~7 or offset < 0 or count < 0 or offset + count >= 1 << 63:
        raise EINVAL
    if file.stat().mode & S_IFMT not in (S_IFREG, S_IFBLK, S_IFDIR, S_IFLNK):
        raise ESPIPE
    return 0
