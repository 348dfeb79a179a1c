"""flock(2), and the record locks of fcntl(2) (F_GETLK, F_SETLK, F_SETLKW and their OFD forms)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    F_GETLK,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_RDLCK,
    F_SETLKW,
    F_UNLCK,
    F_WRLCK,
    LOCK_EX,
    LOCK_NB,
    LOCK_SH,
    LOCK_UN,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
)
from sentry.abi.errno import EBADF, EINVAL, EOVERFLOW, WouldBlock
from sentry.abi.structs import FLOCK
from sentry.wait import IN, retry
from syscalls.args import Fd, LockOp
from syscalls.registry import syscall
from vfs.core.locks import READ, TO_END, WRITE, LockTable, stop_waiting, table_of

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

OFF_MAX = (1 << 63) - 1
_OFD = (F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW)


@syscall("flock", Fd, LockOp)
def sys_flock(t: Task, file: File, operation: int) -> int:
    table = table_of(file)
    kind = operation & ~LOCK_NB
    if kind == LOCK_UN:
        table.funlock(file)
        return 0
    if kind not in (LOCK_SH, LOCK_EX):
        raise EINVAL
    wanted = WRITE if kind == LOCK_EX else READ
    return retry(partial(_flock, table, file, wanted), [(table, IN)], nonblock=bool(operation & LOCK_NB))


def _flock(table: LockTable, file: File, kind: int) -> int:
    table.flock(file, kind)
    return 0


def fcntl_lock(t: Task, fd: int, file: File, cmd: int, arg: int) -> int:
    """The lock commands of fcntl(2); `arg` is the address of a struct flock."""
    kind, whence, start, length, pid = t.mem.unpack(FLOCK, arg)
    if cmd in _OFD and pid:
        raise EINVAL
    first, last = _range(file, whence, start, length)
    owner: object = file if cmd in _OFD else t.fds
    table = table_of(file)
    if cmd in (F_GETLK, F_OFD_GETLK):
        return _get(t, table, owner, kind, first, last, arg)
    if kind == F_UNLCK:
        table.unlock(owner, first, last)
        return 0
    if kind not in (F_RDLCK, F_WRLCK):
        raise EINVAL
    if not (file.readable if kind == F_RDLCK else file.writable):
        raise EBADF
    wanted = READ if kind == F_RDLCK else WRITE
    shown = -1 if cmd in _OFD else t.group.pid
    wait = cmd in (F_SETLKW, F_OFD_SETLKW)
    try:
        table.lock(owner, first, last, wanted, shown)
        return 0
    except WouldBlock:
        pass  # only now the dearer part
    step = partial(_set, table, owner, first, last, wanted, shown, cmd == F_SETLKW)
    return retry(step, [(table, IN)], nonblock=not wait, interrupted=partial(_given_up, owner))


def _set(table: LockTable, owner: object, first: int, last: int, kind: int, pid: int, check: bool) -> int:
    table.lock(owner, first, last, kind, pid, check)
    return 0


def _given_up(owner: object) -> None:
    stop_waiting(owner)


def _get(t: Task, table: LockTable, owner: object, kind: int, first: int, last: int, arg: int) -> int:
    if kind not in (F_RDLCK, F_WRLCK):
        raise EINVAL
    other = table.conflict(owner, first, last, READ if kind == F_RDLCK else WRITE)
    if other is None:
        t.mem.write(arg, F_UNLCK.to_bytes(2, "little"))
        return 0
    length = 0 if other.end == TO_END else other.end - other.start + 1
    shown = F_WRLCK if other.kind == WRITE else F_RDLCK
    t.mem.pack(FLOCK, arg, shown, SEEK_SET, other.start, length, other.pid)
    return 0


def _range(file: File, whence: int, start: int, length: int) -> tuple[int, int]:
    """First and last byte."""
    if whence == SEEK_CUR:
        start += file.pos
    elif whence == SEEK_END:
        start += file.stat().size
    elif whence != SEEK_SET:
        raise EINVAL
    if start > OFF_MAX:
        raise EOVERFLOW
    if start < 0:
        raise EINVAL
    if length > 0:
        if start + length - 1 > OFF_MAX:
            raise EOVERFLOW
        return start, start + length - 1
    if length < 0:
        if start + length < 0:
            raise EINVAL
        return start + length, start - 1
    return start, TO_END
