"""Inodes and file systems (inode(7)): what a directory entry names, and what holds it.

The walk calls these methods after it has checked types, names and permissions; an inode only does the work. `t` is the
calling task. Paths and names are bytes; names are single components that are neither "." nor "..".
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from math import inf
from os import makedev
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.const.files import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from sentry.abi.errno import EINVAL, ENOENT, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM
from vfs.core.dentry import Dentry
from vfs.core.file import Stat

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from vfs.core.acl import Acl
    from vfs.core.dentry import Path
    from vfs.core.file import File
    from vfs.core.locks import LockTable

_minors = count(64)  # anonymous device numbers (major 0), as for every file system without a block device


def new_dev() -> int:
    """A device number for a file system instance."""
    return makedev(0, next(_minors))


class Name(NamedTuple):
    """One entry as a directory lists it: `kind` is a DT_* value, (mode >> 12) & 15."""

    name: bytes
    ino: int
    kind: int


class StatFs(NamedTuple):
    """statfs(2) without the flags, which are the mount's."""

    magic: int
    bsize: int = 4096
    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    namelen: int = 255


class Inode:
    """A file system object. `locks`, `pipe`, `bound`, `watches` hang state of others on it, None until used:

    locks    advisory locks (vfs.core.locks)
    pipe     the pipe behind a fifo
    bound    the socket that is bound to a socket node
    watches  inotify marks (vfs.core.notify)
    writers  open files that may write, negative while it is executed (ETXTBSY)
    """

    __slots__ = (
        "fs", "ino", "mode", "uid", "gid", "nlink", "rdev", "size", "atime_ns", "mtime_ns", "ctime_ns",
        "locks", "pipe", "bound", "watches", "writers", "__weakref__",
    )  # fmt: skip

    stable = True  # False: the walk calls `revalidate` before it believes a cached dentry in a path's last place
    expires = inf  # and in any place after this time of time.monotonic()
    linkable = False  # made by O_TMPFILE: may get a name although it has none
    guarded = False  # True: `permission` adds a rule to the mode bits
    has_acls = False  # True: `acl` and `set_acl` are there

    def __init__(self, fs: FileSystem, ino: int, mode: int, uid: int = 0, gid: int = 0, rdev: int = 0) -> None:
        self.fs = fs
        self.ino = ino
        self.mode = mode  # type and permission bits
        self.uid = uid
        self.gid = gid
        self.nlink = 2 if mode & S_IFMT == S_IFDIR else 1
        self.rdev = rdev
        self.size = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = time_ns()
        self.locks: LockTable | None = None
        self.pipe: object = None
        self.bound: object = None
        self.watches: object = None
        self.writers = 0

    # what it is ---------------------------------------------------------------------------------------------------
    @property
    def kind(self) -> int:
        """DT_* value."""
        return (self.mode >> 12) & 15

    @property
    def is_dir(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    @property
    def is_reg(self) -> bool:
        return self.mode & S_IFMT == S_IFREG

    @property
    def is_link(self) -> bool:
        return self.mode & S_IFMT == S_IFLNK

    def stat(self) -> Stat:
        """Attributes as the walk that has just ended found them; `refresh` first if there was no walk."""
        return Stat(
            self.fs.dev, self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, self.size, 4096,
            (self.size + 511) >> 9, self.atime_ns, self.mtime_ns, self.ctime_ns,
        )  # fmt: skip

    def refresh(self) -> None:
        """Bring attributes up to date where something outside can change them."""

    def revalidate(self, dentry: Dentry, t: Task, last: bool) -> bool:
        """Asked of an inode that is not `stable`: does `dentry` still name it? `last` marks the final component."""
        return False

    def permission(self, t: Task, want: int) -> None:
        """Extra rule on top of mode bits (4 read, 2 write, 1 search or execute); raises EACCES."""

    # a directory ----------------------------------------------------------------------------------------------------
    def lookup(self, name: bytes, t: Task) -> Inode:
        raise ENOENT if self.is_dir else ENOTDIR

    def listing(self, cookie: int) -> bytes | None:
        """All names but "." and ".." as records of getdents64(2) whose d_off count from `cookie` on, where they are
        at hand in this form."""
        return None

    def stat_record(self, name: bytes) -> bytes | None:
        """The same as struct stat, where it is at hand in this form."""
        return None

    def stat_entry(self, name: bytes) -> Stat | None:
        """Attributes of an entry that is neither a directory nor a link, if they can be had without making an inode;
        ENOENT if there is no such name, None for "look it up"."""
        return None

    def keeps(self, name: bytes) -> bool:
        """Whether the walk may cache the dentry of what `lookup(name)` returned."""
        return True

    def names(self, t: Task) -> Iterable[Name]:
        """Entries without "." and ".."; called once per pass over an open directory."""
        raise ENOTDIR

    def create(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        """A new regular file; `mode` has the umask applied. EEXIST if the name was made meanwhile."""
        raise EPERM

    def mkdir(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        raise EPERM

    def mknod(self, name: bytes, mode: int, rdev: int, creds: Credentials) -> Inode:
        """A fifo, socket or device node; `mode` holds the type."""
        raise EPERM

    def symlink(self, name: bytes, target: bytes, creds: Credentials) -> Inode:
        raise EPERM

    def link(self, name: bytes, inode: Inode) -> None:
        raise EPERM

    def unlink(self, name: bytes, inode: Inode) -> None:
        raise EPERM

    def rmdir(self, name: bytes, inode: Inode) -> None:
        raise EPERM

    def rename(
        self, name: bytes, inode: Inode, target_dir: Inode, target_name: bytes, target: Inode | None, exchange: bool
    ) -> None:
        """Move the entry `name` to `target_name` in `target_dir` (same file system), over `target` if there is one."""
        raise EPERM

    def tmpfile(self, mode: int, creds: Credentials) -> Inode:
        """A regular file without a name (O_TMPFILE)."""
        raise EOPNOTSUPP

    # a symbolic link --------------------------------------------------------------------------------------------------
    def readlink(self, t: Task) -> bytes:
        raise EINVAL

    def follow(self, t: Task) -> Path | None:
        """Where a magic link leads (/proc/PID/fd/N), or None for an ordinary link, which is walked by `readlink`."""
        return None

    # contents -----------------------------------------------------------------------------------------------------
    def open(self, path: Path, flags: int, t: Task) -> File:
        """An open file; permission is checked already. O_CREAT and O_EXCL are done, O_TRUNC is the caller's."""
        raise ENXIO

    def truncate(self, size: int) -> None:
        raise EINVAL

    def empty(self) -> None:
        """It is about to be opened and truncated: contents need not be brought along."""

    # attributes; the caller has checked who may and has updated set-id bits ------------------------------------------
    def chmod(self, mode: int) -> None:
        """`mode` without the type."""
        self.mode = self.mode & S_IFMT | mode
        self.ctime_ns = time_ns()

    def chown(self, uid: int, gid: int) -> None:
        """Both are given; -1 leaves one as it is."""
        if uid >= 0:
            self.uid = uid
        if gid >= 0:
            self.gid = gid
        self.ctime_ns = time_ns()

    def utimes(self, atime_ns: int | None, mtime_ns: int | None) -> None:
        """None leaves a time as it is."""
        if atime_ns is not None:
            self.atime_ns = atime_ns
        if mtime_ns is not None:
            self.mtime_ns = mtime_ns
        self.ctime_ns = time_ns()

    # extended attributes (xattr(7)); namespaces are checked by the caller --------------------------------------------
    def getxattr(self, name: bytes) -> bytes:
        raise EOPNOTSUPP

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        raise EOPNOTSUPP

    def removexattr(self, name: bytes) -> None:
        raise EOPNOTSUPP

    def listxattr(self) -> list[bytes]:
        return []

    # access control lists, which are extended attributes of a form that is understood (vfs.core.acl) ------------------
    def acl(self, name: bytes) -> Acl | None:
        return None

    def set_acl(self, name: bytes, acl: Acl | None) -> None:
        """None takes the list away. The mode bits are the caller's."""
        raise EOPNOTSUPP


class FileSystem:
    """A mounted instance; several mounts (binds) may show it. `root` is the dentry of its top."""

    name = b"none"
    magic = 0
    readonly = False
    whiteouts = False  # takes RENAME_WHITEOUT of renameat2(2)
    nameless = False  # its dentries have texts in place of paths (vfs/core/anon.py)
    source = b"none"

    def __init__(self) -> None:
        self.dev = new_dev()
        self._inodes = count(2)
        self.root: Dentry

    def new_ino(self) -> int:
        return next(self._inodes)

    def set_root(self, inode: Inode) -> None:
        self.root = Dentry(None, b"", inode)

    def options(self) -> bytes:
        """What /proc/mounts shows behind the mount's own flags: b"" or b",size=64k"."""
        return b""

    def statfs(self) -> StatFs:
        return StatFs(self.magic)

    def sync(self) -> None:
        """syncfs(2)."""

    def shutdown(self) -> None:
        """The last mount is gone."""
