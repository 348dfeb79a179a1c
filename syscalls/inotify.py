"""inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOTDIR
from sentry.abi.flags import (
    AT_FDCWD,
    IN_ALL_EVENTS,
    IN_CLOEXEC,
    IN_DONT_FOLLOW,
    IN_EXCL_UNLINK,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_NONBLOCK,
    IN_ONESHOT,
    IN_ONLYDIR,
)
from syscalls.args import Fd, Int, Path, UInt
from syscalls.registry import syscall
from vfs.anon.inotify import InotifyFile
from vfs.core.access import R, check
from vfs.core.walk import FOLLOW, walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

KNOWN = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ONESHOT


@syscall("inotify_init")
def sys_inotify_init(t: Task) -> int:
    return sys_inotify_init1(t, 0)


@syscall("inotify_init1", Int)
def sys_inotify_init1(t: Task, flags: int) -> int:
    if flags & ~(IN_CLOEXEC | IN_NONBLOCK):
        raise EINVAL
    return t.fds.install(InotifyFile(flags & IN_NONBLOCK), bool(flags & IN_CLOEXEC))


@syscall("inotify_add_watch", Fd, Path, UInt, support="partial", note="no IN_UNMOUNT; host changes from outside unseen")
def sys_inotify_add_watch(t: Task, file: File, path: bytes, mask: int) -> int:
    if not mask & KNOWN or mask & IN_MASK_ADD and mask & IN_MASK_CREATE:
        raise EINVAL
    watcher = _inotify(file)
    inode = walk(t, AT_FDCWD, path, 0 if mask & IN_DONT_FOLLOW else FOLLOW).dentry.inode
    if mask & IN_ONLYDIR and not inode.is_dir:
        raise ENOTDIR
    check(inode, t, R)
    return watcher.add(inode, mask)


@syscall("inotify_rm_watch", Fd, Int)
def sys_inotify_rm_watch(t: Task, file: File, number: int) -> int:
    _inotify(file).remove(number)
    return 0


def _inotify(file: File) -> InotifyFile:
    if not isinstance(file, InotifyFile):
        raise EINVAL
    return file
