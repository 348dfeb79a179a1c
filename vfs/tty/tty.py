"""A terminal as programs see it (tty(4), ioctl_tty(2)): line discipline, size, session, a port to the other end."""

from __future__ import annotations

from os import makedev
from typing import TYPE_CHECKING

from sentry.abi.const import tty as c
from sentry.abi.const.signals import SIGWINCH
from sentry.abi.errno import WouldBlock
from sentry.wait import ERR, HUP, IN, OUT, PRI, RDNORM, WRNORM, WaitQueue
from vfs.tty.job import TtyStop
from vfs.tty.ldisc import Ldisc
from vfs.tty.session import terminals
from vfs.tty.termios import Termios

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel

__all__ = ["BACKLOG_LIMIT", "PTS_MAJOR", "Port", "Tty", "TtyStop"]

PTS_MAJOR = 136
TURN = 4096  # typed bytes that are looked at in one go: 12 ms
BACKLOG_LIMIT = 65536  # typed bytes that wait until the line discipline has room
BATCH = 4096


class Port:
    """The other end of a terminal: a pseudo-terminal's master, or a terminal of the host."""

    def room(self) -> int:
        """How many bytes `send` takes now."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """At most `room()` bytes to the screen. When there is room again the port calls `Tty.drained`."""
        raise NotImplementedError

    def discard(self) -> None:
        """Throw away what was sent and has not arrived."""

    def accepts(self) -> None:
        """The terminal can take typed bytes again, after `Tty.feed` took less than was offered."""

    def closed(self) -> None:
        """A program closed the terminal; `Tty.opens` is up to date."""

    def status(self, bits: int) -> None:
        """TIOCPKT_* bits: a flush or a change of flow control, for whoever asked for packet mode."""


class Tty:
    """`session` and `pgrp` are host numbers, 0 for none. `hangups` counts hang-ups: files opened before are dead.

    `backlog` holds typed bytes for which the line discipline had no room.
    """

    __slots__ = (
        "backlog", "deferred", "dev", "exclusive", "hangups", "index", "kernel", "ldisc", "opens", "pgrp", "port",
        "queue", "session", "winsize",
    )  # fmt: skip

    def __init__(self, kernel: Kernel, port: Port, index: int, termios: Termios | None = None) -> None:
        self.kernel = kernel
        self.port = port
        self.index = index
        self.dev = makedev(PTS_MAJOR, index)
        self.ldisc = Ldisc(termios or Termios())
        self.winsize = (0, 0, 0, 0)  # rows, columns, width and height in pixels
        self.session = 0
        self.pgrp = 0
        self.queue = WaitQueue()
        self.backlog = bytearray()
        self.opens = 0
        self.exclusive = False
        self.hangups = 0
        self.deferred = False

    # typed bytes --------------------------------------------------------------------------------------------------
    def feed(self, data: bytes) -> int:
        """The other end typed `data`; returns how much was taken."""
        taken = min(len(data), BACKLOG_LIMIT - len(self.backlog))
        self.backlog += data[:taken]
        if not self.deferred:
            self.pump()
        return taken

    def pump(self) -> None:
        """Pass waiting bytes on to the line discipline, and what it makes of them to where it belongs; no more than
        TURN at a time, the rest from the loop."""
        ldisc = self.ldisc
        left = TURN
        before, was_full, stopped = ldisc.readable(), len(self.backlog) == BACKLOG_LIMIT, ldisc.stopped
        while self.backlog:
            if left <= 0:
                self._go_on_later()
                break
            received = ldisc.receive(bytes(self.backlog[:BATCH]))
            if not received.taken:
                break
            del self.backlog[: received.taken]
            left -= received.taken
            for signo in received.signals:
                if self.pgrp:
                    self.kernel.signals.send_pgrp(self.pgrp, signo)
            if received.flush:
                self.port.discard()
                self.port.status(c.TIOCPKT_FLUSHREAD | c.TIOCPKT_FLUSHWRITE)
            self.show_echo()
        if ldisc.stopped != stopped:
            self.flow_changed()
        if ldisc.readable() != before or ldisc.ends:
            self.queue.notify(IN | RDNORM)
        if was_full and len(self.backlog) < BACKLOG_LIMIT:
            self.port.accepts()

    def _go_on_later(self) -> None:
        if not self.deferred:
            self.deferred = True
            self.kernel.defer(self._go_on)

    def _go_on(self) -> None:
        self.deferred = False
        self.pump()

    def flush_input(self) -> None:
        self.ldisc.flush_input()
        self.backlog.clear()
        self.port.status(c.TIOCPKT_FLUSHREAD)
        self.port.accepts()

    # output -------------------------------------------------------------------------------------------------------
    def show_echo(self) -> None:
        room = self.port.room()
        if room > 0 and self.ldisc.echo.waiting:
            echo = self.ldisc.echo.take(room)
            if echo:
                self.port.send(echo)

    def write(self, data: bytes) -> int:
        """Output of a program; returns how much was taken, WouldBlock for nothing."""
        if not data:
            return 0
        if self.ldisc.stopped:
            raise WouldBlock
        self.show_echo()
        sent, taken = self.ldisc.out.process(data, self.port.room())
        if not taken:
            raise WouldBlock
        if sent:
            self.port.send(sent)
        return taken

    def drained(self) -> None:
        """The port has room again."""
        self.show_echo()
        if not self.ldisc.stopped:
            self.queue.notify(OUT | WRNORM)

    def flow_changed(self) -> None:
        """Output was stopped, or goes on."""
        if self.ldisc.stopped:
            self.port.status(c.TIOCPKT_STOP)
        else:
            self.port.status(c.TIOCPKT_START)
            self.drained()

    def poll(self) -> int:
        """Events, as long as the terminal is not hung up."""
        ldisc, cc = self.ldisc, self.ldisc.termios.cc
        least = 1 if ldisc.canonical or cc[c.VTIME] else max(1, cc[c.VMIN])
        events = IN | RDNORM if ldisc.readable() >= least else 0
        if not ldisc.stopped and self.port.room() > 0:
            events |= OUT | WRNORM
        return events

    # settings -----------------------------------------------------------------------------------------------------
    def set_termios(self, new: Termios) -> None:
        old, stopped = self.ldisc.termios, self.ldisc.stopped
        self.ldisc.set_termios(new)
        self._report(old, new)
        if self.ldisc.stopped != stopped:
            self.flow_changed()
        self.queue.notify(IN | RDNORM | OUT | WRNORM)
        self.pump()

    def _report(self, old: Termios, new: Termios) -> None:
        """Packet mode tells a remote end whether ^S and ^Q are to be handled there (TIOCPKT)."""
        local = _local_flow(new)
        if local != _local_flow(old):
            self.port.status(c.TIOCPKT_DOSTOP if local else c.TIOCPKT_NOSTOP)
        if (old.lflag ^ new.lflag) & c.EXTPROC or new.lflag & c.EXTPROC:
            self.port.status(c.TIOCPKT_IOCTL)

    def set_winsize(self, winsize: tuple[int, int, int, int]) -> None:
        if winsize != self.winsize:
            self.winsize = winsize
            if self.pgrp:
                self.kernel.signals.send_pgrp(self.pgrp, SIGWINCH)

    def hang_up(self) -> None:
        """vhangup(2), or the other end is gone: open files are dead, the session loses its terminal."""
        self.hangups += 1
        self.opens = 0
        self.exclusive = False
        self.backlog.clear()
        self.ldisc = Ldisc(self.ldisc.termios)
        terminals(self.kernel).hung_up(self)
        self.queue.notify(IN | OUT | PRI | ERR | HUP | RDNORM | WRNORM)


def _local_flow(termios: Termios) -> bool:
    cc = termios.cc
    return bool(termios.iflag & c.IXON) and cc[c.VSTOP] == 0x13 and cc[c.VSTART] == 0x11
