"""execve(2) of a guest's tracee: it stops for its tracer (ptrace(2), "execve(2) under ptrace") at the new program's
first instruction, not in our loader.

The loader ends with a jump to the entry that its plan names (loader/plan.py). The plan is changed while the loader
stands behind its call for it: the jump goes to a hlt in the loader's own page, whose fault is the stop that we want,
with every mapping and register as the program finds them. There rip is set to the real entry.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_PTRACE
from sentry.abi.const.tasks import PTRACE_EVENT_EXEC, PTRACE_O_TRACEEXEC
from sentry.abi.errno import Errno
from sentry.engine._engine import lib
from sentry.loader.auxv import BASE_INTERP, BASE_ZERO
from sentry.loader.plan import FLAG_FAULT, LOADER_MAGIC

if TYPE_CHECKING:
    from sentry.kernel.guest_trace import GuestTrace, Tracee
    from sentry.kernel.task import Task

SIGTRAP, SIGSEGV = 5, 11
RAX, RSI, RDI, ORIG_RAX, RIP, RSP = 10, 13, 14, 15, 16, 19  # struct user_regs_struct, in words
SYSCALL_STOP = SIGTRAP | 0x80
NR_EXECVE = 59
EFLAGS, FLAGS_AT_START = 18, 0x202
AT_NULL, AT_BASE, AT_ENTRY = 0, 7, 9
HLT = b"\xf4"
PLAN_FLAGS, PLAN_ENTRY_BASE, PLAN_ENTRY = 8, 40, 48  # offsets in the plan's head
MAX_STEPS = 16  # stops of the loader before its plan is there
MAX_STACK = 1 << 22  # argument and environment pointers (execve(2), a quarter of 8 MiB holds both)


def no_privileges(tracee: Tracee) -> None:
    """At the exec event, before anything is committed: no set-id program in the hands of a stranger (execve(2))."""
    tracing = tracee.by or tracee.tracer.group.leader
    if tracing.creds.has(CAP_SYS_PTRACE):
        return
    for task in tracee.task.group.tasks.values():  # a thread that is not the leader may have made the call
        if task.exec_pending is not None:
            task.exec_pending.creds, task.exec_pending.secure = task.creds.for_exec(None, None, None)


def delivery_signal(status: int) -> int:
    """The signal whose delivery a stop precedes, or SYSCALL_STOP; 0 for event and group stops."""
    return 0 if status >> 16 else status >> 8 & 0xFF


class TraceExec:
    """From the host's exec event to the report."""

    __slots__ = ("guest", "tracee", "left", "hlt", "entry_base", "entry", "signals")

    def __init__(self, guest: GuestTrace, tracee: Tracee) -> None:
        self.guest = guest
        self.tracee = tracee
        self.left = MAX_STEPS
        self.hlt = 0
        self.entry_base = self.entry = 0
        self.signals: list[int] = []  # that came meanwhile: sent again when the program is there

    def begin(self) -> None:
        """The loader has not yet run."""
        tracee = self.tracee
        t = tracee.task
        if tracee.seized and not tracee.options & PTRACE_O_TRACEEXEC and not tracee.by_call:
            self.guest.go_on(tracee)
            return
        tracee.starting = True
        tracee.exit_due = tracee.by_call
        self._step(t)

    def _step(self, t: Task) -> None:
        lib.eng_set_options(t.host_tid, self.tracee.host_options)
        t.on_stop = self._before_plan
        t.kernel.stops.cont_syscall(t)

    def _before_plan(self, t: Task, status: int) -> None:
        stops = t.kernel.stops
        signo = delivery_signal(status)
        self.left -= 1
        if signo and signo != SYSCALL_STOP:
            self.signals.append(signo)
        elif stops.get_regs(t) and stops.regs[ORIG_RAX] == LOADER_MAGIC:
            length, size = int(stops.regs[RAX]), int(stops.regs[RSI])
            if 0 < length <= size <= 1 << 20:  # behind the call, with the plan in its buffer
                if self._change_plan(t, int(stops.regs[RDI])):
                    t.on_stop = self._before_entry
                    stops.cont(t)
                else:
                    self._unseen(t)
                return
        if self.left > 0:
            self._step(t)
        else:
            self._unseen(t)

    def _change_plan(self, t: Task, plan_addr: int) -> bool:
        mem = t.mem
        try:
            if mem.u32(plan_addr + PLAN_FLAGS) & FLAG_FAULT:
                return False
            self.entry_base, self.entry = mem.u32(plan_addr + PLAN_ENTRY_BASE), mem.u64(plan_addr + PLAN_ENTRY)
            start, end = t.group.loader_range
            at = mem.read(start, min(end - start, 4096)).rfind(HLT)
            if at < 0:
                return False
            self.hlt = start + at
            mem.put_u32(plan_addr + PLAN_ENTRY_BASE, BASE_ZERO)
            mem.put_u64(plan_addr + PLAN_ENTRY, self.hlt)
        except Errno:
            return False
        return True

    def _before_entry(self, t: Task, status: int) -> None:
        stops = t.kernel.stops
        signo = delivery_signal(status)
        if not stops.get_regs(t):
            stops.finish(t, status)
            return
        regs = stops.regs
        if signo != SIGSEGV or regs[RIP] != self.hlt or regs[RDI] or regs[RSI]:
            if signo:
                self.signals.append(signo)
            if signo == SIGSEGV or len(self.signals) > MAX_STEPS:  # the loader has failed
                self.tracee.starting = False
                stops.finish(t, status)
            else:
                stops.cont(t)
            return
        entry = self._entry(t, int(regs[RSP]))
        regs[RIP], regs[EFLAGS], regs[ORIG_RAX], regs[RAX] = entry, FLAGS_AT_START, NR_EXECVE, 0
        stops.set_regs(t)
        t.on_stop = None
        self._send_again(t)
        tracee = self.tracee
        if self.guest.tracees.get(t.host_tid) is not tracee:  # its tracer died meanwhile
            stops.release(t)
            return
        tracee.starting = False
        if tracee.seized and not tracee.options & PTRACE_O_TRACEEXEC:  # only the end of its call is to be seen
            tracee.synthetic = True
            self.guest.resume(tracee, 0, by_call=True)
            return
        with_event = tracee.options & PTRACE_O_TRACEEXEC
        self.guest.report(tracee, PTRACE_EVENT_EXEC << 8 | SIGTRAP if with_event else SIGTRAP, synthetic=True)

    def _entry(self, t: Task, stack_addr: int) -> int:
        """The real entry: relative to the interpreter, or what the auxiliary vector says (getauxval(3))."""
        if self.entry_base == BASE_ZERO:
            return self.entry
        vector = self._vector(t, stack_addr)
        if self.entry_base == BASE_INTERP:
            return vector.get(AT_BASE, 0) + self.entry
        return vector.get(AT_ENTRY, 0)

    def _vector(self, t: Task, stack_addr: int) -> dict[int, int]:
        vector: dict[int, int] = {}
        try:
            argc = t.mem.u64(stack_addr)
            if argc > MAX_STACK // 8:
                return vector
            at = stack_addr + 8 * (argc + 2)
            limit = at + MAX_STACK
            while at < limit:  # the environment
                words = t.mem.read_some(at, 4096 - at % 4096)
                end = next((i for i in range(0, len(words) - 7, 8) if words[i : i + 8] == bytes(8)), -1)
                at += end + 8 if end >= 0 else len(words)
                if end >= 0:
                    break
            for key, value in struct.iter_unpack("<QQ", t.mem.read_some(at, 64 * 16)):
                if key == AT_NULL:
                    break
                vector[key] = value
        except Errno:
            pass
        return vector

    def _send_again(self, t: Task) -> None:
        for signo in self.signals:
            lib.eng_tgkill(t.group.host_pid, t.host_tid, signo)

    def _unseen(self, t: Task) -> None:
        """No plan to be changed: the program starts without a stop."""
        self._send_again(t)
        t.on_stop = None
        self.tracee.starting = self.tracee.exit_due = False
        if self.guest.tracees.get(t.host_tid) is self.tracee:
            self.guest.go_on(self.tracee)
        else:
            t.kernel.stops.release(t)
