"""ptrace(2): one guest looks into another and steers it (sentry/kernel/guest_trace.py).

Left out, because the Sentry's own filter (sentry/platform/host_allowlist.py) does not let it ask the host for them:
floating-point registers, who sent a signal, single steps, writes to memory that the tracee itself may
not write.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const import tasks as k
from sentry.abi.const.rights import CAP_SYS_PTRACE
from sentry.abi.errno import EFAULT, EINVAL, EIO, EPERM, ESRCH, Errno
from sentry.engine._engine import ffi, lib
from sentry.kernel.siginfo import SI_KERNEL, SI_USER
from sentry.kernel.stops import SIGTRAP
from syscalls.args import Addr, Named, Pid, ULong
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.guest_trace import Tracee
    from sentry.kernel.task import Task

    Request = Callable[[Task, Tracee, int, int], int]

NT_PRSTATUS = 1
REGS_SIZE = 27 * 8  # struct user_regs_struct
USER_SIZE = 912  # struct user, of which the registers come first
NSIG = 64
SIGKILL, SIGSTOP = 9, 19
_iovec = struct.Struct("<QQ")
_info = struct.Struct("<iii")


class PtraceRequest(Named):
    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        other = ("PTRACE_EVENT", "PTRACE_O_", "PTRACE_SYSCALL_INFO", "PTRACE_PEEKSIGINFO_SHARED")
        names = (n for n, v in vars(k).items() if n.startswith("PTRACE_") and not n.startswith(other) and v == raw)
        return next(names, hex(raw))


@syscall(
    "ptrace", PtraceRequest, Pid, Addr, ULong, support="partial",
    note="TRACEME ATTACH SEIZE INTERRUPT LISTEN DETACH CONT SYSCALL KILL, general registers, memory as far as the "
    "tracee may write it, SETOPTIONS, GETEVENTMSG, GETSIGMASK, SETSIGINFO; GETSIGINFO knows the signal but not its "
    "sender; EIO for SINGLESTEP, PEEKSIGINFO and floating-point registers; a rewritten clone (clone3) loses "
    "CLONE_UNTRACED and CLONE_PTRACE",
)  # fmt: skip
def sys_ptrace(t: Task, request: int, pid: int, addr: int, data: int) -> int:
    if request == k.PTRACE_TRACEME:
        return _trace_me(t)
    if request in (k.PTRACE_ATTACH, k.PTRACE_SEIZE):
        return _attach(t, pid, request == k.PTRACE_SEIZE, addr, data)
    tracee = _find(t, pid)
    if request == k.PTRACE_KILL:
        t.kernel.stops.kill(tracee.task.group.host_pid, SIGKILL)
        return 0
    if request == k.PTRACE_INTERRUPT:
        if not tracee.seized:
            raise EIO
        t.kernel.stops.guest.interrupt(tracee)
        return 0
    if tracee.stop is None:
        raise ESRCH
    handler = REQUESTS.get(request)
    if handler is None:
        raise EIO
    return handler(t, tracee, addr, data)


# who may trace whom -----------------------------------------------------------------------------------


def may_attach(t: Task, target: Task) -> bool:
    """ptrace(2), "Ptrace access mode checking", PTRACE_MODE_ATTACH_REALCREDS. A program that is just being started
    counts with the credentials that it will have."""
    caller = t.creds
    if caller.has(CAP_SYS_PTRACE):
        return True
    others, dumpable = [target.creds], target.group.dumpable == 1
    for task in target.group.tasks.values():
        pending = task.exec_pending
        if pending is not None:
            dumpable = dumpable and not pending.secure
            if pending.creds is not None:
                others.append(pending.creds)
    for other in others:
        if {other.ruid, other.euid, other.suid} != {caller.ruid}:
            return False
        if {other.rgid, other.egid, other.sgid} != {caller.rgid} or not caller.covers(other):
            return False
    return dumpable


def _trace_me(t: Task) -> int:
    guest = t.kernel.stops.guest
    parent = t.group.parent
    if t.host_tid in guest.tracees or parent is None or parent.dead:
        raise EPERM
    by = parent.leader.creds
    if not by.covers(t.creds) and not by.has(CAP_SYS_PTRACE):
        raise EPERM
    if guest.add(t, parent, None, False, 0) is None:
        raise EPERM
    return 0


def _attach(t: Task, pid: int, seize: bool, addr: int, data: int) -> int:
    kernel = t.kernel
    guest = kernel.stops.guest
    if seize and (addr or data & ~k.PTRACE_O_MASK):
        raise EIO
    target = kernel.find_task(pid) if pid > 0 else None
    if target is None:
        if pid > 0 and kernel.find_group(pid) is not None:
            raise EPERM  # a zombie
        raise ESRCH
    if target.group is t.group or target.dead or target.host_tid in guest.tracees or not may_attach(t, target):
        raise EPERM
    tracee = guest.add(target, t.group, t, seize, data if seize else 0)
    if tracee is None:
        raise EPERM
    if not seize:
        guest.stop_by_signal(tracee)
    return 0


def _find(t: Task, pid: int) -> Tracee:
    """The caller's tracee of this number; PTRACE_TRACEME leaves it open which thread of the parent makes requests."""
    tracer = t.kernel.stops.guest.tracers.get(t.group)
    if tracer is not None:
        for tracee in tracer.tracees.values():
            if tracee.task.tid == pid and tracee.by in (None, t):
                tracee.by = t
                return tracee
    raise ESRCH


# running ----------------------------------------------------------------------------------------------


def _signal(data: int) -> int:
    if data > NSIG:
        raise EIO
    return data


def _cont(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    t.kernel.stops.guest.resume(tracee, _signal(data))
    return 0


def _cont_syscall(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    t.kernel.stops.guest.resume(tracee, _signal(data), by_call=True)
    return 0


def _detach(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    t.kernel.stops.guest.detach(tracee, _signal(data))
    return 0


def _listen(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    if not tracee.seized or not tracee.group_stopped:
        raise EIO
    t.kernel.stops.guest.listen(tracee)
    return 0


def _set_options(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    if data & ~k.PTRACE_O_MASK:
        raise EINVAL
    if data & k.PTRACE_O_SUSPEND_SECCOMP:
        raise EINVAL  # as a Linux without CONFIG_CHECKPOINT_RESTORE
    tracee.options = data
    return 0


# registers and memory ---------------------------------------------------------------------------------


def _read_regs(t: Task, tracee: Tracee) -> bytes:
    stops = t.kernel.stops
    if not stops.get_regs(tracee.task):
        raise ESRCH
    return bytes(ffi.buffer(stops.regs, REGS_SIZE))


def _write_regs(t: Task, tracee: Tracee, values: bytes) -> None:
    regs = t.kernel.stops.regs
    ffi.memmove(regs, values, REGS_SIZE)
    if lib.eng_set_regs(tracee.task.host_tid, regs):
        raise EIO


def _get_regs(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    t.mem.write(data, _read_regs(t, tracee))
    return 0


def _set_regs(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    _write_regs(t, tracee, t.mem.read(data, REGS_SIZE))
    return 0


def _get_regset(t: Task, tracee: Tracee, kind: int, iovec_addr: int) -> int:
    base, size = t.mem.unpack(_iovec, iovec_addr)
    if kind != NT_PRSTATUS or size % 8:
        raise EINVAL
    values = _read_regs(t, tracee)[:size]
    t.mem.write(base, values)
    t.mem.put_u64(iovec_addr + 8, len(values))
    return 0


def _set_regset(t: Task, tracee: Tracee, kind: int, iovec_addr: int) -> int:
    base, size = t.mem.unpack(_iovec, iovec_addr)
    if kind != NT_PRSTATUS or size % 8:
        raise EINVAL
    size = min(size, REGS_SIZE)
    _write_regs(t, tracee, t.mem.read(base, size) + _read_regs(t, tracee)[size:])
    t.mem.put_u64(iovec_addr + 8, size)
    return 0


def _peek_user(t: Task, tracee: Tracee, at: int, data: int) -> int:
    if at % 8 or at >= USER_SIZE:
        raise EIO
    word = _read_regs(t, tracee)[at : at + 8] if at < REGS_SIZE else bytes(8)  # no debug registers are in use
    t.mem.write(data, word)
    return 0


def _poke_user(t: Task, tracee: Tracee, at: int, data: int) -> int:
    if at % 8 or at >= REGS_SIZE:
        raise EIO
    values = _read_regs(t, tracee)
    _write_regs(t, tracee, values[:at] + data.to_bytes(8, "little") + values[at + 8 :])
    return 0


def _peek(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    try:
        word = tracee.task.mem.read(addr, 8)
    except Errno:
        raise EIO
    t.mem.write(data, word)
    return 0


def _poke(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    try:
        tracee.task.mem.put_u64(addr, data)
    except Errno:
        raise EIO
    return 0


# what happened ----------------------------------------------------------------------------------------


def _event_message(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    t.mem.put_u64(data, tracee.message)
    return 0


def _get_siginfo(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    code = tracee.stop or 0
    signo = code & 0x7F
    if tracee.group_stopped and not tracee.seized:
        raise EINVAL  # how tracers tell a group stop
    if code >> 8 or code & 0x80:
        value = code  # an event, a system call
    elif signo == SIGSTOP and not tracee.deliverable:
        value = SI_USER  # the first stop of a new tracee
    else:
        value = SI_KERNEL if signo in (4, 7, 8, 11) else SI_USER
    t.mem.write(data, _info.pack(signo if signo != SIGTRAP | 0x80 else SIGTRAP, 0, value).ljust(128, b"\0"))
    return 0


def _set_siginfo(t: Task, tracee: Tracee, addr: int, data: int) -> int:
    info = t.mem.read(data, 128)
    if not tracee.deliverable or tracee.synthetic:
        raise EINVAL
    if lib.eng_set_siginfo(tracee.task.host_tid, ffi.from_buffer(info)):
        raise ESRCH
    return 0


def _get_sigmask(t: Task, tracee: Tracee, size: int, data: int) -> int:
    if size != 8:
        raise EINVAL
    masks = t.kernel.signals.masks(tracee.task)
    if masks is None:
        raise ESRCH
    try:
        t.mem.put_u64(data, masks[2])
    except Errno:
        raise EFAULT
    return 0


REQUESTS: dict[int, Request] = {
    k.PTRACE_CONT: _cont,
    k.PTRACE_SYSCALL: _cont_syscall,
    k.PTRACE_LISTEN: _listen,
    k.PTRACE_DETACH: _detach,
    k.PTRACE_SETOPTIONS: _set_options,
    k.PTRACE_OLDSETOPTIONS: _set_options,
    k.PTRACE_GETREGS: _get_regs,
    k.PTRACE_SETREGS: _set_regs,
    k.PTRACE_GETREGSET: _get_regset,
    k.PTRACE_SETREGSET: _set_regset,
    k.PTRACE_PEEKUSR: _peek_user,
    k.PTRACE_POKEUSR: _poke_user,
    k.PTRACE_PEEKTEXT: _peek,
    k.PTRACE_PEEKDATA: _peek,
    k.PTRACE_POKETEXT: _poke,
    k.PTRACE_POKEDATA: _poke,
    k.PTRACE_GETEVENTMSG: _event_message,
    k.PTRACE_GETSIGINFO: _get_siginfo,
    k.PTRACE_SETSIGINFO: _set_siginfo,
    k.PTRACE_GETSIGMASK: _get_sigmask,
}
