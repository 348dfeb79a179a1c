"""Directories, files and links that are made up when they are looked at (proc(5), sysfs(5)).

    fs = SynthFs(b"proc", PROC_SUPER_MAGIC)
    root = SynthDir(fs, {b"uptime": SynthFile(fs, render_uptime), b"self": SynthLink(fs, self_target)})
    fs.set_root(root)

Every callable is given the task that makes the call. A dynamic directory has `find(t, name)`, which returns a new or
kept inode or None, and `names(t)`, an iterable of `Name`; what `find` returns is never cached by the walk. Static
`entries` are cached, and come first. `number(...)` makes inode numbers that stay the same for the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from sentry.abi.const.files import S_IFDIR, S_IFLNK, S_IFREG, SEEK_END
from sentry.abi.errno import EBADF, EINVAL, EIO, ENOENT
from vfs.core.file import O_ACCMODE, File, sought
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.open_dir import PlacedFile
from vfs.core.special import open_special

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

WRITE_LIMIT = 64 * 1024  # one write to a synthetic file, as proc handlers take it


def number(*key: object) -> int:
    """A stable inode number for dynamic entries: number("fd", pid, fd)."""
    text = repr(key).encode()
    return crc32(text) | crc32(text, 0x9E3779B9) << 32 & 0x7FFF_FFFF_0000_0000 | 1 << 31


class SynthFs(FileSystem):
    def __init__(self, name: bytes, magic: int, source: bytes | None = None) -> None:
        super().__init__()
        self.name = name
        self.magic = magic
        self.source = name if source is None else source


class SynthDir(Inode):
    """`lasting`: it is there as long as its file system. One that is made anew at every lookup must not be held by the
    cache of names, with the process that it tells of."""

    __slots__ = ("_names", "entries", "find", "lasting")

    def __init__(
        self,
        fs: FileSystem,
        entries: dict[bytes, Inode] | None = None,
        *,
        find: Callable[[Task, bytes], Inode | None] | None = None,
        names: Callable[[Task], Iterable[Name]] | None = None,
        mode: int = 0o555,
        uid: int = 0,
        gid: int = 0,
        ino: int = 0,
        lasting: bool = True,
    ) -> None:
        super().__init__(fs, ino or fs.new_ino(), S_IFDIR | mode, uid, gid)
        self.lasting = lasting
        self.entries = {} if entries is None else entries
        self.find = find
        self._names = names
        self.nlink = 2 + sum(1 for inode in self.entries.values() if inode.is_dir)

    def lookup(self, name: bytes, t: Task) -> Inode:
        inode = self.entries.get(name)
        if inode is None and self.find is not None:
            inode = self.find(t, name)
        if inode is None:
            raise ENOENT
        return inode

    def keeps(self, name: bytes) -> bool:
        return self.lasting and name in self.entries

    def names(self, t: Task) -> Iterable[Name]:
        out = [Name(name, inode.ino, inode.kind) for name, inode in self.entries.items()]
        if self._names is not None:
            out.extend(self._names(t))
        return out

    def add(self, name: bytes, inode: Inode) -> Inode:
        """A static entry, while the tree is built."""
        self.entries[name] = inode
        self.nlink += inode.is_dir
        return inode

    def open(self, path: Path, flags: int, t: Task) -> File:
        return open_special(self, path, flags, t)


class SynthFile(Inode):
    """`render(t)` gives the whole text, at the first read of each open file and again after a seek to 0; `store(t,
    data)` takes one write. `shown_size` is what stat tells (proc shows 0)."""

    __slots__ = ("render", "store")

    def __init__(
        self,
        fs: FileSystem,
        render: Callable[[Task], bytes] | None = None,
        store: Callable[[Task, bytes], None] | None = None,
        *,
        mode: int | None = None,
        uid: int = 0,
        gid: int = 0,
        ino: int = 0,
        shown_size: int = 0,
    ) -> None:
        if mode is None:
            mode = (0o444 if render is not None else 0) | (0o200 if store is not None else 0)
        super().__init__(fs, ino or fs.new_ino(), S_IFREG | mode, uid, gid)
        self.render = render
        self.store = store
        self.size = shown_size

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenSynth(path, self, flags, t)

    def truncate(self, size: int) -> None:
        return  # `echo x > /proc/sys/...` opens with O_TRUNC


class OpenSynth(PlacedFile):
    """One open of a SynthFile. Its text is that of the opener, as the kernel's seq_file has it for most files."""

    __slots__ = ("_source", "_t", "_text")

    def __init__(self, path: Path, inode: SynthFile, flags: int, t: Task) -> None:
        super().__init__(path, flags)
        self._source = inode
        self._t = t
        self._text: bytes | None = None

    def _whole(self) -> bytes:
        if self._text is None:
            if self._source.render is None:
                raise EIO
            self._text = self._source.render(self._t)
        return self._text

    def peek(self, size: int) -> bytes:
        if self.pos == 0:
            self._text = None
        return self._whole()[self.pos : self.pos + size]

    def pread(self, size: int, offset: int) -> bytes:
        if offset == 0:
            self._text = None
        return self._whole()[offset : offset + size]

    def write(self, data: bytes) -> int:
        store = self._source.store
        if store is None:
            raise EINVAL
        data = data[:WRITE_LIMIT]
        store(self._t, data)
        self._text = None
        self.pos += len(data)
        return len(data)

    def pwrite(self, data: bytes, offset: int) -> int:
        pos = self.pos
        try:
            return self.write(data)
        finally:
            self.pos = pos

    def seek(self, offset: int, whence: int) -> int:
        end = len(self._whole()) if whence == SEEK_END and self._source.size else 0
        self.pos = sought(self.pos, offset, whence, end)
        return self.pos

    def truncate(self, size: int) -> None:
        if self.flags & O_ACCMODE == 0:
            raise EBADF

    def sync(self, data_only: bool = False) -> None:
        raise EINVAL


class SynthLink(Inode):
    """A symbolic link: `target` is fixed text or made for the caller."""

    __slots__ = ("target",)

    def __init__(
        self, fs: FileSystem, target: bytes | Callable[[Task], bytes], *, uid: int = 0, gid: int = 0, ino: int = 0
    ) -> None:
        super().__init__(fs, ino or fs.new_ino(), S_IFLNK | 0o777, uid, gid)
        self.target = target
        self.size = len(target) if isinstance(target, bytes) else 0

    def readlink(self, t: Task) -> bytes:
        return self.target if isinstance(self.target, bytes) else self.target(t)


class MagicLink(SynthLink):
    """A link that leads to an object, whatever its text (/proc/PID/exe, cwd, root, fd/N): `goto(t)` gives the place,
    `vfs.core.anon.path_of(file)` makes one for an open file. `goto` raises ENOENT or EACCES as open(2) would."""

    __slots__ = ("goto",)

    def __init__(
        self,
        fs: FileSystem,
        target: bytes | Callable[[Task], bytes],
        goto: Callable[[Task], Path],
        *,
        mode: int = 0o777,
        uid: int = 0,
        gid: int = 0,
        ino: int = 0,
    ) -> None:
        super().__init__(fs, target, uid=uid, gid=gid, ino=ino)
        self.mode = S_IFLNK | mode
        self.size = 64
        self.goto = goto

    def follow(self, t: Task) -> Path | None:
        return self.goto(t)


