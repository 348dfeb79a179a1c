"""Pause and resume of all guests (OCI runtimes' `pause`; ptrace(2)).

Every thread is brought to a ptrace stop and kept there. No guest can see it: nothing is signalled, sleeps of the host
go on with the time that is left, calls that the Sentry has parked are ended as by a signal that has no handler, so they
are made again with what is left of their time (rt_sigtimedwait(2), which the host runs, with all of it). What comes
meanwhile waits: signals in the host, input in its pipes. SIGKILL acts at once.

It is not the cgroup's freezer: Sentry and stub are in that cgroup too, frozen tasks of version 1 cannot be killed, and
a freezer waits for ever for a call that nobody answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.kernel.stops import ORIG_RAX, RAX, WORD, is_group_stop

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

PATIENCE_NS = 5_000_000_000
LOOK_NS = 500_000
PLAIN_STOP = 128 << 16 | 5 << 8 | 0x7F  # a stop by PTRACE_INTERRUPT
NR_RT_SIGTIMEDWAIT = 128
EINTR_WORD, ERESTARTNOHAND_WORD = WORD - 3, WORD - 513  # -4, -514 as registers
RUNNING = (b"R", b"S")  # state letters (proc_pid_stat(5)) of who may get to its own code without us


class Pause:
    """`wanted` from the request to the resumption; `held` are threads at their stop, each with how it stopped."""

    __slots__ = ("kernel", "wanted", "held", "_group_stops")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.wanted = False
        self.held: dict[Task, int] = {}
        self._group_stops: dict[Task, int] = {}

    def begin(self, done: Callable[[bool], None]) -> None:
        """Stop all; `done(True)` when nobody runs any more, `done(False)` when somebody cannot be stopped."""
        self.wanted = True
        self._look(done, self.kernel.now_ns() + PATIENCE_NS)

    def end(self) -> None:
        """Let all go on."""
        self.wanted = False
        held, self.held = self.held, {}
        for t, status in held.items():
            if self.kernel.tasks.get(t.host_tid) is not t or not t.traced:
                continue  # killed meanwhile
            if t.on_stop is not None:  # somebody asked for a stop meanwhile: it stands in one
                t.on_stop(t, status)
            else:
                self.kernel.stops.finish(t, status)

    def take(self, t: Task, signo: int) -> bool:
        """`t` is about to be let go from a stop (Stops.release): keep it there."""
        if not self.wanted:
            return False
        status = self._group_stops.pop(t, PLAIN_STOP)
        self.held[t] = signo << 8 | 0x7F if signo else status
        return True

    def _stopped(self, t: Task, status: int) -> None:
        if is_group_stop(status):
            self._group_stops[t] = status
        stops = self.kernel.stops
        if t.continued_nr == NR_RT_SIGTIMEDWAIT and stops.get_regs(t):
            regs = stops.regs
            if regs[ORIG_RAX] == NR_RT_SIGTIMEDWAIT and regs[RAX] == EINTR_WORD:  # the one sleep that any stop ends
                regs[RAX] = ERESTARTNOHAND_WORD
                stops.set_regs(t)
        stops.finish(t, status)
        self._group_stops.pop(t, None)

    def _look(self, done: Callable[[bool], None], deadline_ns: int) -> None:
        """Threads may be made until all stand still: look until there is none that runs."""
        if not self.wanted:
            done(False)
            return
        running = [t for t in tuple(self.kernel.tasks.values()) if not self._stands(t)]
        if not running:
            done(True)
        elif self.kernel.now_ns() > deadline_ns:
            self.kernel.debug(f"pause: {[t.host_tid for t in running][:16]} do not stop")
            self.end()
            done(False)
        else:
            self.kernel.timers.add(self.kernel.now_ns() + LOOK_NS, lambda: self._look(done, deadline_ns))

    def _stands(self, t: Task) -> bool:
        """Does `t` stand still? If not it is told to."""
        if t.dead or t in self.held or self.kernel.stops.guest.holds(t):
            return True
        stops = self.kernel.stops
        if t.on_stop is None:
            stops.interrupt(t, self._stopped)
        elif t.on_stop != self._stopped:  # on its way to a stop for another purpose, and then to `take`
            stops.interrupt_again(t)
        if t.parked is not None:
            self.kernel.signals.check(t)
        # In a call that is ours to answer, or in vfork: it meets the trap on its way out.
        return bool(t.request_id) and t.parked is None or self.kernel.signals.state(t) not in RUNNING
