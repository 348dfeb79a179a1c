"""The container's own terminal: our line discipline in front of a terminal of the host (tty(4), console(4)).

The runtime has put the host's terminal in raw mode (runsc_py/host/tty.py), so that every rule (echo, erase, signals) is
ours; bytes are pumped between it and a Tty without ever blocking. Its size follows the host's, which the kernel reports
by calling `resize`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const.tty import TIOCGWINSZ
from sentry.wait import ERR, HUP, IN, OUT
from vfs.tty.termios import WINSIZE
from vfs.tty.tty import BACKLOG_LIMIT, Port, Tty

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel

OUTPUT_LIMIT = 65536
READ_SIZE = 4096
WRITE_SIZE = 16384
PATIENCE_S = 2.0  # at the end: how long nobody may read before what is left is thrown away
PAUSE_S = 0.002


class Console(Port):
    """`host_fd` is our own description of the host's terminal, so that O_NONBLOCK is nobody else's."""

    __slots__ = ("_kernel", "_watched", "ended", "host_fd", "output", "tty")

    def __init__(self, kernel: Kernel, host_fd: int, index: int = 0) -> None:
        self._kernel = kernel
        self.host_fd = _own_description(host_fd)
        self.output = bytearray()
        self.tty = Tty(kernel, self, index)
        self._watched = 0
        self.ended: Callable[[], None] | None = None  # called when it is closed or hung up
        self.resize()
        self._watch()

    # the host's side ----------------------------------------------------------------------------------------------
    def resize(self) -> None:
        """The host's terminal has another size: take it over; the foreground group gets SIGWINCH if it changed."""
        try:
            data = fcntl.ioctl(self.host_fd, TIOCGWINSZ, bytes(WINSIZE.size))
        except OSError:
            return
        rows, columns, width, height = WINSIZE.unpack(data)
        self.tty.set_winsize((rows, columns, width, height))

    def close(self) -> None:
        """The sandbox ends: write out what waits while somebody reads it, hang up ours."""
        self._write_out()
        left, since = len(self.output), time.monotonic()
        while self.output and time.monotonic() - since < PATIENCE_S:
            time.sleep(PAUSE_S)
            self._write_out()
            if len(self.output) < left:
                left, since = len(self.output), time.monotonic()
        self._end()

    def _end(self) -> None:
        if self.host_fd < 0:
            return
        if self._watched:
            self._kernel.unwatch(self.host_fd)
            self._watched = 0
        os.close(self.host_fd)
        self.host_fd = -1
        self.output.clear()
        self.tty.hang_up()
        if self.ended is not None:
            self.ended()

    def _watch(self) -> None:
        """Ask for input while there is room for it, for output while some waits."""
        if self.host_fd < 0:
            return
        wanted = IN if len(self.tty.backlog) + READ_SIZE <= BACKLOG_LIMIT else 0
        if self.output:
            wanted |= OUT
        if wanted == self._watched:
            return
        if self._watched:
            self._kernel.unwatch(self.host_fd)
        if wanted:
            self._kernel.watch(self.host_fd, wanted, self._ready)
        self._watched = wanted

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._write_out()
        if self.host_fd >= 0 and events & (IN | HUP | ERR):
            self._read_in()
        self._watch()

    def _read_in(self) -> None:
        try:
            data = os.read(self.host_fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.tty.feed(data)
        else:
            self._end()  # the host's terminal hung up

    def _write_out(self) -> None:
        before = len(self.output)
        while self.output and self.host_fd >= 0:
            try:
                done = os.write(self.host_fd, self.output[:WRITE_SIZE])
            except BlockingIOError:
                break
            except OSError:
                self._end()
                return
            del self.output[:done]
        if before and len(self.output) <= OUTPUT_LIMIT // 2:
            self.tty.drained()

    # the terminal's side ------------------------------------------------------------------------------------------
    def room(self) -> int:
        return OUTPUT_LIMIT - len(self.output)

    def send(self, data: bytes) -> None:
        if self.host_fd < 0:
            return
        idle = not self.output
        self.output += data
        if idle:
            try:
                del self.output[: os.write(self.host_fd, self.output)]
            except OSError:
                pass  # would block, or is gone: the loop finds out
        self._watch()

    def discard(self) -> None:
        self.output.clear()
        self._watch()

    def accepts(self) -> None:
        self._watch()


def _own_description(host_fd: int) -> int:
    """A non-blocking description of the terminal behind `host_fd`; where it cannot be opened again, a duplicate."""
    try:
        return os.open(f"/proc/self/fd/{host_fd}", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        copy = fcntl.fcntl(host_fd, fcntl.F_DUPFD_CLOEXEC, 3)
        os.set_blocking(copy, False)
        return copy
