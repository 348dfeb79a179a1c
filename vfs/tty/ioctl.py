"""ioctl_tty(2): the requests that both sides of a terminal know. On a master they act on its slave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const import tty as c
from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.errno import EINVAL, EIO, ENOTTY, EPERM
from vfs.core.file import O_ACCMODE, O_WRONLY
from vfs.tty.job import check_change
from vfs.tty.session import guest_pgid, host_pgid, members, session_of, terminals
from vfs.tty.termios import TERMIO, TERMIOS, TERMIOS2, WINSIZE, Termios

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.tty.tty import Tty

Request = Callable[["Task", "Tty", int, bool], int]


def terminal_ioctl(t: Task, tty: Tty, request: int, arg: int, flags: int, master: bool) -> int:
    """`flags` are those of the open file; `master` says that it is the other side of `tty`."""
    if request == c.TIOCSCTTY:
        return _take(t, tty, arg, flags, master)
    handler = _REQUESTS.get(request)
    if handler is None:
        raise ENOTTY
    return handler(t, tty, arg, master)


# settings -------------------------------------------------------------------------------------------------------------
def _get_termios(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.write(arg, tty.ldisc.termios.pack())
    return 0


def _get_termios2(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.write(arg, tty.ldisc.termios.pack2())
    return 0


def _get_termio(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.write(arg, tty.ldisc.termios.pack_termio())
    return 0


def _get_locked(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.write(arg, bytes(TERMIOS.size))
    return 0


def _set(
    size: int, take: Callable[[Termios, bytes], Termios], flush: bool, t: Task, tty: Tty, arg: int, _: bool
) -> int:
    """Output needs no waiting for (TCSETSW): what was written has left the line discipline already."""
    check_change(t, tty)
    new = take(tty.ldisc.termios, t.mem.read(arg, size))
    if flush:
        tty.flush_input()
    tty.set_termios(new)
    return 0


def _get_winsize(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.write(arg, WINSIZE.pack(*tty.winsize))
    return 0


def _set_winsize(t: Task, tty: Tty, arg: int, master: bool) -> int:
    rows, columns, width, height = WINSIZE.unpack(t.mem.read(arg, WINSIZE.size))
    tty.set_winsize((rows, columns, width, height))
    return 0


def _get_discipline(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.put_i32(arg, c.N_TTY)
    return 0


def _set_discipline(t: Task, tty: Tty, arg: int, master: bool) -> int:
    check_change(t, tty)
    if t.mem.i32(arg) != c.N_TTY:
        raise EINVAL
    return 0


# data -----------------------------------------------------------------------------------------------------------------
def _input_size(t: Task, tty: Tty, arg: int, master: bool) -> int:
    ldisc = tty.ldisc
    count = ldisc.readable()
    if ldisc.canonical:  # end-of-file characters are no input
        count -= sum(1 for end in ldisc.ends if ldisc.buf[end - ldisc.tail] == 0)
    t.mem.put_i32(arg, count)
    return 0


def _output_size(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.put_i32(arg, 0)
    return 0


def _flush(t: Task, tty: Tty, arg: int, master: bool) -> int:
    check_change(t, tty)
    if arg not in (c.TCIFLUSH, c.TCOFLUSH, c.TCIOFLUSH):
        raise EINVAL
    if arg != c.TCOFLUSH:
        tty.flush_input()
    if arg != c.TCIFLUSH:
        tty.port.discard()
        tty.ldisc.echo.discard()
        tty.port.status(c.TIOCPKT_FLUSHWRITE)
        tty.drained()
    return 0


def _flow(t: Task, tty: Tty, arg: int, master: bool) -> int:
    check_change(t, tty)
    ldisc = tty.ldisc
    if arg in (c.TCOOFF, c.TCOON):
        stopped = ldisc.stopped
        if ldisc.paused != (arg == c.TCOOFF):
            ldisc.pause(arg == c.TCOOFF)
        if ldisc.stopped != stopped:
            tty.flow_changed()
    elif arg in (c.TCIOFF, c.TCION):
        char = ldisc.termios.cc[c.VSTOP if arg == c.TCIOFF else c.VSTART]
        if char and tty.port.room():
            tty.port.send(bytes((char,)))
    else:
        raise EINVAL
    return 0


def _break(t: Task, tty: Tty, arg: int, master: bool) -> int:
    check_change(t, tty)
    return 0  # a pseudo-terminal has no line to break


def _insert(t: Task, tty: Tty, arg: int, master: bool) -> int:
    raise EPERM  # faked input is how a sandboxed program would type into its caller's shell


# job control ----------------------------------------------------------------------------------------------------------
def _take(t: Task, tty: Tty, arg: int, flags: int, master: bool) -> int:
    if master:
        raise EPERM
    known, group = terminals(t.kernel), t.group
    session = session_of(group.host_pid)
    leads = session == group.host_pid
    if leads and tty.session == session and known.of(group) is tty:
        return 0
    if not leads or known.of(group) is not None:
        raise EPERM
    admin = t.creds.has(CAP_SYS_ADMIN)
    if tty.session and not (arg == 1 and admin):
        raise EPERM
    if flags & O_ACCMODE == O_WRONLY and not admin:
        raise EPERM
    known.take(tty, group)
    return 0


def _leave(t: Task, tty: Tty, arg: int, master: bool) -> int:
    known = terminals(t.kernel)
    if master or known.of(t.group) is not tty:
        raise ENOTTY
    known.leave(t.group, tty)
    return 0


def _get_pgrp(t: Task, tty: Tty, arg: int, master: bool) -> int:
    if not master and terminals(t.kernel).of(t.group) is not tty:
        raise ENOTTY
    t.mem.put_i32(arg, guest_pgid(t.kernel, tty.pgrp) if tty.pgrp else 0)
    return 0


def _set_pgrp(t: Task, tty: Tty, arg: int, master: bool) -> int:
    try:
        check_change(t, tty)
    except EIO:
        raise ENOTTY
    session = session_of(t.group.host_pid)
    if terminals(t.kernel).of(t.group) is not tty or tty.session != session:
        raise ENOTTY
    wanted = t.mem.i32(arg)
    if wanted < 0:
        raise EINVAL
    pgrp = host_pgid(t.kernel, wanted)
    if all(session_of(member.host_pid) != session for member in members(t.kernel, pgrp)):
        raise EPERM
    tty.pgrp = pgrp
    return 0


def _get_session(t: Task, tty: Tty, arg: int, master: bool) -> int:
    if (not master and terminals(t.kernel).of(t.group) is not tty) or not tty.session:
        raise ENOTTY
    t.mem.put_i32(arg, t.kernel.guest_pid(tty.session))
    return 0


# the rest -------------------------------------------------------------------------------------------------------------
def _exclusive(on: bool, t: Task, tty: Tty, arg: int, master: bool) -> int:
    tty.exclusive = on
    return 0


def _get_exclusive(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.put_i32(arg, int(tty.exclusive))
    return 0


def _get_device(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.put_u32(arg, tty.dev)
    return 0


def _vhangup(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    tty.hang_up()
    return 0


def _console(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    raise EINVAL  # there is no system console whose output could be redirected


def _get_carrier(t: Task, tty: Tty, arg: int, master: bool) -> int:
    t.mem.put_i32(arg, int(bool(tty.ldisc.termios.cflag & c.CLOCAL)))
    return 0


_REQUESTS: dict[int, Request] = {
    c.TCGETS: _get_termios,
    c.TCGETS2: _get_termios2,
    c.TCGETA: _get_termio,
    c.TIOCGLCKTRMIOS: _get_locked,
    c.TCSETS: partial(_set, TERMIOS.size, Termios.with_termios, False),
    c.TCSETSW: partial(_set, TERMIOS.size, Termios.with_termios, False),
    c.TCSETSF: partial(_set, TERMIOS.size, Termios.with_termios, True),
    c.TCSETS2: partial(_set, TERMIOS2.size, Termios.with_termios2, False),
    c.TCSETSW2: partial(_set, TERMIOS2.size, Termios.with_termios2, False),
    c.TCSETSF2: partial(_set, TERMIOS2.size, Termios.with_termios2, True),
    c.TCSETA: partial(_set, TERMIO.size, Termios.with_termio, False),
    c.TCSETAW: partial(_set, TERMIO.size, Termios.with_termio, False),
    c.TCSETAF: partial(_set, TERMIO.size, Termios.with_termio, True),
    c.TIOCGWINSZ: _get_winsize,
    c.TIOCSWINSZ: _set_winsize,
    c.TIOCGETD: _get_discipline,
    c.TIOCSETD: _set_discipline,
    c.FIONREAD: _input_size,
    c.TIOCOUTQ: _output_size,
    c.TCFLSH: _flush,
    c.TCXONC: _flow,
    c.TCSBRK: _break,
    c.TCSBRKP: _break,
    c.TIOCSBRK: _break,
    c.TIOCCBRK: _break,
    c.TIOCSTI: _insert,
    c.TIOCNOTTY: _leave,
    c.TIOCGPGRP: _get_pgrp,
    c.TIOCSPGRP: _set_pgrp,
    c.TIOCGSID: _get_session,
    c.TIOCEXCL: partial(_exclusive, True),
    c.TIOCNXCL: partial(_exclusive, False),
    c.TIOCGEXCL: _get_exclusive,
    c.TIOCGDEV: _get_device,
    c.TIOCVHANGUP: _vhangup,
    c.TIOCCONS: _console,
    c.TIOCGSOFTCAR: _get_carrier,
}
