"""Pseudo-terminals (pty(7), pts(4), ioctl_tty(2) "Pseudoterminal ioctls", TIOCPKT): the pair and its master side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const import tty as c
from sentry.abi.const.signals import SIGINT, SIGQUIT, SIGTSTP
from sentry.abi.errno import EAGAIN, EINVAL, EIO, WouldBlock
from sentry.wait import HUP, IN, OUT, PRI, RDNORM, WRNORM, WaitQueue
from vfs.core.file import File, Stat
from vfs.tty.ioctl import terminal_ioctl
from vfs.tty.tty import BACKLOG_LIMIT, Port, Tty

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

OUTPUT_LIMIT = 16384  # bytes that wait for the master to read them
WAKE_ROOM = OUTPUT_LIMIT // 4
_OPPOSITE = {
    c.TIOCPKT_STOP: c.TIOCPKT_START,
    c.TIOCPKT_START: c.TIOCPKT_STOP,
    c.TIOCPKT_NOSTOP: c.TIOCPKT_DOSTOP,
    c.TIOCPKT_DOSTOP: c.TIOCPKT_NOSTOP,
}
_TTY_SIGNALS = (SIGINT, SIGQUIT, SIGTSTP)


class Pair(Port):
    """`output` is what the slave's programs wrote. `packet` is the master's TIOCPKT mode, `news` its pending bits.

    was_open  a slave has been open: without one the master's reads wait, after it they fail
    """

    __slots__ = ("locked", "master_open", "news", "output", "packet", "queue", "tty", "was_open")

    def __init__(self, kernel: Kernel, index: int) -> None:
        self.tty = Tty(kernel, self, index)
        self.output = bytearray()
        self.queue = WaitQueue()
        self.locked = True
        self.packet = False
        self.news = 0
        self.master_open = True
        self.was_open = False

    def room(self) -> int:
        return OUTPUT_LIMIT - len(self.output)

    def send(self, data: bytes) -> None:
        if self.master_open:
            self.output += data
            self.queue.notify(IN | RDNORM)

    def discard(self) -> None:
        self.output.clear()

    def accepts(self) -> None:
        self.queue.notify(OUT | WRNORM)

    def closed(self) -> None:
        if not self.tty.opens:
            self.queue.notify(HUP | IN)

    def status(self, bits: int) -> None:
        if self.packet:
            for bit in _OPPOSITE:
                if bits & bit:
                    self.news &= ~_OPPOSITE[bit]
            self.news |= bits
            self.queue.notify(IN | PRI | RDNORM)

    @property
    def slave_gone(self) -> bool:
        return self.was_open and not self.tty.opens


class Master(File):
    """An open master. `peer` opens the slave for TIOCGPTPEER, `ended` gives the number free."""

    __slots__ = ("_ended", "_peer", "pair")

    def __init__(
        self,
        pair: Pair,
        path: Path,
        flags: int,
        peer: Callable[[Task, Pair, Path, int], File],
        ended: Callable[[Pair], None],
    ) -> None:
        super().__init__(flags & ~0o400)
        self.pair = pair
        self.opened: Path = path
        self.queue = pair.queue
        self._peer = peer
        self._ended = ended

    def peek(self, size: int) -> bytes:
        pair = self.pair
        if not size:
            return b""
        if pair.news:
            return bytes((pair.news,))
        if pair.output:
            return b"\0" + pair.output[: size - 1] if pair.packet else bytes(pair.output[:size])
        if pair.slave_gone:
            raise EIO
        raise WouldBlock

    def consume(self, count: int) -> None:
        pair = self.pair
        if not count:
            return
        if pair.news:
            pair.news = 0
            return
        tight = pair.room() < WAKE_ROOM
        del pair.output[: count - 1 if pair.packet else count]
        if tight and pair.room() >= WAKE_ROOM:
            pair.tty.drained()

    def write(self, data: bytes) -> int:
        taken = self.pair.tty.feed(data)
        if data and not taken:
            raise WouldBlock
        return taken

    def poll(self) -> int:
        pair = self.pair
        events = 0
        if pair.output:
            events |= IN | RDNORM
        if pair.news:
            events |= IN | PRI | RDNORM
        if pair.slave_gone:
            events |= HUP
        if len(pair.tty.backlog) < BACKLOG_LIMIT:
            events |= OUT | WRNORM
        return events

    def stat(self) -> Stat:
        inode = self.opened.dentry.inode
        inode.refresh()
        return inode.stat()

    def name(self) -> bytes:
        return b"/dev/ptmx"

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        pair, tty = self.pair, self.pair.tty
        if request == c.TIOCGPTN:
            t.mem.put_u32(arg, tty.index)
        elif request == c.TIOCSPTLCK:
            pair.locked = t.mem.i32(arg) != 0
        elif request == c.TIOCGPTLCK:
            t.mem.put_i32(arg, int(pair.locked))
        elif request == c.TIOCPKT:
            on = t.mem.i32(arg) != 0
            if on != pair.packet:
                pair.packet, pair.news = on, 0
        elif request == c.TIOCGPKT:
            t.mem.put_i32(arg, int(pair.packet))
        elif request == c.TIOCSIG:
            if arg & 0xFFFFFFFF not in _TTY_SIGNALS:
                raise EINVAL
            if tty.pgrp:
                t.kernel.signals.send_pgrp(tty.pgrp, arg & 0xFFFFFFFF)
        elif request == c.TIOCGPTPEER:
            return self._open_peer(t, arg)
        elif request == c.FIONREAD:
            t.mem.put_i32(arg, len(pair.output))
        elif request == c.TCFLSH:
            self._flush(arg)
        else:
            try:
                return terminal_ioctl(t, tty, request, arg, self.flags, True)
            except WouldBlock:  # the master is no job of its slave's session, except by an odd choice of its own
                raise EAGAIN
        return 0

    def _open_peer(self, t: Task, flags: int) -> int:
        flags &= 0xFFFFFFFF
        file = self._peer(t, self.pair, self.opened, flags)
        return t.fds.install(file, cloexec=bool(flags & 0o2000000))

    def _flush(self, which: int) -> None:
        if which not in (c.TCIFLUSH, c.TCOFLUSH, c.TCIOFLUSH):
            raise EINVAL
        if which != c.TCOFLUSH:
            self.pair.output.clear()
            self.pair.tty.drained()
        if which != c.TCIFLUSH:
            self.pair.tty.backlog.clear()

    def release(self) -> None:
        """The terminal's programs get SIGHUP, end of file on reads and EIO on writes."""
        pair = self.pair
        pair.master_open = False
        pair.output.clear()
        pair.tty.hang_up()
        self._ended(pair)
