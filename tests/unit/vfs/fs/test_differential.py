"""The same random calls on the host's kernel and on our file systems: results, errors and the trees must agree."""

from __future__ import annotations

import ast
import os
import random
import socket
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from sentry.abi.const.files import AT_EACCESS, AT_FDCWD
from sentry.abi.structs import UTIMES
from sentry.creds import ROOT, Credentials
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.core.dentry import forget
from vfs.core.node import FileSystem
from vfs.fs.backing import Backing
from vfs.fs.hostfs import HostFs
from vfs.fs.overlay import OverlayFs
from vfs.fs.tmpfs import TmpFs

NAMES = [b"a", b"b", b"c", b"d"]


class Native:
    """The host, in a process that has a directory as its root; every method returns a result or -errno."""

    def __init__(self, top: Path) -> None:
        self.top = b""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child = os.fork()
        if self.child == 0:
            try:
                ours.close()
                os.chroot(top)
                os.chdir("/")
                while order := theirs.recv(1 << 18):
                    theirs.send(repr(self._do(*ast.literal_eval(order.decode()))).encode())
            finally:
                os._exit(0)
        theirs.close()
        self.line = ours

    def close(self) -> None:
        self.line.close()
        os.waitpid(self.child, 0)

    def become(self, uid: int) -> int:
        """root, or an ordinary user of two groups."""
        os.seteuid(0)
        os.setgroups([2000] if uid else [])
        os.setegid(uid)
        os.seteuid(uid)
        return 0

    def access(self, path: bytes, mode: int) -> int:
        return 0 if os.access(self._p(path), mode, effective_ids=True) else -1

    def chown(self, path: bytes, uid: int, gid: int) -> int:
        os.chown(self._p(path), uid, gid, follow_symlinks=False)
        return 0

    def utime(self, path: bytes) -> int:
        os.utime(self._p(path))
        return 0

    def utimes(self, path: bytes) -> int:
        os.utime(self._p(path), ns=(10**18, 10**18 + 5))
        return 0

    def owner(self, path: bytes) -> Any:
        st = os.lstat(self._p(path))
        return st.st_uid, st.st_gid, st.st_mode

    def run(self, *order: Any) -> Any:
        self.line.send(repr(order).encode())
        return ast.literal_eval(self.line.recv(1 << 18).decode())

    def _do(self, op: str, *args: Any) -> Any:
        try:
            return getattr(self, op)(*args)
        except OSError as err:
            return -(err.errno or 0)

    def _p(self, path: bytes) -> bytes:
        return self.top + path

    def mkdir(self, path: bytes) -> int:
        os.mkdir(self._p(path), 0o755)
        return 0

    def rmdir(self, path: bytes) -> int:
        os.rmdir(self._p(path))
        return 0

    def unlink(self, path: bytes) -> int:
        os.unlink(self._p(path))
        return 0

    def rename(self, a: bytes, b: bytes) -> int:
        os.rename(self._p(a), self._p(b))
        return 0

    def link(self, a: bytes, b: bytes) -> int:
        os.link(self._p(a), self._p(b), follow_symlinks=False)
        return 0

    def symlink(self, target: bytes, path: bytes) -> int:
        os.symlink(target, self._p(path))
        return 0

    def mkfifo(self, path: bytes) -> int:
        os.mkfifo(self._p(path), 0o644)
        return 0

    def put(self, path: bytes, data: bytes, flags: int) -> int:
        fd = os.open(self._p(path), flags | os.O_NONBLOCK, 0o644)
        try:
            return os.write(fd, data)
        finally:
            os.close(fd)

    def get(self, path: bytes) -> Any:
        fd = os.open(self._p(path), os.O_RDONLY | os.O_NONBLOCK)
        try:
            return _digest(os.read(fd, 1 << 17))
        finally:
            os.close(fd)

    def truncate(self, path: bytes, size: int) -> int:
        if os.path.exists(self._p(path)) and not os.path.isfile(self._p(path)) and not os.path.isdir(self._p(path)):
            return -22
        os.truncate(self._p(path), size)
        return 0

    def chmod(self, path: bytes, mode: int) -> int:
        os.chmod(self._p(path), mode)
        return 0

    def readlink(self, path: bytes) -> Any:
        return os.readlink(self._p(path))

    def stat(self, path: bytes) -> Any:
        return _facts(os.stat(self._p(path)), lambda st: st.st_mode, lambda st: st.st_nlink, lambda st: st.st_size)

    def lstat(self, path: bytes) -> Any:
        return _facts(os.lstat(self._p(path)), lambda st: st.st_mode, lambda st: st.st_nlink, lambda st: st.st_size)

    def listdir(self, path: bytes) -> Any:
        return sorted(os.listdir(self._p(path)))


def _digest(data: bytes) -> tuple[int, int]:
    return len(data), crc32(data)


def _facts(st: Any, mode: Any, nlink: Any, size: Any) -> tuple[int, int, int]:
    """What must agree: the size of directories and the link counts of theirs are each file system's own."""
    is_dir = mode(st) >> 12 == 4
    return mode(st), 0 if is_dir else nlink(st), 0 if is_dir else size(st)


class Ours:
    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def run(self, op: str, *args: Any) -> Any:
        return getattr(self, op)(*args)

    def mkdir(self, path: bytes) -> int:
        return self.guest.call("mkdir", path, 0o755)

    def rmdir(self, path: bytes) -> int:
        return self.guest.call("rmdir", path)

    def unlink(self, path: bytes) -> int:
        return self.guest.call("unlink", path)

    def rename(self, a: bytes, b: bytes) -> int:
        return self.guest.call("rename", a, b)

    def link(self, a: bytes, b: bytes) -> int:
        return self.guest.call("link", a, b)

    def symlink(self, target: bytes, path: bytes) -> int:
        return self.guest.call("symlink", target, path)

    def mkfifo(self, path: bytes) -> int:
        return self.guest.call("mknod", path, 0o010644, 0)

    def put(self, path: bytes, data: bytes, flags: int) -> int:
        fd = self.guest.open(path, flags | os.O_NONBLOCK)
        if fd < 0:
            return fd
        done = self.guest.write(fd, data)
        self.guest.call("close", fd)
        return done

    def get(self, path: bytes) -> Any:
        fd = self.guest.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if fd < 0:
            return fd
        count = self.guest.call("read", fd, BASE, 1 << 17)
        self.guest.call("close", fd)
        return count if count < 0 else _digest(self.guest.mem.read(BASE, count))

    def become(self, uid: int) -> int:
        if uid:
            self.guest.t.creds = Credentials(0, uid, 0, uid, 0, uid, 0, uid, (2000,))
        else:
            self.guest.t.creds = ROOT
        return 0

    def access(self, path: bytes, mode: int) -> int:
        return 0 if self.guest.call("faccessat2", AT_FDCWD, path, mode, AT_EACCESS) == 0 else -1

    def chown(self, path: bytes, uid: int, gid: int) -> int:
        return self.guest.call("lchown", path, uid, gid)

    def utime(self, path: bytes) -> int:
        return self.guest.call("utimensat", AT_FDCWD, path, 0, 0)

    def utimes(self, path: bytes) -> int:
        times = self.guest.place(UTIMES.pack(10**9, 0, 10**9, 5))
        return self.guest.call("utimensat", AT_FDCWD, path, times, 0)

    def owner(self, path: bytes) -> Any:
        code = self.guest.call("lstat", path, BASE)
        if code < 0:
            return code
        st = self.guest._stat_at()
        return st.uid, st.gid, st.mode

    def truncate(self, path: bytes, size: int) -> int:
        return self.guest.call("truncate", path, size)

    def chmod(self, path: bytes, mode: int) -> int:
        return self.guest.call("chmod", path, mode)

    def readlink(self, path: bytes) -> Any:
        count = self.guest.call("readlinkat", AT_FDCWD, path, BASE, 4096)
        return count if count < 0 else self.guest.mem.read(BASE, count)

    def _stat(self, name: str, path: bytes) -> Any:
        code = self.guest.call(name, path, BASE)
        if code < 0:
            return code
        st = self.guest._stat_at()
        return _facts(st, lambda st: st.mode, lambda st: st.nlink, lambda st: st.size)

    def stat(self, path: bytes) -> Any:
        return self._stat("stat", path)

    def lstat(self, path: bytes) -> Any:
        return self._stat("lstat", path)

    def listdir(self, path: bytes) -> Any:
        fd = self.guest.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if fd < 0:
            return fd
        self.guest.call("close", fd)
        return sorted(n for n in self.guest.names(path) if n not in (b".", b".."))


def _path(rng: random.Random) -> bytes:
    path = b"".join(b"/" + rng.choice(NAMES) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    kind = rng.random()
    if kind < 0.04:
        path += b"/"
    elif kind < 0.06:
        path += b"/."
    elif kind < 0.08:
        path += b"/.."
    elif kind < 0.09:
        path += b"/../" + rng.choice(NAMES)
    return path


def _operation(rng: random.Random) -> tuple[Any, ...]:
    op = rng.choice((
        "mkdir", "mkdir", "rmdir", "unlink", "rename", "rename", "link", "symlink", "mkfifo", "put", "put", "put",
        "get", "truncate", "chmod", "readlink", "stat", "lstat", "listdir",
    ))  # fmt: skip
    path = _path(rng)
    if op in ("rename", "link"):
        return op, path, _path(rng)
    if op == "symlink":
        return op, rng.choice((b"a", b"../b", b"c/d", b".", b"..", b"a/", b"nowhere")), path
    if op == "put":
        flags = rng.choice((
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_EXCL, os.O_WRONLY,
            os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
        ))  # fmt: skip
        return op, path, bytes([rng.randrange(256)]) * rng.choice((1, 10, 5000, 40000)), flags
    if op == "truncate":
        return op, path, rng.choice((0, 3, 20000))
    if op == "chmod":
        return op, path, rng.choice((0o700, 0o644, 0o1755, 0o4711, 0))
    return op, path


def _operation_of_users(rng: random.Random) -> tuple[Any, ...]:
    kind = rng.random()
    path = _path(rng)
    if kind < 0.10:
        return "become", rng.choice((0, 1000, 1000, 1001))
    if kind < 0.20:
        return "access", path, rng.randrange(8)
    if kind < 0.28:
        return "chown", path, rng.choice((-1, 0, 1000, 1001)), rng.choice((-1, 0, 1000, 2000))
    if kind < 0.32:
        return "utime", path
    if kind < 0.36:
        return "utimes", path
    if kind < 0.44:
        return "owner", path
    if kind < 0.58:
        return "chmod", path, rng.choice((0o777, 0o755, 0o1777, 0o2775, 0o6755, 0o770, 0o640, 0o500, 0o2644, 0o4777))
    op = _operation(rng)
    return op if op[0] != "chmod" else ("stat", path)


def _tree(top: bytes) -> dict[bytes, Any]:
    out: dict[bytes, Any] = {}
    for at, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            kind = st.st_mode >> 12
            body: Any = os.readlink(path) if kind == 10 else Path(os.fsdecode(path)).read_bytes() if kind == 8 else None
            out[path[len(top) :]] = st.st_mode, body, st.st_nlink if kind != 4 else 0
    return out


def _populate(top: Path, seed: int) -> None:
    native = Native(top)
    rng = random.Random(seed)
    for _ in range(8):
        native.run(*_operation(rng))
    native.close()


@pytest.mark.skipif(os.getuid() != 0, reason="chroot")
@pytest.mark.parametrize("kind", ["hostfs", "tmpfs", "overlay"])
@pytest.mark.parametrize("seed", range(8))
def test_random_calls(tmp_path: Path, kind: str, seed: int) -> None:
    os.umask(0o022)
    host, root, memory = (tmp_path / name for name in ("host", "root", "memory"))
    for directory in (host, root, memory):
        directory.mkdir()
    backing = Backing(os.open(memory, os.O_PATH))
    fs: FileSystem
    if kind == "hostfs":
        fs = HostFs(os.open(root, os.O_PATH))
    elif kind == "tmpfs":
        fs = TmpFs(backing, mode=0o755)
    else:
        _populate(host, seed + 1000)
        _populate(root, seed + 1000)
        fs = OverlayFs(HostFs(os.open(root, os.O_PATH)), backing)
    before = _tree(os.fsencode(root))
    native, ours = Native(host), Ours(Guest(fs))
    rng = random.Random(seed)
    for step in range(500):
        op = _operation(rng)
        expected, got = native.run(*op), ours.run(*op)
        assert got == expected, (step, op, got, expected)
    forget(fs.root)
    for path in sorted(_tree(os.fsencode(host))):
        assert ours.run("lstat", path) == native.run("lstat", path), path
        assert ours.run("get", path) == native.run("get", path), path
    for path in (b"/", *(p for p, v in _tree(os.fsencode(host)).items() if v[0] >> 12 == 4)):
        assert ours.run("listdir", path) == native.run("listdir", path), path
    if kind == "overlay":
        assert _tree(os.fsencode(root)) == before  # the lower layer was not written
    if kind == "hostfs":
        assert _tree(os.fsencode(root)) == _tree(os.fsencode(host))
    native.close()
    del ours, fs
    os.close(backing.dir_fd)


@pytest.mark.skipif(os.getuid() != 0, reason="chroot")
@pytest.mark.parametrize("kind", ["hostfs", "tmpfs"])
@pytest.mark.parametrize("seed", range(8))
def test_random_calls_of_users(tmp_path: Path, kind: str, seed: int) -> None:
    """Modes, owners, sticky and set-id bits, groups: who may do what."""
    os.umask(0o022)
    host, root, memory = (tmp_path / name for name in ("host", "root", "memory"))
    for directory in (host, root, memory):
        directory.mkdir()
        directory.chmod(0o777)
    backing = Backing(os.open(memory, os.O_PATH))
    fs: FileSystem = HostFs(os.open(root, os.O_PATH)) if kind == "hostfs" else TmpFs(backing, mode=0o777)
    native, ours = Native(host), Ours(Guest(fs))
    rng = random.Random(seed)
    for step in range(800):
        op = _operation_of_users(rng)
        expected, got = native.run(*op), ours.run(*op)
        assert got == expected, (step, op, got, expected)
    native.run("become", 0)
    ours.run("become", 0)
    forget(fs.root)
    for path in sorted(_tree(os.fsencode(host))):
        assert ours.run("owner", path) == native.run("owner", path), path
    native.close()
    del ours, fs
    os.close(backing.dir_fd)
