"""The line discipline N_TTY (termios(3), "Canonical and noncanonical mode"): what typed bytes become.

A pure state machine: bytes in, and out come lines for the reader (`peek`, `consume`), echo (`echo.take()`), signals and
requests to flush (`receive` returns them). It knows no process, no file and no clock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from sentry.abi.const import tty as c
from sentry.abi.const.signals import SIGINT, SIGQUIT, SIGTSTP
from vfs.tty.echo import Echo
from vfs.tty.erase import erase
from vfs.tty.output import Output
from vfs.tty.termios import DISABLED, Termios

BUFFER_SIZE = 4096  # MAX_CANON with its line end
NL, CR = 0x0A, 0x0D


class Received(NamedTuple):
    """What the caller of `receive` has to do; `taken` bytes were used, the rest must be offered again later."""

    taken: int
    signals: tuple[int, ...]  # for the foreground process group
    flush: bool  # throw away pending output: a signal character came without NOFLSH


class Ldisc:
    """Positions are absolute counts of bytes ever put: `tail` is the first unread one, `canon` the end of whole lines.

    `ends` holds the positions of line ends. An end-of-file character is kept as a NUL at such a position.
    """

    __slots__ = (
        "buf", "canon", "canonical", "echo", "ends", "literal", "out", "paused", "special", "tail",
        "termios", "transparent",
    )  # fmt: skip

    def __init__(self, termios: Termios) -> None:
        self.buf = bytearray()
        self.tail = 0
        self.canon = 0
        self.ends: deque[int] = deque()
        self.literal = False  # LNEXT was typed
        self.paused = False  # TCOOFF: only TCOON starts output again
        self.out = Output(termios)
        self.echo = Echo(self.out, termios)
        self.canonical = bool(termios.lflag & c.ICANON) and not termios.lflag & c.EXTPROC
        self._configure(termios)

    # settings -----------------------------------------------------------------------------------------------------
    def set_termios(self, termios: Termios) -> None:
        old = self.termios
        if (old.lflag ^ termios.lflag) & (c.ICANON | c.EXTPROC):
            self._change_mode(termios)
        self._configure(termios)
        self.out.set_termios(termios)
        self.echo.lflag = termios.lflag
        if old.iflag & c.IXON and not termios.iflag & c.IXON:
            self.start()

    def _change_mode(self, termios: Termios) -> None:
        """What was typed raw and is unread becomes one line; lines become plain bytes."""
        self.ends.clear()
        if termios.lflag & c.ICANON and self.buf:
            self.canon = self.head
            self.ends.append(self.head - 1)
        else:
            self.canon = self.tail
        self.echo.rubbing = False
        self.literal = False

    def _configure(self, termios: Termios) -> None:
        self.termios = termios
        self.canonical = bool(termios.lflag & c.ICANON) and not termios.lflag & c.EXTPROC
        cc, iflag, lflag = termios.cc, termios.iflag, termios.lflag
        special: set[int] = set()
        if iflag & (c.IGNCR | c.ICRNL):
            special.add(CR)
        if iflag & c.INLCR:
            special.add(NL)
        if lflag & c.ICANON:
            special |= {cc[c.VERASE], cc[c.VKILL], cc[c.VEOF], cc[c.VEOL], NL}
            if lflag & c.IEXTEN:
                special |= {cc[c.VWERASE], cc[c.VLNEXT], cc[c.VEOL2]}
                if lflag & c.ECHO:
                    special.add(cc[c.VREPRINT])
        if iflag & c.IXON:
            special |= {cc[c.VSTART], cc[c.VSTOP]}
        if lflag & c.ISIG:
            special |= {cc[c.VINTR], cc[c.VQUIT], cc[c.VSUSP]}
        special.discard(DISABLED)
        self.special = frozenset(special)
        changing = c.ISTRIP | c.IUCLC | c.IGNCR | c.ICRNL | c.INLCR | c.IXON | c.PARMRK
        self.transparent = not iflag & changing and not lflag & (c.ICANON | c.ISIG | c.ECHO)

    # the reader's side --------------------------------------------------------------------------------------------
    @property
    def head(self) -> int:
        return self.tail + len(self.buf)

    def readable(self) -> int:
        """Bytes that a read may take now: whole lines in canonical mode, all else."""
        return self.canon - self.tail if self.canonical else len(self.buf)

    def peek(self, size: int) -> bytes | None:
        """What a read of `size` bytes gets, None when there is nothing yet. b"" is end of file; it is gone with that,
        for nobody commits a read of nothing."""
        if not self.canonical:
            if self.termios.lflag & c.ICANON and size and self.buf == self.termios.cc[c.VEOF : c.VEOF + 1]:
                self._drop(1)  # EXTPROC: a lone end-of-file character still is one
                return b""
            return bytes(self.buf[:size]) if self.buf else None
        if self.canon == self.tail:
            return None
        end = self.ends[0] - self.tail
        if self.buf[end] != DISABLED:
            return bytes(self.buf[: min(size, end + 1)])
        if end == 0 and size:
            self._drop(1)
        return bytes(self.buf[: min(size, end)])

    def consume(self, count: int) -> None:
        """Drop `count` bytes of the last peek, and the end-of-file character that ended their line."""
        end = self.ends[0] if self.ends else -1
        self._drop(count)
        if count and self.canonical and self.tail == end and self.buf[0] == DISABLED:
            self._drop(1)

    def _drop(self, count: int) -> None:
        del self.buf[:count]
        self.tail += count
        while self.ends and self.ends[0] < self.tail:
            self.ends.popleft()
        self.canon = max(self.canon, self.tail)

    def flush_input(self) -> None:
        self.tail = self.canon = self.head
        self.buf.clear()
        self.ends.clear()
        self.echo.rubbing = False

    # the terminal's side ------------------------------------------------------------------------------------------
    def room(self) -> int:
        """How many bytes can be typed now; a line being edited always takes more (its last byte is replaced)."""
        free = BUFFER_SIZE - len(self.buf)
        if self.termios.iflag & c.PARMRK:
            free = -(-free // 3)
        return free - 1

    def receive(self, data: bytes) -> Received:
        """Type `data`."""
        signals: list[int] = []
        flush = False
        taken = 0
        if self.transparent and not self.literal:
            taken = max(0, min(len(data), self.room()))
            self.buf += data[:taken]
            return Received(taken, (), False)
        for char in data:
            room = self.room()
            if room <= 0:
                if not self.termios.lflag & c.ICANON or self.canon != self.tail:
                    break
                if room < 0:
                    self.buf.pop()
            taken += 1
            signo = self._char(char)
            if signo:
                signals.append(signo)
                flush = flush or not self.termios.lflag & c.NOFLSH
        return Received(taken, tuple(signals), flush)

    def _char(self, char: int) -> int:
        """One typed byte; returns the signal that it stands for, or 0."""
        termios = self.termios
        if termios.iflag & c.ISTRIP:
            char &= 0x7F
        if termios.iflag & c.IUCLC and termios.lflag & c.IEXTEN:
            char = _lower(char)
        if self.literal:
            self.literal = False
            self._ordinary(char)
        elif termios.lflag & c.EXTPROC:
            self.buf.append(char)
        elif char in self.special:
            return self._special(char)
        else:
            self._ordinary(char)
        return 0

    def _ordinary(self, char: int) -> None:
        self._start_by_any()
        if self.termios.lflag & c.ECHO:
            self._echo_typed(char)
        self._put(char)

    def _special(self, char: int) -> int:
        termios = self.termios
        cc, iflag, lflag = termios.cc, termios.iflag, termios.lflag
        if iflag & c.IXON and char in (cc[c.VSTART], cc[c.VSTOP]):
            if char == cc[c.VSTART]:
                self.start()
            else:
                self.echo.stopped = True
            return 0
        if lflag & c.ISIG:
            for at, signo in ((c.VINTR, SIGINT), (c.VQUIT, SIGQUIT), (c.VSUSP, SIGTSTP)):
                if char == cc[at]:
                    self._signal(char)
                    return signo
        self._start_by_any()
        if char == CR:
            if iflag & c.IGNCR:
                return 0
            if iflag & c.ICRNL:
                char = NL
        elif char == NL and iflag & c.INLCR:
            char = CR
        if lflag & c.ICANON and self._editing(char):
            return 0
        if lflag & c.ECHO:
            if char == NL:
                self.echo.rub_close()
                self.echo.raw(NL)
            else:
                self._echo_typed(char)
        self._put(char)
        return 0

    def _signal(self, char: int) -> None:
        lflag = self.termios.lflag
        if not lflag & c.NOFLSH:
            self.echo.discard()
            self.flush_input()
        if self.termios.iflag & c.IXON and not self.paused:
            self.echo.stopped = False
        if lflag & c.ECHO:
            self.echo.shown(char)
        else:
            self.echo.commit()

    def _editing(self, char: int) -> bool:
        """Canonical mode's own characters; False for one that is data."""
        cc, lflag, echo = self.termios.cc, self.termios.lflag, self.echo
        extended, echoing = lflag & c.IEXTEN, lflag & c.ECHO
        if char in (cc[c.VERASE], cc[c.VKILL]) or (extended and char == cc[c.VWERASE]):
            erase(self, char)
        elif extended and char == cc[c.VLNEXT]:
            self.literal = True
            if echoing:
                echo.rub_close()
                if lflag & c.ECHOCTL:
                    echo.raw(0x5E)
                    echo.raw(0x08)
        elif extended and echoing and char == cc[c.VREPRINT]:
            echo.rub_close()
            echo.shown(char)
            echo.raw(NL)
            for typed in self.buf[self.canon - self.tail :]:
                echo.shown(typed)
        elif char == NL:
            if lflag & (c.ECHO | c.ECHONL):
                echo.raw(NL)
            self._end_line(NL)
        elif char == cc[c.VEOF]:
            self._end_line(DISABLED)
        elif char == cc[c.VEOL] or (extended and char == cc[c.VEOL2]):
            if echoing:
                if self.canon == self.head:
                    echo.line_begins()
                echo.shown(char)
            if char == 0xFF and self.termios.iflag & c.PARMRK:
                self.buf.append(0xFF)
            self._end_line(char)
        else:
            return False
        return True

    def _end_line(self, char: int) -> None:
        self.ends.append(self.head)
        self.buf.append(char)
        self.canon = self.head

    def _put(self, char: int) -> None:
        if char == 0xFF and self.termios.iflag & c.PARMRK:
            self.buf.append(0xFF)  # \377 is doubled, so that it is not taken for a mark
        self.buf.append(char)

    def _echo_typed(self, char: int) -> None:
        self.echo.rub_close()
        if self.canon == self.head:
            self.echo.line_begins()
        self.echo.shown(char)

    # flow control -------------------------------------------------------------------------------------------------
    @property
    def stopped(self) -> bool:
        return self.echo.stopped

    def start(self) -> None:
        if not self.paused:
            self.echo.stopped = False
            self.echo.commit()

    def pause(self, on: bool) -> None:
        """tcflow(3): TCOOFF and TCOON."""
        self.paused = on
        if on:
            self.echo.stopped = True
        else:
            self.start()

    def _start_by_any(self) -> None:
        if self.echo.stopped and self.termios.iflag & c.IXON and self.termios.iflag & c.IXANY:
            self.start()


def _lower(char: int) -> int:
    """IUCLC works on Latin-1."""
    if 0x41 <= char <= 0x5A or (0xC0 <= char <= 0xDE and char != 0xD7):
        return char + 0x20
    return char
