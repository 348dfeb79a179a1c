"""epoll_ctl, epoll_wait and their kin: triggering, nesting, lifetimes; the same steps on the host's epoll."""

from __future__ import annotations

import gc
import os
import select as host_select
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import syscalls.epoll
import syscalls.eventfd
import syscalls.fd
import syscalls.pipe  # noqa: F401
from sentry.abi import flags as abi
from sentry.abi.structs import EPOLL_EVENT, TIMESPEC
from tests.unit.syscalls.anon.fake_kernel import BASE, SIZE, Sleeper, call, make_task
from vfs.anon.epoll import EpollFile
from vfs.core.file import File

EPERM, ENOENT, EBADF, EEXIST, EINVAL, EFAULT, ELOOP = -1, -2, -9, -17, -22, -14, -40
ADD, DEL, MOD = abi.EPOLL_CTL_ADD, abi.EPOLL_CTL_DEL, abi.EPOLL_CTL_MOD
IN, OUT, ET, ONESHOT = abi.EPOLLIN, abi.EPOLLOUT, abi.EPOLLET, abi.EPOLLONESHOT
EVENT, EVENTS = BASE + 0x100, BASE + 0x200


@pytest.fixture
def t() -> Any:
    return make_task()


def pipe(t: Any) -> tuple[int, int]:
    assert call(t, "pipe2", BASE, abi.O_NONBLOCK) == 0
    return t.mem.i32(BASE), t.mem.i32(BASE + 4)


def ctl(t: Any, epoll: int, op: int, fd: int, events: int = 0, data: int = 0) -> int:
    t.mem.pack(EPOLL_EVENT, EVENT, events, data)
    return call(t, "epoll_ctl", epoll, op, fd, EVENT)


def wait(t: Any, epoll: int, limit: int = 16) -> list[tuple[int, int]]:
    count = call(t, "epoll_wait", epoll, EVENTS, limit, 0)
    assert count >= 0, count
    return [t.mem.unpack(EPOLL_EVENT, EVENTS + 12 * i) for i in range(count)]


def write(t: Any, fd: int, data: bytes = b"x") -> None:
    t.fds.get(fd).write(data)


def drain(t: Any, fd: int, size: int = 1 << 16) -> None:
    t.fds.get(fd).consume(len(t.fds.get(fd).peek(size)))


def test_level_and_edge(t: Any) -> None:
    epoll = call(t, "epoll_create1", abi.EPOLL_CLOEXEC)
    assert t.fds.cloexec == {epoll}
    level, edge = pipe(t), pipe(t)
    assert ctl(t, epoll, ADD, level[0], IN, 1) == 0
    assert ctl(t, epoll, ADD, edge[0], IN | ET, 2) == 0
    assert wait(t, epoll) == []
    write(t, level[1])
    write(t, edge[1])
    assert sorted(wait(t, epoll)) == [(IN, 1), (IN, 2)]
    assert wait(t, epoll) == [(IN, 1)]
    write(t, edge[1])
    assert sorted(wait(t, epoll)) == [(IN, 1), (IN, 2)]
    drain(t, level[0])
    assert wait(t, epoll) == []
    write(t, edge[1])
    drain(t, edge[0])
    assert wait(t, epoll) == []  # it is no longer ready when it is looked at


def test_oneshot_and_rearm(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    ctl(t, epoll, ADD, reader, IN | ONESHOT, 7)
    write(t, writer)
    assert wait(t, epoll) == [(IN, 7)]
    write(t, writer)
    call(t, "close", writer)
    assert wait(t, epoll) == []
    assert ctl(t, epoll, MOD, reader, IN | ONESHOT, 8) == 0
    assert wait(t, epoll) == [(IN | abi.EPOLLHUP, 8)]


def test_modify_to_what_is_ready_already(t: Any) -> None:
    epoll, (_, writer) = call(t, "epoll_create", 1), pipe(t)
    ctl(t, epoll, ADD, writer, IN | ET, 1)
    assert wait(t, epoll) == []
    ctl(t, epoll, MOD, writer, OUT | ET, 2)
    assert wait(t, epoll) == [(OUT, 2)]
    assert wait(t, epoll) == []
    ctl(t, epoll, MOD, writer, OUT | ET, 3)
    assert wait(t, epoll) == [(OUT, 3)]


def test_errors(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    plain = t.fds.install(File(2))
    assert call(t, "epoll_create", 0) == EINVAL
    assert call(t, "epoll_create1", 1) == EINVAL
    assert ctl(t, epoll, ADD, 77, IN) == EBADF
    assert ctl(t, 77, ADD, reader, IN) == EBADF
    assert ctl(t, epoll, ADD, plain, IN) == EPERM
    assert ctl(t, epoll, ADD, epoll, IN) == EINVAL
    assert ctl(t, reader, ADD, writer, IN) == EINVAL
    assert ctl(t, epoll, 9, reader, IN) == EINVAL
    assert ctl(t, epoll, MOD, reader, IN) == ENOENT
    assert ctl(t, epoll, DEL, reader) == ENOENT
    assert call(t, "epoll_ctl", epoll, ADD, reader, 0) == EFAULT
    assert ctl(t, epoll, ADD, reader, IN) == 0
    assert ctl(t, epoll, ADD, reader, IN) == EEXIST
    copy = call(t, "dup", reader)
    assert ctl(t, epoll, ADD, copy, IN) == 0  # another number is another entry
    assert call(t, "epoll_ctl", epoll, DEL, reader, 0) == 0
    assert call(t, "epoll_wait", epoll, EVENTS, 0, 0) == EINVAL
    assert call(t, "epoll_wait", reader, EVENTS, 1, 0) == EINVAL
    assert ctl(t, epoll, ADD, writer, IN | abi.EPOLLEXCLUSIVE | ONESHOT) == EINVAL
    assert ctl(t, epoll, ADD, writer, IN | abi.EPOLLEXCLUSIVE) == 0
    assert ctl(t, epoll, MOD, writer, IN) == EINVAL


def test_events_survive_a_fault(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    ctl(t, epoll, ADD, reader, IN | ET, 5)
    write(t, writer)
    assert call(t, "epoll_wait", epoll, BASE + SIZE, 1, 0) == EFAULT
    assert wait(t, epoll) == [(IN, 5)]


def test_closed_files_leave_the_set(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    file: Any = t.fds.get(epoll)
    write(t, writer)
    ctl(t, epoll, ADD, reader, IN, 5)
    copy = call(t, "dup", reader)
    call(t, "close", reader)
    assert wait(t, epoll) == [(IN, 5)]  # the description lives on
    assert ctl(t, epoll, DEL, reader) == EBADF
    gc.disable()  # counting references must be enough
    try:
        call(t, "close", copy)
        assert not file.items and not file.ready_items
    finally:
        gc.enable()
    assert wait(t, epoll) == []
    call(t, "close", epoll)
    assert file.refs == 0


def test_turns_are_taken(t: Any) -> None:
    epoll = call(t, "epoll_create", 1)
    for i in range(4):
        reader, writer = pipe(t)
        write(t, writer)
        ctl(t, epoll, ADD, reader, IN, i)
    assert [wait(t, epoll, 1)[0][1] for _ in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_waiting(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    sleeper = Sleeper(t, "epoll_wait", epoll, EVENTS, 4, -1)
    assert ctl(t, epoll, ADD, reader, IN, 3) == 0  # from another thread
    assert sleeper.run() is None
    write(t, writer)
    assert sleeper.run() == 1
    drain(t, reader)
    sleeper = Sleeper(t, "epoll_wait", epoll, EVENTS, 4, 5)
    assert sleeper.expire() == 0
    t.mem.put_u64(BASE, 0x55)
    sleeper = Sleeper(t, "epoll_pwait", epoll, EVENTS, 4, -1, BASE, 8)
    assert (sleeper.park.sigmask, sleeper.park.sigmask_addr) == (0x55, BASE)
    assert sleeper.interrupt() == -4
    t.mem.pack(TIMESPEC, BASE + 16, 0, 700)
    sleeper = Sleeper(t, "epoll_pwait2", epoll, EVENTS, 4, BASE + 16, 0, 0)
    assert sleeper.park.deadline_ns == t.kernel.now_ns() + 700
    sleeper = Sleeper(t, "epoll_pwait2", epoll, EVENTS, 4, 0, 0, 0)
    assert sleeper.park.deadline_ns is None
    assert call(t, "epoll_pwait", epoll, EVENTS, 4, 0, BASE, 4) == EINVAL


def test_one_edge_wakes_two_waiters_but_serves_one(t: Any) -> None:
    epoll, (reader, writer) = call(t, "epoll_create", 1), pipe(t)
    ctl(t, epoll, ADD, reader, IN | ET, 3)
    first, second = (Sleeper(t, "epoll_wait", epoll, EVENTS, 4, -1) for _ in range(2))
    write(t, writer)
    assert first.run() == 1
    assert second.run() is None


def test_nesting(t: Any) -> None:
    chain = [call(t, "epoll_create", 1) for _ in range(6)]
    reader, writer = pipe(t)
    ctl(t, chain[0], ADD, reader, IN, 1)
    for i in range(4):
        assert ctl(t, chain[i + 1], ADD, chain[i], IN, i) == 0
    assert ctl(t, chain[5], ADD, chain[4], IN) == ELOOP  # too deep, from above
    assert ctl(t, chain[0], ADD, chain[5], IN) == ELOOP  # and from below
    assert ctl(t, chain[1], ADD, chain[4], IN) == ELOOP  # a circle
    sleeper = Sleeper(t, "epoll_wait", chain[4], EVENTS, 4, -1)
    write(t, writer)
    assert sleeper.run() == 1
    assert wait(t, chain[4]) == [(IN, 3)]
    drain(t, reader)
    assert wait(t, chain[4]) == []


def test_many_files_cost_what_is_ready(t: Any) -> None:
    t.fds.limit = 4096
    epoll = call(t, "epoll_create", 1)
    file: Any = t.fds.get(epoll)
    polled = []

    class Quiet(File):
        def poll(self) -> int:
            polled.append(self)
            return 0

    for i in range(1000):
        ctl(t, epoll, ADD, t.fds.install(Quiet(2)), IN, i)
    polled.clear()
    reader, writer = pipe(t)
    ctl(t, epoll, ADD, reader, IN, 5000)
    write(t, writer)
    assert wait(t, epoll) == [(IN, 5000)]
    assert not polled and len(file.items) == 1001


STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 2), st.sampled_from([1, 4096, 65536])),
    st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from([1, 4096, 65536])),
    st.tuples(st.just("add"), st.integers(0, 5), st.sampled_from([0, ET, ONESHOT])),
    st.tuples(st.just("mod"), st.integers(0, 5), st.sampled_from([0, ET, ONESHOT])),
    st.tuples(st.just("del"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("close"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.just(0)),
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=150, deadline=None)
def test_same_as_the_host(steps: list[tuple[str, int, int]]) -> None:
    """Three pipes, six ends, both kernels: the same results and events after every step."""
    t = make_task()
    ours = [fd for _ in range(3) for fd in pipe(t)]
    host = [fd for _ in range(3) for fd in os.pipe2(os.O_NONBLOCK)]
    epoll, host_epoll = call(t, "epoll_create", 1), host_select.epoll()
    closed = set()
    try:
        for what, n, arg in steps:
            if what != "wait" and (2 * n + (what == "write") if what in ("write", "read") else n) in closed:
                continue
            if what == "wait":
                found = {(ours.index(data), events) for events, data in wait(t, epoll)}
                theirs = {(host.index(fd), events) for fd, events in host_epoll.poll(0, 16)}
                assert found == theirs
            elif what == "write":
                data = b"x" * arg
                _both(partial(t.fds.get(ours[2 * n + 1]).write, data), partial(os.write, host[2 * n + 1], data))
            elif what == "read":
                _both(partial(drain, t, ours[2 * n], arg), partial(os.read, host[2 * n], arg))
            elif what == "close":
                closed.add(n)
                call(t, "close", ours[n])
                os.close(host[n])
            else:
                op = {"add": ADD, "mod": MOD, "del": DEL}[what]
                mask = (OUT if n % 2 else IN) | arg
                result = ctl(t, epoll, op, ours[n], mask, ours[n])
                calls: dict[str, Any] = {"add": host_epoll.register, "mod": host_epoll.modify}
                try:
                    host_epoll.unregister(host[n]) if what == "del" else calls[what](host[n], mask)
                    assert result == 0
                except OSError as err:
                    assert result == -(err.errno or 0)
    finally:
        host_epoll.close()
        for i, fd in enumerate(host):
            if i not in closed:
                os.close(fd)


def _both(mine: Any, theirs: Any) -> None:
    codes = []
    for run in (mine, theirs):
        try:
            run()
            codes.append(0)
        except OSError as err:
            codes.append(err.errno or 0)
        except Exception as err:
            codes.append(getattr(err, "code", -1))
    assert codes[0] == codes[1]


def test_epoll_file(t: Any) -> None:
    file = EpollFile()
    assert file.name() == b"anon_inode:[eventpoll]"
    assert file.stat().mode == 0o600
