"""vfs.anon.pipe against a model of pipe(7), and against the host's own pipes where they must agree."""

from __future__ import annotations

import os
import select
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentry.abi.errno import EBUSY, EINVAL, ENXIO, EPERM, EPIPE, WouldBlock
from sentry.abi.flags import O_DIRECT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from sentry.wait import ERR, HUP, IN, OUT, RDNORM, WRNORM, Entry
from vfs.anon.fifo import FifoState
from vfs.anon.pipe import PAGE, PipeFile, make_pipe

HALF = IN | OUT | ERR | HUP


class Watch(Entry):
    def __init__(self, mask: int = 0xFFFF) -> None:
        super().__init__(mask)
        self.events = 0

    def wake(self, events: int) -> None:
        self.events |= events

    def take(self) -> int:
        events, self.events = self.events, 0
        return events


def ends(flags: int = 0) -> tuple[PipeFile, PipeFile]:
    reader, writer = make_pipe(flags, 0, 0, 0)
    reader.refs = writer.refs = 1
    return reader, writer


def read(file: PipeFile, size: int) -> bytes:
    data = file.peek(size)
    file.consume(len(data))
    return data


class PipeMachine(RuleBasedStateMachine):
    """Random reads, writes, peeks without commit, resizes and closes; no byte is lost, doubled or reordered."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.writer = ends()
        self.watches = (Watch(), Watch())
        self.reader.queue.add(self.watches[0])
        self.writer.queue.add(self.watches[1])
        self.model = b""
        self.offset = 0  # bytes read of a page that still holds some
        self.capacity = 65536
        self.serial = 0
        self.polled = (self.reader.poll(), self.writer.poll())

    def fresh(self, size: int) -> bytes:
        self.serial += 1
        return (self.serial.to_bytes(4, "big") * (size // 4 + 1))[:size]

    @precondition(lambda self: self.writer.refs)
    @rule(size=st.one_of(st.integers(0, 70000), st.sampled_from([1, 4095, 4096, 4097, 65536])))
    def write(self, size: int) -> None:
        data = self.fresh(size)
        room = self.capacity - self.offset - len(self.model)
        if not size:
            assert self.writer.write(data) == 0
        elif not self.reader.refs:
            with pytest.raises(EPIPE):
                self.writer.write(data)
        elif size <= room:
            assert self.writer.write(data) == size
            self.model += data
        elif size <= PAGE or room == 0:
            with pytest.raises(WouldBlock):
                self.writer.write(data)
        else:
            assert self.writer.write(data) == room
            self.model += data[:room]

    @precondition(lambda self: self.reader.refs)
    @rule(size=st.integers(0, 70000), commit=st.integers(0, 70000))
    def read(self, size: int, commit: int) -> None:
        if not self.model and size and self.writer.refs:
            with pytest.raises(WouldBlock):
                self.reader.peek(size)
            return
        data = self.reader.peek(size)
        assert data == self.model[:size]
        done = min(commit, len(data))  # the rest of the guest's buffer faulted
        self.reader.consume(done)
        self.model = self.model[done:]
        self.offset = (self.offset + done) % PAGE if self.model else 0

    @precondition(lambda self: self.reader.refs or self.writer.refs)
    @rule(size=st.integers(0, 1 << 20))
    def resize(self, size: int) -> None:
        wanted = PAGE
        while wanted < size:
            wanted *= 2
        if wanted < self.offset + len(self.model):
            with pytest.raises(EBUSY):
                self.writer.pipe.resize(size, False)
        else:
            assert self.writer.pipe.resize(size, False) == wanted
            self.capacity = wanted

    @precondition(lambda self: self.writer.refs)
    @rule()
    def close_writer(self) -> None:
        self.writer.unref()

    @precondition(lambda self: self.reader.refs)
    @rule()
    def close_reader(self) -> None:
        self.reader.unref()
        if not self.writer.refs:
            self.model = b""
            self.offset = 0

    @invariant()
    def events(self) -> None:
        now = (self.reader.poll(), self.writer.poll())
        if self.reader.refs:
            assert bool(now[0] & IN) == bool(self.model)
            assert bool(now[0] & HUP) == (not self.writer.refs)
        if self.writer.refs:
            assert bool(now[1] & OUT) == (self.capacity - self.offset - len(self.model) >= PAGE)
            assert bool(now[1] & ERR) == (not self.reader.refs)
        for file, watch, before, after in zip(
            (self.reader, self.writer), self.watches, self.polled, now, strict=True
        ):  # whatever became true was told to those who wait
            woken = watch.take()
            if file.refs:
                assert after & ~before & ~woken == 0
        self.polled = now

    @rule()
    def nothing(self) -> None:
        """Both ends may be closed."""


PipeMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestPipeMachine = PipeMachine.TestCase


def host_poll(fd: int) -> int:
    poller = select.poll()
    poller.register(fd, IN | OUT)
    return dict(poller.poll(0)).get(fd, 0)


@pytest.mark.parametrize("steps", [
    [("w", 1), ("r", 1)], [("w", 65536)], [("w", 65536), ("r", 1)], [("w", 65536), ("r", 4096)], [("W",), ("r", 1)],
    [("w", 100), ("W",)], [("w", 100), ("W",), ("r", 100)], [("R",)], [("w", 5), ("R",), ("w", 1)], [("w", 70000)],
    [("w", 61440), ("w", 5000)], [("w", 65536), ("w", 4096), ("r", 4096), ("w", 4096)], [("r", 0), ("w", 0)],
    [("r", 1)], [("w", 65536), ("r", 1), ("w", 1), ("r", 4095), ("w", 1)],
    [("w", 65535), ("r", 10), ("w", 1), ("w", 1)],
])  # fmt: skip
def test_same_as_host(steps: list[tuple[str, int]]) -> None:
    host_r, host_w = os.pipe2(os.O_NONBLOCK)
    reader, writer = ends(O_NONBLOCK)
    open_ends = {host_r, host_w}

    def host(what: str, size: int) -> object:
        try:
            return os.write(host_w, b"x" * size) if what == "w" else os.read(host_r, size)
        except OSError as err:
            return err.errno

    def ours(what: str, size: int) -> object:
        try:
            return writer.write(b"x" * size) if what == "w" else read(reader, size)
        except (WouldBlock, EPIPE) as err:
            return err.code

    try:
        for step in steps:
            if step[0] == "W":
                os.close(host_w)
                open_ends.discard(host_w)
                writer.unref()
            elif step[0] == "R":
                os.close(host_r)
                open_ends.discard(host_r)
                reader.unref()
            else:
                assert ours(*step) == host(*step), step
            if host_r in open_ends:
                assert reader.poll() & HALF == host_poll(host_r), step
            if host_w in open_ends:
                assert writer.poll() & HALF == host_poll(host_w), step
    finally:
        for fd in open_ends:
            os.close(fd)


def test_poll_normal_bits() -> None:
    reader, writer = ends()
    assert (reader.poll(), writer.poll()) == (0, OUT | WRNORM)
    writer.write(b"x")
    assert reader.poll() == IN | RDNORM


def test_packets() -> None:
    reader, writer = ends(O_DIRECT)
    assert writer.write(b"a" * 10) == 10
    assert writer.write(b"b" * 5000) == 5000  # cut into 4096 + 904
    writer.flags &= ~O_DIRECT
    assert writer.write(b"c" * 3) == 3
    assert writer.write(b"d" * 3) == 3
    assert read(reader, 4) == b"aaaa"  # the rest of the packet is lost
    assert read(reader, 9999) == b"b" * 4096
    assert read(reader, 9999) == b"b" * 904
    assert read(reader, 9999) == b"cccddd"
    assert reader.pipe.packets is None
    with pytest.raises(WouldBlock):
        reader.peek(1)


def test_resize_errors() -> None:
    reader, writer = ends()
    assert writer.pipe.resize(0, False) == PAGE
    assert writer.pipe.resize(PAGE + 1, False) == 2 * PAGE
    for size, error in ((-1, EINVAL), (1 << 32, EINVAL), ((1 << 20) + 1, EPERM)):
        with pytest.raises(error):
            reader.pipe.resize(size, False)
    assert reader.pipe.resize(2 << 20, True) == 2 << 20


def test_name_and_stat() -> None:
    reader, writer = ends()
    assert reader.name() == writer.name() == b"pipe:[%d]" % reader.stat().ino
    assert reader.stat().mode == 0o10600


def test_fifo_waits_for_a_partner() -> None:
    fifo = FifoState()
    with pytest.raises(ENXIO):
        fifo.begin_open(O_WRONLY | O_NONBLOCK)
    reading = fifo.begin_open(O_RDONLY)
    watch = Watch(reading.events)
    reading.queue.add(watch)
    with pytest.raises(WouldBlock):
        reading()
    writing = fifo.begin_open(O_WRONLY | O_NONBLOCK)  # the waiting reader counts
    writer = writing()
    assert watch.take()
    writer.refs = 1
    writer.write(b"hi")
    writer.unref()
    del writing, writer  # came and went: the reader's open still ends
    reader = reading()
    reader.refs = 1
    del reading
    assert read(reader, 10) == b"hi"
    assert read(reader, 10) == b""
    assert reader.poll() == HUP


def test_fifo_given_up_open_leaves_no_reader() -> None:
    fifo = FifoState()
    reading = fifo.begin_open(O_RDONLY)
    with suppress(WouldBlock):
        reading()
    del reading
    with pytest.raises(ENXIO):
        fifo.begin_open(O_WRONLY | O_NONBLOCK)


def test_fifo_nonblocking_reader_sees_no_hang_up_before_the_first_writer() -> None:
    fifo = FifoState()
    reader = fifo.begin_open(O_RDONLY | O_NONBLOCK)().ref()
    assert isinstance(reader, PipeFile)
    assert reader.poll() == 0
    assert reader.peek(1) == b""
    writer = fifo.begin_open(O_WRONLY)().ref()
    assert reader.poll() == 0
    writer.unref()
    assert reader.poll() == HUP


def test_fifo_read_write_open() -> None:
    fifo = FifoState()
    both = fifo.begin_open(O_RDWR)().ref()
    assert isinstance(both, PipeFile)
    assert both.poll() == OUT | WRNORM
    assert both.write(b"abc") == 3
    assert read(both, 3) == b"abc"
    watch = Watch(IN)
    both.queue.add(watch)
    both.write(b"x")
    assert watch.take() & IN
    both.unref()
    assert fifo.begin_open(O_RDWR)().poll() == OUT | WRNORM  # what was left is gone
