"""Control socket and links of the Sentry, with a kernel that only watches descriptors."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runsc_py.sandbox.client import ask
from runsc_py.sandbox.control import CONNECTION_LIMIT, LINE_LIMIT, Control
from runsc_py.sandbox.links import MESSAGE, CreatorLink, StubLink
from sentry.boot import BootConfig


class Group:
    host_pid = 77


class Pause:
    wanted = False


class Kernel:
    """The part of sentry.kernel.kernel.Kernel that the runtime uses."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Callable[[int], None]] = {}
        self.poll = select.poll()
        self.init = Group()
        self.groups = {77: self.init, 78: Group()}
        self.signals = self
        self.sent: list[tuple[object, int]] = []
        self.released = 0
        self.pause = Pause()

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.callbacks[fd] = callback
        self.poll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        del self.callbacks[fd]
        self.poll.unregister(fd)

    def send_group(self, group: object, signo: int) -> None:
        self.sent.append((group, signo))

    def release_init(self) -> None:
        self.released += 1

    def turn(self, timeout_ms: int = 200) -> None:
        for fd, events in self.poll.poll(timeout_ms):
            self.callbacks[fd](events)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def served(tmp_path: Path, kernel: Kernel) -> Iterator[tuple[Control, str]]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "control"))
    listener.listen()
    config = BootConfig("c")
    config.control_fd = listener.detach()
    config.exit_fd = os.open(tmp_path / "exit", os.O_WRONLY | os.O_CREAT)
    yield Control(kernel, config), str(tmp_path / "control")  # type: ignore[arg-type]
    os.close(config.exit_fd)


def request(kernel: Kernel, path: str, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: answers.extend(ask(path, d, 5.0) for d in documents))
    caller.start()
    while caller.is_alive():
        kernel.turn(20)
    caller.join()
    return answers


def test_start_happens_once(kernel: Kernel, served: tuple[Control, str]) -> None:
    answers = request(kernel, served[1], {"op": "state"}, {"op": "start"}, {"op": "state"}, {"op": "start"})
    assert answers[0] == {"status": "created"} and answers[1] == {} and answers[2] == {"status": "running"}
    assert "running" in answers[3]["error"] and kernel.released == 1


def test_kill(kernel: Kernel, served: tuple[Control, str]) -> None:
    assert request(kernel, served[1], {"op": "kill", "signal": 15}) == [{}]
    assert kernel.sent == [(kernel.init, 15)]
    request(kernel, served[1], {"op": "kill", "signal": 2, "all": True})
    assert len(kernel.sent) == 3
    for bad in (-1, 65, "9", None):
        assert "error" in request(kernel, served[1], {"op": "kill", "signal": bad})[0]


def test_wait_is_answered_at_the_end(kernel: Kernel, served: tuple[Control, str], tmp_path: Path) -> None:
    control, path = served
    answers: list[dict[str, object]] = []
    caller = threading.Thread(target=lambda: answers.append(ask(path, {"op": "wait"}, 5.0)))
    caller.start()
    while not control.waiting:
        kernel.turn(20)
    control.leave_status(256)
    control.finish(256)
    caller.join()
    assert answers == [{"status": 256}] and (tmp_path / "exit").read_text() == "256\n"


@pytest.mark.parametrize(
    "text", [b"{\n", b"[]\n", b"null\n", b"\xff\n", b'{"op": []}\n', b"{}\n", b"[" * 60000 + b"\n"]
)
def test_odd_requests_get_an_error(kernel: Kernel, served: tuple[Control, str], text: bytes) -> None:
    link = socket.socket(socket.AF_UNIX)
    link.connect(served[1])
    link.sendall(text)
    link.settimeout(0.01)
    answer = b""
    for _ in range(50):
        kernel.turn(10)
        try:
            answer = link.recv(65536)
            break
        except TimeoutError:
            continue
    assert "error" in json.loads(answer)
    link.close()


def test_an_endless_line_is_cut(kernel: Kernel, served: tuple[Control, str]) -> None:
    link = socket.socket(socket.AF_UNIX)
    link.connect(served[1])
    link.setblocking(False)
    sent = 0
    for _ in range(400):
        try:
            sent += link.send(b"x" * 65536)
        except BlockingIOError:
            pass
        except OSError:
            break
        kernel.turn(1)
    assert not served[0].connections and sent <= 2 * LINE_LIMIT
    link.close()


def test_connections_are_bounded(kernel: Kernel, served: tuple[Control, str]) -> None:
    links = []
    for _ in range(CONNECTION_LIMIT + 5):
        link = socket.socket(socket.AF_UNIX)
        link.connect(served[1])
        links.append(link)
        kernel.turn(20)
    assert len(served[0].connections) == CONNECTION_LIMIT
    for link in links:
        link.close()
    for _ in range(100):
        kernel.turn(1)
    assert not served[0].connections


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        ask(str(tmp_path / "control"), {"op": "state"}, 1.0)


class Ended(Exception):
    """os._exit was called."""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", leave)


def pair() -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, theirs.detach()


def test_ready_brings_a_pidfd(kernel: Kernel) -> None:
    ours, fd = pair()
    CreatorLink(fd).ready(os.getpid())
    text, rights, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
    pidfd = struct.unpack("i", rights[0][2])[0]
    assert f"Pid:\t{os.getpid()}" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    assert json.loads(text) == {}
    os.close(pidfd)


@pytest.mark.usefixtures("exits")
def test_create_dies_before_it_commits(kernel: Kernel) -> None:
    ours, fd = pair()
    CreatorLink(fd).attach(kernel)  # type: ignore[arg-type]
    ours.close()
    with pytest.raises(Ended):
        kernel.turn()


@pytest.mark.usefixtures("exits")
def test_commit_lets_go_and_attached_does_not(kernel: Kernel) -> None:
    ours, fd = pair()
    CreatorLink(fd).attach(kernel)  # type: ignore[arg-type]
    ours.send(b"commit")
    kernel.turn()
    ours.close()
    kernel.turn(10)
    assert not kernel.callbacks
    ours, fd = pair()
    link = CreatorLink(fd)
    link.attach(kernel)  # type: ignore[arg-type]
    ours.send(b"attached")
    kernel.turn()
    ours.close()
    with pytest.raises(Ended):
        kernel.turn()


@pytest.mark.usefixtures("exits")
def test_stub_link(kernel: Kernel, served: tuple[Control, str], tmp_path: Path) -> None:
    control = served[0]
    sizes: list[int] = []
    control.config.console = 0
    control.config.window_changed = lambda: sizes.append(1)
    ours, fd = pair()
    link = StubLink(kernel, fd, control)  # type: ignore[arg-type]
    for signo in (15, 28, 99):
        ours.send(MESSAGE.pack(1, signo))
        kernel.turn()
    assert kernel.sent == [(kernel.init, 15)] and sizes == [1]
    link.finish(256)
    assert MESSAGE.unpack(ours.recv(64)) == (2, 256)
    ours.close()
    with pytest.raises(Ended):
        kernel.turn()
    assert (tmp_path / "exit").read_text() == "9\n", "whoever kills the stub has killed the container"
