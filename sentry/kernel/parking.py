"""Parked calls: a guest that waits is data (number, arguments, deadline); only this module parks and wakes.

A parked call is re-run when a queue that it waits on is notified, ended at its deadline, ended by a signal
(sentry/kernel/signals.py) or dropped with its task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import Errno, WouldBlock
from sentry.verdict import RESULT_MAX
from sentry.wait import Entry, Park, WaitQueue

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.timers import Timer


class _Sleeper(Entry):
    """One parked call on one queue."""

    __slots__ = ("parked",)

    def __init__(self, mask: int, parked: Parked) -> None:
        self.mask = mask
        self.parked = parked

    def wake(self, events: int) -> None:
        parked = self.parked
        if not parked.ready:
            parked.ready = True
            parked.task.kernel.ready.append(parked)


class Parked:
    """A call that waits: what to run again, on which queues it sleeps, until when."""

    __slots__ = ("task", "park", "nr", "entries", "timer", "ready")

    def __init__(self, task: Task, park: Park, nr: int) -> None:
        self.task = task
        self.park = park
        self.nr = nr
        self.entries: list[tuple[WaitQueue, _Sleeper]] = []
        self.timer: Timer | None = None
        self.ready = False


def park(kernel: Kernel, t: Task, request: Park, nr: int) -> None:
    """Put the caller to sleep; its notification stays open until `finish`."""
    parked = Parked(t, request, nr)
    saved = t.saved_deadline
    if saved is not None:  # the same call again after a stop: it goes on with the time that was left
        t.saved_deadline = None
        if saved[0] == nr and request.deadline_ns is not None:
            request.deadline_ns = saved[1]
    for pollable, mask in request.on:
        queue = pollable.queue
        sleeper = _Sleeper(mask, parked)
        queue.add(sleeper)
        parked.entries.append((queue, sleeper))
    if request.deadline_ns is not None:
        parked.timer = kernel.timers.add(request.deadline_ns, lambda: _expire(kernel, parked))
    t.parked = parked
    kernel.signals.parked(t)


def unpark(t: Task) -> Parked | None:
    """Take the call off its queues without answering it."""
    parked = t.parked
    if parked is None:
        return None
    t.parked = None
    for queue, sleeper in parked.entries:
        queue.remove(sleeper)
    parked.entries.clear()  # no cycle is left for the garbage collector
    if parked.timer is not None:
        parked.timer.cancel()
    return parked


def run_ready(kernel: Kernel) -> None:
    """Re-run the calls whose queues were notified since the last turn."""
    ready = kernel.ready
    kernel.ready = []
    for parked in ready:
        parked.ready = False
        if parked.task.parked is parked:
            _again(kernel, parked)


def _again(kernel: Kernel, parked: Parked) -> None:
    t = kernel.current = parked.task
    try:
        value = _fitting(parked.park.op())
    except WouldBlock:
        return
    except Errno as err:
        value = -err.code
    except Park as more:  # the call goes on waiting for something else
        unpark(t)
        park(kernel, t, more, parked.nr)
        return
    except Exception:
        value = kernel.handler_failed(t, parked.nr)
    unpark(t)
    kernel.platform.answer(t, value)


def _fitting(value: int) -> int:
    if value > RESULT_MAX:
        raise OverflowError(f"result {value}")
    return value


def _expire(kernel: Kernel, parked: Parked) -> None:
    t = parked.task
    if t.parked is not parked:
        return
    kernel.current = t
    try:
        value = _fitting(parked.park.expired()) if parked.park.expired is not None else -110
    except Errno as err:
        value = -err.code
    except Exception:
        value = kernel.handler_failed(t, parked.nr)
    unpark(t)
    kernel.platform.answer(t, value)
