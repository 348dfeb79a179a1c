"""Echo of a terminal (termios(3): ECHO ECHOE ECHOK ECHOKE ECHONL ECHOCTL ECHOPRT): what typing puts on the screen."""

from __future__ import annotations

from sentry.abi.const import tty as c
from vfs.tty.output import Output, is_control
from vfs.tty.termios import Termios

LIMIT = 4096  # bytes of echo kept while nobody takes them; what comes later is lost


class Echo:
    """Collects echo. While output is stopped (IXON) only what was `committed` before can be taken: echo is committed
    when output goes on, and when it is taken after a batch of typed bytes."""

    __slots__ = ("committed", "lflag", "out", "rubbing", "stopped", "waiting")

    def __init__(self, out: Output, termios: Termios) -> None:
        self.out = out
        self.lflag = termios.lflag
        self.waiting = bytearray()
        self.committed = 0
        self.stopped = False
        self.rubbing = False  # ECHOPRT: between the `\` and the `/` of an erasure

    def take(self, room: int = LIMIT) -> bytes:
        """Up to `room` bytes to be shown now."""
        self.commit()
        room = min(room, self.committed)
        data = bytes(self.waiting[:room])
        del self.waiting[:room]
        self.committed -= room
        return data

    def commit(self) -> None:
        if not self.stopped:
            self.committed = len(self.waiting)

    def discard(self) -> None:
        self.waiting.clear()
        self.committed = 0

    # what is shown ------------------------------------------------------------------------------------------------
    def raw(self, char: int) -> None:
        """The character itself, through output processing."""
        if char == 0xFF:
            self.out.column += 1
            self._put(b"\xff")
        else:
            self._put(self.out.char(char) if self.out.active else bytes((char,)))

    def shown(self, char: int) -> None:
        """The character as typed: ^X for a control character with ECHOCTL."""
        if self.lflag & c.ECHOCTL and is_control(char) and char != 0x09:
            self.out.column += 2
            self._put(bytes((0x5E, char ^ 0x40)))
        else:
            self.raw(char)

    def line_begins(self) -> None:
        self.out.line_column = self.out.column

    def back(self) -> None:
        """A continuation byte was shown: it took no column of its own."""
        if self.out.column:
            self.out.column -= 1

    def rub_out(self, columns: int) -> None:
        for char in b"\b \b" * columns:
            self.raw(char)

    def rub_out_tab(self, columns: int, after_tab: bool) -> None:
        """Undo a TAB that stands `columns` behind the TAB before it, or behind the start of the line."""
        if not after_tab:
            columns += self.out.line_column
        for _ in range(8 - (columns & 7)):
            self._put(b"\b")
            self.back()

    def rub_open(self) -> None:
        if not self.rubbing:
            self.raw(0x5C)
            self.rubbing = True

    def rub_close(self) -> None:
        if self.rubbing:
            self.raw(0x2F)
            self.rubbing = False

    def _put(self, data: bytes) -> None:
        if len(self.waiting) + len(data) <= LIMIT:
            self.waiting += data
