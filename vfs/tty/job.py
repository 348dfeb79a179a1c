"""Job control at the terminal (termios(3), "TOSTOP"; setpgid(2); credentials(7)): who may read, write and configure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.signals import SIGTTIN, SIGTTOU
from sentry.abi.errno import EIO, WouldBlock
from vfs.tty.session import members, process_group_of, session_of, terminals

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.tty.tty import Tty

SIG_IGN = 1


class TtyStop(WouldBlock):
    """A background process touched its terminal. SIGTTIN or SIGTTOU is on its way to its group, so the call waits: the
    signal ends it with a restart, and it is made again when the process was continued."""


def check_read(t: Task, tty: Tty) -> None:
    """Raises TtyStop for a background process, EIO for one that cannot be stopped."""
    _check(t, tty, SIGTTIN)


def check_change(t: Task, tty: Tty) -> None:
    """As for reading, but a process that blocks or ignores SIGTTOU may go on."""
    _check(t, tty, SIGTTOU)


def _check(t: Task, tty: Tty, signo: int) -> None:
    if not tty.pgrp or terminals(t.kernel).of(t.group) is not tty:
        return
    pgrp = process_group_of(t.group.host_pid)
    if pgrp == tty.pgrp:
        return
    if _deaf(t, signo):
        if signo == SIGTTIN:
            raise EIO
        return
    if orphaned(t.kernel, t.group):
        raise EIO
    t.kernel.signals.send_pgrp(pgrp, signo)
    raise TtyStop


def _deaf(t: Task, signo: int) -> bool:
    """Whether the caller ignores or blocks `signo`."""
    if t.group.sighand.get(signo).handler == SIG_IGN:
        return True
    masks = t.kernel.signals.masks(t)
    return masks is not None and bool(masks[2] >> (signo - 1) & 1)


def orphaned(kernel: Kernel, group: ThreadGroup) -> bool:
    """Nobody outside the process group, but in its session, is the parent of a member: nobody could continue it."""
    pgrp, session = process_group_of(group.host_pid), session_of(group.host_pid)
    for member in members(kernel, pgrp):
        parent = member.parent
        if parent is None or parent.dead:
            continue
        if process_group_of(parent.host_pid) != pgrp and session_of(parent.host_pid) == session:
            return False
    return True
