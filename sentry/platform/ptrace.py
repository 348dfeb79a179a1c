"""The ptrace platform: every guest task is traced for its whole life (ptrace(2), seccomp(2) SECCOMP_RET_TRACE).

For hosts that allow no listener, and as a second opinion. A call that is not native stops the task at its entry; the
answer is put into its registers with the call skipped, or the host is let run it. A task whose call is parked stays in
that stop. So no signal can cancel a call unseen; but a signal cannot end it either, until the task is let go: a parked
call that a signal is to end is made again (rip - 2), and at the stop before the signal's delivery its registers get the
form that the host's kernel knows (`_as_interrupted`), so that restart or EINTR is its decision.

What differs for the kernel is in traced.py, how descriptors get into a guest in handover.py.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from sentry.abi.errno import ESRCH
from sentry.engine._engine import ffi, lib
from sentry.kernel.parking import unpark
from sentry.kernel.stops import EVENT_CLONE, EVENT_FORK, delivery_signal
from sentry.platform import tracing
from sentry.platform.handover import Channel, Handover, identity
from sentry.platform.placement import Placement
from sentry.platform.serving import CHILDREN, ENOSYS, EVENTS, NO_ANSWER, Served
from sentry.platform.traced import TracedSignals, TracedStops
from sentry.platform.tracing import EVENT_SECCOMP, WORD, Registers
from sentry.verdict import CONTINUE

if TYPE_CHECKING:
    from typing import Any

    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

RESTARTS = frozenset((-512, -513, -514, -516))


class Tracee:
    """What the platform knows of a task.

    in_call    it stands at the entry of a call that was not answered yet
    regs       its registers there
    answered   (number, result, rip, rax) of a call whose answer a stop on the way out may meet
    to_call    it is resumed to the next beginning or end of a call
    pass_on    the call that the host is to run when it comes again, after a handover
    items      descriptors to be handed over before the call ends
    listening  it stands in a group stop
    """

    __slots__ = ("in_call", "regs", "answered", "to_call", "pass_on", "items", "handover", "listening")

    def __init__(self) -> None:
        self.in_call = False
        self.regs: Registers = None
        self.answered: tuple[int, int, int, int] | None = None
        self.to_call = False
        self.pass_on: tuple[Any, ...] | None = None
        self.items: list[tuple[int, int, bool]] = []
        self.handover: Handover | None = None
        self.listening = False


class PtracePlatform(Served):
    """All tracees by host number, and the loop."""

    filter_flags = 1 << 2  # SECCOMP_FILTER_FLAG_SPEC_ALLOW

    def __init__(self, channel_at: int) -> None:
        super().__init__()
        self.link = Channel(channel_at)
        self.channel = self.link.theirs.fileno(), channel_at
        self.tracees: dict[int, Tracee] = {}
        self.entered: deque[Task] = deque()  # tasks that stand at the entry of a call, the first one first
        self._number = 0
        self._spawner_came = False
        self._spawned: set[int] = set()  # children of the spawner that have no Task yet

    def take(self, kernel: Kernel) -> None:
        """Before the first task: the kernel's parts that differ here."""
        self.kernel = kernel
        kernel.stops = TracedStops(kernel, self)
        kernel.signals = TracedSignals(kernel, self)

    def tracee(self, t: Task) -> Tracee:
        found = self.tracees.get(t.host_tid)
        if found is None:
            found = self.tracees[t.host_tid] = Tracee()
        return found

    def listens(self, t: Task) -> bool:
        """Does it stand in a group stop?"""
        found = self.tracees.get(t.host_tid)
        return found is not None and found.listening

    # answers -------------------------------------------------------------------------------------
    def answer(self, t: Task, value: int) -> None:
        request, t.request_id = t.request_id, 0
        if self.trace is not None:
            self.trace(t, *t.call, value)
        if request:
            self._end(t, value)

    def answer_continue(self, t: Task) -> None:
        request, t.request_id = t.request_id, 0
        if self.trace is not None:
            self.trace(t, *t.call, None)
        if request:
            self._end(t, None)

    def add_fd(self, t: Task, host_fd: int, at: int, cloexec: bool = True) -> None:
        if t.host_tid not in self.tracees:
            raise ESRCH  # dead
        self.tracees[t.host_tid].items.append((os.dup(host_fd), at, cloexec))

    def _end(self, t: Task, value: int | None) -> None:
        tracee = self.tracees.get(t.host_tid)
        if tracee is None:
            return  # dead
        if tracee.items:
            items, tracee.items = tracee.items, []
            tracee.handover = Handover(self, t, tracee, items, value)
            tracee.handover.start()
        else:
            self.end_call(t, tracee, value)

    def end_call(self, t: Task, tracee: Tracee, value: int | None, behind: bool = False) -> None:
        """`t` stands at the entry of its call, or `behind` another that was made in its place."""
        tid = t.host_tid
        if value is not None:
            regs = tracee.regs
            nr, end = regs.orig_rax, regs.rip
            if value in RESTARTS:
                regs.rip, regs.rax = end - 2, nr
            else:
                regs.rax = value & WORD
            regs.orig_rax = WORD
            if value in RESTARTS or t.on_stop is not None or tracee.to_call:
                tracee.answered = (nr, value, regs.rip, regs.rax)
                if tracee.to_call and value in RESTARTS:
                    lib.eng_interrupt(tid)  # the host's kernel looks at the result only on its way to a stop
            tracing.set_registers(tid, regs)
            if behind and tracee.to_call:
                tracee.to_call = False
                self.stops_at_end(t)
                return
        tracing.go_on(tid, 0, tracee.to_call)

    def stops_at_end(self, t: Task) -> None:
        """It stands behind its call, and somebody waits for that."""
        stops = t.kernel.stops
        assert isinstance(stops, TracedStops)
        stops.intake(t.host_tid, 0x85 << 8 | 0x7F)

    # stops ---------------------------------------------------------------------------------------
    def as_interrupted(self, t: Task, tracee: Tracee) -> None:
        """At a stop: what was answered gets the form that a call of the host's has there."""
        answered = tracee.answered
        if answered is None:
            return
        tracee.answered = None
        nr, value, rip, rax = answered
        regs = tracing.registers(t.host_tid)
        if regs is None or regs.orig_rax != WORD or regs.rip != rip or regs.rax != rax:
            return  # it has gone on since
        regs.orig_rax = nr
        if value in RESTARTS:
            regs.rip, regs.rax = rip + 2, value & WORD
        tracing.set_registers(t.host_tid, regs)

    def enter(self, t: Task) -> None:
        """It came to the entry of a call."""
        tracee = self.tracee(t)
        tracee.listening = False
        tracee.answered = None
        if t.on_stop is not None and not tracee.to_call:  # every stop uses up the one that was asked for
            lib.eng_interrupt(t.host_tid)
        if not tracee.in_call:
            tracee.in_call = True
            self.entered.append(t)

    # the spawner -----------------------------------------------------------------------------------
    def spawner_unfiltered(self, pid: int) -> None:
        tracing.seize(pid)

    def spawner_filtered(self, pid: int) -> bool:
        """Is the filter in force? Its first call under it comes here."""
        self.kernel.stops.collect()
        return self._spawner_came

    def serve_spawner(self, kernel: Kernel, wait_ms: int) -> None:
        lib.eng_reply_wait(-1, 0, 0, 0, 0, -1, self._sigfd, kernel.now_ns() + wait_ms * 1_000_000, ffi.NULL)
        kernel.stops.collect()

    def stranger(self, tid: int, status: int) -> bool:
        """A stop of the spawner, or of a child that it has just made; False: of neither."""
        spawner, event = self.kernel.spawner, status >> 16
        if spawner is None or tid != spawner.pid and tid not in self._spawned and event != EVENT_SECCOMP:
            return False
        if event == EVENT_SECCOMP:
            self._spawner_came = True
            self._unknown(tid)
            return True
        if event in (EVENT_FORK, EVENT_CLONE):
            child = int(lib.eng_event_message(tid))
            self._spawned.add(child)
            if self.kernel.stops.early.pop(child, None) is not None:
                tracing.go_on(child)
        tracing.go_on(tid, delivery_signal(status))
        return True

    def _unknown(self, tid: int) -> None:
        """Its call; anybody else can only be a dying task, and gets no service."""
        regs = tracing.registers(tid)
        if regs is None:
            return
        nr = number(regs)

        def reply(value: int) -> None:
            self._spawned.discard(tid)
            if value != CONTINUE:
                regs.rax, regs.orig_rax = value & WORD, WORD
                tracing.set_registers(tid, regs)
            tracing.go_on(tid)

        spawner = self.kernel.spawner
        assert spawner is not None
        if not spawner.heard(tid, nr, arguments(regs), reply):
            self.kernel.log(f"BUG: call {nr} from unknown task {tid}")
            reply(-ENOSYS)

    def execed(self, t: Task) -> None:
        """Whoever had the number before is gone: the leader may have stood in a call, or in a handover."""
        former = int(lib.eng_event_message(t.host_tid))
        if former != t.host_tid:
            self.gone(former)
            self.gone(t.host_tid)
            unpark(t)

    def gone(self, tid: int) -> None:
        self._spawned.discard(tid)
        tracee = self.tracees.pop(tid, None)
        if tracee is not None:
            tracee.in_call = False
            if tracee.handover is not None:
                tracee.handover.abandon()
            for host_fd, _, _ in tracee.items:
                os.close(host_fd)
            tracee.items.clear()

    # the loop ------------------------------------------------------------------------------------
    def run(self, kernel: Kernel) -> None:
        self._begin()
        wait, epfd, sigfd = lib.eng_reply_wait, self._epoll.fileno(), self._sigfd
        placement = kernel.placement = Placement(kernel)
        serve, entered = self.server(kernel), self.entered
        kernel.stops.collect()
        while not kernel.stopping:
            bits = wait(-1, 0, 0, 0, 0, epfd, sigfd, 0 if entered else kernel.until_ns(), ffi.NULL)
            if bits < 0:
                raise OSError(-bits, os.strerror(-bits))
            if bits & CHILDREN:
                kernel.stops.collect()
            if bits & EVENTS:  # first what came before the call: whoever has reaped a child finds its files closed
                self._run_watches(kernel)
            called = bool(entered)
            if entered:
                if not placement.ticking:
                    placement.start_ticking()
                self._serve(kernel, entered.popleft(), serve)
            kernel.turn(not called)

    def _serve(self, kernel: Kernel, t: Task, serve: Any) -> None:
        tracee = self.tracees.get(t.host_tid)
        if tracee is None or not tracee.in_call:
            return  # dead
        tracee.in_call = False
        regs = tracing.registers(t.host_tid)
        if regs is None:
            return
        tracee.regs = regs
        pass_on, tracee.pass_on = tracee.pass_on, None
        if pass_on is not None and pass_on == identity(regs):
            self.end_call(t, tracee, None)
            return
        kernel.calls += 1
        self._number += 1
        t.request_id = self._number
        result = serve(t, number(regs), arguments(regs))
        if result > NO_ANSWER:
            t.request_id = 0
            self._end(t, result)
        elif result == CONTINUE:
            t.request_id = 0
            self._end(t, None)


def number(regs: Registers) -> int:
    """Of the call; an int, as the host's kernel reads it."""
    return int(((regs.orig_rax & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000)


def arguments(regs: Registers) -> tuple[int, ...]:
    return regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9
