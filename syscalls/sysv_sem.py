"""semget(2), semop(2), semtimedop(2), semctl(2)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.ipc import (
    GETALL,
    GETNCNT,
    GETPID,
    GETVAL,
    GETZCNT,
    IPC_64,
    IPC_INFO,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SEM_INFO,
    SEM_STAT,
    SEM_STAT_ANY,
    SEM_UNDO,
    SEMVMX,
    SETALL,
    SETVAL,
)
from sentry.abi.errno import E2BIG, EAGAIN, EFBIG, EIDRM, EINVAL, ENOMEM, ENOSPC, ERANGE
from sentry.abi.structs import IPC_PERM, SEMBUF, TIMESPEC
from sentry.ipc.namespace import ipc
from sentry.ipc.perm import R, W
from sentry.ipc.sem import Blocked, Op, SemSet, UndoList
from sentry.wait import IN, RESTARTNOHAND, Park
from syscalls.args import Addr, Int, UInt, ULong
from syscalls.registry import syscall
from vfs.proc.sysctl import sysctl

if TYPE_CHECKING:
    from sentry.kernel.task import Task

TIMES = Struct("<q8xq8xQ16x")  # struct semid64_ds behind the perm: otime ctime nsems
SEMINFO = Struct("<10i")  # map mni mns mnu msl opm ume usz vmx aem
MOST = 1 << 20  # semaphores of all sets, whatever /proc/sys/kernel/sem says: each takes the Sentry's memory


def _limits(t: Task) -> tuple[int, int, int, int]:
    """SEMMSL, SEMMNS, SEMOPM, SEMMNI."""
    words = [int(word) for word in sysctl(t.kernel).get(b"kernel/sem").split()]
    return words[0], words[1], words[2], words[3]


@syscall("semget", Int, Int, Int)
def sys_semget(t: Task, key: int, count: int, flags: int) -> int:
    per_set, in_all, _, sets = _limits(t)
    if not 0 <= count <= per_set:
        raise EINVAL
    table = ipc(t.kernel).sem

    def make() -> SemSet:
        if not count:
            raise EINVAL
        used = sum(len(other.sems) for other in table)
        if used + count > in_all:
            raise ENOSPC
        if used + count > MOST:
            raise ENOMEM
        return SemSet(key, flags, t.creds, count)

    return table.get(key, flags, t.creds, sets, make, lambda found: count <= len(found.sems)).id


@syscall("semop", Int, Addr, UInt)
def sys_semop(t: Task, number: int, ops_addr: int, count: int) -> int:
    return _operate(t, number, ops_addr, count, None)


@syscall("semtimedop", Int, Addr, UInt, Addr)
def sys_semtimedop(t: Task, number: int, ops_addr: int, count: int, timeout_addr: int) -> int:
    if not timeout_addr:
        return _operate(t, number, ops_addr, count, None)
    seconds, ns = t.mem.unpack(TIMESPEC, timeout_addr)
    if seconds < 0 or not 0 <= ns < 1_000_000_000:
        raise EINVAL
    return _operate(t, number, ops_addr, count, min(seconds * 1_000_000_000 + ns, 1 << 62))


def _operate(t: Task, number: int, ops_addr: int, count: int, timeout_ns: int | None) -> int:
    if not count or number < 0:
        raise EINVAL
    if count > _limits(t)[2]:
        raise E2BIG
    ops = [Op(*fields) for fields in SEMBUF.iter_unpack(t.mem.read(ops_addr, count * SEMBUF.size))]
    sems = ipc(t.kernel).sem.find(number)
    if max(op.num for op in ops) >= len(sems.sems):
        raise EFBIG
    sems.check(t.creds, W if any(op.op for op in ops) else R)
    if any(op.flags & SEM_UNDO and op.op for op in ops) and t.undo is None:
        t.undo = UndoList()
    deadline_ns = None if timeout_ns is None else t.kernel.now_ns() + timeout_ns
    return Operation(t, sems, ops, deadline_ns)()


class Operation:
    """One semop under way; it sleeps at the place that stopped it last."""

    __slots__ = ("deadline_ns", "ops", "sems", "t")

    def __init__(self, t: Task, sems: SemSet, ops: list[Op], deadline_ns: int | None) -> None:
        self.t = t
        self.sems = sems
        self.ops = ops
        self.deadline_ns = deadline_ns

    def __call__(self) -> int:
        try:
            self.sems.operate(self.ops, self.t.group.pid, self.t.undo)
        except Blocked as wait:
            if wait.nowait:
                raise EAGAIN
            raise Park(self, [(wait.place, IN)], self.deadline_ns, self.expired, None, RESTARTNOHAND, None, 0)
        return 0

    def expired(self) -> int:
        raise EAGAIN


@syscall("semctl", Int, Int, Int, ULong)
def sys_semctl(t: Task, number: int, index: int, command: int, arg: int) -> int:
    command &= ~IPC_64
    table = ipc(t.kernel).sem
    if number < 0:
        raise EINVAL
    if command in (IPC_INFO, SEM_INFO):
        return _info(t, command, arg)
    if command in (SEM_STAT, SEM_STAT_ANY):
        sems = table.at(number)
        if command == SEM_STAT:
            sems.check(t.creds, R)
        _put(t, sems, arg)
        return sems.id
    if command not in (IPC_STAT, IPC_SET, IPC_RMID, GETALL, GETVAL, GETPID, GETNCNT, GETZCNT, SETVAL, SETALL):
        raise EINVAL
    if command == IPC_SET:
        perm = t.mem.unpack(IPC_PERM, arg)
    sems = table.find(number)
    if command == IPC_STAT:
        sems.check(t.creds, R)
        _put(t, sems, arg)
    elif command == IPC_SET:
        sems.check_owner(t.creds)
        sems.set_owner(perm[1], perm[2], perm[5])
    elif command == IPC_RMID:
        sems.check_owner(t.creds)
        table.remove(sems)
        sems.wake_all()
    elif command == GETALL:
        sems.check(t.creds, R)
        t.mem.write(arg, b"".join(sem.value.to_bytes(2, "little") for sem in sems.sems))
    elif command == SETALL:
        _set_all(t, sems, arg)
    elif command == SETVAL:
        _set_one(t, sems, index, arg)
    else:
        return _get_one(t, sems, index, command)
    return 0


def _get_one(t: Task, sems: SemSet, index: int, command: int) -> int:
    sems.check(t.creds, R)
    if not 0 <= index < len(sems.sems):
        raise EINVAL
    sem = sems.sems[index]
    if command == GETVAL:
        return sem.value
    if command == GETPID:
        return sem.pid
    return sem.waiting(command == GETZCNT)


def _set_one(t: Task, sems: SemSet, index: int, arg: int) -> None:
    value = ((arg & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    if not 0 <= value <= SEMVMX:
        raise ERANGE
    if not 0 <= index < len(sems.sems):
        raise EINVAL
    sems.check(t.creds, W)
    sems.set_values({index: value}, t.group.pid)


def _set_all(t: Task, sems: SemSet, arg: int) -> None:
    sems.check(t.creds, W)
    data = t.mem.read(arg, 2 * len(sems.sems))
    values = [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]
    if any(value > SEMVMX for value in values):
        raise ERANGE
    if sems.removed:
        raise EIDRM
    sems.set_values(dict(enumerate(values)), t.group.pid)


def _put(t: Task, sems: SemSet, addr: int) -> None:
    t.mem.write(addr, sems.packed_perm() + TIMES.pack(sems.otime, sems.ctime, len(sems.sems)))


def _info(t: Task, command: int, addr: int) -> int:
    per_set, in_all, ops, sets = _limits(t)
    table = ipc(t.kernel).sem
    used = len(table) if command == SEM_INFO else 20
    adjusts = sum(len(other.sems) for other in table) if command == SEM_INFO else SEMVMX
    t.mem.pack(SEMINFO, addr, in_all, sets, in_all, in_all, per_set, ops, ops, used, SEMVMX, adjusts)
    return table.highest


