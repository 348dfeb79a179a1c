"""/proc/PID/stat and statm (proc_pid_stat(5)): the host's line with the numbers of the guest's world."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import ESRCH
from vfs.proc.subject import Subject
from vfs.tty.session import guest_pgid, session_of, terminals

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

# Fields by their number in the manual page
STATE, PPID, PGRP, SESSION, TTY_NR, TPGID, FLAGS = 3, 4, 5, 6, 7, 8, 9
ADDRESSES = (26, 27, 28, 29, 30, 35, 45, 46, 47, 48, 49, 50, 51, 52)  # only for who may ptrace


def stat_text(subject: Subject, t: Task) -> bytes:
    """The line of /proc/PID/stat."""
    line = subject.host("stat")
    start, end = line.find(b"("), line.rfind(b")")
    if start < 0 or end < 0:
        raise ESRCH
    fields = line[end + 2 :].split()  # from field 3 on
    group, kernel = subject.group, t.kernel
    if group.dead and fields[0] not in (b"Z", b"X"):
        raise ESRCH
    tty_nr, tpgid = _terminal(kernel, group)
    new = {
        STATE: state_letter(subject, t, fields[0]),
        PPID: b"%d" % parent_pid(group),
        PGRP: b"%d" % process_group(kernel, group),
        SESSION: b"%d" % session(kernel, group),
        TTY_NR: b"%d" % tty_nr,
        TPGID: b"%d" % tpgid,
        FLAGS: b"4194304",  # PF_RANDOMIZE alone: the host's other flags are its own affair
    }
    if not subject.may_inspect(t):
        new.update(dict.fromkeys(ADDRESSES, b"0"))
    for number, value in new.items():
        if number - 3 < len(fields):
            fields[number - 3] = value
    return b"%d %s %s\n" % (subject.number, line[start : end + 1], b" ".join(fields))


def statm_text(subject: Subject, t: Task) -> bytes:
    return subject.host("statm") or b"0 0 0 0 0 0 0\n"


def state_letter(subject: Subject, t: Task, host: bytes) -> bytes:
    """A task in a call waits for the Sentry on the host. Who asks is running; who is parked sleeps."""
    if host in (b"Z", b"X"):
        return b"Z"
    if subject.task is t:
        return b"R"
    if host == b"t" and t.kernel.stops.group_stopped(subject.task):
        return b"T"
    return b"S" if host in (b"D", b"t", b"I", b"K", b"W", b"P") else host


def parent_pid(group: ThreadGroup) -> int:
    return group.parent.pid if group.parent is not None else 0


def process_group(kernel: Kernel, group: ThreadGroup) -> int:
    try:
        return guest_pgid(kernel, os.getpgid(group.host_pid))
    except OSError:
        return 0


def session(kernel: Kernel, group: ThreadGroup) -> int:
    return kernel.guest_pid(session_of(group.host_pid))


def _terminal(kernel: Kernel, group: ThreadGroup) -> tuple[int, int]:
    """Device number of the controlling terminal in the old layout, and its foreground group; (0, -1) without one."""
    tty = terminals(kernel).of(group)
    if tty is None:
        return 0, -1
    major, minor = os.major(tty.dev), os.minor(tty.dev)
    number = (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12
    return number, guest_pgid(kernel, tty.pgrp) if tty.pgrp else -1
