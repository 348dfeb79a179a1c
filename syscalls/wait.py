"""wait4(2), waitid(2): the host keeps the family, so it waits, reaps and interrupts; right in every case tried.

A process that traces others (ptrace(2)) also waits for what the host does not know: kernel/trace_wait.py.
P_PIDFD names a descriptor: a real pidfd is put at that number of the caller's real table, which costs no ptrace stop.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.const import tasks as k
from sentry.abi.const.signals import CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_TRAPPED
from sentry.abi.errno import EINVAL, ESRCH
from sentry.kernel.trace_wait import Waiting
from syscalls.args import Addr, Int, Pid, WaitOptions
from syscalls.pidfd import give_host, pidfd_of
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NR_WAIT4, NR_WAITID = 61, 247
SIGCHLD = 17
WAIT4_OPTIONS = k.WNOHANG | k.WUNTRACED | k.WCONTINUED | 0xE000_0000
WAITID_OPTIONS = WAIT4_OPTIONS | k.WEXITED | k.WNOWAIT
RUSAGE_SIZE = 144
_child = struct.Struct("<iiiiiIi")  # siginfo_t: signo, errno, code, padding, pid, uid, status


@syscall("wait4", Pid, Addr, WaitOptions, Addr)
def sys_wait4(t: Task, pid: int, status_addr: int, options: int, usage_addr: int) -> int:
    if t.group not in t.kernel.stops.guest.tracers:
        return CONTINUE
    if options & ~WAIT4_OPTIONS:
        raise EINVAL
    if pid == -(1 << 31):
        raise ESRCH
    def answer(tid: int, status: int, stopped: bool) -> int:
        if tid and status_addr:
            t.mem.put_u32(status_addr, status)
        if tid and usage_addr:
            t.mem.write(usage_addr, bytes(RUSAGE_SIZE))
        return tid

    which = k.P_ALL if pid == -1 else k.P_PID if pid > 0 else k.P_PGID
    return Waiting(t, NR_WAIT4, which, abs(pid), options | k.WEXITED, answer).run()


@syscall("waitid", Int, Pid, Addr, WaitOptions, Addr)
def sys_waitid(t: Task, which: int, pid: int, info_addr: int, options: int, usage_addr: int) -> int:
    if which == k.P_PIDFD:
        if pid < 0:
            raise EINVAL
        give_host(t, pid, pidfd_of(t, pid))
        return CONTINUE
    if t.group not in t.kernel.stops.guest.tracers:
        return CONTINUE
    if options & ~WAITID_OPTIONS or not options & (k.WEXITED | k.WSTOPPED | k.WCONTINUED):
        raise EINVAL
    if which not in (k.P_ALL, k.P_PID, k.P_PGID) or which == k.P_PID and pid <= 0 or which == k.P_PGID and pid < 0:
        raise EINVAL
    def answer(tid: int, status: int, stopped: bool) -> int:
        if info_addr:
            t.mem.write(info_addr, _child_info(t, tid, status, stopped))
        if tid and usage_addr:
            t.mem.write(usage_addr, bytes(RUSAGE_SIZE))
        return 0

    return Waiting(t, NR_WAITID, which, pid, options, answer).run()


def _child_info(t: Task, tid: int, status: int, stopped: bool) -> bytes:
    if not tid:
        return bytes(_child.size)
    task = t.kernel.find_task(tid)
    uid = task.creds.ruid if task is not None else 0
    if stopped:
        return _child.pack(SIGCHLD, 0, CLD_TRAPPED, 0, tid, uid, status >> 8)
    if status & 0x7F:
        return _child.pack(SIGCHLD, 0, CLD_DUMPED if status & 0x80 else CLD_KILLED, 0, tid, uid, status & 0x7F)
    return _child.pack(SIGCHLD, 0, CLD_EXITED, 0, tid, uid, status >> 8 & 0xFF)
