"""A directory of the host as a file system (open(2), path_resolution(7)): what is below one O_PATH descriptor.

Rules
1. The host resolves single components only, below descriptors that we hold (vfs.fs.host_calls).
2. A dentry is believed for a directory in the middle of a path for TRUST_S; the last component is looked up by one
   fstatat, whose result is also the answer of stat(2). So files that are put in from outside (podman cp) are seen.
3. One `HostInode` stands for one (device, inode number) of the host: by its dentry, by `links` if it has several names,
   by `in_use` while it is open, whatever happens to its names outside.
4. Permissions are ours; the Sentry's own identity only has to be able. New objects get the guest's ids.
5. Fifos and sockets are names on the host and objects of ours; devices of the host are never opened.
"""

from __future__ import annotations

from os import O_CREAT, O_EXCL, O_RDWR, makedev, stat_result
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sentry.abi.const.files import S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from sentry.abi.const.mounts import EXT4_SUPER_MAGIC
from sentry.abi.errno import ENOENT, ENOTDIR, EPERM, ESTALE
from vfs.core.acl import DEFAULT
from vfs.core.file import Stat
from vfs.core.node import FileSystem, Inode, Name, StatFs, new_dev
from vfs.core.owner import new_owner
from vfs.core.special import open_special
from vfs.fs import host_calls as host
from vfs.fs.host_attr import HostAttr
from vfs.fs.host_file import HostFile

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from vfs.core.dentry import Dentry, Path
    from vfs.core.file import File
    from vfs.fs.idmap import IdMap

_new = tuple.__new__  # a third of the time that Stat(...) takes
TRUST_S = 1.0
MAX_DIRS = 4000  # directory descriptors kept; the process may have 20 000
# Device nodes that a guest may make on the host: harmless ones that images contain (mem(4), tty(4)).
HARMLESS = frozenset(makedev(1, n) for n in (3, 5, 7, 8, 9)) | {makedev(5, n) for n in (0, 1, 2)}


class HostFs(FileSystem):
    """`fd` is an O_PATH descriptor of a directory, or of a single file to be bound somewhere; it becomes ours."""

    name = b"ext4"
    magic = EXT4_SUPER_MAGIC

    def __init__(
        self,
        fd: int,
        *,
        readonly: bool = False,
        source: bytes = b"/dev/root",
        uids: IdMap | None = None,
        gids: IdMap | None = None,
    ) -> None:
        super().__init__()
        self.readonly = readonly
        self.source = source
        self.uids = None if uids is None or uids.identity else uids
        self.gids = None if gids is None or gids.identity else gids
        self.links: WeakValueDictionary[tuple[int, int], HostInode] = WeakValueDictionary()  # of more than one name
        self.in_use: dict[tuple[int, int], HostInode] = {}  # with open files
        self.open_dirs: dict[HostInode, None] = {}  # those with a descriptor, oldest first
        self.spare: tuple[HostInode, int] | None = None  # a file just created, for the open that follows
        st = host.fstat(fd)
        self.host_dev = st.st_dev
        self._devs: dict[int, int] = {st.st_dev: self.dev}
        self.fd = fd
        root = self.inode_of(st, None, b"")
        root.fd = fd
        self.set_root(root)

    def guest_dev(self, host_dev: int) -> int:
        """Device number that the guest sees; those of the host stay private."""
        found = self._devs.get(host_dev)
        if found is None:
            found = self._devs[host_dev] = new_dev()
        return found

    def inode_of(self, st: stat_result, parent: HostInode | None, name: bytes) -> HostInode:
        """The inode of what was just looked up as `name` in `parent`."""
        key = (st.st_dev, st.st_ino)
        inode = self.in_use.get(key)
        linked = st.st_nlink > 1 and st.st_mode & S_IFMT != S_IFDIR
        if inode is None and linked:
            inode = self.links.get(key)
        if inode is None or inode.mode & S_IFMT != st.st_mode & S_IFMT:
            inode = HostInode(self, st)
        else:
            inode.adopt(st)
        if linked:
            self.links[key] = inode
        inode.parent = parent
        inode.alias = name
        return inode

    def shown(self, st: stat_result, dev: int = 0, ino: int = 0) -> Stat:
        """What the guest sees of something found just now; an overlay has numbers of its own for it."""
        return _new(Stat, (
            dev or (self.dev if st.st_dev == self.host_dev else self.guest_dev(st.st_dev)), ino or st.st_ino,
            st.st_mode, st.st_nlink,
            st.st_uid if self.uids is None else self.uids.inside(st.st_uid),
            st.st_gid if self.gids is None else self.gids.inside(st.st_gid),
            st.st_rdev, st.st_size, st.st_blksize, st.st_blocks, st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns, 0,
        ))  # fmt: skip

    def statfs(self) -> StatFs:
        st = host.statvfs(self.fd)
        return StatFs(
            self.magic, st.f_bsize, st.f_blocks, st.f_bfree, st.f_bavail, st.f_files, st.f_ffree, st.f_namemax
        )

    def sync(self) -> None:
        """Dirty pages are the host's; nothing is held back here."""

    def shutdown(self) -> None:
        self.drop_spare()
        for inode in self.open_dirs:
            host.close(inode.fd)
            inode.fd = -1
        self.open_dirs.clear()
        host.close(self.fd)
        self.fd = -1
        root = self.root.inode
        assert isinstance(root, HostInode)
        root.fd = -1

    def drop_spare(self) -> None:
        if self.spare is not None:
            host.close(self.spare[1])
            self.spare = None


class HostInode(HostAttr):
    """`parent` and `alias` are the name by which it was last found; `opens` are the descriptors of its open files."""

    __slots__ = ()
    stable = False
    linkable = True

    def __init__(self, fs: HostFs, st: stat_result) -> None:  # the base's fields, without what `st` has
        self.fs = fs
        self.ino = st.st_ino
        self.rdev = st.st_rdev
        self.locks = self.pipe = self.bound = self.watches = None
        self.writers = 0
        self.fd = -1
        self.opens: list[int] = []
        self.parent: HostInode | None = None
        self.alias = b""
        self.target: tuple[int, bytes] | None = None
        self.acls = None
        self.adopt(st)

    def adopt(self, st: stat_result) -> None:
        self.st = st
        self.mode = st.st_mode
        self.nlink = st.st_nlink
        self.size = st.st_size
        self.expires = monotonic() + TRUST_S
        fs = self.fs
        self.uid = st.st_uid if fs.uids is None else fs.uids.inside(st.st_uid)
        self.gid = st.st_gid if fs.gids is None else fs.gids.inside(st.st_gid)

    def stat(self) -> Stat:
        st = self.st
        fs = self.fs
        return _new(Stat, (
            fs.dev if st.st_dev == fs.host_dev else fs.guest_dev(st.st_dev), st.st_ino, self.mode, st.st_nlink,
            self.uid, self.gid, self.rdev, st.st_size, st.st_blksize, st.st_blocks, st.st_atime_ns, st.st_mtime_ns,
            st.st_ctime_ns, 0,
        ))  # fmt: skip

    def revalidate(self, dentry: Dentry, t: Task, last: bool) -> bool:
        assert dentry.parent is not None
        parent = dentry.parent.inode
        assert isinstance(parent, HostInode)
        fd = parent.fd
        try:
            st = host.lstat(fd if fd >= 0 else parent.handle(), dentry.name)
        except ENOENT:
            return False
        if st.st_ino != self.ino or st.st_dev != self.st.st_dev or st.st_mode & S_IFMT != self.mode & S_IFMT:
            return False
        self.adopt(st)
        self.parent = parent
        self.alias = dentry.name
        return True

    def refresh(self) -> None:
        if self.opens:
            self.adopt(host.fstat(self.opens[-1]))
        elif self.fd >= 0:
            self.adopt(host.fstat(self.fd))
        elif self.parent is not None:
            try:
                st = host.lstat(self.parent.handle(), self.alias)
            except (ENOENT, ENOTDIR, ESTALE):
                return  # removed; what we knew last stays true of it
            if st.st_ino == self.ino:
                self.adopt(st)

    # descriptors ------------------------------------------------------------------------------------------------------
    def handle(self) -> int:
        """O_PATH descriptor of this directory; ESTALE if it is not where it was."""
        if self.fd >= 0:
            return self.fd
        chain: list[HostInode] = []
        at: HostInode | None = self
        while at is not None and at.fd < 0:
            chain.append(at)
            at = at.parent
        if at is None:
            raise ENOENT
        fd = at.fd
        for inode in reversed(chain):
            try:
                new = host.open_dir(fd, inode.alias)
            except (ENOENT, ENOTDIR):
                raise self._stale()
            st = host.fstat(new)
            if st.st_ino != inode.ino or st.st_dev != inode.st.st_dev:
                host.close(new)
                raise self._stale()
            inode.fd = fd = new
            self.fs.open_dirs[inode] = None
        self._trim(chain)
        return fd

    def _stale(self) -> ESTALE:
        """A directory is not where it was: believe no cached dentry any more (the walk then tries again)."""
        todo = [self.fs.root]
        while todo:
            dentry = todo.pop()
            inode = dentry.inode
            if isinstance(inode, HostInode):
                inode.expires = 0.0
            todo += dentry.children.values()
        return ESTALE()

    def _trim(self, keep: list[HostInode]) -> None:
        """Close the oldest directory descriptors beyond the limit, but not those just opened."""
        table = self.fs.open_dirs
        while len(table) > MAX_DIRS and len(table) > len(keep):
            oldest = next(iter(table))
            if oldest in keep:
                break
            del table[oldest]
            host.close(oldest.fd)
            oldest.fd = -1

    def both(self, other: HostInode) -> tuple[int, int]:
        """Descriptors of two directories; opening the second may have closed the first."""
        self.handle()
        second = other.handle()
        return self.handle(), second

    def _forget(self) -> None:
        """The last name is gone."""
        self.parent = None
        if self.fd >= 0:
            self.fs.open_dirs.pop(self, None)
            host.close(self.fd)
            self.fd = -1

    def _place(self) -> tuple[int, bytes]:
        """(descriptor of the directory, name) for a call by name; ENOENT if that name means something else by now."""
        if self.parent is None:
            raise ENOENT
        fd = self.parent.handle()
        st = host.lstat(fd, self.alias)
        if st.st_ino != self.ino or st.st_dev != self.st.st_dev:
            raise ENOENT
        return fd, self.alias

    # a directory ----------------------------------------------------------------------------------------------------
    def lookup(self, name: bytes, t: Task) -> HostInode:
        return self.find(name)

    def find(self, name: bytes) -> HostInode:
        return self.fs.inode_of(host.lstat(self.handle(), host.component(name)), self, name)

    def stat_record(self, name: bytes) -> bytes | None:
        fs = self.fs
        if fs.uids is not None or fs.gids is not None:
            return None
        fd = self.fd
        mode, record = host.stat_record(fd if fd >= 0 else self.handle(), name, fs.host_dev, fs.dev)
        return record if mode and mode & S_IFMT not in (S_IFDIR, S_IFLNK) else None

    def stat_entry(self, name: bytes) -> Stat | None:
        st = host.lstat(self.handle(), host.component(name))
        if st.st_mode & S_IFMT in (S_IFDIR, S_IFLNK):
            return None
        return self.fs.shown(st)

    def names(self, t: Task) -> list[Name]:
        return host.names(self.handle())

    def listing(self, cookie: int) -> bytes:
        return host.listing(self.handle(), cookie)

    def create(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        self.fs.drop_spare()
        uid, gid, mode = new_owner(self, S_IFREG | mode, creds)
        fd = host.open_file(self.handle(), name, O_CREAT | O_EXCL | O_RDWR, mode & 0o777)
        inode = self.fs.inode_of(self._own(fd, uid, gid, mode), self, name)
        self.fs.spare = inode, fd
        return inode

    def _own(self, fd: int, uid: int, gid: int, mode: int) -> stat_result:
        """Give a new file or directory its owner and mode, where the host did not; its attributes then."""
        st = host.fstat(fd)
        wanted = self.outside(uid, gid)
        if (st.st_uid, st.st_gid) != wanted:
            host.fchown(fd, *wanted)
            st = host.fstat(fd)
        mode = self._inherited(mode, st)
        if st.st_mode & 0o7777 != mode & 0o7777:
            host.fchmod(fd, mode & 0o7777)
            st = host.fstat(fd)
        return st

    def _inherited(self, mode: int, st: stat_result) -> int:
        """With the permission bits that the host gave, where a default list made it do so."""
        return mode if self.acl(DEFAULT) is None else mode & ~0o777 | st.st_mode & 0o777

    def mkdir(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        uid, gid, mode = new_owner(self, S_IFDIR | mode, creds)
        parent = self.handle()
        host.mkdir(parent, name, mode & 0o777)
        fd = host.open_file(parent, name, 0)
        try:
            return self.fs.inode_of(self._own(fd, uid, gid, mode), self, name)
        finally:
            host.close(fd)

    def mknod(self, name: bytes, mode: int, rdev: int, creds: Credentials) -> Inode:
        uid, gid, mode = new_owner(self, mode, creds)
        kind = mode & S_IFMT
        if kind == S_IFREG:
            inode = self.create(name, mode & 0o7777, creds)
            self.fs.drop_spare()
            return inode
        if rdev and not (kind == S_IFCHR and rdev in HARMLESS):
            raise EPERM
        parent = self.handle()
        host.mknod(parent, name, mode, rdev)
        return self._name_made(parent, name, uid, gid, mode)

    def symlink(self, name: bytes, target: bytes, creds: Credentials) -> Inode:
        uid, gid, _ = new_owner(self, 0o777, creds)
        parent = self.handle()
        host.symlink(target, parent, name)
        return self._name_made(parent, name, uid, gid, -1)

    def _name_made(self, parent: int, name: bytes, uid: int, gid: int, mode: int) -> Inode:
        st = host.lstat(parent, name)
        wanted = self.outside(uid, gid)
        if (st.st_uid, st.st_gid) != wanted:
            host.lchown(parent, name, *wanted)
        if mode >= 0:
            mode = self._inherited(mode, st)
            if st.st_mode & 0o7777 != mode & 0o7777:
                host.chmod(parent, name, mode & 0o7777)
        return self.find(name)

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, HostInode)
        source = inode.parent
        if source is None and inode.opens:
            host.link_open(inode.opens[-1], self.handle(), name)  # O_TMPFILE; the host knows whether it may
            inode.parent, inode.alias = self, name
        else:
            inode._place()
            assert source is not None
            source_fd, target_fd = source.both(self)
            host.link(source_fd, inode.alias, target_fd, name)
        inode.refresh()
        self.fs.links[inode.st.st_dev, inode.ino] = inode

    def unlink(self, name: bytes, inode: Inode) -> None:
        host.unlink(self.handle(), name)
        assert isinstance(inode, HostInode)
        if inode.opens:
            inode.refresh()
        elif inode.nlink:
            inode.nlink -= 1

    def rmdir(self, name: bytes, inode: Inode) -> None:
        host.rmdir(self.handle(), name)
        assert isinstance(inode, HostInode)
        inode.nlink = 0
        inode._forget()

    def rename(
        self, name: bytes, inode: Inode, target_dir: Inode, target_name: bytes, target: Inode | None, exchange: bool
    ) -> None:
        assert isinstance(target_dir, HostInode) and isinstance(inode, HostInode)
        assert target is None or isinstance(target, HostInode)
        source_fd, target_fd = self.both(target_dir)
        if exchange:
            assert target is not None
            between = b".\xff%d" % monotonic().__hash__()
            host.rename(target_fd, target_name, source_fd, between)
            host.rename(source_fd, name, target_fd, target_name)
            host.rename(source_fd, between, source_fd, name)
            target.parent, target.alias = self, name
        else:
            host.rename(source_fd, name, target_fd, target_name)
            if target is not None and target.is_dir:
                target.nlink = 0
                target._forget()
            elif target is not None and target.opens:
                target.refresh()
        inode.parent, inode.alias = target_dir, target_name

    def tmpfile(self, mode: int, creds: Credentials) -> Inode:
        self.fs.drop_spare()
        uid, gid, mode = new_owner(self, S_IFREG | mode, creds)
        fd = host.open_unnamed(self.handle(), mode & 0o777)
        inode = self.fs.inode_of(self._own(fd, uid, gid, mode), None, b"")
        self.fs.spare = inode, fd
        return inode

    # contents -----------------------------------------------------------------------------------------------------
    def open(self, path: Path, flags: int, t: Task) -> File:
        if self.mode & S_IFMT != S_IFREG:
            return open_special(self, path, flags, t)
        return HostFile(path, self, flags, self.open_host(flags))

    def open_host(self, flags: int) -> int:
        """A new description of this regular file with the access mode of `flags`."""
        wanted = host.write_flags(flags)
        spare = self.fs.spare
        if spare is not None:
            self.fs.spare = None
            # A reader must not get a descriptor that can write: its mmap would be writable.
            if spare[0] is self and wanted & 3:
                if wanted & ~3 == 0:
                    return spare[1]
                self.opens.append(spare[1])
                try:
                    return host.reopen(spare[1], wanted)
                finally:
                    self.opens.remove(spare[1])
                    host.close(spare[1])
            host.close(spare[1])
        if self.fd >= 0:
            return host.reopen(self.fd, wanted)  # the top of a bound file
        if self.parent is not None:
            try:
                fd = host.open_file(self.parent.handle(), self.alias, wanted)
            except ENOENT:
                pass
            else:
                st = host.fstat(fd)
                if st.st_ino == self.ino and st.st_dev == self.st.st_dev:
                    return fd
                host.close(fd)
        if self.opens:
            return host.reopen(self.opens[-1], wanted)
        raise ENOENT
