"""Sessions and their controlling terminals (credentials(7), tty(4), setsid(2), ioctl_tty(2)).

Sessions and process groups are the host's (the kernel mirrors setsid and setpgid), so numbers here are host numbers;
`guest_pgid` and `host_pgid` translate. The host knows no controlling terminal: that is kept here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.const.signals import SIGCONT, SIGHUP
from sentry.abi.errno import ESRCH

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.fs.devpts import Devpts
    from vfs.tty.tty import Tty


class Terminals:
    """The terminals of one kernel.

    by_session  host session number -> its controlling terminal
    left        processes that gave theirs up by TIOCNOTTY without leading the session
    lost        sessions whose terminal hung up: {host session: host foreground group}
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.by_session: dict[int, Tty] = {}
        self.left: dict[int, ThreadGroup] = {}
        self.lost: dict[int, int] = {}
        self.console: Tty | None = None
        self.devpts: Devpts | None = None  # the first instance: the console has a name in it
        kernel.group_death_hooks.append(self.group_died)

    def of(self, group: ThreadGroup) -> Tty | None:
        """The controlling terminal of a process."""
        if not self.by_session:
            return None
        tty = self.by_session.get(session_of(group.host_pid))
        return None if tty is None or self.left.get(group.host_pid) is group else tty

    def take(self, tty: Tty, group: ThreadGroup) -> None:
        """`tty` becomes the terminal of the session that `group` leads; the caller has checked that it may."""
        self.forget(tty)
        self.by_session[group.host_pid] = tty
        tty.session = group.host_pid
        tty.pgrp = process_group_of(group.host_pid)
        self.left.pop(group.host_pid, None)

    def forget(self, tty: Tty) -> None:
        """`tty` controls no session any more."""
        if self.by_session.get(tty.session) is tty:
            del self.by_session[tty.session]
        tty.session = tty.pgrp = 0

    def leave(self, group: ThreadGroup, tty: Tty) -> None:
        """TIOCNOTTY: the leader takes the terminal away from its whole session."""
        if tty.session != group.host_pid:
            self.left = {pid: g for pid, g in self.left.items() if self.kernel.groups.get(pid) is g}
            self.left[group.host_pid] = group
            return
        pgrp = tty.pgrp
        self.forget(tty)
        if pgrp:
            self.kernel.signals.send_pgrp(pgrp, SIGHUP)
            self.kernel.signals.send_pgrp(pgrp, SIGCONT)

    def hung_up(self, tty: Tty) -> None:
        """The terminal is gone: its session leader learns it; when the leader ends, so does the foreground group."""
        session, pgrp = tty.session, tty.pgrp
        self.forget(tty)
        leader = self.kernel.groups.get(session) if session else None
        if leader is not None and not leader.dead:
            if pgrp:
                self.lost[session] = pgrp
            self.kernel.signals.send_group(leader, SIGHUP)
            self.kernel.signals.send_group(leader, SIGCONT)

    def group_died(self, group: ThreadGroup) -> None:
        """A process ended: was it the leader of a session that has, or had, a terminal?"""
        self.left.pop(group.host_pid, None)
        pgrp = self.lost.pop(group.host_pid, 0)
        if pgrp:
            self.kernel.signals.send_pgrp(pgrp, SIGHUP)
            self.kernel.signals.send_pgrp(pgrp, SIGCONT)
        tty = self.by_session.get(group.host_pid)
        if tty is not None:
            pgrp = tty.pgrp
            self.forget(tty)
            if pgrp:
                self.kernel.signals.send_pgrp(pgrp, SIGHUP)


def terminals(kernel: Kernel) -> Terminals:
    """The one object of `kernel`, made when it is first needed."""
    found = kernel.__dict__.get("terminals")
    if not isinstance(found, Terminals):
        found = kernel.__dict__["terminals"] = Terminals(kernel)
    return found


def controlling_tty(t: Task) -> Tty | None:
    """What /dev/tty means to the caller."""
    return terminals(t.kernel).of(t.group)


def session_of(host_pid: int) -> int:
    """Host session number; 0 for a process that is gone."""
    try:
        return host_session(host_pid)
    except OSError:
        return 0


def host_session(host_pid: int) -> int:
    """Field 6 of proc_pid_stat(5)."""
    with open(f"/proc/{host_pid}/stat", "rb") as f:
        return int(f.read(1024).rpartition(b")")[2].split()[3])


def process_group_of(host_pid: int) -> int:
    """Host process group; 0 for a process that is gone."""
    try:
        return os.getpgid(host_pid)
    except OSError:
        return 0


def members(kernel: Kernel, host_pgid: int) -> list[ThreadGroup]:
    """The living processes of a process group."""
    return [g for g in kernel.groups.values() if not g.dead and process_group_of(g.host_pid) == host_pgid]


def guest_pgid(kernel: Kernel, host_pgid: int) -> int:
    """The number of a process group as guests see it, also when its leader is gone; 0 if it has no members."""
    number = kernel.guest_pid(host_pgid)
    if not number:
        for group in members(kernel, host_pgid)[:1]:
            number = _inner(group.host_pid, b"\nNSpgid:")
    return number


def host_pgid(kernel: Kernel, guest: int) -> int:
    """The process group that a guest names; ESRCH."""
    leader = kernel.find_group(guest)
    if leader is not None and members(kernel, leader.host_pid):
        return leader.host_pid
    for group in kernel.groups.values():
        if not group.dead and _inner(group.host_pid, b"\nNSpgid:") == guest:
            return process_group_of(group.host_pid)
    raise ESRCH


def _inner(host_pid: int, field: bytes) -> int:
    """The innermost number in a field of the host's /proc/PID/status."""
    try:
        with open(f"/proc/{host_pid}/status", "rb") as f:
            text = f.read(8192)
    except OSError:
        return 0
    at = text.find(field)
    return int(text[at + len(field) : text.index(b"\n", at + 1)].split()[-1]) if at >= 0 else 0
