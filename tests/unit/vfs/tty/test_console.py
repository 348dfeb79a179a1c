"""The console against a real terminal of the host."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from sentry.abi.const.signals import SIGHUP, SIGINT, SIGWINCH
from sentry.abi.errno import WouldBlock
from sentry.wait import HUP, IN, OUT
from vfs.core.dentry import Path
from vfs.core.mount import Mount
from vfs.tty import devices
from vfs.tty.console import Console
from vfs.tty.file import TtyFile, open_tty


class Setup:
    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        self.resize(24, 80)
        tty.setraw(slave)
        self.console = Console(kernel, slave)
        os.close(slave)
        self.t = kernel.process(1010)
        self.file: TtyFile = open_tty(self.console.tty, None, 2, self.t)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("<4H", rows, columns, 0, 0))

    def turn(self) -> None:
        """What the loop does for ready descriptors."""
        for fd, (events, callback) in list(self.kernel.watched.items()):
            if events & OUT:
                callback(OUT)
            if events & IN and fd in self.kernel.watched:
                callback(IN)


@pytest.fixture
def setup(kernel: Any) -> Iterator[Setup]:
    made = Setup(kernel)
    yield made
    made.console.close()
    if made.master >= 0:
        os.close(made.master)


def test_both_ways(setup: Setup) -> None:
    assert setup.file.write(b"hello\n") == 6
    assert os.read(setup.master, 100) == b"hello\r\n"
    os.write(setup.master, b"typed\r")
    setup.turn()
    assert os.read(setup.master, 100) == b"typed\r\n"  # our echo, once: the host's own is off
    assert setup.file.peek(100) == b"typed\n"


def test_interrupt(setup: Setup) -> None:
    os.write(setup.master, b"\x03")
    setup.turn()
    assert setup.kernel.signals.take() == [("group", 1010, SIGINT)]


def test_output_is_bounded(setup: Setup) -> None:
    """Nobody reads the host's side: the writer waits, nothing is lost, and goes on when it is read."""
    text = b"0123456789abcdef" * 256
    total = 0
    with pytest.raises(WouldBlock):
        for _ in range(100):
            total += setup.file.write(text)
    assert len(setup.console.output) <= 65536
    seen = b""
    for _ in range(1000):
        try:
            seen += os.read(setup.master, 65536)
        except BlockingIOError:
            pass
        setup.turn()
        if len(seen) == total:
            break
    assert seen == (text * 100)[:total]
    assert setup.file.poll() & OUT
    assert setup.file.write(b"x") == 1


def test_nothing_is_lost_at_the_end(setup: Setup) -> None:
    text = b"0123456789abcdef" * 3000
    assert setup.file.write(text) == len(text)
    seen = bytearray()

    def read_slowly() -> None:
        os.set_blocking(setup.master, True)
        while len(seen) < len(text):
            seen.extend(os.read(setup.master, 1000))

    reader = threading.Thread(target=read_slowly)
    reader.start()
    setup.console.close()
    reader.join(10)
    assert bytes(seen) == text


def test_size_follows_the_host(setup: Setup) -> None:
    assert setup.file.tty.winsize[:2] == (24, 80)
    setup.resize(50, 132)
    setup.console.resize()
    assert setup.file.tty.winsize[:2] == (50, 132)
    assert setup.kernel.signals.take() == [("group", 1010, SIGWINCH)]


def test_hang_up(setup: Setup) -> None:
    os.close(setup.master)
    setup.master = -1
    setup.turn()
    assert ("process", 1010, SIGHUP) in setup.kernel.signals.take()
    assert setup.file.poll() & HUP
    assert setup.file.peek(10) == b""
    assert setup.kernel.watched == {}


def test_the_hosts_own_description_is_left_as_it_was(kernel: Any) -> None:
    master, slave = os.openpty()
    try:
        before = termios.tcgetattr(slave)
        console = Console(kernel, slave)
        assert os.get_blocking(slave)
        console.close()
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_name_in_devpts(setup: Setup) -> None:
    devices.attach_console(setup.kernel, setup.console.tty)
    fs = devices.make_devpts(setup.kernel, b"gid=5,mode=620")
    dentry = fs.dentry(0)
    file = devices.open_slave(dentry.inode, Path(Mount(fs, fs.root), dentry), 2, setup.t)
    assert isinstance(file, TtyFile)
    assert file.tty is setup.console.tty
    assert file.stat().rdev == setup.file.stat().rdev == 0x8800
    assert fs.free_number() == 1


def test_terminal_of_exec(kernel: Any) -> None:
    fs = devices.make_devpts(kernel)
    master, slave = os.openpty()
    console = devices.new_terminal(kernel, slave)
    assert console.tty.index == 0
    assert fs.dentry(0).inode.rdev == 0x8800
    assert devices.open_slave(fs.dentry(0).inode, Path(Mount(fs, fs.root), fs.dentry(0)), 0o402, None).poll() & OUT  # type: ignore[arg-type]
    console.close()
    assert fs.top.nodes == {}
    os.close(master)
    os.close(slave)
