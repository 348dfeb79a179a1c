"""Stops and signals where every guest task is traced for its whole life (ptrace(2)).

What the rest of the kernel sees is the same: a SEIZE is always in force, "detach" is "go on", a group stop is listened
to. Differences that the host makes for traced tasks are undone here: it queues even ignored signals for them, and tells
their tracer of deaths and stops first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.engine._engine import ffi, lib
from sentry.kernel.exec import leader_again
from sentry.kernel.exit import group_died
from sentry.kernel.signals import Signals
from sentry.kernel.stops import (
    ERESTARTNOINTR,
    EVENT_STOP,
    ORIG_RAX,
    RAX,
    SIGTRAP,
    WORD,
    Stops,
    delivery_signal,
    is_group_stop,
)
from sentry.kernel.temporary_mask import ignored
from sentry.platform import tracing
from sentry.platform.tracing import EVENT_EXEC, EVENT_SECCOMP

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.parking import Parked
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.platform.ptrace import PtracePlatform

SYSCALL_STOP = SIGTRAP | 0x80
SIGKILL, SIGSTOP = 9, 19
AT_EVENT_STOP = EVENT_STOP << 16 | SIGTRAP << 8 | 0x7F
FAULTS = frozenset((4, 5, 7, 8, 11))  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
NR_RT_SIGTIMEDWAIT = 128
EINTR_WORD = WORD - 3


class TracedStops(Stops):
    """The tracer of all tasks."""

    def __init__(self, kernel: Kernel, platform: PtracePlatform) -> None:
        super().__init__(kernel)
        self.platform = platform
        self.options = tracing.ALL_OPTIONS
        self._dead: list[ThreadGroup] = []
        self._collecting = False

    # going on ------------------------------------------------------------------------------------
    def cont(self, t: Task, signo: int = 0) -> None:
        tracee = self.platform.tracee(t)
        tracee.to_call = tracee.listening = False
        tracing.go_on(t.host_tid, signo)

    def cont_syscall(self, t: Task, signo: int = 0) -> None:
        tracee = self.platform.tracee(t)
        tracee.to_call, tracee.listening = True, False
        tracing.go_on(t.host_tid, signo, True)

    def _let_go(self, t: Task, signo: int) -> None:
        tracee = self.platform.tracee(t)
        tracee.to_call = False
        if tracee.listening:
            tracing.listen(t.host_tid)
        else:
            tracing.go_on(t.host_tid, signo)

    def group_stopped(self, t: Task) -> bool:
        return self.platform.listens(t)

    # events --------------------------------------------------------------------------------------
    def collect(self) -> None:
        outer = not self._collecting
        self._collecting = True
        status = ffi.new("int *")
        while True:
            tid = lib.eng_wait_event(status)
            if tid <= 0:
                if not outer or not self._dead:
                    break
                dead, self._dead = self._dead, []
                for group in dead:
                    self.kernel.guard(group_died, self.kernel, group)
                continue
            self.kernel.guard(self.intake, tid, status[0])
        if outer:
            self._collecting = False

    def intake(self, tid: int, status: int) -> None:
        """One event: an entry is kept for the loop, the rest is dealt with."""
        t = self.kernel.tasks.get(tid)
        if status & 0xFF != 0x7F:
            self.platform.gone(tid)
            self._event(tid, status)
            group = self.kernel.groups.get(tid)
            if group is not None and not group.dead:
                self._dead.append(group)  # before its parent, who sees the end only now, makes a further call
            return
        if t is None and status >> 16 in (EVENT_EXEC, EVENT_SECCOMP):
            t = leader_again(self.kernel, tid)
        if t is None:
            if not self.platform.stranger(tid, status):
                self._event(tid, status)
            return
        t.traced = True
        if status >> 16 == EVENT_EXEC:
            self.platform.execed(t)
            if tid not in self.guest.tracees:
                if t.on_stop is not None:  # a stop uses up the one that was asked for
                    lib.eng_interrupt(tid)
                tracing.go_on(tid)
                return
        tracee = self.platform.tracee(t)
        if tracee.handover is not None:
            tracee.handover.stopped(status)
        elif status >> 16 == EVENT_SECCOMP:
            self.platform.enter(t)
        else:
            self.platform.as_interrupted(t, tracee)
            if t.group is self.kernel.init:
                status = self._immune(t, status)
            self._note(t, status)
            self._event(tid, status)

    def _immune(self, t: Task, status: int) -> int:
        """What pid_namespaces(7) says of pid 1, which the host forgets when it is traced: SIGSTOP from inside does
        nothing, and a fault ends it, where it would fault again and again."""
        signo = delivery_signal(status)
        if signo == SIGSTOP or signo in FAULTS and not t.group.sighand.get(signo).caught:
            code, pid = tracing.signal_source(t.host_tid)
            if signo == SIGSTOP:
                return AT_EVENT_STOP if pid and code <= 0 else status
            if code > 0:
                self.kernel.init_signal = signo
                self.kill(t.group.host_pid, SIGKILL)
        return status

    def _note(self, t: Task, status: int) -> None:
        tracee = self.platform.tracee(t)
        was, tracee.listening = tracee.listening, is_group_stop(status)
        signo = delivery_signal(status)
        if tracee.listening != was:
            self._group_stop(t, tracee.listening)
        elif signo and signo != SYSCALL_STOP:
            if t.group.sighand.get(signo).caught:
                t.saved_deadline = None  # its call ends with EINTR: the next one is a new one
            elif ignored(t, signo) and self.get_regs(t):
                regs = self.regs
                if regs[ORIG_RAX] == NR_RT_SIGTIMEDWAIT and regs[RAX] == EINTR_WORD:
                    regs[RAX] = ERESTARTNOINTR  # nothing wakes it but what it waits for
                    self.set_regs(t)

    def _group_stop(self, t: Task, begins: bool) -> None:
        """The process stops: its parked calls end, so that all of it does. Or it goes on."""
        signals = self.kernel.signals
        if begins:
            for task in tuple(t.group.tasks.values()):
                if task.parked is not None:
                    signals.end_call(task.parked, False)
        if t.group.parent is not None:
            signals.recheck(t.group.parent)


class TracedSignals(Signals):
    """A parked call is in a stop: whether a signal is due shows in the masks."""

    cancels = False

    def __init__(self, kernel: Kernel, platform: PtracePlatform) -> None:
        super().__init__(kernel)
        self.platform = platform

    def must_be_exact(self, group: ThreadGroup, signo: int) -> bool:
        """For a signal to the process the host prefers the leader (signal(7)), but never chooses a thread that stands
        in a stop, as a parked one does: then the Sentry chooses."""
        return len(group.tasks) > 1 and group.leader.parked is not None and group.sighand.get(signo).caught

    def check(self, t: Task) -> None:
        parked = t.parked
        if parked is None:
            return
        if t.on_stop is not None or self._stopping(t.group):
            self.end_call(parked, False)
            return
        masks = self.masks(t)
        if masks is None:
            return
        due = (masks[0] | masks[1]) & ~masks[2]
        if parked.park.sigmask is not None:
            due &= ~parked.park.sigmask
        while due:
            signo = (due & -due).bit_length()
            if not ignored(t, signo):
                self.end_call(parked, False)
                return
            due &= due - 1
        t.checked_epoch = t.group.epoch
        if parked.park.sigmask is not None:
            self.kernel.temporary_mask.check(t, parked)

    def _stopping(self, group: ThreadGroup) -> bool:
        return any(self.platform.listens(t) for t in group.tasks.values())

    def end_call(self, parked: Parked, caught: bool) -> None:
        """Never EINTR from here: the host's kernel says so when a handler runs."""
        super().end_call(parked, False)

    def _caught_pending(self, t: Task) -> bool:
        return False
