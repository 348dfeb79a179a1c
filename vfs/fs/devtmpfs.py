"""/dev of a container (OCI runtime-spec, config-linux.md "Default Devices" and "Dev symbolic links")."""

from __future__ import annotations

from os import makedev

from sentry.abi.const.files import S_IFCHR, S_IFDIR, S_IFLNK
from vfs.fs.backing import Backing, Space
from vfs.fs.tmpfs import TmpFs, TmpInode

NODES = {
    b"null": (1, 3),
    b"zero": (1, 5),
    b"full": (1, 7),
    b"random": (1, 8),
    b"urandom": (1, 9),
    b"tty": (5, 0),
}
LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
    b"core": b"/proc/kcore",
    b"ptmx": b"pts/ptmx",
}
DIRECTORIES = {b"pts": 0o755, b"shm": 0o1777, b"mqueue": 0o1777}


class DevTmpFs(TmpFs):
    """`console` adds the node of the container's own terminal."""

    def __init__(self, backing: Backing, space: Space | None = None, *, console: bool = False) -> None:
        super().__init__(backing, space, mode=0o755)
        for name, (major, minor) in NODES.items():
            self.node(name, S_IFCHR | 0o666, major, minor)
        if console:
            self.node(b"console", S_IFCHR | 0o620, 5, 1)
        for name, target in LINKS.items():
            link = self._add(name, S_IFLNK | 0o777)
            link.target = target
            link.size = len(target)
        for name, mode in DIRECTORIES.items():
            self._add(name, S_IFDIR | mode)

    def _add(self, name: bytes, mode: int, uid: int = 0, gid: int = 0, rdev: int = 0) -> TmpInode:
        top = self.root.inode
        assert isinstance(top, TmpInode)
        inode = self.new_inode(mode, uid, gid, rdev)
        top.add(name, inode)
        return inode

    def directory(self, names: list[bytes]) -> TmpInode | None:
        """The directory below the top by these names, made where it is missing; None where something else is there."""
        at = self.root.inode
        assert isinstance(at, TmpInode)
        for name in names:
            known = at.entries.get(name)
            if known is None:
                at.add(name, known := self.new_inode(S_IFDIR | 0o755, 0, 0))
            if not known.is_dir:
                return None
            at = known
        return at

    def node(self, name: bytes, mode: int, major: int, minor: int, uid: int = 0, gid: int = 0) -> TmpInode:
        """A device node; `mode` has the type."""
        return self._add(name, mode, uid, gid, makedev(major, minor))
