"""poll, ppoll, select, pselect6: results, waiting, timeouts written back; against the host where it can be asked."""

from __future__ import annotations

import os
import select as host_select
from typing import Any

import pytest

import syscalls.eventfd
import syscalls.fd
import syscalls.pipe
import syscalls.poll
import syscalls.select  # noqa: F401
from sentry.abi.structs import POLLFD, SIGSET_ARG, TIMESPEC, TIMEVAL
from sentry.wait import ERR, HUP, IN, NVAL, OUT, RDNORM, RESTARTNOHAND
from tests.unit.syscalls.anon.fake_kernel import BASE, Sleeper, call, make_task
from vfs.core.file import File

EBADF, EINVAL, EFAULT, EINTR = -9, -22, -14, -4
FDS, TIME, MASK, R, W, X = BASE, BASE + 0x8000, BASE + 0x8100, BASE + 0x9000, BASE + 0xA000, BASE + 0xB000
MS = 1_000_000


@pytest.fixture
def t() -> Any:
    return make_task()


def pipe(t: Any) -> tuple[int, int]:
    assert call(t, "pipe2", BASE, 0) == 0
    return t.mem.i32(BASE), t.mem.i32(BASE + 4)


def put(t: Any, *entries: tuple[int, int]) -> None:
    t.mem.write(FDS, b"".join(POLLFD.pack(fd, events, -1) for fd, events in entries))


def revents(t: Any, count: int) -> list[int]:
    return [bits & 0xFFFF for _, _, bits in POLLFD.iter_unpack(t.mem.read(FDS, 8 * count))]


def test_poll_answers_at_once(t: Any) -> None:
    reader, writer = pipe(t)
    put(t, (reader, IN), (writer, OUT), (-5, IN), (99, IN))
    assert call(t, "poll", FDS, 4, 1000) == 2
    assert revents(t, 4) == [0, OUT, 0, NVAL]
    call(t, "close", writer)
    put(t, (reader, 0))
    assert call(t, "poll", FDS, 1, 0) == 1
    assert revents(t, 1) == [HUP]
    assert call(t, "poll", FDS, 0, 0) == 0
    assert call(t, "poll", 0, 1, 0) == EFAULT
    assert call(t, "poll", FDS, 1025, 0) == EINVAL


def test_poll_of_a_plain_file(t: Any) -> None:
    fd = t.fds.install(File(2))
    put(t, (fd, IN | OUT | RDNORM))
    assert call(t, "poll", FDS, 1, -1) == 1
    assert revents(t, 1) == [IN | OUT | RDNORM]


def test_poll_waits(t: Any) -> None:
    reader, writer = pipe(t)
    put(t, (reader, IN), (reader, IN | HUP))
    sleeper = Sleeper(t, "poll", FDS, 2, -1)
    assert sleeper.result is None and sleeper.park.deadline_ns is None
    assert sleeper.park.restart == RESTARTNOHAND
    t.fds.get(writer).write(b"x")
    assert sleeper.run() == 2
    assert revents(t, 2) == [IN, IN]


def test_poll_timeout(t: Any) -> None:
    reader, _ = pipe(t)
    put(t, (reader, IN))
    sleeper = Sleeper(t, "poll", FDS, 1, 20)
    assert sleeper.result is None and sleeper.park.deadline_ns == t.kernel.now_ns() + 20 * MS
    assert sleeper.expire() == 0
    assert revents(t, 1) == [0]
    assert call(t, "poll", FDS, 1, 0) == 0
    assert Sleeper(t, "poll", FDS, 1, -1).interrupt() == EINTR


def test_poll_keeps_the_file_that_it_was_given(t: Any) -> None:
    reader, writer = pipe(t)
    put(t, (reader, IN))
    sleeper = Sleeper(t, "poll", FDS, 1, -1)
    call(t, "close", reader)
    call(t, "close", writer)
    assert sleeper.run() == 1
    assert revents(t, 1) == [HUP]


def test_ppoll_writes_the_rest_of_the_time(t: Any) -> None:
    reader, writer = pipe(t)
    put(t, (reader, IN))
    t.mem.pack(TIMESPEC, TIME, 3, 500)
    t.mem.put_u64(MASK, 0x1234)
    sleeper = Sleeper(t, "ppoll", FDS, 1, TIME, MASK, 8)
    assert (sleeper.park.sigmask, sleeper.park.sigmask_addr) == (0x1234, MASK)
    t.kernel.advance(1_000_000_100)
    t.fds.get(writer).write(b"x")
    assert sleeper.run() == 1
    assert t.mem.unpack(TIMESPEC, TIME) == (2, 400)
    assert call(t, "ppoll", FDS, 1, TIME, MASK, 4) == EINVAL
    assert call(t, "ppoll", FDS, 1, TIME, 1, 8) == EFAULT
    t.mem.pack(TIMESPEC, TIME, 0, 1_000_000_000)
    assert call(t, "ppoll", FDS, 1, TIME, 0, 8) == EINVAL
    t.mem.pack(TIMESPEC, TIME, -1, 0)
    assert call(t, "ppoll", FDS, 1, TIME, 0, 8) == EINVAL
    t.fds.get(reader).consume(1)
    t.mem.pack(TIMESPEC, TIME, 5, 0)
    sleeper = Sleeper(t, "ppoll", FDS, 1, TIME, 0, 8)
    t.kernel.advance(4 * 10**9)
    assert sleeper.interrupt() == EINTR
    assert t.mem.unpack(TIMESPEC, TIME) == (1, 0)
    assert Sleeper(t, "ppoll", FDS, 1, TIME, 0, 8).expire() == 0
    assert t.mem.unpack(TIMESPEC, TIME) == (0, 0)


def bits(t: Any, addr: int, size: int = 8) -> int:
    return int.from_bytes(t.mem.read(addr, size), "little")


def test_select(t: Any) -> None:
    reader, writer = pipe(t)
    t.mem.put_u64(R, 1 << reader)
    t.mem.put_u64(W, 1 << writer)
    t.mem.put_u64(X, 1 << writer)
    t.mem.pack(TIMEVAL, TIME, 2, 5)
    assert call(t, "select", 2, R, W, X, TIME) == 1
    assert (bits(t, R), bits(t, W), bits(t, X)) == (0, 1 << writer, 0)
    assert t.mem.unpack(TIMEVAL, TIME) == (2, 5)
    t.mem.put_u64(R, 1 << reader)
    sleeper = Sleeper(t, "select", 2, R, 0, 0, TIME)
    t.kernel.advance(10**9)
    t.fds.get(writer).write(b"x")
    assert sleeper.run() == 1
    assert t.mem.unpack(TIMEVAL, TIME) == (1, 5)
    assert bits(t, R) == 1 << reader


def test_select_errors(t: Any) -> None:
    pipe(t)
    t.mem.put_u64(R, 1 << 5)
    assert call(t, "select", 6, R, 0, 0, 0) == EBADF
    assert call(t, "select", -1, R, 0, 0, 0) == EINVAL
    assert call(t, "select", 6, 1, 0, 0, 0) == EFAULT
    t.mem.pack(TIMEVAL, TIME, -1, 0)
    assert call(t, "select", 0, 0, 0, 0, TIME) == EINVAL
    t.mem.pack(TIMEVAL, TIME, 0, 2_500_000)
    sleeper = Sleeper(t, "select", 0, 0, 0, 0, TIME)
    assert sleeper.park.deadline_ns == t.kernel.now_ns() + 2_500 * MS
    assert sleeper.expire() == 0


def test_select_ignores_what_the_table_has_no_room_for(t: Any) -> None:
    """The host does so too: a bit beyond its descriptor table is not an error."""
    pipe(t)
    t.mem.write(R, (1 << 70).to_bytes(16, "little"))
    t.mem.pack(TIMEVAL, TIME, 0, 0)
    assert call(t, "select", 128, R, 0, 0, TIME) == 0
    assert bits(t, R, 16) == 1 << 70  # only the words that were looked at are written


def test_pselect6(t: Any) -> None:
    reader, _ = pipe(t)
    t.mem.put_u64(R, 1 << reader)
    t.mem.pack(TIMESPEC, TIME, 1, 1)
    t.mem.put_u64(MASK, 0xFF)
    t.mem.pack(SIGSET_ARG, MASK + 16, MASK, 8)
    sleeper = Sleeper(t, "pselect6", 1, R, 0, 0, TIME, MASK + 16)
    assert (sleeper.park.sigmask, sleeper.park.sigmask_addr) == (0xFF, MASK)
    t.kernel.advance(1)
    assert sleeper.interrupt() == EINTR
    assert t.mem.unpack(TIMESPEC, TIME) == (1, 0)
    assert bits(t, R) == 1 << reader
    t.mem.pack(SIGSET_ARG, MASK + 16, MASK, 7)
    assert call(t, "pselect6", 1, R, 0, 0, TIME, MASK + 16) == EINVAL
    t.mem.pack(SIGSET_ARG, MASK + 16, 0, 7)
    assert Sleeper(t, "pselect6", 1, R, 0, 0, TIME, MASK + 16).park.sigmask is None


@pytest.mark.parametrize("close", ["", "r", "w"])
@pytest.mark.parametrize("filled", [0, 10, 65536])
def test_same_sets_as_the_host(t: Any, close: str, filled: int) -> None:
    reader, writer = pipe(t)
    host_reader, host_writer = os.pipe2(os.O_NONBLOCK)
    try:
        if filled:
            t.fds.get(writer).write(b"x" * filled)
            os.write(host_writer, b"x" * filled)
        pairs = {reader: host_reader, writer: host_writer}
        if close:
            ours = reader if close == "r" else writer
            call(t, "close", ours)
            os.close(pairs.pop(ours))
        wanted = sum(1 << fd for fd in pairs)
        for addr in (R, W, X):
            t.mem.put_u64(addr, wanted)
        t.mem.pack(TIMEVAL, TIME, 0, 0)
        host_fds = list(pairs.values())
        host = host_select.select(host_fds, host_fds, host_fds, 0)
        assert call(t, "select", 8, R, W, X, TIME) == sum(len(ready) for ready in host)
        for addr, ready in zip((R, W, X), host, strict=True):
            assert bits(t, addr) == sum(1 << ours for ours, theirs in pairs.items() if theirs in ready)
    finally:
        for fd in pairs.values():
            os.close(fd)


def test_error_end_of_a_pipe(t: Any) -> None:
    reader, writer = pipe(t)
    put(t, (writer, 0))
    sleeper = Sleeper(t, "poll", FDS, 1, -1)
    call(t, "close", reader)
    assert sleeper.run() == 1
    assert revents(t, 1) == [ERR]


def test_a_mask_and_no_time(t: Any) -> None:
    """ppoll and pselect6 with a mask and a timeout of zero let a pending signal in first: they park for no time."""
    reader, writer = pipe(t)
    put(t, (reader, IN))
    t.mem.put_u64(R, 1 << reader)
    t.mem.pack(TIMESPEC, TIME, 0, 0)
    t.mem.pack(SIGSET_ARG, MASK + 16, MASK, 8)
    for args in (("ppoll", FDS, 1, TIME, MASK, 8), ("pselect6", 1, R, 0, 0, TIME, MASK + 16)):
        sleeper = Sleeper(t, *args)
        assert sleeper.park.deadline_ns == t.kernel.now_ns() and sleeper.park.sigmask == 0
        assert sleeper.expire() == 0
    t.mem.put_u64(R, 1 << reader)
    t.fds.get(writer).write(b"x")
    assert call(t, "ppoll", FDS, 1, TIME, MASK, 8) == 1
    assert call(t, "pselect6", 1, R, 0, 0, TIME, MASK + 16) == 1
