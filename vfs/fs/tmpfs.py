"""tmpfs(5): directories, links and nodes are Python objects, contents of files are blobs (vfs.fs.backing)."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    XATTR_CREATE,
    XATTR_REPLACE,
)
from sentry.abi.const.mounts import TMPFS_MAGIC
from sentry.abi.errno import EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, EOPNOTSUPP, Errno
from vfs.core.acl import ACCESS, DEFAULT, NAMES, inherited, pack, parse, with_mode
from vfs.core.file import Stat
from vfs.core.node import FileSystem, Inode, Name, StatFs
from vfs.core.owner import new_owner
from vfs.core.special import open_special
from vfs.fs.backing import PAGE, Backing, Blob, Space
from vfs.fs.tmp_file import TmpFile

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from vfs.core.acl import Acl
    from vfs.core.dentry import Path
    from vfs.core.file import File

_new = tuple.__new__  # a third of the time that Stat(...) takes
ENTRY_SIZE = 20  # what Linux's tmpfs counts for a name in a directory's size
XATTR_ROOM = 128 * 1024  # for all extended attributes of one inode


def _weight(xattrs: dict[bytes, bytes]) -> int:
    return sum(len(name) + len(value) + ENTRY_SIZE for name, value in xattrs.items())


class TmpFs(FileSystem):
    name = b"tmpfs"
    magic = TMPFS_MAGIC
    source = b"tmpfs"
    whiteouts = True

    def __init__(
        self, backing: Backing, space: Space | None = None, *, mode: int = 0o1777, uid: int = 0, gid: int = 0,
        shown: bytes = b"",
    ) -> None:  # fmt: skip
        super().__init__()
        self.backing = backing
        self.space = Space() if space is None else space
        self.shown = shown
        self.set_root(self.new_inode(S_IFDIR | mode, uid, gid))

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int = 0) -> TmpInode:
        return TmpInode(self, self.new_ino(), mode, uid, gid, rdev)

    def options(self) -> bytes:
        return self.shown

    def statfs(self) -> StatFs:
        space = self.space
        blocks = space.max_size // PAGE
        used = -(-space.used // PAGE)
        free = max(0, blocks - used)
        return StatFs(self.magic, PAGE, blocks, free, free, space.max_inodes, max(0, space.max_inodes - space.inodes))


_NONE: dict[bytes, TmpInode] = {}  # of everything that is no directory


class TmpInode(Inode):
    """entries: of a directory; blob: of a regular file; target: of a symbolic link; xattrs: None until one is set;
    real: counted, and has contents of its own (an overlay's untouched inodes are not)."""

    __slots__ = ("blob", "entries", "linkable", "real", "target", "xattrs")
    has_acls = True
    fs: TmpFs

    def __init__(self, fs: TmpFs, ino: int, mode: int, uid: int, gid: int, rdev: int = 0, real: bool = True) -> None:
        super().__init__(fs, ino, mode, uid, gid, rdev)
        self.real = self.linkable = False
        if real:
            fs.space.take_inode()
            self.real = True
        kind = mode & S_IFMT
        self.entries: dict[bytes, TmpInode] = {} if kind == S_IFDIR else _NONE
        self.blob: Blob | None = Blob(fs.backing, fs.space) if real and kind == S_IFREG else None
        self.target = b""
        self.xattrs: dict[bytes, bytes] | None = None

    def __del__(self) -> None:
        if self.real:
            space = self.fs.space
            space.inodes -= 1
            if self.xattrs is not None:
                space.used -= _weight(self.xattrs)

    def stat(self) -> Stat:
        blob = self.blob
        return _new(Stat, (
            self.fs.dev, self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, self.size, PAGE,
            0 if blob is None else blob.blocks(), self.atime_ns, self.mtime_ns, self.ctime_ns, 0,
        ))  # fmt: skip

    # a directory ----------------------------------------------------------------------------------------------------
    def lookup(self, name: bytes, t: Task) -> Inode:
        inode = self.entries.get(name)
        if inode is None:
            raise ENOENT if self.mode & S_IFMT == S_IFDIR else ENOTDIR
        return inode

    def stat_entry(self, name: bytes) -> Stat | None:
        inode = self.entries.get(name)
        if inode is None:
            raise ENOENT
        return None if inode.mode & S_IFMT in (S_IFDIR, S_IFLNK) else inode.stat()

    def names(self, t: Task) -> list[Name]:
        return [Name(name, inode.ino, (inode.mode >> 12) & 15) for name, inode in self.entries.items()]

    def _new(self, name: bytes, mode: int, creds: Credentials, rdev: int = 0) -> TmpInode:
        inode = self._make(mode, creds, rdev)
        self.add(name, inode)
        return inode

    def _make(self, mode: int, creds: Credentials, rdev: int = 0) -> TmpInode:
        """Without a name yet, with the lists that a default list here gives it."""
        uid, gid, mode = new_owner(self, mode, creds)
        kind = mode & S_IFMT
        default = self.acl(DEFAULT) if kind != S_IFLNK else None
        if default is None:
            return self.fs.new_inode(mode, uid, gid, rdev)
        acl, mode = inherited(default, mode)
        inode = self.fs.new_inode(mode, uid, gid, rdev)
        inode.set_acl(ACCESS, acl)
        if kind == S_IFDIR:
            inode.set_acl(DEFAULT, default)
        return inode

    def add(self, name: bytes, inode: TmpInode) -> None:
        """Enter a name; also for building a tree by hand."""
        if name in self.entries:
            raise EEXIST
        self.entries[name] = inode
        if inode.mode & S_IFMT == S_IFDIR:
            self.nlink += 1
        self._touch()

    def _take(self, name: bytes, inode: Inode) -> None:
        """Forget a name."""
        del self.entries[name]
        if inode.mode & S_IFMT == S_IFDIR:
            self.nlink -= 1
        self._touch()

    def _touch(self) -> None:
        self.size = len(self.entries) * ENTRY_SIZE
        self.mtime_ns = self.ctime_ns = time_ns()

    def create(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        return self._new(name, S_IFREG | mode, creds)

    def mkdir(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        return self._new(name, S_IFDIR | mode, creds)

    def mknod(self, name: bytes, mode: int, rdev: int, creds: Credentials) -> Inode:
        return self._new(name, mode, creds, rdev)

    def symlink(self, name: bytes, target: bytes, creds: Credentials) -> Inode:
        inode = self._new(name, S_IFLNK | 0o777, creds)
        inode.target = target
        inode.size = len(target)
        return inode

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, TmpInode)
        if inode.nlink:
            self.fs.space.take_inode()  # names are memory: every one after the first counts like an inode
        try:
            self.add(name, inode)
        except Errno:
            self.fs.space.inodes -= 1
            raise
        inode.linkable = False
        inode.nlink += 1
        inode.ctime_ns = time_ns()

    def unlink(self, name: bytes, inode: Inode) -> None:
        self._take(name, inode)
        inode.nlink -= 1
        if inode.nlink:
            self.fs.space.inodes -= 1
        inode.ctime_ns = time_ns()

    def rmdir(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, TmpInode)
        if inode.entries:
            raise ENOTEMPTY
        self._take(name, inode)
        inode.nlink = 0

    def rename(
        self, name: bytes, inode: Inode, target_dir: Inode, target_name: bytes, target: Inode | None, exchange: bool
    ) -> None:
        assert isinstance(inode, TmpInode) and isinstance(target_dir, TmpInode)
        if target is not None and not exchange:
            if target.is_dir:
                target_dir.rmdir(target_name, target)
            else:
                target_dir.unlink(target_name, target)
        self._take(name, inode)
        if exchange:
            assert isinstance(target, TmpInode)
            target_dir._take(target_name, target)
            self.add(name, target)
            target.ctime_ns = time_ns()
        target_dir.add(target_name, inode)
        inode.ctime_ns = time_ns()

    def tmpfile(self, mode: int, creds: Credentials) -> Inode:
        inode = self._make(S_IFREG | mode, creds)
        inode.nlink = 0
        inode.linkable = True
        return inode

    # links, contents ------------------------------------------------------------------------------------------------
    def readlink(self, t: Task) -> bytes:
        if self.mode & S_IFMT != S_IFLNK:
            raise EINVAL
        return self.target

    def open(self, path: Path, flags: int, t: Task) -> File:
        if self.blob is None:
            return open_special(self, path, flags, t)
        return TmpFile(path, self, self.blob, flags)

    def truncate(self, size: int) -> None:
        if self.blob is None:
            raise EINVAL
        self.blob.truncate(size)
        self.size = size
        self.mtime_ns = self.ctime_ns = time_ns()

    def allocate(self, mode: int, offset: int, length: int) -> None:
        """fallocate(2). Space is charged when it is written; only what the limit can never give is refused."""
        blob = self.blob
        end = offset + length
        if blob is None or mode not in (
            0,
            FALLOC_FL_KEEP_SIZE,
            FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
            FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE,
            FALLOC_FL_ZERO_RANGE,
        ):
            raise EOPNOTSUPP
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            blob.clear(offset, min(end, blob.size))
        elif end - blob.size > blob.space.room():
            raise ENOSPC
        if end > blob.size and not mode & FALLOC_FL_KEEP_SIZE:
            self.truncate(end)

    # extended attributes ----------------------------------------------------------------------------------------------
    def getxattr(self, name: bytes) -> bytes:
        value = None if self.xattrs is None else self.xattrs.get(name)
        if value is None:
            raise ENODATA
        return value

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        table = {} if self.xattrs is None else self.xattrs
        if flags & XATTR_CREATE and name in table:
            raise EEXIST
        if flags & XATTR_REPLACE and name not in table:
            raise ENODATA
        added = len(name) + len(value) + ENTRY_SIZE
        if name in table:
            added -= len(name) + len(table[name]) + ENTRY_SIZE
        if _weight(table) + added > XATTR_ROOM:
            raise ENOSPC
        self.fs.space.take(added)
        table[name] = value
        self.xattrs = table
        self.ctime_ns = time_ns()

    def removexattr(self, name: bytes) -> None:
        self.getxattr(name)
        assert self.xattrs is not None
        self.fs.space.used -= len(name) + len(self.xattrs.pop(name)) + ENTRY_SIZE
        self.ctime_ns = time_ns()

    def listxattr(self) -> list[bytes]:
        return sorted(self.xattrs or (), key=lambda name: name not in NAMES)

    def acl(self, name: bytes) -> Acl | None:
        value = None if self.xattrs is None else self.xattrs.get(name)
        return None if value is None else parse(value)

    def set_acl(self, name: bytes, acl: Acl | None) -> None:
        if acl is not None:
            self.setxattr(name, pack(acl), 0)
        elif self.acl(name) is not None:
            self.removexattr(name)

    def chmod(self, mode: int) -> None:
        super().chmod(mode)
        acl = self.acl(ACCESS)
        if acl is not None:
            self.set_acl(ACCESS, with_mode(acl, mode))
