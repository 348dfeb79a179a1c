"""A memory layer above a directory of the host that is never written (what overlayfs is for, with one difference).

Rules
1. Every object is one `OverlayInode`. While nothing was changed it has a `lower` inode of hostfs and shows its
   attributes; with the first change it is `owned` (attributes are here), and a file is copied up (no `lower` then).
2. A directory may be owned and still have a lower part: its names are `entries` (here), then those of `lower` that are
   not `hidden`. Names that were removed are hidden; a new directory in an old place has no lower part.
3. An owned inode is held by its parent's `entries`, and so on up (`pin`); so is a renamed one, which keeps its lower
   part. Untouched ones are only cached.
4. Names of one lower file are one inode here, so a change through one hard link shows through the others, and an open
   file sees a copy-up: both unlike overlayfs, as plain file systems have it.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sentry.abi.const.files import O_ACCMODE, O_RDONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from sentry.abi.const.mounts import OVERLAYFS_SUPER_MAGIC
from sentry.abi.errno import ENODATA, ENOENT, ENOTDIR, ENOTEMPTY, ESTALE, Errno
from vfs.core.acl import NAMES, pack
from vfs.core.file import Stat
from vfs.core.node import Inode, Name, StatFs
from vfs.core.special import open_special
from vfs.fs import host_calls as host
from vfs.fs.backing import Backing, Blob, Space
from vfs.fs.hostfs import HostFs, HostInode
from vfs.fs.overlay_file import OverlayFile
from vfs.fs.tmp_file import TmpFile
from vfs.fs.tmpfs import TmpFs, TmpInode

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.acl import Acl
    from vfs.core.dentry import Dentry, Path
    from vfs.core.file import File

_NONE: set[bytes] = set()  # of everything that is no directory
_new = tuple.__new__  # a third of the time that Stat(...) takes
TRUST_S = 1.0  # the lower layer is not meant to change; this is how late we notice when it does


class OverlayFs(TmpFs):
    name = b"overlay"
    magic = OVERLAYFS_SUPER_MAGIC
    source = b"overlay"
    whiteouts = False

    def __init__(self, lower: HostFs, backing: Backing, space: Space | None = None) -> None:
        self.lower = lower
        self.by_lower: WeakValueDictionary[HostInode, OverlayInode] = WeakValueDictionary()  # of more than one name
        self._devices = {lower.host_dev: 0}
        root = lower.root.inode
        assert isinstance(root, HostInode)
        super().__init__(backing, space)
        self.set_root(self.over(root, None, b""))

    def new_ino(self) -> int:
        return super().new_ino() + (1 << 40)  # apart from those of the lower layer

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int = 0) -> OverlayInode:
        return OverlayInode(self, self.new_ino(), mode, uid, gid, rdev)

    def shown_ino(self, dev: int, ino: int) -> int:
        """Numbers of all devices below in one."""
        if dev == self.lower.host_dev:
            return ino
        return ino | self._devices.setdefault(dev, len(self._devices)) << 48

    def over(self, lower: HostInode, parent: OverlayInode | None, name: bytes) -> OverlayInode:
        """The inode that shows `lower`, found as `name` in `parent`."""
        linked = lower.nlink > 1 and lower.mode & S_IFMT != S_IFDIR
        inode = self.by_lower.get(lower) if linked else None
        if inode is None:
            ino = self.shown_ino(lower.st.st_dev, lower.ino)
            inode = OverlayInode(self, ino, lower.mode, lower.uid, lower.gid, lower.rdev, lower)
            if linked:
                self.by_lower[lower] = inode
        if inode.lower is not None and not inode.owned:
            inode.show()
            inode.parent = parent
            inode.alias = name
        return inode

    def statfs(self) -> StatFs:
        st = self.lower.statfs()
        if self.space.max_size:
            st = super().statfs()
        return st._replace(magic=self.magic)

    def sync(self) -> None:
        """Nothing here outlives the sandbox."""

    def shutdown(self) -> None:
        self.lower.shutdown()


class OverlayInode(TmpInode):
    __slots__ = ("alias", "expires", "hidden", "lower", "owned", "parent")
    fs: OverlayFs

    def __init__(
        self, fs: OverlayFs, ino: int, mode: int, uid: int, gid: int, rdev: int = 0, lower: HostInode | None = None
    ) -> None:
        super().__init__(fs, ino, mode, uid, gid, rdev, lower is None)
        self.lower = lower
        self.owned = lower is None
        self.hidden: set[bytes] = set() if mode & S_IFMT == S_IFDIR else _NONE
        self.parent: OverlayInode | None = None  # where it was found last, for `pin`
        self.alias = b""
        self.expires = inf

    def show(self) -> None:
        """Take over the attributes of the lower inode."""
        lower = self.lower
        assert lower is not None
        st = lower.st
        self.mode = lower.mode
        self.uid = lower.uid
        self.gid = lower.gid
        self.nlink = st.st_nlink
        self.size = st.st_size
        self.expires = monotonic() + TRUST_S

    def stat(self) -> Stat:
        lower = self.lower
        if self.owned or lower is None:
            return super().stat()
        st = lower.st
        return _new(Stat, (
            self.fs.dev, self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, st.st_size, st.st_blksize,
            st.st_blocks, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns, 0,
        ))  # fmt: skip

    def revalidate(self, dentry: Dentry, t: Task, last: bool) -> bool:
        lower = self.lower
        if lower is None or self.owned:
            return True
        above = None if dentry.parent is None else dentry.parent.inode
        if not isinstance(above, OverlayInode) or above.lower is None or above.entries.get(dentry.name) is self:
            self.expires = inf
            return True
        try:
            st = host.lstat(above.lower.handle(), dentry.name)
        except (ENOENT, ESTALE):
            return False
        if st.st_ino != lower.ino or st.st_dev != lower.st.st_dev or st.st_mode & S_IFMT != lower.mode & S_IFMT:
            return False
        lower.adopt(st)
        self.show()
        return True

    # becoming our own ---------------------------------------------------------------------------------------------
    def pin(self) -> None:
        """Be held by the directories above."""
        inode = self
        while inode.parent is not None and inode.parent.entries.get(inode.alias) is not inode:
            inode.parent.entries[inode.alias] = inode
            inode = inode.parent

    def own(self) -> None:
        """Attributes are about to change: they are kept here from now on."""
        lower = self.lower
        if self.owned or lower is None:
            return
        self._count()
        lower.refresh()
        links = self.nlink
        self.show()
        self.nlink = links
        st = lower.st
        self.atime_ns, self.mtime_ns, self.ctime_ns = st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns
        kind = self.mode & S_IFMT
        if kind == S_IFREG:
            self._copy_up(lower, st.st_size)
        else:
            if kind == S_IFLNK:
                self.target = host.readlink(*lower._place())
            self._keep_xattrs(lower)
        self.owned = True
        self.expires = inf
        if kind != S_IFDIR:
            self.lower = None
        self.pin()

    def _count(self) -> None:
        if not self.real:
            self.fs.space.take_inode()
            self.real = True

    def _copy_up(self, lower: HostInode, size: int) -> None:
        blob = Blob(self.fs.backing, self.fs.space)
        fd = lower.open_host(O_RDONLY)
        try:
            if size:
                blob.fill(fd, size)
        finally:
            host.close(fd)
        self._keep_xattrs(lower)
        self.blob = blob
        self.size = blob.size

    def _keep_xattrs(self, lower: HostInode) -> None:
        try:
            for name in lower.listxattr():
                acl = lower.acl(name) if name in NAMES else None  # with ids as they are here
                TmpInode.setxattr(self, name, lower.getxattr(name) if acl is None else pack(acl), 0)
        except Errno:
            pass  # a file system without attributes

    def empty(self) -> None:
        """What is below need not be copied."""
        lower = self.lower
        if self.owned or lower is None or self.mode & S_IFMT != S_IFREG:
            return
        self._count()
        self.show()
        self._keep_xattrs(lower)
        self.blob = Blob(self.fs.backing, self.fs.space)
        self.size = 0
        self.owned = True
        self.expires = inf
        self.lower = None
        self.pin()

    # a directory ------------------------------------------------------------------------------------------------------
    def lookup(self, name: bytes, t: Task) -> Inode:
        inode = self.entries.get(name)
        if inode is not None:
            return inode
        if self.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        if self.lower is None or name in self.hidden:
            raise ENOENT
        return self.fs.over(self.lower.find(name), self, name)

    def stat_entry(self, name: bytes) -> Stat | None:
        lower = self.lower
        if lower is None or name in self.entries or name in self.hidden:
            return super().stat_entry(name)
        st = host.lstat(lower.handle(), host.component(name))
        if st.st_mode & S_IFMT in (S_IFDIR, S_IFLNK) or st.st_nlink > 1:
            return None
        fs = self.fs
        return fs.lower.shown(st, fs.dev, fs.shown_ino(st.st_dev, st.st_ino))

    def names(self, t: Task) -> list[Name]:
        found = [Name(name, inode.ino, (inode.mode >> 12) & 15) for name, inode in self.entries.items()]
        if self.lower is not None:
            entries, hidden = self.entries, self.hidden
            found.extend(n for n in self.lower.names(t) if n.name not in entries and n.name not in hidden)
        return found

    def add(self, name: bytes, inode: TmpInode) -> None:
        assert isinstance(inode, OverlayInode)
        self.own()
        if self.lower is not None:
            self.hidden.add(name)
        super().add(name, inode)
        inode.parent, inode.alias = self, name

    def _take(self, name: bytes, inode: Inode) -> None:
        self.own()
        if self.lower is not None:
            self.hidden.add(name)
        assert isinstance(inode, OverlayInode)
        self.entries.setdefault(name, inode)
        super()._take(name, inode)
        if inode.parent is self and inode.alias == name:
            inode.parent = None

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, OverlayInode)
        inode.own()
        super().link(name, inode)

    def rmdir(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, OverlayInode)
        if inode.lower is not None:
            below = (entry for entry, _, _ in host.names(inode.lower.handle()))
            if any(entry not in inode.hidden for entry in below):
                raise ENOTEMPTY
        super().rmdir(name, inode)

    # contents, attributes -------------------------------------------------------------------------------------------
    def readlink(self, t: Task) -> bytes:
        if self.lower is not None and not self.owned:
            return self.lower.readlink(t)
        return super().readlink(t)

    def open(self, path: Path, flags: int, t: Task) -> File:
        if self.mode & S_IFMT != S_IFREG:
            return open_special(self, path, flags, t)
        if flags & O_ACCMODE:
            self.own()
        lower, blob = self.lower, self.blob
        if lower is not None:
            return OverlayFile(path, self, flags, lower.open_host(O_RDONLY))
        assert blob is not None
        return TmpFile(path, self, blob, flags)

    def truncate(self, size: int) -> None:
        if size == 0:
            self.empty()
        else:
            self.own()
        super().truncate(size)

    def chmod(self, mode: int) -> None:
        self.own()
        super().chmod(mode)

    def chown(self, uid: int, gid: int) -> None:
        self.own()
        super().chown(uid, gid)

    def utimes(self, atime_ns: int | None, mtime_ns: int | None) -> None:
        self.own()
        super().utimes(atime_ns, mtime_ns)

    def getxattr(self, name: bytes) -> bytes:
        if self.lower is not None and not self.owned:
            if self.mode & S_IFMT not in (S_IFREG, S_IFDIR):
                raise ENODATA
            return self.lower.getxattr(name)
        return super().getxattr(name)

    def listxattr(self) -> list[bytes]:
        if self.lower is not None and not self.owned:
            return self.lower.listxattr()
        return super().listxattr()

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        self.own()
        super().setxattr(name, value, flags)

    def removexattr(self, name: bytes) -> None:
        self.getxattr(name)
        self.own()
        super().removexattr(name)

    def acl(self, name: bytes) -> Acl | None:
        if self.lower is not None and not self.owned:
            return self.lower.acl(name)
        return super().acl(name)

    def set_acl(self, name: bytes, acl: Acl | None) -> None:
        self.own()
        super().set_acl(name, acl)
