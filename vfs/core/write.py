"""What every write to a file has to respect (write(2), setrlimit(2) RLIMIT_FSIZE, inode(7) S_ISUID)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP
from sentry.abi.const.rights import CAP_FSETID
from sentry.abi.const.signals import SIGXFSZ
from sentry.abi.errno import EFBIG
from vfs.core.file import O_APPEND, File

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from vfs.core.node import Inode

INFINITY = (1 << 64) - 1


def before_write(t: Task, file: File, size: int, offset: int = -1) -> int:
    """How much of `size` may be written at `offset` (-1: the file's position). Clears set-id bits of a file that
    someone without CAP_FSETID writes; EFBIG and SIGXFSZ beyond the caller's file size limit."""
    opened = file.opened
    if opened is None:
        return size
    inode = opened.dentry.inode
    mode = inode.mode
    if mode & S_IFMT != S_IFREG:
        return size
    if mode & (S_ISUID | S_ISGID) and size and not t.creds.has(CAP_FSETID):
        mode = without_set_id(inode, t.creds)
        if mode != inode.mode:
            inode.chmod(mode & 0o7777)
    limit = t.group.limits.fsize
    if limit < INFINITY and size:
        if offset < 0:
            offset = file.stat().size if file.flags & O_APPEND else file.pos
        if offset >= limit:
            t.kernel.signals.send_task(t, SIGXFSZ)
            raise EFBIG
        size = min(size, limit - offset)
    return size


def check_size(t: Task, size: int) -> None:
    """truncate(2) and fallocate(2) beyond the limit."""
    if size > t.group.limits.fsize:
        t.kernel.signals.send_task(t, SIGXFSZ)
        raise EFBIG


def without_set_id(inode: Inode, creds: Credentials) -> int:
    """The mode after contents or owner changed: set-id bits go; S_ISGID without S_IXGRP stays for members of the
    group (setattr_should_drop_sgid in Linux)."""
    mode = inode.mode & ~S_ISUID
    if mode & S_ISGID and (mode & S_IXGRP or not (creds.in_group(inode.gid) or creds.has(CAP_FSETID))):
        mode &= ~S_ISGID
    return mode
