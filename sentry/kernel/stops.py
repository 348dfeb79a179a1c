"""Tracing on demand (ptrace(2)): SEIZE a task, wait for its stop in the loop, do the short thing, DETACH.

Rules: nothing waits here; a stop comes as an event (`event`). Every SEIZE uses the same options, so a clone made while
a trace is still in force is seen too. A task has at most one purpose at a time (`on_stop`); signals that must be
delivered between two calls queue in `queued_exact` and go out at the next stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno
from sentry.engine._engine import ffi, lib
from sentry.kernel.guest_trace import GuestTrace

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

O_TRACEFORK, O_TRACEVFORK, O_TRACECLONE = 2, 4, 8
OPTIONS = O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_STOP = 1, 2, 3, 128
SIGTRAP = 5
SYSCALL_STOP = SIGTRAP | 0x80  # with PTRACE_O_TRACESYSGOOD
O_TRACESYSGOOD = 1
ORPHAN_NS = 1_000_000_000

# struct user_regs_struct, in words
R10, R8, RAX, RDX, RSI, RDI, ORIG_RAX, RIP, RSP = 7, 9, 10, 12, 13, 14, 15, 16, 19
WORD = (1 << 64) - 1
ERESTARTSYS, ERESTARTNOINTR = WORD - 511, WORD - 512  # -512, -513 as registers

class RestartNow(Errno):
    """ERESTARTNOINTR: a trap is pending, so the host makes the call again after it; the guest never sees it."""

    code = 513


StopHandler = Callable[["Task", int], None]


class Stops:
    """The tracer's side of all tasks."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.options = OPTIONS  # of every trace
        self.guest = GuestTrace(kernel)  # what guests trace among themselves
        self.regs = ffi.new("uint64_t[27]")
        self.early: dict[int, int] = {}  # stops of children whose parent's event is still to come
        self._status = ffi.new("int *")

    def seize(self, t: Task) -> bool:
        """Trace `t` from now on; false when it is gone."""
        if t.traced:
            return True
        if lib.eng_seize(t.host_tid, self.options):
            return False
        t.traced = True
        return True

    def interrupt(self, t: Task, handler: StopHandler) -> bool:
        """Bring `t` to a stop and call `handler` there; false when it is gone, or stands still for a guest's tracer."""
        if self.guest.holds(t) or not self.seize(t) or lib.eng_interrupt(t.host_tid):
            return False
        t.on_stop = handler
        return True

    def interrupt_again(self, t: Task) -> bool:
        """A further stop of a task that is traced for a purpose of its own."""
        return t.traced and not lib.eng_interrupt(t.host_tid)

    def release(self, t: Task, signo: int = 0) -> None:
        """`t` stands in a stop: let it go, with `signo` if it stood before its delivery; bracket and pause keep it."""
        t.on_stop = None
        bracket = t.group.bracket
        if bracket is not None and bracket.take(t, signo) or self.kernel.pause.take(t, signo):
            return
        tracee = self.guest.tracees.get(t.host_tid)
        if tracee is not None:
            self.guest.stopped(tracee, tracee.host_status)
        elif t.siginfos:  # still to be seen before a delivery
            self.cont(t, signo)
        else:
            self._let_go(t, signo)

    def _let_go(self, t: Task, signo: int) -> None:
        t.traced = False
        lib.eng_detach(t.host_tid, signo)

    def cont(self, t: Task, signo: int = 0) -> None:
        """On to the next stop."""
        lib.eng_cont(t.host_tid, signo)

    def cont_syscall(self, t: Task, signo: int = 0) -> None:
        """On to the beginning or the end of a call."""
        lib.eng_cont_syscall(t.host_tid, signo)

    def group_stopped(self, t: Task) -> bool:
        """Does `t` stand in a stop by SIGSTOP and the like that the host shows as a tracing stop?"""
        return False

    def get_regs(self, t: Task) -> bool:
        return not lib.eng_get_regs(t.host_tid, self.regs)

    def set_regs(self, t: Task) -> None:
        lib.eng_set_regs(t.host_tid, self.regs)

    def kill(self, host_pid: int, signo: int) -> None:
        lib.eng_kill(host_pid, signo)

    def collect(self) -> None:
        """Take every event that is there (SIGCHLD said that there may be some)."""
        status = self._status
        while True:
            tid = lib.eng_wait_event(status)
            if tid <= 0:
                return
            self.kernel.guard(self._event, tid, status[0])

    def _event(self, tid: int, status: int) -> None:
        t = self.kernel.tasks.get(tid)
        tracee = self.guest.tracees.get(tid)
        if status & 0xFF != 0x7F:  # exited or killed: a child of ours, or a tracee that died
            if t is not None:
                t.traced = False
                t.on_stop = None
            if tracee is not None:
                self.guest.died(tracee, status)
            init = self.kernel.init
            if init is not None and tid == init.host_pid:
                self.kernel.exit_status = self.kernel.init_signal or status
            elif self.kernel.spawner is not None:
                self.kernel.spawner.reaped(tid, status)
            return
        if t is None and tracee is not None:
            t = tracee.task  # on its way out
        if t is None:
            self.early[tid] = status
            self.kernel.timers.add(self.kernel.now_ns() + ORPHAN_NS, lambda: self._orphan(tid))
            return
        t.traced = True
        if t.siginfos:
            self.kernel.signals.exact.before_delivery(t, delivery_signal(status))
        if tracee is not None:
            status = self.guest.host_stop(tracee, status)
            if not status:
                return
        handler = t.on_stop
        if handler is not None:
            handler(t, status)
        else:
            self._unexpected(t, status)

    def _orphan(self, tid: int) -> None:
        """A child whose parent was killed before it told of it: nobody knows what it inherited, so it goes too."""
        if self.early.pop(tid, None) is not None and tid not in self.kernel.tasks:
            self.kernel.debug(f"child {tid} of a killed parent is ended")
            lib.eng_kill(tid, 9)

    def _unexpected(self, t: Task, status: int) -> None:
        """A trace that outlived its purpose (a clone that failed): pass the signal on and let go."""
        if t.queued_exact:
            self.kernel.signals.exact.at_stop(t, status)
        else:
            self.pass_on(t, status)

    def finish(self, t: Task, status: int = EVENT_STOP << 16 | SIGTRAP << 8 | 0x7F) -> None:
        """The purpose of this stop is served: deliver what queued up meanwhile, then let go."""
        t.on_stop = None
        if t.queued_exact:
            self.kernel.signals.exact.at_stop(t, status)
        else:
            self.pass_on(t, status)

    def pass_on(self, t: Task, status: int) -> None:
        """Let go, with the signal whose delivery the stop precedes."""
        if is_group_stop(status):
            t.siginfos.clear()  # from there it can only be let go altogether
        self.release(t, delivery_signal(status))


def delivery_signal(status: int) -> int:
    """The signal whose delivery a stop precedes; 0 for event and group stops."""
    return 0 if status >> 16 else status >> 8 & 0xFF


def is_group_stop(status: int) -> bool:
    """A stop by SIGSTOP and the like (job control), which must go on being stopped."""
    return status >> 16 == EVENT_STOP and status >> 8 & 0xFF != SIGTRAP
