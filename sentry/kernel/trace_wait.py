"""wait4(2), waitid(2) by a process with guest tracees (guest_trace.py): what the host cannot know is answered here.

While a real child could answer too, the host does the waiting, and a stop of a tracee brings the caller out of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const.tasks import P_ALL, P_PGID, P_PID, WEXITED, WNOHANG, WNOWAIT
from sentry.abi.errno import WouldBlock
from sentry.kernel.exit import forget_if_reaped
from sentry.kernel.parking import unpark
from sentry.verdict import CONTINUE
from sentry.wait import IN, retry

if TYPE_CHECKING:
    from sentry.kernel.guest_trace import Death, Tracee, Tracer
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

WNOTHREAD = 0x2000_0000


class Waiting:
    """One wait: whom for, and how the answer is given. `answer(tid, status, stopped)` has (0, 0, False) for nothing."""

    __slots__ = ("t", "nr", "which", "number", "options", "answer")

    def __init__(
        self, t: Task, nr: int, which: int, number: int, options: int, answer: Callable[[int, int, bool], int]
    ) -> None:
        self.t = t
        self.nr = nr
        self.which = which
        self.number = number
        self.options = options
        self.answer = answer

    def run(self) -> int:
        guest = self.t.kernel.stops.guest
        tracer = guest.tracers.get(self.t.group)
        if tracer is None:
            return CONTINUE
        if tracer.due is not None:
            guest.signal_later(tracer)
        try:
            return self._look(tracer)
        except WouldBlock:
            return retry(lambda: self._again(tracer), [(tracer, IN)])

    def _again(self, tracer: Tracer) -> int:
        value = self._look(tracer)
        if value == CONTINUE:  # a parked call has no other way to the host
            unpark(self.t)
            self.t.continued_nr = self.nr
            self.t.kernel.platform.answer_continue(self.t)
            raise WouldBlock
        return value

    def _look(self, tracer: Tracer) -> int:
        mine = [tracee for tracee in tracer.tracees.values() if self._ours(tracee.by) and self._wants(tracee)]
        for tracee in mine:
            if tracee.stop is not None and not tracee.waited:
                value = self.answer(tracee.task.tid, tracee.stop << 8 | 0x7F, True)
                tracee.waited = not self.options & WNOWAIT
                return value
        deaths = [death for death in tracer.deaths if self._ours(death.by) and self._wants_death(death)]
        for death in deaths:
            if self.options & WEXITED:
                value = self.answer(death.tid, death.status, False)
                if not self.options & WNOWAIT:
                    tracer.deaths.remove(death)
                return value
        if not mine and not deaths or any(self._wants_child(child) for child in tuple(self.t.group.children)):
            return CONTINUE
        if self.options & WNOHANG:
            return self.answer(0, 0, False)
        raise WouldBlock

    def _ours(self, by: Task | None) -> bool:
        return by is None or by is self.t or not self.options & WNOTHREAD

    def _wants(self, tracee: Tracee) -> bool:
        if self.which == P_PID:
            return tracee.task.tid == self.number
        return self.which == P_ALL or self._in_group(tracee.task.group)

    def _wants_death(self, death: Death) -> bool:
        return self.which == P_ALL or self.which == P_PID and death.tid == self.number

    def _wants_child(self, child: ThreadGroup) -> bool:
        if self.which == P_PID and child.pid != self.number or self.which == P_PGID and not self._in_group(child):
            return False
        return not (child.dead and forget_if_reaped(self.t.kernel, child))

    def _in_group(self, group: ThreadGroup) -> bool:
        try:
            pgid = os.getpgid(group.host_pid)
            own = os.getpgid(self.t.group.host_pid)
        except OSError:
            return False
        return pgid == own if self.number == 0 else self.t.kernel.guest_pid(pgid) == self.number
