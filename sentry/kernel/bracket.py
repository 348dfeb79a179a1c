"""SIGCHLD for a parent whose handler lacks SA_RESTART (signal(7), "Interruption of system calls").

Such a signal ends with EINTR any call that it meets between the call's entry and its reception by the Sentry, also calls
that never fail so on Linux: dash's pipelines died of it. So the parent's threads are brought to a stop (a call not yet
received is rewound), the child dies, the signal is queued, the threads go on: it then finds them between two calls.
A thread that sleeps in the host's own wait4 needs no stop: the host hands it the child first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

STOP_NS = 20_000_000  # a thread that does not stop within this is in a call that no signal ends
HOLD_NS = 1_000_000_000  # a child that does not die within this was stopped: let the parent go
NR_WAIT4, NR_WAITID = 61, 247


class Bracket:
    """The threads of one parent, held while `dying` children end."""

    __slots__ = ("kernel", "parent", "waiting", "held", "dying", "resumes", "over")

    def __init__(self, kernel: Kernel, parent: ThreadGroup) -> None:
        self.kernel = kernel
        self.parent = parent
        self.waiting: set[Task] = set()
        self.held: dict[Task, int] = {}
        self.dying: set[ThreadGroup] = set()
        self.resumes: list[Callable[[], None]] = []
        self.over = False

    def stop_threads(self) -> None:
        """Interrupt the parent's threads; parked ones stop when they are answered and need not be waited for."""
        stops = self.kernel.stops
        for task in tuple(self.parent.tasks.values()):
            if task.on_stop is not None or in_host_wait(task):
                continue
            if stops.interrupt(task, self._stopped) and task.parked is None:
                self.waiting.add(task)
        now = self.kernel.now_ns()
        if self.waiting:
            self.kernel.timers.add(now + STOP_NS, self._go)
        self.kernel.timers.add(now + HOLD_NS, self._end)

    def add(self, child: ThreadGroup, resume: Callable[[], None]) -> None:
        self.dying.add(child)
        if self.waiting:
            self.resumes.append(resume)
        else:
            resume()

    def child_died(self, child: ThreadGroup) -> None:
        self.dying.discard(child)
        if not self.dying:
            self._end()

    def _stopped(self, t: Task, status: int) -> None:
        if self.over:
            self.kernel.stops.finish(t, status)
            return
        self.kernel.signals.exact.rewind(t)
        self.held[t] = status
        self.waiting.discard(t)
        if not self.waiting:
            self._go()

    def _go(self) -> None:
        self.waiting.clear()
        resumes, self.resumes = self.resumes, []
        for resume in resumes:
            resume()

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        self._go()
        if self.parent.bracket is self:
            self.parent.bracket = None
        for task, status in self.held.items():
            if task.host_tid in self.kernel.tasks:
                self.kernel.stops.finish(task, status)


def hold_parent(t: Task, parent: ThreadGroup) -> bool:
    """`t` is about to end its process. True: it may die at once; False: it is answered when the parent stands still."""
    kernel = t.kernel
    bracket = parent.bracket
    if bracket is None:
        if all(in_host_wait(task) for task in parent.tasks.values()):
            return True
        bracket = parent.bracket = Bracket(kernel, parent)
        bracket.stop_threads()
    at_once: list[bool] = []
    answered: list[bool] = []

    def resume() -> None:
        if answered:
            kernel.platform.answer_continue(t)
        else:
            at_once.append(True)

    bracket.add(t.group, resume)
    answered.append(True)
    return bool(at_once)


def in_host_wait(t: Task) -> bool:
    """True when `t` sleeps in wait4 or waitid of the host, or in vfork: calls in which SIGCHLD does no harm."""
    if t.vforking:
        return True
    if t.continued_nr not in (NR_WAIT4, NR_WAITID):
        return False
    try:
        with open(f"/proc/{t.host_tid}/wchan", "rb") as f:
            return f.read(32).startswith(b"do_wait")
    except OSError:
        return False
