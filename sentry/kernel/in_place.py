"""Calls that a stopped task makes in place of its own (ptrace(2)): shmat(2) becomes an mmap(2) of an injected file.

Some calls change the caller's address space in a way that only the caller can. It is brought to a stop behind its own
call, runs the steps one after the other, and gets back all its registers and the result. As in clone3.py a signal that
comes before the first step goes first, and the guest makes its call again; one that comes later ends the list there, so
only the first step may matter to the guest.

    notification -> stop -> entry of a step -> its notification, if it is not native: CONTINUEd -> exit -> next step
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.errno import EAGAIN, Errno
from sentry.engine._engine import lib
from sentry.kernel.stops import (
    ERESTARTNOINTR,
    ERESTARTSYS,
    EVENT_STOP,
    O_TRACESYSGOOD,
    ORIG_RAX,
    R8,
    R10,
    RAX,
    RDI,
    RDX,
    RIP,
    RSI,
    SIGTRAP,
    SYSCALL_STOP,
    WORD,
    RestartNow,
)

if TYPE_CHECKING:
    from sentry.kernel.task import Task

EINTR = 4
R9 = 8
NUMBERS = 64
ARGUMENTS = (RDI, RSI, RDX, R10, R8, R9)


class Step(NamedTuple):
    """One call; `before` runs when the host is about to run it, with its notification open."""

    nr: int
    args: tuple[int, ...]
    before: Callable[[Task], None] | None = None


class InPlace:
    """`done(result of the first step)` gives what the guest's call `nr` returns."""

    __slots__ = ("nr", "steps", "done", "saved", "at", "entered", "first")

    def __init__(self, nr: int, steps: list[Step], done: Callable[[int], int]) -> None:
        self.nr = nr
        self.steps = steps
        self.done = done
        self.saved: tuple[int, ...] = ()
        self.at = 0
        self.entered = False
        self.first = 0


def run_in_place(t: Task, nr: int, steps: list[Step], done: Callable[[int], int]) -> None:
    """Start; the caller's handler returns DEFERRED. Errno when it cannot be."""
    if t.on_stop is not None:  # another purpose is bringing it to a stop: that first, then the call is made again
        raise RestartNow
    if not t.kernel.stops.interrupt(t, _stopped):
        raise EAGAIN
    t.in_place = InPlace(nr, steps, done)
    t.kernel.platform.answer(t, -EINTR)


def free_number(t: Task) -> int:
    """A descriptor number that no guest can name and that no other task's steps use now, or EAGAIN. The highest one is
    exec_proof.py's alone."""
    used = {task.in_place.steps[-1].args[0] for task in t.kernel.tasks.values() if task.in_place is not None}
    for number in range(t.kernel.mark_at - 1, t.kernel.mark_at - 1 - NUMBERS, -1):
        if number not in used:
            return number
    raise EAGAIN


def allow_in_place(t: Task, nr: int, first: int) -> bool:
    """Is this call of `t` a step that was put into it? `first` is the argument that tells it from the guest's own: a
    descriptor out of every guest's reach."""
    request = t.in_place
    if request is None or not request.entered:
        return False
    step = request.steps[request.at]
    if step.nr != nr or first not in step.args:
        return False
    if step.before is not None:
        step.before(t)
    return True


def _stopped(t: Task, status: int) -> None:
    """Behind the guest's call."""
    stops, request = t.kernel.stops, t.in_place
    if request is None or not stops.get_regs(t):
        t.in_place = None
        stops.finish(t, status)
        return
    request.saved = tuple(int(word) for word in stops.regs)
    if status >> 8 != EVENT_STOP << 8 | SIGTRAP:  # a signal, or a stop by one: that first
        _again(t, request, status)
        return
    lib.eng_set_options(t.host_tid, stops.options | O_TRACESYSGOOD)
    _enter(t, request)


def _enter(t: Task, request: InPlace) -> None:
    stops = t.kernel.stops
    step = request.steps[request.at]
    regs = stops.regs
    for i, word in enumerate(request.saved):
        regs[i] = word
    regs[RIP] = request.saved[RIP] - 2
    regs[RAX], regs[ORIG_RAX] = step.nr, WORD
    for at, value in zip(ARGUMENTS, step.args, strict=False):
        regs[at] = value & WORD
    stops.set_regs(t)
    request.entered = False
    t.on_stop = _running
    stops.cont_syscall(t)


def _running(t: Task, status: int) -> None:
    stops, request = t.kernel.stops, t.in_place
    assert request is not None
    if status >> 8 != SYSCALL_STOP:  # a signal has come before the entry
        if request.at:
            _end(t, request, status)
        elif stops.get_regs(t):
            _again(t, request, status)
        return
    if not request.entered:
        request.entered = True
        stops.cont_syscall(t)
        return
    request.entered = False
    if not stops.get_regs(t):
        stops.finish(t)
        return
    result = int(stops.regs[RAX])
    if result in (ERESTARTSYS, ERESTARTNOINTR):
        _enter(t, request)
        return
    if not request.at:
        request.first = result - (1 << 64) if result > WORD - 4096 else result
    request.at += 1
    if request.at < len(request.steps):
        _enter(t, request)
    else:
        _end(t, request, EVENT_STOP << 16 | SIGTRAP << 8 | 0x7F)


def _end(t: Task, request: InPlace, status: int) -> None:
    """The guest's call returns."""
    stops = t.kernel.stops
    try:
        value = request.done(request.first)
    except Errno as err:
        value = -err.code
    _restore(t, request.saved)
    stops.regs[RAX], stops.regs[ORIG_RAX] = value & WORD, WORD
    stops.set_regs(t)
    _let_go(t)
    stops.finish(t, status)


def _again(t: Task, request: InPlace, status: int) -> None:
    """Nothing has happened: the guest makes its own call again."""
    stops = t.kernel.stops
    _restore(t, request.saved)
    stops.regs[RIP] = request.saved[RIP] - 2
    stops.regs[RAX], stops.regs[ORIG_RAX] = request.nr, WORD
    stops.set_regs(t)
    _let_go(t)
    stops.finish(t, status)


def _restore(t: Task, saved: tuple[int, ...]) -> None:
    regs = t.kernel.stops.regs
    for i, word in enumerate(saved):
        regs[i] = word


def _let_go(t: Task) -> None:
    t.in_place = None
    lib.eng_set_options(t.host_tid, t.kernel.stops.options)
