"""The line discipline against the host's: the same bytes into os.openpty() and into ours, under many settings."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentry.abi.const import tty as c
from vfs.tty.ldisc import Ldisc
from vfs.tty.termios import DEFAULT_CC, Termios

IFLAGS = (c.ICRNL, c.INLCR, c.IGNCR, c.ISTRIP, c.IUTF8, c.IXON, c.IXANY, c.IUCLC, c.PARMRK)
OFLAGS = (c.OPOST, c.ONLCR, c.OCRNL, c.ONOCR, c.ONLRET, c.OLCUC, c.TAB3)
LFLAGS = (
    c.ICANON, c.ECHO, c.ECHOE, c.ECHOK, c.ECHONL, c.ECHOCTL, c.ECHOKE, c.ECHOPRT, c.IEXTEN, c.ISIG, c.NOFLSH, c.EXTPROC,
)  # fmt: skip
# Characters that mean something appear often; 'A' (65) and 0xc3 0xa9 are ordinary ones with a story (IUCLC, IUTF8).
ALPHABET = st.sampled_from(b"ab 1_\t\r\n\x7f\x15\x17\x16\x12\x04\x03\x1a\x1c\x11\x13\x08\x01\x00A\xc3\xa9\xff\xe0;")


def flags(choices: tuple[int, ...], usual: int) -> st.SearchStrategy[int]:
    """The usual settings, mostly; else any combination."""
    return st.one_of(
        st.just(usual),
        st.sampled_from(choices).map(lambda bit: usual ^ bit),
        st.lists(st.sampled_from(choices), unique=True).map(sum),
    )


TERMIOS = st.builds(
    Termios,
    flags(IFLAGS, c.ICRNL | c.IXON),
    flags(OFLAGS, c.OPOST | c.ONLCR),
    st.just(c.B38400 | c.CS8 | c.CREAD),
    flags(LFLAGS, c.ISIG | c.ICANON | c.ECHO | c.ECHOE | c.ECHOK | c.ECHOCTL | c.ECHOKE | c.IEXTEN),
    st.just(0),
    st.sampled_from([DEFAULT_CC, DEFAULT_CC[:11] + b";" + DEFAULT_CC[12:16] + b"1" + DEFAULT_CC[17:]]),
)
READ_SIZE = st.sampled_from([1, 3, 4096])


class Host:
    """A pseudo-terminal of the host."""

    def __init__(self, termios: Termios) -> None:
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        os.set_blocking(self.slave, False)
        self.set(termios)

    def set(self, termios: Termios) -> None:
        fcntl.ioctl(self.slave, c.TCSETS, termios.pack())

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)

    def shown(self, expected: bytes) -> bytes:
        """All that appears on the screen; waits for at least `expected`, and a little for more."""
        seen = b""
        deadline = time.monotonic() + 1.0
        while True:
            try:
                seen += os.read(self.master, 65536)
            except BlockingIOError:
                if len(seen) >= len(expected) or time.monotonic() > deadline:
                    return seen
            time.sleep(0.0005)

    def lines(self, size: int, expected: list[bytes]) -> list[bytes]:
        deadline = time.monotonic() + 1.0
        seen: list[bytes] = []
        while True:
            try:
                seen.append(os.read(self.slave, size))
            except BlockingIOError:
                if len(seen) >= len(expected) or time.monotonic() > deadline:
                    return seen
                time.sleep(0.0005)


def our_lines(ldisc: Ldisc, size: int) -> list[bytes]:
    seen = []
    while (data := ldisc.peek(size)) is not None:
        seen.append(data)
        ldisc.consume(len(data))
    return seen


PATIENCE_S = (0.002, 0.03, 0.3)  # the host's worker passes typed bytes on in its own time; no call waits for it


def patiently(check: Callable[[float], None]) -> None:
    """A difference counts only if it is there after a long wait as well."""
    for wait_s in PATIENCE_S:
        try:
            return check(wait_s)
        except AssertionError:
            if wait_s == PATIENCE_S[-1]:
                raise
    return None


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    made: list[Host] = []
    yield made
    for host in made:
        host.close()


def compare(termios: Termios, chunks: list[bytes], size: int, wait_s: float) -> None:
    host = Host(termios)
    try:
        ours = Ldisc(termios)
        for chunk in chunks:
            received = ours.receive(chunk)
            assert received.taken == len(chunk)
            os.write(host.master, chunk)
        echo = ours.echo.take()
        time.sleep(wait_s)
        if not flushes(termios, chunks):  # what the host showed before a flush depends on when its worker ran
            assert host.shown(echo) == echo
        lines = our_lines(ours, size)
        assert host.lines(size, lines) == lines
    finally:
        host.close()


def flushes(termios: Termios, chunks: list[bytes]) -> bool:
    signal_characters = {termios.cc[at] for at in (c.VINTR, c.VQUIT, c.VSUSP)}
    return bool(termios.lflag & c.ISIG and not termios.lflag & c.NOFLSH and signal_characters & set(b"".join(chunks)))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(TERMIOS, st.lists(ALPHABET, max_size=40).map(bytes), READ_SIZE)
def test_typing(termios: Termios, typed: bytes, size: int) -> None:
    patiently(partial(compare, termios, [typed], size))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(TERMIOS, st.lists(ALPHABET, max_size=40).map(bytes))
def test_output(termios: Termios, written: bytes) -> None:
    host = Host(termios)
    try:
        sent, taken = Ldisc(termios).out.process(written, 65536)
        assert taken == len(written)
        os.write(host.slave, written)
        assert host.shown(sent) == sent
    finally:
        host.close()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(TERMIOS, st.lists(ALPHABET, max_size=12).map(bytes), st.lists(ALPHABET, max_size=20).map(bytes))
def test_column_after_output(termios: Termios, prompt: bytes, typed: bytes) -> None:
    """A prompt moves the cursor: erasing a TAB typed behind it must come back to the right column."""
    patiently(partial(compare_column, termios, prompt, typed))


def compare_column(termios: Termios, prompt: bytes, typed: bytes, wait_s: float) -> None:
    host = Host(termios)
    try:
        ours = Ldisc(termios)
        shown, _ = ours.out.process(prompt, 65536)
        os.write(host.slave, prompt)
        ours.receive(typed)
        shown += ours.echo.take()
        os.write(host.master, typed)
        time.sleep(wait_s)
        if not flushes(termios, [typed]):
            assert host.shown(shown) == shown
    finally:
        host.close()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(TERMIOS, TERMIOS, st.lists(ALPHABET, max_size=15).map(bytes), st.lists(ALPHABET, max_size=15).map(bytes))
def test_change_of_settings(before: Termios, after: Termios, first: bytes, second: bytes) -> None:
    patiently(partial(compare_change, before, after, first, second))


def compare_change(before: Termios, after: Termios, first: bytes, second: bytes, wait_s: float) -> None:
    host = Host(before)
    try:
        ours = Ldisc(before)
        ours.receive(first)
        echo = ours.echo.take()
        os.write(host.master, first)
        time.sleep(wait_s)
        if ours.stopped:
            return  # echo that waits is translated later, by the new settings on the host and by the old ones here
        ours.set_termios(after)
        host.set(after)
        ours.receive(second)
        os.write(host.master, second)
        time.sleep(wait_s)
        echo += ours.echo.take()
        if not flushes(before, [first]) and not flushes(after, [second]):
            assert host.shown(echo) == echo
        lines = our_lines(ours, 4096)
        assert host.lines(4096, lines) == lines
    finally:
        host.close()


@pytest.mark.parametrize("count", [4094, 4095, 4096, 4097, 5000])
@pytest.mark.parametrize("end", [b"\n", b"\x04", b""])
def test_long_line(hosts: list[Host], count: int, end: bytes) -> None:
    """A line holds 4095 bytes and its end; more is lost (termios(3), MAX_CANON)."""
    termios = Termios(lflag=c.ICANON)
    host = Host(termios)
    hosts.append(host)
    typed = bytes(0x61 + at % 26 for at in range(count)) + end
    ours = Ldisc(termios)
    assert ours.receive(typed).taken == len(typed)
    os.write(host.master, typed)
    time.sleep(0.005)
    lines = our_lines(ours, 8192)
    assert host.lines(8192, lines) == lines
