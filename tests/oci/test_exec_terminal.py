"""runc-exec(8), --tty: the caller's own terminal, and one that is handed over by a console socket."""

from __future__ import annotations

import array
import os
import socket
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import runtime
from tests.jobs.terminal import Terminal
from tests.oci.container import Container
from tests.oci.test_exec import MAIN, detached, sh, status_of

pytestmark = pytest.mark.timeout(180)
Make = Callable[..., Container]


@pytest.fixture
def c(make: Make) -> Container:
    container = make(MAIN)
    container.up()
    container.until("up")
    return container


def test_terminal_of_the_caller(c: Container) -> None:
    argv = [*runtime(), f"--root={c.state_root}", "exec", "-t", "-e", "PS1=$ ", c.name, "sh"]
    with Terminal(argv, rows=33, columns=101) as t:
        t.prompt()
        t.run("tty", "/dev/pts/")
        t.run("stty size", "33 101")
        t.resize(20, 70)
        t.quiet("never", 0.3)
        t.run("stty size", "20 70")
        t.start("sleep 100")
        t.quiet("never", 0.3)
        t.type("\x03")
        t.prompt()
        t.run("echo status $?", "status 130")
        t.line("exit 9")
        assert t.exit_status() == 9


def test_console_socket(c: Container, tmp_path: Path) -> None:
    """As conmon does it: the master comes over a socket, its size goes to the process, its end hangs the process up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        pid = detached(c, "trap 'stty size' WINCH; tty; while :;do read l && echo got $l; [ $l = end ] && exit 7;done",
                       "--tty", "--console-socket", str(tmp_path / "s"))
        with listener.accept()[0] as link:
            _, rights, _, _ = link.recvmsg(100, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(rights[0][2][:4])
    master = fds[0]
    try:
        read_until(master, b"/dev/pts/")
        termios.tcsetwinsize(master, (40, 100))
        read_until(master, b"40 100")
        os.write(master, b"words\n")
        read_until(master, b"got words")
        assert c.call("delete", c.name).returncode != 0
        os.write(master, b"end\n")
        assert status_of(pid) == 7
        with pytest.raises(OSError, match="Input/output error"):
            while True:
                os.read(master, 1000)
    finally:
        os.close(master)
    assert sh(c, "echo /dev/pts/[0-9]*").stdout == "/dev/pts/[0-9]*\n", "its name is gone"


def test_terminal_hangs_up(c: Container, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        pid = detached(c, "sleep 100", "-t", "--console-socket", str(tmp_path / "s"))
        with listener.accept()[0] as link:
            _, rights, _, _ = link.recvmsg(100, socket.CMSG_SPACE(4))
    os.close(array.array("i", rights[0][2][:4])[0])
    assert status_of(pid) == 129


def read_until(master: int, words: bytes, patience_s: float = 20) -> bytes:
    seen, end = b"", time.monotonic() + patience_s
    os.set_blocking(master, False)
    while words not in seen:
        assert time.monotonic() < end, seen
        try:
            seen += os.read(master, 4096)
        except BlockingIOError:
            time.sleep(0.01)
    os.set_blocking(master, True)
    return seen
