"""ptrace(2) by python-ptrace, for the ptrace platform: the one module that imports it.

python-ptrace is GPL-2.0-only and an optional extra, so nothing else may need it. What it has no name for (SEIZE,
LISTEN, signal masks) goes through its generic call. A task that is gone is no error here: waitpid(2) tells of its end.
"""

from __future__ import annotations

from ctypes import addressof, c_uint64
from typing import Any

from ptrace import PtraceError
from ptrace.binding import (
    ptrace_cont,
    ptrace_getregs,
    ptrace_getsiginfo,
    ptrace_registers_t,
    ptrace_setregs,
    ptrace_syscall,
)
from ptrace.binding.func import ptrace

PTRACE_SEIZE, PTRACE_LISTEN, PTRACE_GETSIGMASK, PTRACE_SETSIGMASK = 0x4206, 0x4208, 0x420A, 0x420B
O_TRACESYSGOOD, O_TRACEFORK, O_TRACEVFORK, O_TRACECLONE, O_TRACEEXEC = 1, 2, 4, 8, 16
O_TRACESECCOMP, O_EXITKILL = 0x80, 0x10_0000
ALL_OPTIONS = (
    O_TRACESYSGOOD | O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE | O_TRACEEXEC | O_TRACESECCOMP | O_EXITKILL
)  # fmt: skip
EVENT_EXEC, EVENT_SECCOMP = 4, 7
WORD = (1 << 64) - 1

Registers = Any  # user_regs_struct: rax, orig_rax, rip, rsp, rdi, rsi, rdx, r10, r8, r9 and the rest as attributes


def seize(tid: int) -> None:
    """Trace from now on, with all that it makes; OSError when it cannot be."""
    try:
        ptrace(PTRACE_SEIZE, tid, 0, ALL_OPTIONS)
    except PtraceError as err:
        raise OSError(err.errno, str(err))


def registers(tid: int) -> Registers | None:
    """Those of a stopped task; None when it is gone."""
    try:
        return ptrace_getregs(tid)
    except PtraceError:
        return None


def set_registers(tid: int, regs: Registers) -> None:
    try:
        ptrace_setregs(tid, regs)
    except PtraceError:
        pass


def copy(regs: Registers) -> Registers:
    return ptrace_registers_t.from_buffer_copy(regs)


def go_on(tid: int, signo: int = 0, to_syscall: bool = False) -> None:
    """Let it run, to the beginning or end of a call if so asked."""
    try:
        (ptrace_syscall if to_syscall else ptrace_cont)(tid, signo)
    except PtraceError:
        pass


def listen(tid: int) -> None:
    """It stays in its group stop, until SIGCONT."""
    try:
        ptrace(PTRACE_LISTEN, tid)
    except PtraceError:
        pass


def signal_source(tid: int) -> tuple[int, int]:
    """(si_code, si_pid) of the signal before whose delivery it stands: a code above 0 says that the host's kernel made
    it; if not, number 0 that the sender is none of the guests."""
    try:
        info = ptrace_getsiginfo(tid)
    except PtraceError:
        return 0, 0
    return info.si_code, info._sigchld.pid


def signal_mask(tid: int) -> int | None:
    mask = c_uint64()
    try:
        ptrace(PTRACE_GETSIGMASK, tid, 8, addressof(mask))
    except PtraceError:
        return None
    return mask.value


def set_signal_mask(tid: int, mask: int) -> None:
    word = c_uint64(mask)
    try:
        ptrace(PTRACE_SETSIGMASK, tid, 8, addressof(word))
    except PtraceError:
        pass
