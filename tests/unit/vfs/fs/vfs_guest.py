"""A task with a tree of mounts: handlers are called through the real table, with a flat guest memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.errno import Errno
from sentry.abi.structs import STAT
from sentry.creds import ROOT, Credentials
from sentry.kernel.fs_context import FsContext
from sentry.wait import Park
from syscalls import registry, table
from tests.unit.guest_memory import GuestMemory
from vfs.core.fd_table import FdTable
from vfs.core.mount import Mount, MountNamespace
from vfs.core.node import FileSystem

BASE, SIZE = 0x10000, 8 << 20
SCRATCH = BASE + (4 << 20)
MASK = (1 << 64) - 1


class Signals:
    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_task(self, task: Any, signo: int, info: Any = None) -> None:
        self.sent.append(signo)

    def sigpipe(self, t: Any) -> None:
        self.sent.append(13)


class Guest:
    """`guest.call("open", b"/x", flags)`: bytes become addresses of NUL-terminated copies; Errnos negative numbers."""

    def __init__(self, root: FileSystem, creds: Credentials = ROOT, flags: int = 0) -> None:
        mount = Mount(root, root.root, flags)
        self.mounts = MountNamespace(mount)
        kernel = SimpleNamespace(mounts=self.mounts, signals=Signals(), backing=-1, lingering=None)
        kernel.now_ns = lambda: 10**9
        kernel.realtime_ns = lambda: 1_700_000_000 * 10**9
        kernel.find_group = lambda pid: None
        self.deferred: list[Callable[[], None]] = []
        kernel.defer = self.deferred.append
        top = mount.top()
        limits = SimpleNamespace(fsize=MASK, nofile=1024)
        group = SimpleNamespace(pid=7, host_pid=7, limits=limits, tasks={})
        self.mem = GuestMemory(BASE, SIZE)
        self.t: Any = SimpleNamespace(
            kernel=kernel, group=group, tid=7, host_tid=7, creds=creds, mem=self.mem, fds=FdTable(1024),
            fs=FsContext(top, top, 0o022), in_place=None,
        )  # fmt: skip
        kernel.tasks = {7: self.t}
        self.calls = table.table("x86_64")
        self.numbers = registry.numbers("x86_64")
        self._next = SCRATCH
        self.parked: Park | None = None

    def other(self, creds: Credentials) -> Guest:
        """Another process in the same tree."""
        new = Guest.__new__(Guest)
        new.__dict__.update(self.__dict__)
        t = self.t
        group = SimpleNamespace(pid=8, host_pid=8, limits=t.group.limits, tasks={})
        new.t = SimpleNamespace(
            kernel=t.kernel, group=group, tid=8, host_tid=8, creds=creds, mem=self.mem, fds=FdTable(1024),
            fs=t.fs.copy(), in_place=None,
        )  # fmt: skip
        t.kernel.tasks[8] = new.t
        return new

    def place(self, data: bytes) -> int:
        if self._next + len(data) + 1 > BASE + SIZE:
            self._next = SCRATCH
        addr = self._next
        self.mem.write(addr, data)
        self._next += (len(data) + 16) & ~15
        return addr

    def call(self, name: str, *args: int | bytes) -> int:
        raw = [self.place(a + b"\0") if isinstance(a, bytes) else a & MASK for a in args] + [0] * 6
        try:
            return self.calls[self.numbers[name]](self.t, tuple(raw[:6]))  # type: ignore[arg-type]
        except Errno as err:
            return -err.code
        except Park as park:
            self.parked = park
            return -9999

    # short cuts, all by handlers ---------------------------------------------------------------------------------
    def open(self, path: bytes, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
        return self.call("openat", AT_FDCWD, path, flags, mode)

    def write(self, fd: int, data: bytes) -> int:
        return self.call("write", fd, self.place(data), len(data))

    def read(self, fd: int, size: int = 1 << 16) -> bytes:
        count = self.call("read", fd, BASE, size)
        assert count >= 0, count
        return self.mem.read(BASE, count)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        count = self.call("pread64", fd, BASE, size, offset)
        assert count >= 0, count
        return self.mem.read(BASE, count)

    def put(self, path: bytes, data: bytes, mode: int = 0o644) -> None:
        fd = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        assert fd >= 0, (path, fd)
        assert self.write(fd, data) == len(data)
        assert self.call("close", fd) == 0

    def get(self, path: bytes) -> bytes:
        fd = self.open(path)
        assert fd >= 0, (path, fd)
        data = self.read(fd, 1 << 20)
        self.call("close", fd)
        return data

    def stat(self, path: bytes, follow: bool = True) -> Any:
        code = self.call("stat" if follow else "lstat", path, BASE)
        assert code == 0, (path, code)
        return self._stat_at()

    def fstat(self, fd: int) -> Any:
        assert self.call("fstat", fd, BASE) == 0
        return self._stat_at()

    def _stat_at(self) -> Any:
        v = STAT.unpack(self.mem.read(BASE, STAT.size))
        return SimpleNamespace(
            dev=v[0], ino=v[1], nlink=v[2], mode=v[3], uid=v[4], gid=v[5], rdev=v[6], size=v[7], blocks=v[9],
            atime_ns=v[10] * 10**9 + v[11], mtime_ns=v[12] * 10**9 + v[13], ctime_ns=v[14] * 10**9 + v[15],
        )  # fmt: skip

    def names(self, path: bytes, size: int = 4096) -> list[bytes]:
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        assert fd >= 0, (path, fd)
        found = []
        while True:
            count = self.call("getdents64", fd, BASE, size)
            assert count >= 0, count
            if not count:
                break
            data, at = self.mem.read(BASE, count), 0
            while at < count:
                length = int.from_bytes(data[at + 16 : at + 18], "little")
                found.append(data[at + 19 : at + length].partition(b"\0")[0])
                at += length
        self.call("close", fd)
        return found

    def readlink(self, path: bytes) -> bytes:
        count = self.call("readlink", path, BASE, 4096)
        assert count >= 0, count
        return self.mem.read(BASE, count)

    def cwd(self) -> bytes:
        count = self.call("getcwd", BASE, 4096)
        assert count > 0, count
        return self.mem.read(BASE, count - 1)
