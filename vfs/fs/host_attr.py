"""Attributes of a host file that a guest may change (chmod(2), chown(2), utimensat(2), truncate(2), xattr(7))."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import O_RDONLY, O_WRONLY, stat_result
from time import monotonic
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from sentry.abi.errno import EINVAL, ENODATA, ENOENT, EOPNOTSUPP, EPERM, ESTALE
from vfs.core.acl import ACCESS, DEFAULT, NAMES, mapped, pack, parse
from vfs.core.node import Inode
from vfs.fs import host_calls as host

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.acl import Acl
    from vfs.fs.hostfs import HostFs

PASSED = (b"user.", b"security.capability")  # attributes that reach the disk as they are
LISTED = (*PASSED, *NAMES)
ACL_TRUST_S = 1.0  # how long an access control list is believed that somebody else may change


class HostAttr(Inode):
    """The part of HostInode (vfs.fs.hostfs, which explains the fields) that changes attributes."""

    __slots__ = ("acls", "alias", "expires", "fd", "opens", "parent", "st", "target")
    has_acls = True
    acls: tuple[float, Acl | None, Acl | None] | None  # believed until, access list, default list
    fs: HostFs
    expires: float
    opens: list[int]
    st: stat_result
    target: tuple[int, bytes] | None

    def handle(self) -> int:
        raise NotImplementedError

    def _place(self) -> tuple[int, bytes]:
        raise NotImplementedError

    def open_host(self, flags: int) -> int:
        raise NotImplementedError

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids on disk of the guest's ones; -1 stays -1. EINVAL without a mapping."""
        fs = self.fs
        if fs.uids is not None and uid >= 0:
            uid = fs.uids.outside(uid)
            if uid < 0:
                raise EINVAL
        if fs.gids is not None and gid >= 0:
            gid = fs.gids.outside(gid)
            if gid < 0:
                raise EINVAL
        return uid, gid

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        """Some descriptor of this regular file or directory that is not O_PATH."""
        kind = self.mode & S_IFMT
        if kind == S_IFDIR:
            fd = host.reopen(self.handle(), O_RDONLY)
        elif kind != S_IFREG:
            raise EPERM
        elif self.opens:
            yield self.opens[-1]
            return
        else:
            fd = self.open_host(O_RDONLY)
        try:
            yield fd
        finally:
            host.close(fd)

    def chmod(self, mode: int) -> None:
        if self.mode & S_IFMT in (S_IFREG, S_IFDIR):
            with self._descriptor() as fd:
                host.fchmod(fd, mode)
        elif self.mode & S_IFMT == S_IFLNK:
            raise EOPNOTSUPP
        else:
            host.chmod(*self._place(), mode)
        self.acls = None
        self.refresh()

    def chown(self, uid: int, gid: int) -> None:
        uid, gid = self.outside(uid, gid)
        if self.mode & S_IFMT in (S_IFREG, S_IFDIR):
            with self._descriptor() as fd:
                host.fchown(fd, uid, gid)
        else:
            host.lchown(*self._place(), uid, gid)
        self.refresh()

    def utimes(self, atime_ns: int | None, mtime_ns: int | None) -> None:
        self.refresh()
        st = self.st
        atime = st.st_atime_ns if atime_ns is None else atime_ns
        mtime = st.st_mtime_ns if mtime_ns is None else mtime_ns
        if self.mode & S_IFMT in (S_IFREG, S_IFDIR):
            with self._descriptor() as fd:
                host.futime(fd, atime, mtime)
        else:
            host.lutime(*self._place(), atime, mtime)
        self.refresh()

    def truncate(self, size: int) -> None:
        fd = self.open_host(O_WRONLY)
        try:
            host.truncate(fd, size)
        finally:
            host.close(fd)
        self.refresh()

    def readlink(self, t: Task) -> bytes:
        if self.mode & S_IFMT != S_IFLNK:
            raise EINVAL
        known = self.target
        if known is None or known[0] != self.st.st_ctime_ns:
            try:
                known = self.target = self.st.st_ctime_ns, host.readlink(*self._place())
            except ENOENT:
                self.expires = 0.0  # found last by another of its names, which is gone: the walk looks again
                raise ESTALE
        return known[1]

    # extended attributes ----------------------------------------------------------------------------------------------
    def getxattr(self, name: bytes) -> bytes:
        if not name.startswith(PASSED) or self.mode & S_IFMT not in (S_IFREG, S_IFDIR):
            raise ENODATA
        with self._descriptor() as fd:
            return host.getxattr(fd, name)

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        if not name.startswith(PASSED):
            raise EOPNOTSUPP
        with self._descriptor() as fd:
            host.setxattr(fd, name, value, flags)

    def removexattr(self, name: bytes) -> None:
        if not name.startswith(PASSED):
            raise ENODATA
        with self._descriptor() as fd:
            host.removexattr(fd, name)

    def listxattr(self) -> list[bytes]:
        if self.mode & S_IFMT not in (S_IFREG, S_IFDIR):
            return []
        with self._descriptor() as fd:
            return [name for name in host.listxattr(fd) if name.startswith(LISTED)]

    # access control lists, with the guest's ids ---------------------------------------------------------------------
    def acl(self, name: bytes) -> Acl | None:
        known = self.acls
        if known is None or known[0] < monotonic():
            access, default = self._read_acls()
            known = self.acls = monotonic() + ACL_TRUST_S, access, default
        return known[1] if name == ACCESS else known[2]

    def _read_acls(self) -> tuple[Acl | None, Acl | None]:
        kind = self.mode & S_IFMT
        if kind not in (S_IFREG, S_IFDIR):
            return None, None
        with self._descriptor() as fd:
            return self._read_acl(fd, ACCESS), self._read_acl(fd, DEFAULT) if kind == S_IFDIR else None

    def _read_acl(self, fd: int, name: bytes) -> Acl | None:
        try:
            acl = parse(host.getxattr(fd, name))
        except (ENODATA, EOPNOTSUPP):
            return None
        uids, gids = self.fs.uids, self.fs.gids
        if acl is None or (uids is None and gids is None):
            return acl
        return mapped(acl, uids.inside if uids else int, gids.inside if gids else int)

    def set_acl(self, name: bytes, acl: Acl | None) -> None:
        self.acls = None
        uids, gids = self.fs.uids, self.fs.gids
        if acl is not None and (uids is not None or gids is not None):
            acl = mapped(acl, uids.outside if uids else int, gids.outside if gids else int)
        with self._descriptor() as fd:
            if acl is not None:
                host.setxattr(fd, name, pack(acl), 0)
            else:
                try:
                    host.removexattr(fd, name)
                except ENODATA:
                    pass
        self.refresh()
