"""Erasing in a line being typed (termios(3): VERASE, VWERASE, VKILL) and how the screen shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const import tty as c
from vfs.tty.output import is_control

if TYPE_CHECKING:
    from vfs.tty.ldisc import Ldisc


def erase(ldisc: Ldisc, char: int) -> None:
    """`char` is the erase, word erase or kill character of `ldisc`."""
    termios, echo, buf = ldisc.termios, ldisc.echo, ldisc.buf
    lflag = termios.lflag
    start = ldisc.canon - ldisc.tail  # where the line begins in the buffer
    if len(buf) == start:
        return
    one = char == termios.cc[c.VERASE]
    word = not one and char == termios.cc[c.VWERASE] and bool(lflag & c.IEXTEN)
    if not one and not word:
        if not lflag & c.ECHO:
            del buf[start:]
            return
        pretty = c.ECHOK | c.ECHOKE | c.ECHOE
        if lflag & pretty != pretty:
            del buf[start:]
            echo.rub_close()
            echo.shown(termios.cc[c.VKILL])
            if lflag & c.ECHOK:
                echo.raw(0x0A)
            return
    seen_word = False
    while len(buf) > start:
        at = _character(ldisc, start)
        if at < 0:
            break
        first = buf[at]
        if word:
            if _in_word(first):
                seen_word = True
            elif seen_word:
                break
        gone = bytes(buf[at:])
        del buf[at:]
        if lflag & c.ECHO:
            _show(ldisc, start, gone, one)
        if one:
            break
    if len(buf) == start and lflag & c.ECHO:
        echo.rub_close()


def _show(ldisc: Ldisc, start: int, gone: bytes, one: bool) -> None:
    echo, lflag, first = ldisc.echo, ldisc.termios.lflag, gone[0]
    if lflag & c.ECHOPRT:
        echo.rub_open()
        echo.shown(first)
        for more in gone[1:]:
            echo.raw(more)
            echo.back()
    elif one and not lflag & c.ECHOE:
        echo.shown(ldisc.termios.cc[c.VERASE])
    elif first == 0x09:
        columns, after_tab = _columns(ldisc, start)
        echo.rub_out_tab(columns, after_tab)
    elif is_control(first):
        if lflag & c.ECHOCTL:
            echo.rub_out(2)
    else:
        echo.rub_out(1)


def _columns(ldisc: Ldisc, start: int) -> tuple[int, bool]:
    """Columns from the last TAB of the line, or from its start (then False), to its end."""
    columns = 0
    for char in reversed(ldisc.buf[start:]):
        if char == 0x09:
            return columns, True
        if is_control(char):
            if ldisc.termios.lflag & c.ECHOCTL:
                columns += 2
        elif not _continues(ldisc, char):
            columns += 1
    return columns, False


def _character(ldisc: Ldisc, start: int) -> int:
    """Where the last character begins; -1 if only continuation bytes are left of it (never erased in part)."""
    at = len(ldisc.buf) - 1
    while _continues(ldisc, ldisc.buf[at]) and at > start:
        at -= 1
    return -1 if _continues(ldisc, ldisc.buf[at]) else at


def _continues(ldisc: Ldisc, char: int) -> bool:
    return bool(ldisc.termios.iflag & c.IUTF8) and char & 0xC0 == 0x80


def _in_word(char: int) -> bool:
    if char < 0x80:
        return chr(char).isalnum() or char == 0x5F
    return char >= 0xC0 and char not in (0xD7, 0xF7)
