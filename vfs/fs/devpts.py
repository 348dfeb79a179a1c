"""devpts: a directory of pseudo-terminal slaves with its own multiplexer (pts(4), mount(8) "Mount options for devpts").

Every mount is a new instance. The file system knows names and attributes only; terminals are opened by their driver,
which is registered for the device numbers (vfs.core.special).
"""

from __future__ import annotations

from collections.abc import Iterable
from os import makedev
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFCHR, S_IFDIR
from sentry.abi.errno import EINVAL, ENOENT, ENOSPC
from vfs.core.dentry import Dentry
from vfs.core.file import File
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.open_dir import OpenDir
from vfs.core.special import open_special

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

DEVPTS_SUPER_MAGIC = 0x1CD1
PTS_MAJOR = 136
LIMIT = 4096  # kernel.pty.max
_OCTAL, _DECIMAL = ("mode", "ptmxmode"), ("uid", "gid", "max")


class PtsNode(Inode):
    """/dev/pts/N or ptmx. `terminal` is what the driver finds the slave by."""

    __slots__ = ("terminal",)

    def __init__(self, fs: FileSystem, ino: int, mode: int, uid: int, gid: int, rdev: int, terminal: object) -> None:
        super().__init__(fs, ino, S_IFCHR | mode, uid, gid, rdev)
        self.terminal = terminal

    def open(self, path: Path, flags: int, t: Task) -> File:
        return open_special(self, path, flags, t)


class PtsRoot(Inode):
    """The directory: numbers come and go by themselves, nothing can be made in it."""

    __slots__ = ("nodes", "ptmx")

    def __init__(self, fs: FileSystem, ptmx_mode: int) -> None:
        super().__init__(fs, 1, S_IFDIR | 0o755)
        self.ptmx = PtsNode(fs, 2, ptmx_mode, 0, 0, makedev(5, 2), None)
        self.nodes: dict[bytes, PtsNode] = {}

    def lookup(self, name: bytes, t: Task) -> Inode:
        node = self.ptmx if name == b"ptmx" else self.nodes.get(name)
        if node is None:
            raise ENOENT
        return node

    def keeps(self, name: bytes) -> bool:
        return name == b"ptmx"

    def names(self, t: Task) -> Iterable[Name]:
        listed = [Name(name, node.ino, node.kind) for name, node in self.nodes.items()]
        return [*listed, Name(b"ptmx", self.ptmx.ino, self.ptmx.kind)]

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenDir(path, flags)


class Devpts(FileSystem):
    """`uid` and `gid` of new slaves are their creator's unless the mount says otherwise."""

    name = b"devpts"
    magic = DEVPTS_SUPER_MAGIC
    source = b"devpts"

    def __init__(self, options: bytes = b"") -> None:
        super().__init__()
        given = _parse(options)
        self.uid = given.get("uid")
        self.gid = given.get("gid")
        self.mode = given.get("mode", 0o600) & 0o777
        self.ptmx_mode = given.get("ptmxmode", 0) & 0o777
        self.limit = min(given.get("max", LIMIT), LIMIT)
        self.top = PtsRoot(self, self.ptmx_mode)
        self.set_root(self.top)

    def options(self) -> bytes:
        shown = b""
        if self.uid is not None:
            shown += b",uid=%d" % self.uid
        if self.gid is not None:
            shown += b",gid=%d" % self.gid
        return shown + b",mode=%03o,ptmxmode=%03o" % (self.mode, self.ptmx_mode)

    def free_number(self) -> int:
        """The lowest number without a terminal; ENOSPC at the limit."""
        if len(self.top.nodes) >= self.limit:
            raise ENOSPC
        number = 0
        while b"%d" % number in self.top.nodes:
            number += 1
        return number

    def add(self, number: int, terminal: object, uid: int, gid: int) -> PtsNode:
        """The node of a new terminal; `uid` and `gid` are its creator's."""
        node = PtsNode(
            self,
            number + 3,
            self.mode,
            uid if self.uid is None else self.uid,
            gid if self.gid is None else self.gid,
            makedev(PTS_MAJOR, number),
            terminal,
        )
        self.top.nodes[b"%d" % number] = node
        return node

    def remove(self, number: int) -> None:
        self.top.nodes.pop(b"%d" % number, None)

    def dentry(self, number: int) -> Dentry:
        """A name for the slave `number`; ENOENT when it is gone."""
        name = b"%d" % number
        node = self.top.nodes.get(name)
        if node is None:
            raise ENOENT
        return Dentry(self.root, name, node)


def _parse(options: bytes) -> dict[str, int]:
    """Mount options; EINVAL for an unknown or malformed one."""
    found: dict[str, int] = {}
    for option in options.split(b","):
        key, _, value = option.decode("ascii", "replace").partition("=")
        if key in ("", "newinstance", "rw", "ro"):
            continue
        if key not in _OCTAL + _DECIMAL or not value.isascii() or not value.isdigit() or len(value) > 10:
            raise EINVAL
        try:
            found[key] = int(value, 8 if key in _OCTAL else 10)
        except ValueError:
            raise EINVAL
    return found
