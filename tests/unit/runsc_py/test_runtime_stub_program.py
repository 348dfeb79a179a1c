"""The stub (sentry/engine/stub.c) itself: signals go in, the status comes out, end of file is the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STUB = Path(__file__).resolve().parents[3] / "sentry" / "engine" / "stub"
MESSAGE = struct.Struct("=II")
SIGNAL, EXIT = 1, 2

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="sentry/engine/stub is not built")


class Stub:
    def __init__(self) -> None:
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.dup2(theirs.fileno(), 3)
                os.execv(STUB, ["stub"])
            finally:
                os._exit(99)
        theirs.close()
        self.link.settimeout(5)
        self._until_blocked()

    def _until_blocked(self) -> None:
        """Until it blocks its signals; before that one of ours would kill it. fork(3) blocks them for a moment, too."""
        for _ in range(1000):
            status = Path(f"/proc/{self.pid}/status").read_text()
            blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
            if status.startswith("Name:\tstub\n") and int(blocked, 16) > 1 << 20:
                return
            time.sleep(0.002)
        raise AssertionError("the stub does not start")

    def status(self) -> int:
        return os.waitpid(self.pid, 0)[1]


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.link.close()
    with contextlib.suppress(ProcessLookupError):
        os.kill(made.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(made.pid, 0)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code(stub: Stub, code: int) -> None:
    stub.link.send(MESSAGE.pack(EXIT, code << 8))
    assert os.waitstatus_to_exitcode(stub.status()) == code


@pytest.mark.parametrize("signo", [1, 2, 6, 9, 11, 15, 31, 64])
def test_death_by_signal(stub: Stub, signo: int) -> None:
    stub.link.send(MESSAGE.pack(EXIT, signo | 0x80))
    status = stub.status()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signo and not os.WCOREDUMP(status)


def test_signals_are_told(stub: Stub) -> None:
    for signo in (1, 2, 3, 10, 12, 15, 18, 20, 21, 28, 35, 64):
        os.kill(stub.pid, signo)
        assert MESSAGE.unpack(stub.link.recv(64)) == (SIGNAL, signo)


def test_the_sentrys_end_is_its_end(stub: Stub) -> None:
    stub.link.close()
    assert os.WTERMSIG(stub.status()) == signal.SIGKILL


def test_sigkill_shows_as_end_of_file(stub: Stub) -> None:
    os.kill(stub.pid, signal.SIGKILL)
    assert stub.link.recv(64) == b""


def test_odd_messages_are_ignored(stub: Stub) -> None:
    for message in (b"x", MESSAGE.pack(7, 1), b"y" * 100):
        stub.link.send(message)
    stub.link.send(MESSAGE.pack(EXIT, 5 << 8))
    assert os.waitstatus_to_exitcode(stub.status()) == 5


def test_it_keeps_no_other_descriptors(stub: Stub) -> None:
    names = sorted(int(fd) for fd in os.listdir(f"/proc/{stub.pid}/fd"))
    assert names == [0, 1, 2, 3, 4]
    assert os.readlink(f"/proc/{stub.pid}/fd/4") == "anon_inode:[signalfd]"
