"""pty(7): a person at a terminal, for tests: type, and wait for what must appear."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence

ENVIRONMENT = {"LC_ALL": "C", "TERM": "dumb"}
PATIENCE_S = 20


class Terminal:
    """A command whose controlling terminal is a fresh pty; the other side is ours."""

    def __init__(self, argv: Sequence[str], rows: int = 24, columns: int = 80) -> None:
        self.seen = ""              # all that ever appeared
        self.at = 0                 # where the next expectation begins
        self.status: int | None = None
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], list(argv), {**os.environ, **ENVIRONMENT})
            finally:
                os._exit(127)
        self.resize(rows, columns)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.hang_up()
        for signo in (signal.SIGTERM, signal.SIGKILL):
            if self._gone(3):
                return
            os.kill(self.pid, signo)
        self._gone(5)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def line(self, text: str) -> None:
        self.type(text + "\n")

    def expect(self, pattern: str, patience_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait until the pattern appears in what is new since the last expectation."""
        end = time.monotonic() + patience_s
        while True:
            found = re.search(pattern, self.seen[self.at:], re.MULTILINE)
            if found:
                self.at += found.end()
                return found
            if not self._more(end - time.monotonic()):
                raise AssertionError(f"no {pattern!r} in:\n{self.seen[self.at:]}\n--- before:\n{self.seen[:self.at]}")

    def quiet(self, pattern: str, time_s: float) -> None:
        """The pattern must not appear for so long."""
        end = time.monotonic() + time_s
        while self._more(end - time.monotonic()):
            pass
        assert not re.search(pattern, self.seen[self.at:]), self.seen[self.at:]

    def start(self, command: str) -> None:
        """Type a command; what it prints is looked for after its own echo."""
        self.line(command)
        self.expect(re.escape(command) + "\r\n")

    def run(self, command: str, pattern: str = "") -> None:
        """A command, what it must print, and the next prompt."""
        self.start(command)
        self.expect(pattern)
        self.prompt()

    def prompt(self) -> None:
        self.expect(r"\$ (?:\x1b\[6n)?$")       # busybox asks the terminal where the cursor is

    def exit_status(self, patience_s: float = PATIENCE_S) -> int:
        end = time.monotonic() + patience_s
        while self._more(end - time.monotonic()):
            pass
        assert self._gone(max(1.0, end - time.monotonic())), f"still running; terminal:\n{self.seen}"
        assert self.status is not None
        return os.waitstatus_to_exitcode(self.status)

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def _more(self, patience_s: float) -> bool:
        if patience_s <= 0 or not select.select([self.master], [], [], patience_s)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:             # EIO: nobody has the other side open
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def _gone(self, patience_s: float) -> bool:
        end = time.monotonic() + patience_s
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            elif time.monotonic() > end:
                return False
            else:
                time.sleep(0.01)
        return True
