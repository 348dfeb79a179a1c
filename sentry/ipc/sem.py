"""System V semaphores (semget(2), semop(2), semctl(2)): sets, operations on them, and what is undone at the end.

A list of operations is done as a whole or not at all. A caller that must wait sleeps on the queue of the one semaphore
that stopped it: `increase` for a value that must grow, `zero` for one that must vanish; their lengths are GETNCNT and
GETZCNT. Who is woken tries its whole list again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.const.ipc import SEM_UNDO, SEMVMX
from sentry.abi.errno import EIDRM, ENOSPC, ERANGE
from sentry.ipc.perm import IpcObject, seconds
from sentry.wait import IN, WaitQueue

if TYPE_CHECKING:
    from sentry.creds import Credentials

SEMAEM = 32767  # the greatest sum that is undone
UNDO_SETS = 4096  # sets that one process may owe something


class Op(NamedTuple):
    """struct sembuf."""

    num: int
    op: int
    flags: int


class Place:
    """One queue of a semaphore, as something to wait on."""

    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue = WaitQueue()


class Semaphore:
    """Queues are made when somebody waits first: a set may have thousands of semaphores."""

    __slots__ = ("value", "pid", "_increase", "_zero")

    def __init__(self) -> None:
        self.value = 0
        self.pid = 0  # of the last change
        self._increase: Place | None = None
        self._zero: Place | None = None

    @property
    def increase(self) -> Place:
        if self._increase is None:
            self._increase = Place()
        return self._increase

    @property
    def zero(self) -> Place:
        if self._zero is None:
            self._zero = Place()
        return self._zero

    def waiting(self, zero: bool) -> int:
        """GETZCNT, GETNCNT."""
        place = self._zero if zero else self._increase
        return 0 if place is None else len(place.queue)

    def changed(self) -> None:
        place = self._increase if self.value else self._zero
        if place is not None:
            place.queue.notify(IN)

    def gone(self) -> None:
        for place in (self._increase, self._zero):
            if place is not None:
                place.queue.notify()


class Blocked(Exception):
    """The list must wait at `place`; `nowait` says that its operation has IPC_NOWAIT."""

    def __init__(self, place: Place, nowait: bool) -> None:
        self.place = place
        self.nowait = nowait


class SemSet(IpcObject):
    def __init__(self, key: int, mode: int, creds: Credentials, count: int) -> None:
        super().__init__(key, mode, creds)
        self.sems = [Semaphore() for _ in range(count)]
        self.otime = 0
        self.undos: dict[UndoList, list[int]] = {}  # what each list gives back, one number a semaphore

    def operate(self, ops: list[Op], pid: int, undo: UndoList | None) -> None:
        """All of `ops`, or Blocked, ERANGE, EIDRM. `undo` is for those with SEM_UNDO."""
        if self.removed:
            raise EIDRM
        owed = self.undos.get(undo) if undo is not None else None
        values: dict[int, int] = {}
        give_back: dict[int, int] = {}
        for op in ops:
            sem = self.sems[op.num]
            value = values.get(op.num, sem.value)
            nowait = bool(op.flags & 0o4000)
            if not op.op:
                if value:
                    raise Blocked(sem.zero, nowait)
                continue
            value += op.op
            if value < 0:
                raise Blocked(sem.increase, nowait)
            if value > SEMVMX:
                raise ERANGE
            if op.flags & SEM_UNDO:
                total = give_back.get(op.num, owed[op.num] if owed is not None else 0) - op.op
                if not -SEMAEM - 1 <= total <= SEMAEM:
                    raise ERANGE
                give_back[op.num] = total
            values[op.num] = value
        if give_back and undo is not None:
            undo.owe(self, give_back)
        for op in ops:
            self.sems[op.num].pid = pid
        self.otime = seconds()
        for number, value in values.items():
            sem = self.sems[number]
            sem.value = value
            sem.changed()

    def set_values(self, values: dict[int, int], pid: int) -> None:
        """SETVAL, SETALL: nobody owes these semaphores anything any more."""
        for adjustments in self.undos.values():
            for number in values:
                adjustments[number] = 0
        for number, value in values.items():
            sem = self.sems[number]
            sem.value, sem.pid = value, pid
            sem.changed()
        self.ctime = seconds()

    def wake_all(self) -> None:
        """It is gone: everybody gets EIDRM."""
        for undo in self.undos:
            undo.sets.pop(self, None)
        self.undos.clear()
        for sem in self.sems:
            sem.gone()


class UndoList:
    """What the users of this list (a process, or tasks made with CLONE_SYSVSEM) give back when the last one ends."""

    __slots__ = ("sets", "users")

    def __init__(self) -> None:
        self.users = 1
        self.sets: dict[SemSet, None] = {}

    def owe(self, sems: SemSet, totals: dict[int, int]) -> None:
        owed = sems.undos.get(self)
        if owed is None:
            if len(self.sets) >= UNDO_SETS:
                raise ENOSPC
            owed = sems.undos[self] = [0] * len(sems.sems)
            self.sets[sems] = None
        for number, total in totals.items():
            owed[number] = total

    def release(self, pid: int) -> None:
        """A user has ended; with the last one all is given back (semop(2): a value stops at 0, and at SEMVMX)."""
        self.users -= 1
        if self.users:
            return
        for sems in tuple(self.sets):
            owed = sems.undos.pop(self, [])
            done = False
            for sem, adjustment in zip(sems.sems, owed, strict=False):
                if adjustment:
                    sem.value = min(max(sem.value + adjustment, 0), SEMVMX)
                    sem.pid = pid
                    done = True
                    sem.changed()
            if done:
                sems.otime = seconds()
        self.sets.clear()

