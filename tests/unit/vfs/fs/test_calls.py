"""Calls that the differential tests do not make: openat2, locks, copies, extended attributes, vectors, limits."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentry.abi.const import files as c
from sentry.abi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EDEADLK,
    EINVAL,
    ELOOP,
    ENODATA,
    ENOENT,
    ENOTDIR,
    EPERM,
    ERANGE,
    ESPIPE,
    EXDEV,
)
from sentry.abi.structs import FLOCK, OPEN_HOW, STATX
from sentry.creds import Credentials
from sentry.wait import Park
from syscalls.locks import fcntl_lock
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.fs.backing import Backing
from vfs.fs.hostfs import HostFs
from vfs.fs.overlay import OverlayFs
from vfs.fs.tmpfs import TmpFs

RW = os.O_RDWR
PARKED = -9999
USER = Credentials(1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)


@pytest.fixture(params=["hostfs", "tmpfs", "overlay"])
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Guest]:
    (tmp_path / "root").mkdir()
    (tmp_path / "memory").mkdir()
    backing = Backing(os.open(tmp_path / "memory", os.O_PATH))
    fs: Any = TmpFs(backing, mode=0o755)
    if request.param != "tmpfs":
        fs = HostFs(os.open(tmp_path / "root", os.O_PATH))
        if request.param == "overlay":
            fs = OverlayFs(fs, backing)
    yield Guest(fs)
    fs.shutdown()


def _openat2(guest: Guest, path: bytes, flags: int = 0, resolve: int = 0, dirfd: int = c.AT_FDCWD) -> int:
    return guest.call("openat2", dirfd, path, guest.place(OPEN_HOW.pack(flags, 0, resolve)), OPEN_HOW.size)


def test_openat2(guest: Guest) -> None:
    for name in (b"/a", b"/a/b"):
        assert guest.call("mkdir", name, 0o755) == 0
    guest.put(b"/a/f", b"inner")
    guest.put(b"/f", b"outer")
    guest.call("symlink", b"/f", b"/a/absolute")
    guest.call("symlink", b"../f", b"/a/up")
    guest.call("symlink", b"f", b"/a/near")
    guest.call("symlink", b"../../../f", b"/a/b/far")
    dirfd = guest.open(b"/a", os.O_DIRECTORY)
    beneath, in_root, no_links = c.RESOLVE_BENEATH, c.RESOLVE_IN_ROOT, c.RESOLVE_NO_SYMLINKS
    for path, resolve, result in (
        (b"f", beneath, b"inner"),
        (b"b/../f", beneath, b"inner"),
        (b"near", beneath, b"inner"),
        (b"../f", beneath, -EXDEV.code),
        (b"up", beneath, -EXDEV.code),
        (b"absolute", beneath, -EXDEV.code),
        (b"/f", beneath, -EXDEV.code),
        (b"b/far", beneath, -EXDEV.code),
        (b"absolute", in_root, b"inner"),
        (b"up", in_root, b"inner"),
        (b"b/far", in_root, b"inner"),
        (b"/f", in_root, b"inner"),
        (b"../../f", in_root, b"inner"),
        (b"near", no_links, -ELOOP.code),
        (b"up", 0, b"outer"),
    ):
        fd = _openat2(guest, path, 0, resolve, dirfd)
        if isinstance(result, bytes):
            assert fd >= 0 and guest.read(fd) == result, path
        else:
            assert fd == result, path
    assert _openat2(guest, b"/f", 1 << 40) == -EINVAL.code
    assert _openat2(guest, b"/f", 0, 1 << 20) == -EINVAL.code
    assert guest.call("openat2", dirfd, b"f", guest.place(OPEN_HOW.pack(0, 0, 0) + bytes(8)), 32) >= 0
    assert guest.call("openat2", dirfd, b"f", guest.place(OPEN_HOW.pack(0, 0, 0) + b"\1" * 8), 32) == -7
    assert guest.call("openat2", dirfd, b"f", guest.place(bytes(24)), 8) == -EINVAL.code


def test_opath(guest: Guest) -> None:
    guest.put(b"/f", b"x", 0o000)
    user = guest.other(USER)
    assert user.open(b"/f") == -EACCES.code
    fd = user.open(b"/f", c.O_PATH)
    assert fd >= 0
    assert user.fstat(fd).size == 1
    assert user.call("read", fd, BASE, 1) == -EBADF.code
    assert user.call("fchmod", fd, 0o777) == -EBADF.code
    assert user.call("newfstatat", fd, b"", BASE, c.AT_EMPTY_PATH) == 0
    assert user.call("openat", fd, b"x", 0, 0) == -ENOTDIR.code


def test_tmpfile(guest: Guest) -> None:
    fd = guest.open(b"/", c.O_TMPFILE | RW, 0o600)
    if fd == -95:
        pytest.skip("the host's file system has no O_TMPFILE")
    assert guest.write(fd, b"abc") == 3
    assert guest.pread(fd, 9, 0) == b"abc"
    assert guest.fstat(fd).nlink == 0
    assert [n for n in guest.names(b"/") if n not in (b".", b"..")] == []
    assert guest.open(b"/", c.O_TMPFILE) == -EINVAL.code


def test_vectors(guest: Guest) -> None:
    fd = guest.open(b"/f", RW | os.O_CREAT)
    parts = [guest.place(b"ab"), guest.place(b"cde")]
    iov = guest.place(struct.pack("<QQQQQQ", parts[0], 2, 0, 0, parts[1], 3))
    assert guest.call("writev", fd, iov, 3) == 5
    assert guest.call("pwritev", fd, iov, 3, 10) == 5
    assert guest.fstat(fd).size == 15
    into = guest.place(struct.pack("<QQQQ", BASE, 1, BASE + 100, 9))
    assert guest.call("preadv", fd, into, 2, 1) == 10
    assert guest.mem.read(BASE, 1) + guest.mem.read(BASE + 100, 9) == b"bcde\0\0\0\0\0a"
    assert guest.call("lseek", fd, 3, 0) == 3
    assert guest.call("readv", fd, into, 2) == 10
    assert guest.call("preadv2", fd, into, 2, 2**64 - 1, 0, 0) == 2
    assert guest.call("pwritev2", fd, iov, 3, 0, 0, 16) == 5  # RWF_APPEND
    assert guest.fstat(fd).size == 20
    assert guest.call("writev", fd, iov, 1025) == -EINVAL.code
    assert guest.call("pread64", fd, BASE, 4, -1) == -EINVAL.code


def test_long_reads_and_writes(guest: Guest) -> None:
    fd = guest.open(b"/f", RW | os.O_CREAT)
    data = os.urandom(3 << 20)
    guest.mem.write(BASE, data)
    assert guest.call("write", fd, BASE, len(data)) == len(data)
    guest.mem.write(BASE, bytes(len(data)))
    assert guest.call("lseek", fd, 0, 0) == 0
    assert guest.call("read", fd, BASE, len(data) + 100) == len(data)
    assert guest.mem.read(BASE, len(data)) == data
    guest.mem.write(BASE, bytes(len(data)))
    assert guest.call("pread64", fd, BASE, len(data), 5) == len(data) - 5
    assert guest.mem.read(BASE, len(data) - 5) == data[5:]
    assert guest.call("pwrite64", fd, BASE, len(data), 1) == len(data)


def test_very_long_reads_let_others_run(guest: Guest) -> None:
    size = 21 << 20
    fd = guest.open(b"/f", RW | os.O_CREAT)
    assert guest.call("ftruncate", fd, size) == 0
    assert guest.call("pwrite64", fd, guest.place(b"end"), 3, size - 3) == 3
    iov = guest.place(struct.pack("<QQ", BASE, 1 << 20) * 30)  # the same MiB again and again
    assert guest.call("readv", fd, iov, 30) == PARKED
    assert guest.parked is not None and len(guest.deferred) == 1
    assert guest.parked.interrupted is not None and guest.parked.interrupted() == 8 << 20
    with pytest.raises(EAGAIN):
        guest.parked.op()
    assert guest.parked.op() == size
    assert guest.mem.read(BASE + (1 << 20) - 3, 3) == b"end"
    assert guest.call("lseek", fd, 0, 0) == 0
    assert guest.call("writev", fd, iov, 30) == PARKED
    assert guest.call("lseek", fd, 0, 1) == 8 << 20


def test_file_size_limit(guest: Guest) -> None:
    fd = guest.open(b"/f", RW | os.O_CREAT)
    guest.t.group.limits.fsize = 10
    assert guest.write(fd, b"x" * 8) == 8
    assert guest.write(fd, b"x" * 8) == 2
    assert guest.write(fd, b"x") == -27
    assert guest.call("ftruncate", fd, 11) == -27
    assert guest.t.kernel.signals.sent == [25, 25]
    guest.t.group.limits.fsize = (1 << 64) - 1


def test_writing_clears_set_id(guest: Guest) -> None:
    guest.put(b"/f", b"x")
    assert guest.call("chmod", b"/f", 0o6777) == 0
    fd = guest.open(b"/f", RW)
    assert guest.write(fd, b"y") == 1
    assert guest.stat(b"/f").mode & 0o7777 == 0o6777  # root keeps it
    user = guest.other(USER)
    fd = user.open(b"/f", RW)
    assert user.write(fd, b"y") == 1
    assert guest.stat(b"/f").mode & 0o7777 == 0o777


def test_xattrs(guest: Guest) -> None:
    guest.put(b"/f", b"")
    name, value = b"user.color", b"red"
    code = guest.call("setxattr", b"/f", name, value, 3, 0)
    if code == -95:
        pytest.skip("the host's file system has no user attributes")
    assert code == 0
    assert guest.call("setxattr", b"/f", name, value, 3, 1) == -17
    assert guest.call("setxattr", b"/f", b"user.none", value, 3, 2) == -ENODATA.code
    assert guest.call("getxattr", b"/f", name, BASE, 0) == 3
    assert guest.call("getxattr", b"/f", name, BASE, 2) == -ERANGE.code
    assert guest.call("getxattr", b"/f", name, BASE, 100) == 3
    assert guest.mem.read(BASE, 3) == b"red"
    assert guest.call("listxattr", b"/f", BASE, 100) == len(name) + 1
    fd = guest.open(b"/f")
    assert guest.call("fremovexattr", fd, name) == 0
    assert guest.call("fgetxattr", fd, name, BASE, 100) == -ENODATA.code
    user = guest.other(USER)
    assert user.call("setxattr", b"/f", name, value, 3, 0) == -EACCES.code
    assert user.call("setxattr", b"/f", b"trusted.x", value, 3, 0) == -EPERM.code
    assert user.call("getxattr", b"/f", b"trusted.x", BASE, 3) == -ENODATA.code
    assert user.call("setxattr", b"/f", b"odd", value, 3, 0) == -95
    assert guest.call("symlink", b"f", b"/l") == 0
    assert guest.call("lsetxattr", b"/l", name, value, 3, 0) == -EPERM.code


# -- locks ---------------------------------------------------------------------------------------------------------


def _lock(guest: Guest, fd: int, cmd: int, kind: int, start: int = 0, length: int = 0, pid: int = 0) -> Any:
    addr = guest.place(FLOCK.pack(kind, 0, start, length, pid))
    try:
        code = fcntl_lock(guest.t, fd, guest.t.fds.get(fd), cmd, addr)
    except (EAGAIN, EDEADLK, EINVAL, EBADF) as err:
        return -err.code
    except Park as park:
        return park
    return FLOCK.unpack(guest.mem.read(addr, FLOCK.size)) if cmd in (c.F_GETLK, c.F_OFD_GETLK) else code


def test_record_locks(guest: Guest) -> None:
    guest.put(b"/f", b"0123456789")
    other = guest.other(guest.t.creds)
    one, two = guest.open(b"/f", RW), other.open(b"/f", RW)
    assert _lock(guest, one, c.F_SETLK, c.F_WRLCK, 0, 10) == 0
    assert _lock(other, two, c.F_SETLK, c.F_RDLCK, 5, 1) == -EAGAIN.code
    assert _lock(other, two, c.F_GETLK, c.F_WRLCK, 5, 1) == (c.F_WRLCK, 0, 0, 10, 7)
    assert _lock(other, two, c.F_SETLK, c.F_WRLCK, 10, 0) == 0
    assert _lock(guest, one, c.F_SETLK, c.F_UNLCK, 3, 4) == 0  # leaves 0-2 and 7-9
    assert _lock(other, two, c.F_SETLK, c.F_WRLCK, 3, 4) == 0
    assert _lock(other, two, c.F_GETLK, c.F_RDLCK, 0, 0)[2:4] == (0, 3)
    assert _lock(guest, one, c.F_SETLK, c.F_RDLCK, 0, 3) == 0  # a write lock becomes a read lock
    assert _lock(other, two, c.F_SETLK, c.F_RDLCK, 0, 3) == 0
    assert _lock(guest, one, c.F_GETLK, c.F_WRLCK, 0, 3)[0] == c.F_RDLCK
    parked = _lock(guest, one, c.F_SETLKW, c.F_WRLCK, 3, 2)
    assert isinstance(parked, Park)
    assert _lock(other, two, c.F_SETLKW, c.F_WRLCK, 7, 1) == -EDEADLK.code
    again = guest.open(b"/f")
    assert guest.call("close", again) == 0  # any close drops all of this process
    assert _lock(other, two, c.F_SETLK, c.F_WRLCK, 7, 3) == 0
    assert other.call("close", two) == 0
    assert parked.op() == 0
    assert _lock(guest, one, c.F_SETLK, c.F_UNLCK, -1, 5) == -EINVAL.code
    reader = guest.open(b"/f")
    assert _lock(guest, reader, c.F_SETLK, c.F_WRLCK) == -EBADF.code


def test_open_file_description_locks(guest: Guest) -> None:
    guest.put(b"/f", b"")
    one, two = guest.open(b"/f", RW), guest.open(b"/f", RW)
    assert _lock(guest, one, c.F_OFD_SETLK, c.F_WRLCK) == 0
    assert _lock(guest, two, c.F_OFD_SETLK, c.F_WRLCK) == -EAGAIN.code
    assert _lock(guest, two, c.F_OFD_GETLK, c.F_WRLCK)[4] == -1
    assert _lock(guest, two, c.F_OFD_SETLK, c.F_WRLCK, pid=5) == -EINVAL.code
    assert guest.call("close", guest.call("dup", one)) == 0
    assert _lock(guest, two, c.F_OFD_SETLK, c.F_WRLCK) == -EAGAIN.code
    assert guest.call("close", one) == 0
    assert _lock(guest, two, c.F_OFD_SETLK, c.F_WRLCK) == 0


def test_flock(guest: Guest) -> None:
    guest.put(b"/f", b"")
    one, two, three = (guest.open(b"/f") for _ in range(3))
    assert guest.call("flock", one, c.LOCK_SH) == 0
    assert guest.call("flock", two, c.LOCK_SH) == 0
    assert guest.call("flock", three, c.LOCK_EX | c.LOCK_NB) == -EAGAIN.code
    assert guest.call("flock", three, c.LOCK_EX) == PARKED
    assert guest.call("flock", one, c.LOCK_UN) == 0
    assert guest.call("flock", two, c.LOCK_EX | c.LOCK_NB) == 0
    copy = guest.call("dup", two)
    assert guest.call("close", two) == 0
    assert guest.call("flock", three, c.LOCK_SH | c.LOCK_NB) == -EAGAIN.code
    assert guest.call("close", copy) == 0
    assert guest.call("flock", three, c.LOCK_SH | c.LOCK_NB) == 0
    assert guest.call("flock", three, 0) == -EINVAL.code


# -- copies --------------------------------------------------------------------------------------------------------


def test_sendfile_and_copy_file_range(guest: Guest) -> None:
    data = os.urandom(300_000)
    guest.put(b"/a", data)
    source, target = guest.open(b"/a"), guest.open(b"/b", RW | os.O_CREAT)
    assert guest.call("sendfile", target, source, 0, 100) == 100
    offset = guest.place((1000).to_bytes(8, "little"))
    assert guest.call("sendfile", target, source, offset, 1 << 30) == len(data) - 1000
    assert guest.mem.u64(offset) == len(data)
    assert guest.get(b"/b") == data[:100] + data[1000:]
    assert guest.call("lseek", source, 0, 1) == 100
    start = guest.place(bytes(8))
    assert guest.call("copy_file_range", source, start, target, start, 1 << 20, 0) == len(data)
    assert guest.get(b"/b") == data
    assert guest.call("copy_file_range", source, 0, target, 0, 10, 1) == -EINVAL.code
    assert guest.call("copy_file_range", target, start, target, start, 10, 0) == -EINVAL.code
    assert guest.call("copy_file_range", target, 0, source, 0, 10, 0) == -EBADF.code


def test_splice_and_tee(guest: Guest) -> None:
    guest.put(b"/a", b"0123456789")
    assert guest.call("pipe2", BASE, os.O_NONBLOCK) == 0
    reader, writer = guest.mem.u64(BASE) & 0xFFFFFFFF, guest.mem.u64(BASE) >> 32
    assert guest.call("pipe2", BASE, os.O_NONBLOCK) == 0
    reader2, writer2 = guest.mem.u64(BASE) & 0xFFFFFFFF, guest.mem.u64(BASE) >> 32
    fd = guest.open(b"/a", RW)
    offset = guest.place((2).to_bytes(8, "little"))
    assert guest.call("splice", fd, offset, writer, 0, 5, 0) == 5
    assert guest.mem.u64(offset) == 7
    assert guest.call("tee", reader, writer2, 100, 0) == 5
    assert guest.read(reader2) == b"23456"
    assert guest.call("splice", reader, 0, fd, offset, 100, 0) == 5
    assert guest.get(b"/a") == b"012345623456"
    assert guest.call("splice", reader, 0, fd, 0, 100, 0) == -EAGAIN.code
    assert guest.call("splice", reader, offset, fd, 0, 1, 0) == -ESPIPE.code
    assert guest.call("splice", fd, 0, fd, 0, 1, 0) == -EINVAL.code
    iov = guest.place(struct.pack("<QQ", guest.place(b"hello"), 5))
    assert guest.call("vmsplice", writer, iov, 1, 0) == 5
    assert guest.read(reader) == b"hello"


# -- places --------------------------------------------------------------------------------------------------------


def test_cwd_root_and_names(guest: Guest) -> None:
    for name in (b"/a", b"/a/b", b"/jail"):
        assert guest.call("mkdir", name, 0o755) == 0
    assert guest.cwd() == b"/"
    assert guest.call("chdir", b"a/b/") == 0
    assert guest.cwd() == b"/a/b"
    assert guest.call("getcwd", BASE, 4) == -ERANGE.code
    assert guest.call("rmdir", b"../b") == 0
    assert guest.call("getcwd", BASE, 100) == -ENOENT.code
    assert guest.open(b"x", os.O_CREAT | RW) == -ENOENT.code
    assert guest.open(b".", os.O_DIRECTORY) >= 0
    fd = guest.open(b"/a", os.O_DIRECTORY)
    assert guest.call("fchdir", fd) == 0
    assert guest.call("chroot", b"/jail") == 0
    assert guest.call("getcwd", BASE, 100) > 0
    assert guest.mem.read(BASE, 15) == b"(unreachable)/a"
    assert guest.call("chdir", b"/") == 0
    assert guest.cwd() == b"/"
    assert guest.open(b"../../a", os.O_DIRECTORY) == -ENOENT.code
    assert guest.other(USER).call("chroot", b"/") == -EPERM.code


def test_statx(guest: Guest) -> None:
    guest.put(b"/f", b"abc", 0o640)
    assert guest.call("statx", c.AT_FDCWD, b"/f", 0, c.STATX_BASIC_STATS, BASE) == 0
    mask, _, _, nlink, _, _, mode, ino, size, *_ = STATX.unpack(guest.mem.read(BASE, STATX.size))
    st = guest.stat(b"/f")
    assert (nlink, mode, ino, size) == (1, 0o100640, st.ino, 3)
    assert mask & c.STATX_BASIC_STATS == c.STATX_BASIC_STATS
    fd = guest.open(b"/f")
    assert guest.call("statx", fd, b"", c.AT_EMPTY_PATH, c.STATX_BASIC_STATS, BASE) == 0
    assert guest.call("statx", fd, b"", 0, c.STATX_BASIC_STATS, BASE) == -ENOENT.code
    assert guest.call("statx", fd, b"f", 1 << 30, 0, BASE) == -EINVAL.code


def test_times(guest: Guest) -> None:
    guest.put(b"/f", b"")
    times = guest.place(struct.pack("<qqqq", 1, 500, 2, 0x3FFFFFFE))  # the second is UTIME_OMIT
    before = guest.stat(b"/f").mtime_ns
    assert guest.call("utimensat", c.AT_FDCWD, b"/f", times, 0) == 0
    st = guest.stat(b"/f")
    assert (st.atime_ns, st.mtime_ns) == (1_000_000_500, before)
    user = guest.other(USER)
    assert user.call("utimensat", c.AT_FDCWD, b"/f", times, 0) == -EPERM.code
    assert user.call("utimensat", c.AT_FDCWD, b"/f", 0, 0) == -EACCES.code
    bad = guest.place(struct.pack("<qqqq", 1, 10**9, 2, 0))
    assert guest.call("utimensat", c.AT_FDCWD, b"/f", bad, 0) == -EINVAL.code
    fd = guest.open(b"/f")
    assert guest.call("utimensat", fd, 0, times, 0) == 0


def test_times_before_1970(guest: Guest) -> None:
    guest.put(b"/f", b"")
    times = guest.place(struct.pack("<qqqq", -5, 999_999_999, -(1 << 31), 0))
    assert guest.call("utimensat", c.AT_FDCWD, b"/f", times, 0) == 0
    assert guest.call("stat", b"/f", BASE) == 0
    seconds = struct.unpack_from("<qQqQ", guest.mem.read(BASE, 144), 72)
    assert seconds == (-5, 999_999_999, -(1 << 31), 0)
    assert guest.call("statx", c.AT_FDCWD, b"/f", 0, c.STATX_BASIC_STATS, BASE) == 0


def test_mtime_moves_with_contents(guest: Guest) -> None:
    guest.put(b"/f", b"")
    old = guest.place(struct.pack("<qqqq", 1, 0, 1, 0))
    assert guest.call("utimensat", c.AT_FDCWD, b"/f", old, 0) == 0
    fd = guest.open(b"/f", RW)
    assert guest.fstat(fd).mtime_ns == 10**9
    guest.write(fd, b"x")
    assert guest.fstat(fd).mtime_ns > 10**18
    assert guest.call("mkdir", b"/d", 0o755) == 0
    assert guest.call("utimensat", c.AT_FDCWD, b"/d", old, 0) == 0
    assert guest.stat(b"/d").mtime_ns == 10**9
    guest.put(b"/d/f", b"")
    assert guest.stat(b"/d/.").mtime_ns > 10**18
    assert guest.stat(b"/d").mtime_ns > 10**18


def test_tmpfile_gets_a_name(guest: Guest) -> None:
    fd = guest.open(b"/", c.O_TMPFILE | RW, 0o600)
    if fd == -95:
        pytest.skip("the host's file system has no O_TMPFILE")
    assert guest.write(fd, b"abc") == 3
    assert guest.call("linkat", fd, b"", c.AT_FDCWD, b"/named", c.AT_EMPTY_PATH) == 0
    assert guest.get(b"/named") == b"abc"
    assert guest.fstat(fd).nlink == 1
    assert guest.call("unlink", b"/named") == 0
    assert guest.call("linkat", fd, b"", c.AT_FDCWD, b"/again", c.AT_EMPTY_PATH) == -ENOENT.code


def test_guests_cannot_take_all_descriptors(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    from vfs.fs.host_file import budget

    guest.put(b"/f", b"")
    monkeypatch.setattr(budget, "left", 3)
    found = [guest.open(b"/f") for _ in range(5)]
    if found[4] < 0:
        assert found[3:] == [-23, -23]
        assert guest.call("close", found[0]) == 0
        assert guest.open(b"/f") >= 0
