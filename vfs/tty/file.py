"""An open terminal (tty(4), termios(3)): the slave side of a pseudo-terminal, or the console."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const import tty as c
from sentry.abi.const.files import S_IFCHR
from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.errno import EBUSY, EIO, ENOTTY, WouldBlock
from sentry.wait import ERR, HUP, IN, OUT, RDNORM, WRNORM, retry
from vfs.core.dentry import Path
from vfs.core.file import File, Stat
from vfs.tty.ioctl import terminal_ioctl
from vfs.tty.job import check_change, check_read
from vfs.tty.read_timer import ReadTimer
from vfs.tty.session import session_of, terminals

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.tty.tty import Tty

O_NOCTTY = 0o400


def current(kernel: object) -> Task | None:
    """Whose call is being served. Files are not told (vfs.core.file), but job control depends on it."""
    return getattr(kernel, "current", None)


def open_tty(tty: Tty, path: Path | None, flags: int, t: Task | None, console: bool = False) -> TtyFile:
    """Open `tty`; a session leader without a terminal gets it as its controlling one, unless O_NOCTTY."""
    if tty.exclusive and tty.opens and not (t is not None and t.creds.has(CAP_SYS_ADMIN)):
        raise EBUSY
    file = TtyFile(tty, path, flags)
    if t is not None and not console and not flags & O_NOCTTY and file.readable:
        known, group = terminals(t.kernel), t.group
        leads = session_of(group.host_pid) == group.host_pid
        if leads and not tty.session and known.of(group) is None:
            known.take(tty, group)
    return file


class TtyFile(File):
    """`hangups` is that of the terminal when it was opened: after a hang-up the file is dead."""

    __slots__ = ("_timer", "hangups", "tty")

    def __init__(self, tty: Tty, path: Path | None, flags: int) -> None:
        super().__init__(flags & ~O_NOCTTY)
        self.opened = path
        self.tty = tty
        self.hangups = tty.hangups
        self.queue = tty.queue
        self._timer: ReadTimer | None = None
        tty.opens += 1

    @property
    def dead(self) -> bool:
        return self.hangups != self.tty.hangups

    # data ---------------------------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        if self.dead or not size:
            return b""
        tty = self.tty
        t = current(tty.kernel)
        if t is not None and tty.pgrp:
            check_read(t, tty)
        ldisc = tty.ldisc
        if not ldisc.canonical and not self._enough(size, t):
            raise WouldBlock
        data = ldisc.peek(size)
        if data is None:
            if ldisc.canonical:
                raise WouldBlock
            return b""
        return data

    def _enough(self, size: int, t: Task | None) -> bool:
        """VMIN and VTIME: whether a noncanonical read ends now."""
        ldisc = self.tty.ldisc
        cc, ready = ldisc.termios.cc, ldisc.readable()
        least, tenths = cc[c.VMIN], cc[c.VTIME]
        if ready >= min(max(least, 1), size):
            self._stop_timer()
            return True
        if not least and not tenths:
            return True
        if self.nonblock:
            return ready > 0
        if not tenths or (least and not ready):
            return False
        if self._timer is None:
            self._timer = ReadTimer(self.tty.kernel, self.queue)
        call = (t.host_tid, t.request_id) if t is not None else None
        return self._timer.expired((call, ready), tenths)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def consume(self, count: int) -> None:
        if self.dead:
            return
        tty = self.tty
        tty.ldisc.consume(count)
        if tty.backlog:
            tty.pump()

    def write(self, data: bytes) -> int:
        if self.dead:
            raise EIO
        tty = self.tty
        if tty.ldisc.termios.lflag & c.TOSTOP:
            t = current(tty.kernel)
            if t is not None:
                check_change(t, tty)
        return tty.write(data)

    def poll(self) -> int:
        if self.dead:
            return IN | OUT | ERR | HUP | RDNORM | WRNORM
        return self.tty.poll()

    # the object behind --------------------------------------------------------------------------------------------
    def ioctl(self, t: Task, request: int, arg: int) -> int:
        return retry(partial(self._ioctl, t, request, arg), [(self, IN)])

    def _ioctl(self, t: Task, request: int, arg: int) -> int:
        if self.dead:
            raise ENOTTY if request == c.TIOCSPGRP else EIO
        return terminal_ioctl(t, self.tty, request, arg, self.flags, False)

    def stat(self) -> Stat:
        if isinstance(self.opened, Path):
            inode = self.opened.dentry.inode
            inode.refresh()
            return inode.stat()
        return Stat(0, 3 + self.tty.index, S_IFCHR | 0o620, 1, 0, 5, self.tty.dev, 0, 1024, 0, 0, 0, 0)

    def name(self) -> bytes:
        return b"/dev/pts/%d" % self.tty.index

    def release(self) -> None:
        self._stop_timer()
        if not self.dead:
            self.tty.opens -= 1
            if not self.tty.opens:
                self.tty.exclusive = False
            self.tty.port.closed()
