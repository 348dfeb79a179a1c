"""SIGCHLD for a parent whose handler lacks SA_RESTART (signal(7), "Interruption of system calls").

Such a signal ends with EINTR any call that it meets between the call's entry and its reception by the Sentry, also
calls that never fail so on Linux: dash's pipelines died of it. So the parent's threads are brought to a stop (a call
not yet received is rewound), the child dies, the signal is queued, the threads go on: it then finds them between two
calls. A thread that sleeps in the host's own wait4 needs no stop: the host hands it the child first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.kernel.timers import Timer

STOP_NS = 20_000_000  # a thread that does not stop within this is in a call that no signal ends
HOLD_NS = 1_000_000_000  # a child that does not die within this was stopped: let the parent go
NR_WAIT4, NR_WAITID = 61, 247
PLAIN_STOP = 128 << 16 | 5 << 8 | 0x7F  # a stop by PTRACE_INTERRUPT
SIGCHLD, SIGKILL, SIGCONT, SIGSTOP = 17, 9, 18, 19
STOPS = frozenset((SIGSTOP, 20, 21, 22))  # by default: SIGTSTP, SIGTTIN, SIGTTOU too
IGNORED = frozenset((SIGCHLD, SIGCONT, 23, 28))  # by default: SIGURG, SIGWINCH too
SA_NOCLDSTOP = 1
LOOK_NS = 100_000  # how often a child is looked at that is to stop or to go on
LOOKS = 100


class Bracket:
    """The threads of one parent, held while `dying` children end.

    armed    threads that were interrupted and will come to a stop
    waiting  those of them for which the children wait: the others are in a call that the Sentry has received, or in
             vfork, and stop when that ends, before they can enter another
    held     threads at their stop, with the signal before whose delivery they stand, or 0
    """

    __slots__ = ("kernel", "parent", "armed", "waiting", "held", "dying", "resumes", "over", "timers")

    def __init__(self, kernel: Kernel, parent: ThreadGroup) -> None:
        self.kernel = kernel
        self.parent = parent
        self.armed: set[Task] = set()
        self.waiting: set[Task] = set()
        self.held: dict[Task, int] = {}
        self.dying: set[ThreadGroup] = set()
        self.resumes: list[Callable[[], None]] = []
        self.over = False
        self.timers: list[Timer] = []

    def add(self, child: ThreadGroup, resume: Callable[[], None]) -> None:
        """`child` is about to die (or to stop): `resume` lets it, when every thread of the parent stands still."""
        self.dying.add(child)
        self._stop_threads()
        if self.waiting:
            self.resumes.append(resume)
        else:
            resume()

    def _stop_threads(self) -> None:
        stops = self.kernel.stops
        for task in tuple(self.parent.tasks.values()):
            if task in self.armed or task in self.held or task.dead:
                continue
            if task.on_stop is not None:  # on its way to a stop for another purpose, and then to `take`
                done = stops.interrupt_again(task)
            else:
                done = stops.interrupt(task, self._stopped)
            if done:
                self.armed.add(task)
                if not task.request_id and not task.vforking:
                    self.waiting.add(task)
        now = self.kernel.now_ns()
        if not self.timers:
            self.timers.append(self.kernel.timers.add(now + HOLD_NS, self._end))
        if self.waiting and len(self.timers) == 1:
            self.timers.append(self.kernel.timers.add(now + STOP_NS, self._go))

    def child_died(self, child: ThreadGroup) -> None:
        self.dying.discard(child)
        if not self.dying:
            self._end()

    def look_for_signal(self, child: ThreadGroup, left: int) -> None:
        """A stop or continuation gives no event: look until its SIGCHLD is pending in the parent, who stands still."""
        if self.over or child not in self.dying:
            return
        masks = self.kernel.signals.masks(self.parent.leader)
        if not left or child.dead or masks is None or (masks[0] | masks[1]) >> (SIGCHLD - 1) & 1:
            self.child_died(child)
            return
        self.kernel.timers.add(self.kernel.now_ns() + LOOK_NS, lambda: self.look_for_signal(child, left - 1))

    def _stopped(self, t: Task, status: int) -> None:
        if not self.over:
            self.kernel.signals.exact.rewind(t, waits=True)
        self.kernel.stops.finish(t, status)

    def take(self, t: Task, signo: int) -> bool:
        """`t` is about to be let go from a stop (Stops.release): keep it there."""
        if self.over:
            return False
        self.armed.discard(t)
        self.held[t] = signo
        self.waiting.discard(t)
        if not self.waiting:
            self._go()
        return True

    def _go(self) -> None:
        self.waiting.clear()
        resumes, self.resumes = self.resumes, []
        for resume in resumes:
            resume()

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        for timer in self.timers:
            timer.cancel()
        self._go()
        if self.parent.bracket is self:
            self.parent.bracket = None
        for task, signo in self.held.items():
            if self.kernel.tasks.get(task.host_tid) is task:
                self.kernel.stops.finish(task, signo << 8 | 0x7F if signo else PLAIN_STOP)


def bracket_of(kernel: Kernel, parent: ThreadGroup) -> Bracket:
    if parent.bracket is None:
        parent.bracket = Bracket(kernel, parent)
    return parent.bracket


def hold_parent(t: Task, parent: ThreadGroup) -> bool:
    """`t` is about to end its process. True: it may die at once; False: it is answered when the parent stands still."""
    kernel = t.kernel
    if not kernel.signals.cancels:
        return True
    if parent.bracket is None and not parent.exits_in_flight and all(in_host_wait(x) for x in parent.tasks.values()):
        parent.exits_in_flight += 1
        t.group.in_flight = True
        return True
    bracket_of(kernel, parent).add(t.group, lambda: kernel.platform.answer_continue(t))
    return False


def hold_for_signal(t: Task, targets: list[ThreadGroup], signo: int, go: Callable[[], None]) -> bool:
    """`t` sends `signo`, which may bring SIGCHLD to parents that must stand still meanwhile. True: `go` sends it, later
    or from here; false: nobody needs to be held."""
    needing = [group for group in targets if _needs_hold(t.kernel, group, signo)]
    if not needing:
        return False
    left = len(needing)

    def ready() -> None:
        nonlocal left
        left -= 1
        if not left:
            go()

    for group in needing:
        parent = group.parent
        assert parent is not None
        bracket = bracket_of(t.kernel, parent)
        bracket.add(group, ready)
        if signo == SIGCONT or signo in STOPS and not group.sighand.get(signo).caught:
            bracket.look_for_signal(group, LOOKS)
    return True


def _needs_hold(kernel: Kernel, group: ThreadGroup, signo: int) -> bool:
    parent = group.parent
    if not kernel.signals.cancels:
        return False
    if parent is None or parent.dead or parent.exiting or group.exiting or not parent.sighand.interrupts(SIGCHLD):
        return False
    if signo == SIGKILL:
        return True
    state = kernel.signals.state(group.leader)
    if signo in (SIGCONT, SIGSTOP):  # told to the parent unless it said SA_NOCLDSTOP, and only when it is a change
        told = not parent.sighand.get(SIGCHLD).flags & SA_NOCLDSTOP
        return told and (state == b"T") == (signo == SIGCONT)
    if group.sighand.get(signo).handler or signo in IGNORED or state == b"T":
        return False
    masks = kernel.signals.masks(group.leader)
    return masks is not None and not masks[2] >> (signo - 1) & 1


def in_host_wait(t: Task) -> bool:
    """True when `t` sleeps in wait4 or waitid of the host: with a dead child these give the child, not EINTR."""
    if t.continued_nr not in (NR_WAIT4, NR_WAITID):
        return False
    try:
        with open(f"/proc/{t.host_tid}/wchan", "rb") as f:
            return f.read(32).startswith(b"do_wait")
    except OSError:
        return False
