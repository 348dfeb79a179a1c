"""kill(2), tkill, tgkill(2), rt_sigqueueinfo(2), rt_sigaction(2): who may send is decided here, the host delivers.

A signal that a handler without SA_RESTART takes goes out between two calls of its target (signals.py, rule 2); any
other is sent by the host running the sender's own call, so the receiver sees the right si_pid.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EPERM, ESRCH
from sentry.kernel.bracket import hold_for_signal
from sentry.kernel.siginfo import SI_TKILL, SI_USER, kill_info
from sentry.kernel.thread_group import SIG_IGN, SigAction
from syscalls.args import Addr, Pid, Signal, Size
from syscalls.registry import CONTINUE, DEFERRED, syscall
from vfs.tty.session import session_of

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

CAP_KILL = 5
SIGKILL, SIGCONT, SIGSTOP = 9, 18, 19
NSIG = 64
_sigaction = struct.Struct("<QQQQ")  # handler, flags, restorer, mask


class Sending:
    """The sender's call: it ends when the last of its signals is queued, since kill(2) is done when it returns."""

    __slots__ = ("task", "left", "returned")

    def __init__(self, t: Task) -> None:
        self.task = t
        self.left = 0
        self.returned = False

    def count(self, queued: bool) -> None:
        if not queued:
            self.left += 1

    def one_done(self) -> None:
        self.left -= 1
        if not self.left and self.returned:
            self.task.kernel.platform.answer(self.task, 0)

    def result(self) -> int:
        if self.left and self.task.on_stop is not None:
            return 0  # the sender itself is to stop, which it cannot while this call waits
        self.returned = True
        return DEFERRED if self.left > 0 else 0


def may_signal(t: Task, target: ThreadGroup, signo: int) -> bool:
    """kill(2): the sender's real or effective id is the target's real or saved one, CAP_KILL, or SIGCONT in one
    session."""
    creds = t.creds
    if creds.has(CAP_KILL) or target is t.group:
        return True
    other = target.leader.creds
    if creds.euid in (other.ruid, other.suid) or creds.ruid in (other.ruid, other.suid):
        return True
    return signo == SIGCONT and session_of(t.group.host_pid) == session_of(target.host_pid)


def _targets(t: Task, pid: int) -> list[ThreadGroup]:
    kernel = t.kernel
    if pid > 0:
        group = kernel.find_group(pid)
        return [group] if group is not None else []
    if pid == -1:
        return [g for g in kernel.groups.values() if g is not kernel.init and g is not t.group]
    wanted = os.getpgid(t.group.host_pid) if pid == 0 else None
    out = []
    for group in kernel.groups.values():
        try:
            pgid = os.getpgid(group.host_pid)
        except OSError:
            continue
        if pgid == wanted or wanted is None and kernel.guest_pid(pgid) == -pid:
            out.append(group)
    return out


@syscall("kill", Pid, Signal)
def sys_kill(t: Task, pid: int, signo: int) -> int:
    if not 0 <= signo <= NSIG:
        raise EINVAL
    if pid == -(1 << 31):
        raise ESRCH
    targets = _targets(t, pid)
    if not targets:
        raise ESRCH
    allowed = [group for group in targets if may_signal(t, group, signo)]
    if not allowed:
        raise EPERM
    if signo == 0:
        return 0
    living = [group for group in allowed if not group.dead]
    exact = [g for g in living if t.kernel.signals.must_be_exact(g, signo) and not (g is t.group and len(g.tasks) == 1)]
    if exact or len(allowed) < len(targets):
        info = kill_info(signo, SI_USER, t.group.pid, t.creds.ruid)
        sending = Sending(t)
        for group in living:
            sending.count(t.kernel.signals.send_group(group, signo, info, sending.one_done))
        return sending.result()
    for group in living:
        t.kernel.signals.recheck(group)
    if hold_for_signal(t, living, signo, lambda: t.kernel.platform.answer_continue(t)):
        return DEFERRED
    return CONTINUE


def _tkill(t: Task, tgid: int, tid: int, signo: int) -> int:
    if not 0 <= signo <= NSIG or tid <= 0:
        raise EINVAL
    target = t if tid == t.tid else t.kernel.find_task(tid)
    if target is None or target.dead or tgid > 0 and target.group.pid != tgid:
        raise ESRCH
    if not may_signal(t, target.group, signo):
        raise EPERM
    if signo == 0:
        return 0
    if target is not t and t.kernel.signals.must_be_exact(target.group, signo):
        info = kill_info(signo, SI_TKILL, t.group.pid, t.creds.ruid)
        sending = Sending(t)
        sending.count(t.kernel.signals.send_task(target, signo, info, sending.one_done))
        return sending.result()
    t.kernel.signals.recheck(target.group)
    if hold_for_signal(t, [target.group], signo, lambda: t.kernel.platform.answer_continue(t)):
        return DEFERRED
    return CONTINUE


@syscall("tkill", Pid, Signal)
def sys_tkill(t: Task, tid: int, signo: int) -> int:
    return _tkill(t, 0, tid, signo)


@syscall("tgkill", Pid, Pid, Signal)
def sys_tgkill(t: Task, tgid: int, tid: int, signo: int) -> int:
    if tgid <= 0:
        raise EINVAL
    return _tkill(t, tgid, tid, signo)


def _queue(t: Task, group: ThreadGroup | None, signo: int) -> int:
    if not 0 <= signo <= NSIG:
        raise EINVAL
    if group is None:
        raise ESRCH
    if not may_signal(t, group, signo):
        raise EPERM
    t.kernel.signals.recheck(group)
    return CONTINUE


@syscall("rt_sigqueueinfo", Pid, Signal, Addr)
def sys_rt_sigqueueinfo(t: Task, pid: int, signo: int, info_addr: int) -> int:
    group = t.kernel.find_group(pid)
    if group is not None and signo and group.sighand.interrupts(signo) and group is not t.group:
        info = _checked_info(t, group, pid, signo, info_addr)
        sending = Sending(t)
        sending.count(t.kernel.signals.send_group(group, signo, info, sending.one_done))
        return sending.result()
    return _queue(t, group, signo)


@syscall("rt_tgsigqueueinfo", Pid, Pid, Signal, Addr)
def sys_rt_tgsigqueueinfo(t: Task, tgid: int, tid: int, signo: int, info_addr: int) -> int:
    if tgid <= 0 or tid <= 0:
        raise EINVAL
    task = t.kernel.find_task(tid)
    if task is None or task.group.pid != tgid:
        raise ESRCH
    return _queue(t, task.group, signo)


def _checked_info(t: Task, group: ThreadGroup, pid: int, signo: int, info_addr: int) -> bytes:
    """The caller's siginfo: only codes below 0 may be sent to others (rt_sigqueueinfo(2))."""
    info = t.mem.read(info_addr, 128)
    code = struct.unpack_from("<i", info, 8)[0]
    if code >= 0 or code == SI_TKILL:
        raise EPERM
    if not may_signal(t, group, signo):
        raise EPERM
    return struct.pack("<i", signo) + info[4:]


@syscall("rt_sigaction", Signal, Addr, Addr, Size)
def sys_rt_sigaction(t: Task, signo: int, action_addr: int, old_addr: int, size: int) -> int:
    """Queries are native; a new disposition is noted, then set by the host."""
    if size != 8 or not 1 <= signo <= NSIG or signo in (SIGKILL, SIGSTOP):
        raise EINVAL
    handler, flags, _, mask = t.mem.unpack(_sigaction, action_addr)
    actions = t.group.sighand.actions
    if handler > SIG_IGN:
        actions[signo] = SigAction(handler, flags, mask)
    elif handler == SIG_IGN:
        actions[signo] = SigAction(SIG_IGN, flags, mask)
    else:
        actions.pop(signo, None)
    return CONTINUE
