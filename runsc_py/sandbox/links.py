"""The Sentry's two SOCK_SEQPACKET links (unix(7)): to the `create` process while it lives, and to the stub for good."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno, WouldBlock
from sentry.socket import host

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel

    from .control import Control

IN = 1  # EPOLLIN
SIGWINCH = 28
SIGKILL = 9
SIGNAL, EXIT = 1, 2  # sentry/engine/stub.c
MESSAGE = struct.Struct("=II")
COMMIT, ATTACHED = b"commit", b"attached"


def received(fd: int, size: int) -> bytes | None:
    """One message; None when there is none, b"" at the end."""
    try:
        return host.receive(fd, size)
    except WouldBlock:
        return None
    except Errno:
        return b""


class CreatorLink:
    """Reports that the sandbox is ready, or why not. Until `create` has committed, its end is the Sentry's end; for an
    attached one (`do`) it stays so."""

    def __init__(self, fd: int) -> None:
        import _socket

        self.link = _socket.socket(fileno=fd)
        self.kernel: Kernel | None = None

    def attach(self, kernel: Kernel) -> None:
        self.kernel = kernel
        kernel.watch(self.link.fileno(), IN, self._heard)

    def ready(self, init_pid: int) -> None:
        """The guest's first task goes along as a pidfd: its number differs in the namespace of `create`."""
        import _socket

        pidfd = os.pidfd_open(init_pid)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", pidfd))
        self.link.sendmsg([b"{}"], [rights])
        os.close(pidfd)

    def failed(self, text: str, code: int) -> None:
        try:
            self.link.send(json.dumps({"error": text[:8192], "code": code}).encode())
        except OSError:
            pass

    def _heard(self, events: int) -> None:
        text = received(self.link.fileno(), 64)
        if text is None:
            return
        if text == ATTACHED:
            return
        if text != COMMIT:
            os._exit(1)  # `create` died or gave up; our death takes the guests along
        assert self.kernel is not None
        self.kernel.unwatch(self.link.fileno())
        self.link.close()


class StubLink:
    """Signals come from the stub, the end goes to it. Its own end (somebody killed it) is the container's."""

    def __init__(self, kernel: Kernel, fd: int, control: Control) -> None:
        import _socket

        self.kernel = kernel
        self.control = control
        self.link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        self.link.setblocking(False)
        kernel.watch(fd, IN, self._heard)

    def _heard(self, events: int) -> None:
        text = received(self.link.fileno(), MESSAGE.size)
        if text is None:
            return
        if len(text) != MESSAGE.size:
            self.control.leave_status(SIGKILL)
            os._exit(0)
        kind, signo = MESSAGE.unpack(text)
        if kind == SIGNAL and signo == SIGWINCH and self.control.config.console >= 0:
            self.control.window_changed()
        elif kind == SIGNAL and 0 < signo <= 64:
            self.control.signal_init(signo)

    def finish(self, status: int) -> None:
        try:
            self.link.send(MESSAGE.pack(EXIT, status))
        except OSError:
            pass  # it is gone already
