"""The Sentry's side of the control socket: JSON lines from the CLI, answered from the kernel's loop, never waiting.

Requests: {"op": "state"} {"op": "network", "network": {...}} {"op": "share"} {"op": "start"}
{"op": "kill", "signal": N, "all": bool} {"op": "wait"} {"op": "pause"} {"op": "resume"}
{"op": "processes", "after": N}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.errors import NetError
from sentry.abi.errno import Errno, WouldBlock
from sentry.net.attach import attach, share
from sentry.net.config import ConfigError
from sentry.socket import host

from .sessions import Sessions, close_all

if TYPE_CHECKING:
    from sentry.boot import BootConfig
    from sentry.kernel.kernel import Kernel

IN = 1  # EPOLLIN
LINE_LIMIT = 4 << 20  # environments may be long
PIECE = 1 << 16
FDS_LIMIT = 253  # that one message can carry
CONNECTION_LIMIT = 64
PAGE = 1000  # processes in an answer

Answer = dict[str, object]


class Control:
    """Status of the container, and who waits for its end."""

    def __init__(self, kernel: Kernel, config: BootConfig) -> None:
        import _socket

        self.kernel = kernel
        self.config = config
        self.status = "created"
        self.sessions = Sessions(kernel)
        self.listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, config.control_fd)
        self.listener.setblocking(False)
        self.connections: set[Connection] = set()
        self.waiting: list[Connection] = []
        kernel.watch(config.control_fd, IN, self._accept)

    def _accept(self, events: int) -> None:
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]  # what socket.accept() is made of
        except OSError:
            return
        if len(self.connections) >= CONNECTION_LIMIT:
            os.close(fd)
            return
        self.connections.add(Connection(self, fd))

    def answer(self, request: Answer, connection: Connection) -> Answer | None:
        """None: the answer comes later."""
        operation = OPERATIONS.get(str(request.get("op")))
        if operation is None:
            return {"error": f"unknown request {request.get('op')!r}"}
        return operation(self, request, connection)

    def _state(self, request: Answer, connection: Connection) -> Answer:
        return {"status": "paused" if self.kernel.pause.wanted else self.status}

    def _network(self, request: Answer, connection: Connection) -> Answer:
        """Before `start`, if at all; the wires come along."""
        if self.status != "created":
            return {"error": f"the network of a container that is {self.status} stays as it is"}
        fds, connection.fds = connection.fds, []
        try:
            attach(self.kernel, self.kernel.net, request.get("network"), fds)
        except (ConfigError, NetError) as err:
            close_all(fds)
            return {"error": f"network: {err or type(err).__name__}"}
        return {}

    def _share(self, request: Answer, connection: Connection) -> Answer:
        share(self.kernel.net)
        return {}

    def _start(self, request: Answer, connection: Connection) -> Answer:
        if self.status != "created" or self.kernel.pause.wanted:
            status = "paused" if self.kernel.pause.wanted else self.status
            return {"error": f"cannot start a container that is {status}"}
        self.kernel.release_init()
        self.status = "running"
        return {}

    def _exec(self, request: Answer, connection: Connection) -> Answer | None:
        """Answered when the process is there."""
        fds, connection.fds = connection.fds, []
        return self.sessions.begin(request, fds, connection)

    def _go(self, request: Answer, connection: Connection) -> Answer:
        session = self.sessions.of(connection)
        return session.go() if session is not None else {}  # it was killed meanwhile: its stub tells

    def _kill(self, request: Answer, connection: Connection) -> Answer:
        signo = request.get("signal")
        if not isinstance(signo, int) or not 0 <= signo <= 64:
            return {"error": f"no such signal: {signo!r}"}
        if request.get("all"):
            for group in list(self.kernel.groups.values()):
                self.kernel.signals.send_group(group, signo)
        else:
            self.signal_init(signo)
        return {}

    def _pause(self, request: Answer, connection: Connection) -> Answer | None:
        """Answered when no guest runs any more."""
        if self.kernel.pause.wanted:
            return {"error": "container not running: it is paused"}

        def done(still: bool) -> None:
            if connection in self.connections:
                connection.send({} if still else {"error": "some processes could not be stopped"})

        self.kernel.pause.begin(done)
        return None

    def _resume(self, request: Answer, connection: Connection) -> Answer:
        if not self.kernel.pause.wanted:
            return {"error": "container not paused"}
        self.kernel.defer(self.sessions.resumed)
        self.kernel.pause.end()
        return {}

    def _processes(self, request: Answer, connection: Connection) -> Answer:
        """[number in the Sentry's namespace, effective user] of each after number N, in order; at most PAGE of them."""
        after = request.get("after")
        groups = self.kernel.groups
        numbers = sorted(pid for pid in groups if not isinstance(after, int) or pid > after)[:PAGE]
        first = {pid: next(iter(groups[pid].tasks.values()), None) for pid in numbers}
        return {"processes": [[pid, task.creds.euid] for pid, task in first.items() if task is not None]}

    def _wait(self, request: Answer, connection: Connection) -> Answer | None:
        self.waiting.append(connection)
        return None

    def signal_init(self, signo: int) -> None:
        if self.kernel.init is not None:
            self.kernel.signals.send_group(self.kernel.init, signo)

    def window_changed(self) -> None:
        """The host terminal has a new size: the console passes it on with SIGWINCH."""
        if self.config.window_changed is not None:
            self.config.window_changed()

    def leave_status(self, status: int) -> None:
        leave_status(self.config, status)

    def finish(self, status: int) -> None:
        for connection in self.waiting:
            connection.send({"status": status})


def leave_status(config: BootConfig, status: int, why: str = "") -> None:
    """In the file `exit`: the wait status, and below it what went wrong, if it was the sandbox that ended."""
    if config.exit_fd >= 0:
        try:
            os.write(config.exit_fd, f"{status}\n{why[:4096]}".encode(errors="backslashreplace"))
        except OSError:
            pass


OPERATIONS: dict[str, Callable[[Control, Answer, Connection], Answer | None]] = {}


class Connection:
    """One CLI process. A bare descriptor: a socket object would ask the host for its name, which is not listed."""

    def __init__(self, control: Control, fd: int) -> None:
        self.control = control
        self.fd = fd
        self.text = b""
        self.fds: list[int] = []  # that came with the request
        os.set_blocking(fd, False)
        control.kernel.watch(fd, IN, self._heard)

    def _heard(self, events: int) -> None:
        try:
            piece, fds = host.receive_with_fds(self.fd, PIECE, FDS_LIMIT)
        except WouldBlock:
            return
        except Errno:
            piece, fds = b"", []
        self.text += piece
        self.fds += fds
        if not piece or len(self.text) > LINE_LIMIT or len(self.fds) > FDS_LIMIT:
            self.close()
        elif self.text.endswith(b"\n"):
            text, self.text = self.text, b""
            self._answer(text)

    def _answer(self, text: bytes) -> None:
        try:
            request = json.loads(text)
            if not isinstance(request, dict):
                raise ValueError
        except (ValueError, RecursionError):
            answer: Answer | None = {"error": "not a JSON object"}
        else:
            answer = self.control.answer(request, self)
        close_all(self.fds)
        self.fds = []
        if answer is not None:
            self.send(answer)

    def send(self, answer: Answer) -> None:
        """Answers are short: they fit the socket's buffer, or the other side does not read and loses them."""
        try:
            os.write(self.fd, json.dumps(answer).encode() + b"\n")
        except OSError:
            pass

    def close(self) -> None:
        self.control.kernel.unwatch(self.fd)
        os.close(self.fd)
        close_all(self.fds)
        self.control.connections.discard(self)
        self.control.sessions.closed(self)
        if self in self.control.waiting:
            self.control.waiting.remove(self)


OPERATIONS.update(exec=Control._exec, go=Control._go)  # sessions.py
OPERATIONS.update(network=Control._network, share=Control._share)
OPERATIONS.update(state=Control._state, start=Control._start, kill=Control._kill, wait=Control._wait)
OPERATIONS.update(pause=Control._pause, resume=Control._resume, processes=Control._processes)
