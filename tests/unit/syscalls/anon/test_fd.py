"""close, dup, dup2, dup3, close_range, fcntl: a model of the table of descriptors, and single rules."""

from __future__ import annotations

import os
import socket
from fcntl import fcntl as host_fcntl
from fcntl import ioctl as host_ioctl
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import syscalls.eventfd
import syscalls.fcntl
import syscalls.fd
import syscalls.ioctl
import syscalls.pipe
import syscalls.socket  # noqa: F401
from sentry.abi import flags as abi
from syscalls.registry import CONTINUE
from tests.unit.syscalls.anon.fake_kernel import BASE, call, make_task
from vfs.core.file import File

EBADF, EINVAL, EMFILE, EFAULT, ENOTTY, EPERM, EBUSY = -9, -22, -24, -14, -25, -1, -16
LIMIT = 12


class Counted(File):
    """A file that knows whether it was let go."""

    def __init__(self, serial: int) -> None:
        super().__init__(2)
        self.serial = serial
        self.released = 0

    def release(self) -> None:
        self.released += 1


class TableMachine(RuleBasedStateMachine):
    """Random descriptor calls against a dict; a file is released exactly when its last number goes."""

    def __init__(self) -> None:
        super().__init__()
        self.t = make_task()
        self.t.fds.limit = LIMIT
        self.model: dict[int, tuple[int, bool]] = {}
        self.files: list[Counted] = []

    def lowest(self, least: int = 0) -> int:
        return next((fd for fd in range(least, LIMIT) if fd not in self.model), EMFILE)

    @rule(cloexec=st.booleans())
    def open(self, cloexec: bool) -> None:
        fd = self.lowest()
        if fd >= 0:
            file = Counted(len(self.files))
            self.files.append(file)
            assert self.t.fds.install(file, cloexec) == fd
            self.model[fd] = (file.serial, cloexec)

    @rule(fd=st.integers(-1, LIMIT))
    def close(self, fd: int) -> None:
        assert call(self.t, "close", fd) == (0 if self.model.pop(fd, None) else EBADF)

    @rule(fd=st.integers(-1, LIMIT))
    def dup(self, fd: int) -> None:
        wanted = self.lowest() if fd in self.model else EBADF
        assert call(self.t, "dup", fd) == wanted
        if wanted >= 0:
            self.model[wanted] = (self.model[fd][0], False)

    @rule(old=st.integers(-1, LIMIT), new=st.integers(-1, LIMIT))
    def dup2(self, old: int, new: int) -> None:
        good = old in self.model and 0 <= new < LIMIT
        assert call(self.t, "dup2", old, new) == (new if good else EBADF)
        if good and old != new:
            self.model[new] = (self.model[old][0], False)

    @rule(old=st.integers(-1, LIMIT), new=st.integers(-1, LIMIT), cloexec=st.booleans())
    def dup3(self, old: int, new: int, cloexec: bool) -> None:
        good = old in self.model and 0 <= new < LIMIT
        flags = abi.O_CLOEXEC if cloexec else 0
        assert call(self.t, "dup3", old, new, flags) == (EINVAL if old == new else new if good else EBADF)
        if good and old != new:
            self.model[new] = (self.model[old][0], cloexec)

    @rule(fd=st.integers(0, LIMIT), least=st.integers(-1, LIMIT), cloexec=st.booleans())
    def dup_above(self, fd: int, least: int, cloexec: bool) -> None:
        wanted = EBADF if fd not in self.model else EINVAL if not 0 <= least < LIMIT else self.lowest(least)
        assert call(self.t, "fcntl", fd, abi.F_DUPFD_CLOEXEC if cloexec else abi.F_DUPFD, least) == wanted
        if wanted >= 0:
            self.model[wanted] = (self.model[fd][0], cloexec)

    @rule(fd=st.integers(0, LIMIT), on=st.booleans())
    def set_cloexec(self, fd: int, on: bool) -> None:
        assert call(self.t, "fcntl", fd, abi.F_SETFD, int(on)) == (0 if fd in self.model else EBADF)
        if fd in self.model:
            self.model[fd] = (self.model[fd][0], on)

    @rule(first=st.integers(0, LIMIT), last=st.integers(0, 1 << 32), mark=st.booleans())
    def close_range(self, first: int, last: int, mark: bool) -> None:
        last &= 0xFFFFFFFF
        wanted = EINVAL if first > last else 0
        assert call(self.t, "close_range", first, last, abi.CLOSE_RANGE_CLOEXEC if mark else 0) == wanted
        if wanted == 0:
            for fd in [fd for fd in self.model if first <= fd <= last]:
                if mark:
                    self.model[fd] = (self.model[fd][0], True)
                else:
                    del self.model[fd]

    @rule()
    def execve(self) -> None:
        self.t.fds.close_on_exec()
        self.model = {fd: entry for fd, entry in self.model.items() if not entry[1]}

    @rule()
    def fork_and_exit(self) -> None:
        self.t.fds.copy().release()

    @invariant()
    def same(self) -> None:
        assert {fd: (f.serial, fd in self.t.fds.cloexec) for fd, f in self.t.fds.files.items()} == self.model
        named = [serial for serial, _ in self.model.values()]
        for file in self.files:
            assert file.refs == named.count(file.serial)
            assert file.released == (0 if file.refs else 1)
        for fd in range(LIMIT):
            assert call(self.t, "fcntl", fd, abi.F_GETFD) == (int(self.model[fd][1]) if fd in self.model else EBADF)


TableMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestTableMachine = TableMachine.TestCase


@pytest.fixture
def t() -> Any:
    return make_task()


def pipe(t: Any, flags: int = 0) -> tuple[int, int]:
    assert call(t, "pipe2", BASE, flags) == 0
    return t.mem.i32(BASE), t.mem.i32(BASE + 4)


def test_close_of_an_injected_number_runs_on_the_host_too(t: Any) -> None:
    file = Counted(0)
    fd = t.fds.install(file)
    t.fds.injected[fd] = (file, False)
    assert call(t, "close", fd) == CONTINUE
    assert not t.fds.injected
    assert call(t, "close", fd) == EBADF


def test_pipe2_leaves_nothing_behind_on_errors(t: Any) -> None:
    assert call(t, "pipe2", 0, 0) == EFAULT
    assert not t.fds.files
    assert call(t, "pipe2", BASE, abi.O_APPEND) == EINVAL
    t.fds.limit = 1
    assert call(t, "pipe2", BASE, 0) == EMFILE
    assert not t.fds.files


def test_pipe2_flags(t: Any) -> None:
    reader, writer = pipe(t, abi.O_CLOEXEC | abi.O_NONBLOCK)
    assert t.fds.cloexec == {reader, writer}
    assert call(t, "fcntl", reader, abi.F_GETFL) == abi.O_NONBLOCK
    assert call(t, "fcntl", writer, abi.F_GETFL) == abi.O_NONBLOCK | abi.O_WRONLY


def test_close_range_unshare(t: Any) -> None:
    reader, writer = pipe(t)
    shared = t.fds
    shared.users = 2
    assert call(t, "close_range", reader, reader, abi.CLOSE_RANGE_UNSHARE) == 0
    assert t.fds is not shared and reader not in t.fds and writer in t.fds
    assert reader in shared and shared.users == 1 and t.fds.users == 1


def test_status_flags(t: Any) -> None:
    reader, writer = pipe(t)
    assert call(t, "fcntl", writer, abi.F_SETFL, abi.O_RDWR | abi.O_CREAT | abi.O_NONBLOCK) == 0
    assert call(t, "fcntl", writer, abi.F_GETFL) == abi.O_WRONLY | abi.O_NONBLOCK
    t.mem.put_i32(BASE, 0)
    assert call(t, "ioctl", writer, abi.FIONBIO, BASE) == 0
    assert call(t, "fcntl", writer, abi.F_GETFL) == abi.O_WRONLY
    assert call(t, "ioctl", writer, abi.FIOCLEX) == 0
    assert call(t, "fcntl", writer, abi.F_GETFD) == 1
    assert call(t, "ioctl", writer, abi.FIONCLEX) == 0
    assert call(t, "fcntl", writer, abi.F_GETFD) == 0
    assert call(t, "fcntl", writer, 9999) == EINVAL
    assert call(t, "ioctl", writer, 0x5401, BASE) == ENOTTY
    assert reader == 0


def test_o_path_descriptors(t: Any) -> None:
    fd = t.fds.install(File(abi.O_PATH))
    for cmd, wanted in ((abi.F_GETFD, 0), (abi.F_GETFL, abi.O_PATH), (abi.F_SETFL, EBADF), (abi.F_GETOWN, EBADF)):
        assert call(t, "fcntl", fd, cmd) == wanted
    assert call(t, "ioctl", fd, abi.FIONBIO, BASE) == EBADF
    assert call(t, "dup", fd) == fd + 1


def test_pipe_size(t: Any) -> None:
    reader, writer = pipe(t)
    assert call(t, "fcntl", reader, abi.F_GETPIPE_SZ) == 65536
    t.fds.get(writer).write(b"x" * 5000)
    t.mem.put_i32(BASE, 0)
    assert call(t, "ioctl", reader, abi.FIONREAD, BASE) == 0 and t.mem.i32(BASE) == 5000
    assert call(t, "fcntl", writer, abi.F_SETPIPE_SZ, 100) == EBUSY
    assert call(t, "fcntl", writer, abi.F_SETPIPE_SZ, 8000) == 8192
    assert call(t, "fcntl", writer, abi.F_SETPIPE_SZ, 4 << 20) == EPERM
    fd = t.fds.install(Counted(0))
    assert call(t, "fcntl", fd, abi.F_GETPIPE_SZ) == EBADF


def test_owner_and_sigio(t: Any) -> None:
    reader, writer = pipe(t)
    assert call(t, "fcntl", reader, abi.F_GETOWN) == 0
    assert call(t, "fcntl", reader, abi.F_SETOWN, 555) == -3
    assert call(t, "fcntl", reader, abi.F_SETOWN, 100) == 0
    assert call(t, "fcntl", reader, abi.F_GETOWN) == 100
    assert call(t, "fcntl", reader, abi.F_SETSIG, 65) == EINVAL
    assert call(t, "fcntl", reader, abi.F_SETFL, abi.O_ASYNC) == 0
    t.fds.get(writer).write(b"x")
    t.fds.get(writer).write(b"y")
    t.kernel.run_deferred()
    assert t.kernel.signals.sent == [(t.group, 29)]
    assert call(t, "fcntl", reader, abi.F_SETSIG, 40) == 0
    t.fds.get(writer).write(b"z")
    t.kernel.run_deferred()
    assert t.kernel.signals.sent[1:] == [(t.group, 40)]
    assert call(t, "fcntl", reader, abi.F_SETFL, 0) == 0
    t.fds.get(writer).write(b"z")
    assert not t.kernel.deferred
    assert call(t, "fcntl", reader, abi.F_SETFL, abi.O_ASYNC) == 0
    copy = call(t, "dup", writer)
    watch = t.fds.get(reader)
    call(t, "close", reader)
    call(t, "close", writer)
    call(t, "close", copy)  # wakes the read end, which is nobody's by now
    t.kernel.run_deferred()
    assert len(t.kernel.signals.sent) == 2 and watch.refs == 0
    reader, writer = pipe(t)
    t.mem.put_i32(BASE, abi.F_OWNER_TID)
    t.mem.put_i32(BASE + 4, 100)
    assert call(t, "fcntl", reader, abi.F_SETOWN_EX, BASE) == 0
    assert call(t, "fcntl", reader, abi.F_GETOWN_EX, BASE + 8) == 0
    assert (t.mem.i32(BASE + 8), t.mem.i32(BASE + 12)) == (abi.F_OWNER_TID, 100)


def test_dupfd_query(t: Any) -> None:
    reader, writer = pipe(t)
    copy = call(t, "dup", reader)
    assert call(t, "fcntl", reader, abi.F_DUPFD_QUERY, copy) == 1
    assert call(t, "fcntl", reader, abi.F_DUPFD_QUERY, writer) == 0
    assert call(t, "fcntl", reader, abi.F_DUPFD_QUERY, 77) == EBADF


@pytest.mark.parametrize("kind", ["pipe", "socket", "eventfd"])
def test_flags_that_not_every_file_knows(t: Any, kind: str) -> None:
    """O_DIRECT and O_ASYNC by fcntl and ioctl: the host is asked what it says."""
    host_fds: tuple[int, ...]
    if kind == "pipe":
        fd, host_fds = pipe(t)[0], os.pipe()
    elif kind == "socket":
        assert call(t, "socketpair", abi.AF_UNIX, abi.SOCK_STREAM, 0, BASE) == 0
        fd, host_fds = t.mem.i32(BASE), tuple(s.detach() for s in socket.socketpair())
    else:
        fd, host_fds = call(t, "eventfd2", 0, 0), (os.eventfd(0),)
    try:
        for flag in (abi.O_DIRECT, abi.O_ASYNC, abi.O_APPEND, 0):
            assert call(t, "fcntl", fd, abi.F_SETFL, flag) == _host(lambda f=flag: host_fcntl(host_fds[0], 4, f))
            assert call(t, "fcntl", fd, abi.F_GETFL) == host_fcntl(host_fds[0], 3)
        for on in (1, 0):
            t.mem.put_i32(BASE, on)
            ours = call(t, "ioctl", fd, abi.FIOASYNC, BASE)
            assert ours == _host(lambda on=on: host_ioctl(host_fds[0], abi.FIOASYNC, on.to_bytes(4, "little")) and 0)
    finally:
        for fd in host_fds:
            os.close(fd)


def _host(run: Any) -> int:
    try:
        return int(run())
    except OSError as err:
        return -(err.errno or 0)
