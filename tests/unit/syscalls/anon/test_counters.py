"""eventfd, timerfd and memfd_create."""

from __future__ import annotations

import mmap
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import syscalls.eventfd
import syscalls.fcntl
import syscalls.fd
import syscalls.memfd
import syscalls.timerfd  # noqa: F401
from sentry.abi import flags as abi
from sentry.abi.errno import EINVAL as Invalid
from sentry.abi.errno import EPERM as NotPermitted
from sentry.abi.errno import Errno, WouldBlock
from sentry.abi.structs import ITIMERSPEC
from sentry.wait import IN, OUT, RDNORM, WRNORM
from tests.unit.syscalls.anon.fake_kernel import BASE, call, make_task
from tests.unit.vfs.anon.test_pipe import Watch
from vfs.anon.memfd import MemFile

EPERM, EBADF, EFAULT, EINVAL, EBUSY, ENODEV = -1, -9, -14, -22, -16, -19
S = 1_000_000_000


@pytest.fixture
def t() -> Any:
    return make_task()


def read(file: Any, size: int = 8) -> int:
    data = file.peek(size)
    file.consume(len(data))
    return int.from_bytes(data, "little")


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def test_eventfd(t: Any) -> None:
    fd = call(t, "eventfd2", 3, abi.EFD_CLOEXEC | abi.EFD_NONBLOCK)
    file = t.fds.get(fd)
    assert file.nonblock and t.fds.cloexec == {fd}
    watch = Watch()
    file.queue.add(watch)
    assert file.poll() == IN | OUT | RDNORM | WRNORM
    assert read(file) == 3
    assert watch.take() & OUT
    with pytest.raises(WouldBlock):
        file.peek(8)
    bad_calls: list[Any] = [lambda: file.peek(7), lambda: file.write(b"1234567"), lambda: file.write(b"\xff" * 8)]
    for bad in bad_calls:
        with pytest.raises(Invalid):
            bad()
    assert file.write(word((1 << 64) - 2) + b"more") == 8
    assert watch.take() & IN
    assert file.poll() == IN | RDNORM
    with pytest.raises(WouldBlock):
        file.write(word(1))
    assert file.write(word(0)) == 8
    assert call(t, "eventfd2", 0, 2) == EINVAL
    semaphore = t.fds.get(call(t, "eventfd2", 2, abi.EFD_SEMAPHORE))
    assert (read(semaphore, 100), read(semaphore)) == (1, 1)
    assert semaphore.poll() == OUT | WRNORM


@given(st.integers(0, 7), st.lists(st.one_of(st.none(), st.integers(0, 1 << 20)), max_size=12))
def test_eventfd_same_as_the_host(start: int, steps: list[int | None]) -> None:
    t = make_task()
    flags = abi.EFD_NONBLOCK | (abi.EFD_SEMAPHORE if start % 2 else 0)
    file, host = t.fds.get(call(t, "eventfd2", start, flags)), os.eventfd(start, flags)
    try:
        for step in steps:
            try:
                theirs: Any = os.read(host, 8) if step is None else os.write(host, word(step))
            except BlockingIOError:
                theirs = 11
            try:
                ours: Any = word(read(file)) if step is None else file.write(word(step))
            except WouldBlock:
                ours = 11
            assert ours == theirs
    finally:
        os.close(host)


def settime(t: Any, fd: int, value_ns: int, interval_ns: int = 0, flags: int = 0, old: int = 0) -> int:
    t.mem.pack(ITIMERSPEC, BASE, *divmod(interval_ns, S), *divmod(value_ns, S))
    return call(t, "timerfd_settime", fd, flags, BASE, old)


def gettime(t: Any, fd: int) -> tuple[int, int]:
    assert call(t, "timerfd_gettime", fd, BASE + 64) == 0
    i_s, i_ns, v_s, v_ns = t.mem.unpack(ITIMERSPEC, BASE + 64)
    return v_s * S + v_ns, i_s * S + i_ns


def test_timerfd_once(t: Any) -> None:
    fd = call(t, "timerfd_create", abi.CLOCK_MONOTONIC, abi.TFD_NONBLOCK)
    file = t.fds.get(fd)
    watch = Watch()
    file.queue.add(watch)
    assert gettime(t, fd) == (0, 0)
    assert settime(t, fd, 5 * S) == 0
    t.kernel.advance(2 * S)
    assert gettime(t, fd) == (3 * S, 0)
    assert file.poll() == 0
    t.kernel.advance(3 * S)
    assert watch.take() & IN
    assert file.poll() == IN | RDNORM
    assert gettime(t, fd) == (0, 0)
    assert read(file) == 1
    with pytest.raises(WouldBlock):
        file.peek(8)


@pytest.mark.parametrize("clock", [abi.CLOCK_MONOTONIC, abi.CLOCK_REALTIME])
def test_timerfd_interval(t: Any, clock: int) -> None:
    fd = call(t, "timerfd_create", clock, 0)
    file = t.fds.get(fd)
    start = file.now_ns()
    assert settime(t, fd, start + 10 * S, 4 * S, abi.TFD_TIMER_ABSTIME) == 0
    assert gettime(t, fd) == (10 * S, 4 * S)
    t.kernel.advance(10 * S + 1)
    assert read(file) == 1
    t.kernel.advance(9 * S)  # 14, 18 have passed
    assert gettime(t, fd) == (3 * S - 1, 4 * S)
    assert read(file) == 2
    t.kernel.advance(40 * S)
    assert len([1 for entry in t.kernel.timers.heap if entry[2].callback]) == 0  # fired once, not ten times
    assert read(file) == 10
    assert settime(t, fd, 0, old=BASE + 128) == 0
    assert t.mem.unpack(ITIMERSPEC, BASE + 128)[:2] == (4, 0)
    assert gettime(t, fd) == (0, 0)
    t.kernel.advance(100 * S)
    assert file.poll() == 0


def test_timerfd_in_the_past_and_before_the_loop_comes_to_it(t: Any) -> None:
    fd = call(t, "timerfd_create", abi.CLOCK_MONOTONIC, 0)
    file = t.fds.get(fd)
    settime(t, fd, 1, 0, abi.TFD_TIMER_ABSTIME)
    assert file.poll() == IN | RDNORM
    assert read(file) == 1
    settime(t, fd, 1, 0, abi.TFD_TIMER_ABSTIME)
    assert read(file) == 1
    settime(t, fd, 5 * S)
    settime(t, fd, 6 * S)
    t.kernel.time_ns += 5 * S
    assert file.poll() == 0
    call(t, "close", fd)
    assert not any(entry[2].callback for entry in t.kernel.timers.heap)


def test_timerfd_errors(t: Any) -> None:
    fd = call(t, "timerfd_create", abi.CLOCK_BOOTTIME, abi.TFD_CLOEXEC)
    assert call(t, "timerfd_create", 99, 0) == EINVAL
    assert call(t, "timerfd_create", abi.CLOCK_MONOTONIC, 1) == EINVAL
    assert call(t, "timerfd_create", abi.CLOCK_REALTIME_ALARM, 0) == EPERM
    assert settime(t, fd, 1, 0, 4) == EINVAL
    assert call(t, "timerfd_settime", fd, 0, 0, 0) == EFAULT
    t.mem.pack(ITIMERSPEC, BASE, 0, 0, 1, S)
    assert call(t, "timerfd_settime", fd, 0, BASE, 0) == EINVAL
    t.mem.pack(ITIMERSPEC, BASE, -1, 0, 1, 0)
    assert call(t, "timerfd_settime", fd, 0, BASE, 0) == EINVAL
    other = call(t, "eventfd2", 0, 0)
    assert settime(t, other, 1) == EINVAL
    assert call(t, "timerfd_gettime", other, BASE) == EINVAL
    assert call(t, "timerfd_gettime", 77, BASE) == EBADF
    with pytest.raises(Invalid):
        t.fds.get(fd).write(b"x" * 8)
    t.mem.pack(ITIMERSPEC, BASE, 0, 0, (1 << 63) - 1, 0)
    assert call(t, "timerfd_settime", fd, 0, BASE, 0) == 0  # far away, not in the past


def memfd(t: Any, flags: int = 0) -> tuple[int, MemFile]:
    t.mem.write(BASE, b"buffer\0")
    fd = call(t, "memfd_create", BASE, flags)
    assert fd >= 0, fd
    return fd, t.fds.get(fd)


def test_memfd_data(t: Any) -> None:
    _, file = memfd(t)
    assert file.name() == b"/memfd:buffer (deleted)"
    assert file.write(b"hello") == 5
    assert file.seek(1, os.SEEK_SET) == 1
    assert file.peek(3) == b"ell"
    file.consume(3)
    assert file.seek(0, os.SEEK_CUR) == 4
    assert file.pwrite(b"J", 0) == 1
    assert file.pread(10, 0) == b"Jello"
    file.truncate(2)
    assert (file.stat().size, file.seek(0, os.SEEK_END)) == (2, 2)
    file.allocate(0, 0, 100)
    assert file.stat().size == 100
    file.allocate(abi.FALLOC_FL_PUNCH_HOLE | abi.FALLOC_FL_KEEP_SIZE, 1, 1000)
    assert file.pread(4, 0) == b"J\0\0\0" and file.stat().size == 100
    for bad in (lambda: file.seek(-1, os.SEEK_SET), lambda: file.seek(0, 99), lambda: file.truncate(-1)):
        with pytest.raises(Invalid):
            bad()
    again = file.reopen(abi.O_RDONLY | abi.O_CLOEXEC, t)
    assert again.pread(1, 0) == b"J" and not again.writable


def test_memfd_seals(t: Any) -> None:
    fd, file = memfd(t, abi.MFD_ALLOW_SEALING)
    file.write(b"12345678")
    assert call(t, "fcntl", fd, abi.F_GET_SEALS) == 0
    shared = mmap.mmap(file.host_fd(True), 8, mmap.MAP_SHARED)
    assert call(t, "fcntl", fd, abi.F_ADD_SEALS, abi.F_SEAL_WRITE) == EBUSY
    shared.close()
    assert call(t, "fcntl", fd, abi.F_ADD_SEALS, abi.F_SEAL_WRITE | abi.F_SEAL_SHRINK) == 0
    for bad in (lambda: file.pwrite(b"x", 0), lambda: file.truncate(1), lambda: file.allocate(3, 0, 1)):
        with pytest.raises(NotPermitted):
            bad()
    assert call(t, "fcntl", fd, abi.F_ADD_SEALS, 1 << 20) == EINVAL
    fd, _ = memfd(t)
    assert call(t, "fcntl", fd, abi.F_GET_SEALS) == abi.F_SEAL_SEAL
    assert call(t, "fcntl", fd, abi.F_ADD_SEALS, abi.F_SEAL_WRITE) == EPERM
    assert call(t, "fcntl", call(t, "eventfd2", 0, 0), abi.F_GET_SEALS) == EINVAL


def test_memfd_host_descriptors_are_closed(t: Any) -> None:
    fd, file = memfd(t)
    read_only, writable = file.host_fd(False), file.host_fd(True)
    with pytest.raises(OSError):
        os.write(read_only, b"x")
    del file
    call(t, "close", fd)
    for host_fd in (read_only, writable):
        with pytest.raises(OSError):
            os.fstat(host_fd)


def test_memfd_errors(t: Any) -> None:
    t.mem.write(BASE, b"n" * 300)
    assert call(t, "memfd_create", BASE, 0) == EINVAL
    assert call(t, "memfd_create", 0, 0) == EFAULT
    t.mem.write(BASE, b"n\0")
    assert call(t, "memfd_create", BASE, 0x100) == EINVAL
    assert call(t, "memfd_create", BASE, abi.MFD_HUGETLB | 13 << 26) == ENODEV
    assert call(t, "memfd_create", BASE, abi.MFD_EXEC | abi.MFD_NOEXEC_SEAL) == EINVAL
    assert isinstance(Invalid(), Errno)
