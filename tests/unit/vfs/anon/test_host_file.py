"""vfs.anon.host_file on real pipes, files, sockets and a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentry.abi.errno import EACCES, ENOTTY, ENXIO, EPIPE, ESPIPE, WouldBlock
from sentry.abi.flags import FIONREAD, O_RDONLY, O_RDWR, O_WRONLY, TCGETS, TIOCGWINSZ, TIOCSTI
from sentry.wait import ERR, HUP, IN, OUT
from tests.unit.syscalls.anon.fake_kernel import BASE, FakeKernel, make_task
from tests.unit.vfs.anon.test_pipe import Watch
from vfs.anon.host_file import HostFile, HostPlainFile, adopt, stdio


class WatchingKernel(FakeKernel):
    """Watches host descriptors with a real epoll, as the platform does."""

    def __init__(self) -> None:
        super().__init__()
        self.epoll = select.epoll()

    def watch(self, host_fd: int, events: int, callback: Any) -> None:
        self.epoll.register(host_fd, events)
        super().watch(host_fd, events, callback)

    def unwatch(self, host_fd: int) -> None:
        if host_fd in self.watched:
            self.epoll.unregister(host_fd)
        super().unwatch(host_fd)

    def turn(self) -> int:
        found = self.epoll.poll(0)
        for fd, events in found:
            self.watched[fd][1](events)
        return len(found)


@pytest.fixture
def kernel() -> Iterator[Any]:
    made = WatchingKernel()
    yield made
    made.epoll.close()


def read(file: Any, size: int) -> bytes:
    data: bytes = file.peek(size)
    file.consume(len(data))
    return data


def test_pipe_pair(kernel: Any) -> None:
    host_reader, host_writer = os.pipe()
    peer_reader, peer_writer = os.pipe()
    stdin, stdout = stdio([host_reader, peer_writer], kernel)
    stdin.refs = stdout.refs = 1
    assert not os.get_blocking(stdin.host.fd) and os.get_blocking(host_writer)
    assert (stdin.flags, stdout.flags) == (O_RDONLY, O_WRONLY)
    with pytest.raises(WouldBlock):
        stdin.peek(10)
    assert stdin.poll() == 0 and stdout.poll() & OUT
    os.write(host_writer, b"hello")
    assert stdin.peek(2) == b"he"
    stdin.consume(1)
    assert read(stdin, 10) == b"e"  # what was read is never more than was asked for
    assert read(stdin, 10) == b"llo"
    assert stdout.write(b"out") == 3
    assert os.read(peer_reader, 10) == b"out"
    while True:
        try:
            stdout.write(b"x" * 65536)
        except WouldBlock:
            break
    assert not stdout.poll() & OUT
    os.close(peer_reader)
    assert stdout.poll() & ERR
    with pytest.raises(EPIPE):
        stdout.write(b"x")
    os.close(host_writer)
    assert stdin.poll() & HUP
    assert read(stdin, 10) == b""
    stdin.unref()
    stdout.unref()


def test_watched_only_while_somebody_waits(kernel: Any) -> None:
    host_reader, host_writer = os.pipe()
    (stdin,) = stdio([host_reader], kernel)
    stdin.refs = 1
    assert not kernel.watched
    watch = Watch(IN)
    stdin.queue.add(watch)
    assert stdin.host.fd in kernel.watched
    kernel.turn()
    watch.take()
    os.write(host_writer, b"x")
    assert kernel.turn() == 1
    assert watch.take() & IN
    assert kernel.turn() == 0  # once for each change, although nothing was read
    os.write(host_writer, b"y")
    assert kernel.turn() == 1
    stdin.queue.remove(watch)
    assert not kernel.watched
    fd = stdin.host.fd
    stdin.unref()
    with pytest.raises(OSError):
        os.fstat(fd)
    os.close(host_writer)


def test_one_terminal_is_one_object(kernel: Any) -> None:
    master, slave = pty.openpty()
    slave_copy = os.dup(slave)
    files = stdio([slave, os.dup(slave), os.dup(slave)], kernel)
    for file in files:
        file.refs = 1
    assert len({id(file.host) for file in files}) == 1
    t = make_task(kernel)
    assert files[1].ioctl(t, TCGETS, BASE) == 0
    assert t.mem.read(BASE, 36) != bytes(36)
    assert files[1].ioctl(t, TIOCGWINSZ, BASE) == 0
    with pytest.raises(ENOTTY):
        files[1].ioctl(t, TIOCSTI, BASE)
    os.write(master, b"line\n")
    assert select.select([slave_copy], [], [], 5)[0]  # the host passes it on in its own time
    os.close(slave_copy)
    assert files[0].ioctl(t, FIONREAD, BASE) == 0 and t.mem.i32(BASE) == 5
    assert files[2].peek(100) == b"line\n"  # whoever reads, nothing is lost
    assert read(files[0], 100) == b"line\n"
    assert files[1].write(b"out") == 3
    shown = b""
    while b"out" not in shown:  # behind the echo
        shown += os.read(master, 100)
    for file in files:
        file.unref()
    os.close(master)


def test_regular_files_share_the_offset(kernel: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    fd = os.open(path, os.O_RDWR)
    os.lseek(fd, 0, os.SEEK_END)
    shared = os.dup(fd)
    (file,) = stdio([fd], kernel)
    file.refs = 1
    assert isinstance(file, HostPlainFile)
    assert file.write(b"guest\n") == 6
    os.write(shared, b"host\n")
    assert path.read_bytes() == b"before\nguest\nhost\n"
    assert file.seek(0, os.SEEK_SET) == 0
    assert file.peek(6) == b"before"
    file.consume(6)
    assert read(file, 3) == b"\ngu"
    assert file.pread(4, 7) == b"gues" and file.stat().size == 18
    with pytest.raises(EACCES):
        file.host_fd(False)  # a writable description is not given for a read-only mapping
    assert file.host_fd(True) == file.host.fd
    file.unref()
    os.close(shared)


def test_sockets_block_nobody(kernel: Any) -> None:
    ours, theirs = socket.socketpair()
    (file,) = stdio([ours.detach()], kernel)
    file.refs = 1
    assert os.get_blocking(file.host.fd)
    with pytest.raises(WouldBlock):
        file.peek(10)
    theirs.send(b"abc")
    assert read(file, 2) == b"ab" and file.peek(2) == b"c"
    with pytest.raises(WouldBlock):
        while True:
            file.write(b"x" * 65536)
    theirs.close()
    with pytest.raises(EPIPE):
        file.write(b"x")
    with pytest.raises(ENXIO):
        file.reopen(O_RDWR, make_task(kernel))
    file.unref()


def test_a_description_that_blocks_is_asked_first(kernel: Any) -> None:
    reader, writer = os.pipe()
    file = HostFile(writer, O_WRONLY, kernel)
    file.refs = 1
    assert file.host.blocking
    assert file.write(b"x" * 65536) == 4096
    for _ in range(15):
        file.write(b"x" * 4096)
    with pytest.raises(WouldBlock):
        file.write(b"x")
    source = HostFile(reader, O_RDONLY, kernel)
    source.refs = 1
    assert len(read(source, 1 << 20)) == 65536
    with pytest.raises(WouldBlock):
        source.peek(1)
    source.unref()
    with pytest.raises(EPIPE):
        file.write(b"x")
    file.unref()


def test_reopen_is_narrowed_to_what_the_host_allows(kernel: Any) -> None:
    reader, writer = os.pipe()
    (stdout,) = stdio([writer], kernel)
    stdout.refs = 1
    t = make_task(kernel)
    again = stdout.reopen(O_WRONLY | 0o2000, t).ref()
    assert again.write(b"x") == 1 and os.read(reader, 9) == b"x"
    assert not stdout.reopen(O_RDWR, t).readable
    with pytest.raises(EACCES):
        stdout.reopen(O_RDONLY, t)
    with pytest.raises(ESPIPE):
        stdout.seek(0, 0)
    stdout.unref()
    assert again.write(b"y") == 1  # the host's descriptor lives as long as one of them
    os.close(reader)


def test_dev_null(kernel: Any) -> None:
    (file,) = stdio([os.open("/dev/null", os.O_RDWR)], kernel)
    file.refs = 1
    assert file.peek(10) == b"" and file.write(b"x" * 100) == 100
    assert file.poll() & (IN | OUT) == IN | OUT
    watch = Watch()
    file.queue.add(watch)  # cannot be watched, and is always ready
    file.queue.remove(watch)
    file.unref()


def test_adopt_keeps_descriptions_with_an_offset(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    assert adopt(fd) == fd
    os.close(fd)
    ours, theirs = socket.socketpair()
    assert adopt(ours.fileno()) == ours.fileno()
    ours.close()
    theirs.close()


def test_a_regular_file_opened_again_has_an_offset_of_its_own(kernel: Any, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"abcdef")
    (stdin,) = stdio([os.open(path, os.O_RDWR)], kernel)
    stdin.refs = 1
    stdin.consume(len(stdin.peek(2)))
    again = stdin.reopen(O_RDWR, make_task(kernel)).ref()
    assert again.peek(3) == b"abc"
    again.consume(3)
    assert again.write(b"X") == 1 and again.seek(0, os.SEEK_CUR) == 4 and again.seek(-1, os.SEEK_END) == 5
    assert stdin.peek(4) == b"cXef" and stdin.seek(0, os.SEEK_CUR) == 2
    again.unref()
    stdin.unref()
