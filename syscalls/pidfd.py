"""pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

A signal goes the way of kill(2): sent by the host running the sender's own call on a real pidfd at its number, or, to a
handler without SA_RESTART, by the Sentry between two calls of the target.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_KILL
from sentry.abi.errno import EBADF, EINVAL, EPERM, ESRCH
from sentry.abi.flags import O_NONBLOCK
from sentry.kernel.bracket import hold_for_signal
from sentry.kernel.injection import inject, injected
from sentry.kernel.siginfo import SI_TKILL, SI_USER, code_of, kill_info
from syscalls.args import Addr, FdNum, OpenFlags, Pid, Signal, UInt
from syscalls.registry import CONTINUE, DEFERRED, syscall
from syscalls.signal import NSIG, Sending, may_signal
from vfs.anon.pidfd import PidFile
from vfs.core.open_dir import OpenDir
from vfs.proc.process import ProcessDir
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

TO_THREAD, TO_PROCESS, TO_PROCESS_GROUP = 1, 2, 4  # PIDFD_SIGNAL_*


@syscall("pidfd_open", Pid, OpenFlags, support="partial", note="no PIDFD_THREAD, as before Linux 6.9")
def sys_pidfd_open(t: Task, pid: int, flags: int) -> int:
    if flags & ~O_NONBLOCK or pid <= 0:
        raise EINVAL
    group = t.kernel.find_group(pid)
    if group is None:
        raise ESRCH if t.kernel.find_task(pid) is None else EINVAL
    return t.fds.install(PidFile(group, flags), True)


def pidfd_of(t: Task, fd: int) -> PidFile:
    file = t.fds.get(fd)
    if not isinstance(file, PidFile):
        raise EBADF
    return file


def give_host(t: Task, fd: int, file: PidFile) -> None:
    """The host is about to run a call on `fd`: its pidfd must be there."""
    host = file.host_pidfd()
    if not injected(t, fd, file):
        inject(t, fd, file, host)


def _give_directory(t: Task, fd: int, directory: OpenDir, group: ThreadGroup) -> None:
    """`give_host` for /proc/PID: the host is shown a pidfd in its place."""
    if not injected(t, fd, directory):
        stand_in = PidFile(group, 0)
        try:
            inject(t, fd, directory, stand_in.host)
        finally:
            stand_in.release()


def _named(t: Task, fd: int) -> tuple[ThreadGroup, PidFile | OpenDir]:
    """The process that `fd` stands for: a pidfd, or an open directory /proc/PID; ESRCH when it is gone."""
    file = t.fds.get(fd)
    if isinstance(file, OpenDir):
        inode = file.path.dentry.inode
        if isinstance(inode, ProcessDir) and inode.subject.thread is None:
            inode.subject.check()
            return inode.subject.group, file
    pidfd = pidfd_of(t, fd)
    if pidfd.reaped:
        raise ESRCH
    return pidfd.group, pidfd


@syscall("pidfd_send_signal", FdNum, Signal, Addr, UInt)
def sys_pidfd_send_signal(t: Task, fd: int, signo: int, info_addr: int, flags: int) -> int:
    if flags not in (0, TO_THREAD, TO_PROCESS, TO_PROCESS_GROUP):
        raise EINVAL
    group, file = _named(t, fd)
    if not 0 <= signo <= NSIG:
        raise EINVAL
    targets = [group] if flags != TO_PROCESS_GROUP else _process_group(t, group)
    allowed = [target for target in targets if may_signal(t, target, signo)]
    if not allowed:
        raise EPERM
    info = _info(t, group, signo, info_addr)
    if signo == 0:
        return 0
    signals = t.kernel.signals
    living = [target for target in allowed if not target.dead]
    exact = any(g is not t.group and signals.must_be_exact(g, signo) for g in living)
    if exact or len(allowed) < len(targets) or not _may_signal_all(t, signo):
        sending = Sending(t)
        for target in living:
            if flags == TO_THREAD:
                sending.count(signals.send_task(target.leader, signo, info, sending.one_done))
            else:
                sending.count(signals.send_group(target, signo, info, sending.one_done))
        return sending.result()
    if isinstance(file, PidFile):
        give_host(t, fd, file)
    else:
        _give_directory(t, fd, file, group)
    for target in living:
        signals.recheck(target)
    if hold_for_signal(t, living, signo, lambda: t.kernel.platform.answer_continue(t)):
        return DEFERRED
    return CONTINUE


def _may_signal_all(t: Task, signo: int) -> bool:
    """Else the host must not look at the descriptor: another thread may give its number another meaning meanwhile."""
    return t.creds.has(CAP_KILL) or all(may_signal(t, group, signo) for group in tuple(t.kernel.groups.values()))


def _process_group(t: Task, group: ThreadGroup) -> list[ThreadGroup]:
    try:
        wanted = os.getpgid(group.host_pid)
    except OSError:
        raise ESRCH
    found = []
    for other in t.kernel.groups.values():
        try:
            if os.getpgid(other.host_pid) == wanted:
                found.append(other)
        except OSError:
            continue
    return found


def _info(t: Task, group: ThreadGroup, signo: int, info_addr: int) -> bytes:
    """The siginfo to be sent: the caller's own, with which it may not pose as the kernel, or as of kill(2)."""
    if not info_addr:
        return kill_info(signo, SI_USER, t.group.pid, t.creds.ruid)
    info = t.mem.read(info_addr, 128)
    if int.from_bytes(info[:4], "little", signed=True) != signo:
        raise EINVAL
    if (code_of(info) >= 0 or code_of(info) == SI_TKILL) and group is not t.group:
        raise EPERM
    return info


@syscall("pidfd_getfd", FdNum, FdNum, UInt)
def sys_pidfd_getfd(t: Task, fd: int, number: int, flags: int) -> int:
    if flags:
        raise EINVAL
    group = pidfd_of(t, fd).group
    if group.dead or not group.tasks or group.leader.dead:
        raise ESRCH
    if not Subject(group).may_inspect(t):
        raise EPERM
    return t.fds.install(group.leader.fds.any(number), True)
