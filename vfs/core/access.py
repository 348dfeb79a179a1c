"""Permission to use an inode: mode bits, access control lists, and the capabilities above them (path_resolution(7),
acl(5), capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFMT, S_ISVTX
from sentry.abi.const.mounts import MS_RDONLY
from sentry.abi.const.rights import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
from sentry.abi.errno import EACCES, EPERM, EROFS
from vfs.core.acl import ACCESS, grants

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from vfs.core.mount import Mount
    from vfs.core.node import Inode

R, W, X = 4, 2, 1
_OVERRIDE = 1 << CAP_DAC_OVERRIDE
_READ_SEARCH = 1 << CAP_DAC_READ_SEARCH | _OVERRIDE


def allowed(inode: Inode, creds: Credentials, want: int) -> bool:
    """Do mode bits, a list or capabilities give all of `want` to the file-system identity of `creds`?

    A list that grants something has it in the group bits of the mode, so who has CAP_DAC_OVERRIDE needs no look at it.
    """
    mode = inode.mode
    effective = creds.effective
    if creds.fsuid == inode.uid:
        bits = mode >> 6
    elif mode & 0o070 and inode.has_acls and not effective & _OVERRIDE and (acl := inode.acl(ACCESS)) is not None:
        bits = want if grants(acl, inode, creds, want) else 0
    elif creds.in_group(inode.gid):
        bits = mode >> 3
    else:
        bits = mode
    if bits & want == want:
        return True
    if mode & S_IFMT == S_IFDIR:
        return bool(effective & (_OVERRIDE if want & W else _READ_SEARCH))
    if want & X and not mode & 0o111:
        return False
    return bool(effective & (_READ_SEARCH if want == R else _OVERRIDE))


def check(inode: Inode, t: Task, want: int) -> None:
    """EACCES unless the caller may; the inode's own rule is asked too."""
    if want and not allowed(inode, t.creds, want):
        raise EACCES
    if inode.guarded:
        inode.permission(t, want)


def check_writable(mount: Mount) -> None:
    if mount.flags & MS_RDONLY or mount.fs.readonly:
        raise EROFS


def check_entry(mount: Mount, directory: Inode, t: Task) -> None:
    """May the caller make or remove names here?"""
    check_writable(mount)
    check(directory, t, W | X)


def check_sticky(directory: Inode, inode: Inode, creds: Credentials) -> None:
    """Removing or renaming `inode` out of a directory with the sticky bit (inode(7), S_ISVTX)."""
    if directory.mode & S_ISVTX and creds.fsuid not in (inode.uid, directory.uid) and not creds.has(CAP_FOWNER):
        raise EPERM


def is_owner(inode: Inode, creds: Credentials) -> bool:
    return creds.fsuid == inode.uid or creds.has(CAP_FOWNER)
