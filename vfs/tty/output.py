"""Output processing of a terminal (termios(3), c_oflag): OPOST and its friends, and the cursor column they imply."""

from __future__ import annotations

from sentry.abi.const import tty as c
from vfs.tty.termios import Termios

_TRANSLATING = c.OPOST | c.ONLCR | c.OCRNL | c.ONOCR | c.ONLRET | c.OLCUC
_PLAIN = c.OPOST | c.ONLCR  # the settings that nearly every terminal has; they take the short way

_STILL = bytes(char for char in range(256) if char >= 0x20 and char != 0x7F)
_CONTINUATION = bytes(range(0x80, 0xC0))  # of UTF-8


def is_control(char: int) -> bool:
    return char < 0x20 or char == 0x7F


def _upper(char: int) -> int:
    """OLCUC works on Latin-1."""
    if 0x61 <= char <= 0x7A or (0xDF <= char <= 0xFF and char != 0xF7):
        return char - 0x20
    return char


class Output:
    """Translates bytes on their way to the terminal and knows in which column its cursor stands.

    column       where the next character appears
    line_column  where the line being typed began; erasing a TAB in it must come back to the right place
    """

    __slots__ = ("column", "line_column", "oflag", "plain", "utf8")

    def __init__(self, termios: Termios) -> None:
        self.column = 0
        self.line_column = 0
        self.set_termios(termios)

    def set_termios(self, termios: Termios) -> None:
        self.oflag = termios.oflag
        self.utf8 = bool(termios.iflag & c.IUTF8)
        self.plain = self.oflag & _TRANSLATING == _PLAIN and self.oflag & c.TABDLY != c.TAB3

    @property
    def active(self) -> bool:
        return bool(self.oflag & c.OPOST)

    def process(self, data: bytes, room: int) -> tuple[bytes, int]:
        """Translate as much of `data` as fits in `room` bytes: (what to send, how much of `data` it stands for)."""
        if not self.oflag & c.OPOST:
            return data[:room], min(len(data), room)
        if not self.plain:
            return self._slow(data, room)
        part = data[:room]
        sent = part.replace(b"\n", b"\r\n")
        if len(sent) > room:
            part = data[: room // 2]
            if not part:
                return b"", 0
            sent = part.replace(b"\n", b"\r\n")
        self._advance(part)
        return sent, len(part)

    def char(self, char: int) -> bytes:
        """Translate one byte."""
        oflag = self.oflag
        if char == 0x0A:
            if oflag & c.ONLRET:
                self.column = 0
            if oflag & c.ONLCR:
                self.column = self.line_column = 0
                return b"\r\n"
            self.line_column = self.column
        elif char == 0x0D:
            if oflag & c.ONOCR and self.column == 0:
                return b""
            if oflag & c.OCRNL:
                if oflag & c.ONLRET:
                    self.column = self.line_column = 0
                return b"\n"
            self.column = self.line_column = 0
        elif char == 0x09:
            spaces = 8 - (self.column & 7)
            self.column += spaces
            if oflag & c.TABDLY == c.TAB3:
                return b" " * spaces
        elif char == 0x08:
            if self.column > 0:
                self.column -= 1
        elif not is_control(char):
            if oflag & c.OLCUC:
                char = _upper(char)
            if not (self.utf8 and char & 0xC0 == 0x80):
                self.column += 1
        return bytes((char,))

    def _slow(self, data: bytes, room: int) -> tuple[bytes, int]:
        sent = bytearray()
        for at, char in enumerate(data):
            before = (self.column, self.line_column)
            more = self.char(char)
            if len(sent) + len(more) > room:
                self.column, self.line_column = before
                return bytes(sent), at
            sent += more
        return bytes(sent), len(data)

    def _advance(self, part: bytes) -> None:
        """Move the cursor over `part`; only what follows the last line end counts."""
        last = max(part.rfind(b"\n"), part.rfind(b"\r"))
        if last >= 0:
            self.column = self.line_column = 0
        rest = part[last + 1 :]
        if not rest.translate(None, _STILL):  # no tabs, backspaces or other controls: what takes a column counts
            self.column += len(rest.translate(None, _CONTINUATION) if self.utf8 else rest)
            return
        for char in rest:
            if char == 0x09:
                self.column += 8 - (self.column & 7)
            elif char == 0x08:
                if self.column:
                    self.column -= 1
            elif not is_control(char) and not (self.utf8 and char & 0xC0 == 0x80):
                self.column += 1
