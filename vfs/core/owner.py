"""Owner and mode of a new object (inode(7), "S_ISGID" of directories)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFMT, S_ISGID, S_IXGRP
from sentry.abi.const.rights import CAP_FSETID

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from vfs.core.node import Inode


def new_owner(directory: Inode, mode: int, creds: Credentials) -> tuple[int, int, int]:
    """(uid, gid, mode) for something that `creds` makes in `directory`; `mode` has the type, the umask is applied."""
    if not directory.mode & S_ISGID:
        return creds.fsuid, creds.fsgid, mode
    gid = directory.gid
    if mode & S_IFMT == S_IFDIR:
        mode |= S_ISGID
    elif mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP and not creds.in_group(gid) and not creds.has(CAP_FSETID):
        mode &= ~S_ISGID
    return creds.fsuid, gid, mode
