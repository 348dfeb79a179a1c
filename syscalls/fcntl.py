"""fcntl(2). Record locks are in syscalls/locks.py, signal-driven I/O in vfs/anon/async_io.py, seals in memfd.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, EINVAL, EPERM, ESRCH
from sentry.abi.flags import (
    CAP_FOWNER,
    CAP_SYS_RESOURCE,
    DN_MULTISHOT,
    F_ADD_SEALS,
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_DUPFD_QUERY,
    F_GET_FILE_RW_HINT,
    F_GET_RW_HINT,
    F_GET_SEALS,
    F_GETFD,
    F_GETFL,
    F_GETLEASE,
    F_GETLK,
    F_GETOWN,
    F_GETOWN_EX,
    F_GETPIPE_SZ,
    F_GETSIG,
    F_NOTIFY,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_OWNER_PGRP,
    F_OWNER_PID,
    F_OWNER_TID,
    F_SET_FILE_RW_HINT,
    F_SET_RW_HINT,
    F_SETFD,
    F_SETFL,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_SETOWN_EX,
    F_SETPIPE_SZ,
    F_SETSIG,
    F_UNLCK,
    FD_CLOEXEC,
    O_APPEND,
    O_ASYNC,
    O_DIRECT,
    O_NOATIME,
    O_NONBLOCK,
    O_PATH,
    S_IFMT,
    S_IFREG,
)
from sentry.abi.structs import F_OWNER_EX
from syscalls.args import FcntlCmd, FdNum, ULong
from syscalls.locks import fcntl_lock
from syscalls.registers import int32
from syscalls.registry import syscall
from vfs.anon.async_io import Owner, may_be_async, owner_of, set_async, set_owner
from vfs.anon.memfd import MemFile
from vfs.anon.pipe import PipeFile
from vfs.core.file import File

if TYPE_CHECKING:
    from sentry.kernel.task import Task

SETTABLE = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK
ON_PATH_FDS = frozenset((F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GETFD, F_SETFD, F_GETFL))
LOCKS = frozenset((F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW))
RW_HINTS = frozenset((F_GET_RW_HINT, F_SET_RW_HINT, F_GET_FILE_RW_HINT, F_SET_FILE_RW_HINT))
RWH_MAX = 5  # RWH_WRITE_LIFE_EXTREME


@syscall("fcntl", FdNum, FcntlCmd, ULong, support="partial", note="no leases, no F_NOTIFY; hints are forgotten")
def sys_fcntl(t: Task, fd: int, cmd: int, arg: int) -> int:
    fds = t.fds
    file = fds.any(fd)
    if file.flags & O_PATH and cmd not in ON_PATH_FDS:
        raise EBADF
    if cmd == F_GETFD:
        return FD_CLOEXEC if fd in fds.cloexec else 0
    if cmd == F_SETFD:
        if arg & FD_CLOEXEC:
            fds.cloexec.add(fd)
        else:
            fds.cloexec.discard(fd)
        return 0
    if cmd == F_GETFL:
        return file.flags
    if cmd == F_SETFL:
        return set_flags(t, file, arg)
    if cmd in (F_DUPFD, F_DUPFD_CLOEXEC):
        lowest = int32(arg)
        if not 0 <= lowest < fds.limit:
            raise EINVAL
        return fds.install(file, cmd == F_DUPFD_CLOEXEC, lowest)
    if cmd in LOCKS:
        return fcntl_lock(t, fd, file, cmd, arg)
    return _rare(t, file, cmd, arg)


def set_flags(t: Task, file: File, wanted: int) -> int:
    """F_SETFL: the status flags that may change; access mode and creation flags are ignored."""
    change = (file.flags ^ wanted) & SETTABLE
    if change & wanted & O_NOATIME:
        stat = file.stat()
        if t.creds.fsuid != stat.uid and not t.creds.has(CAP_FOWNER):
            raise EPERM
    if change & wanted & O_DIRECT and not isinstance(file, PipeFile) and file.stat().mode & S_IFMT != S_IFREG:
        raise EINVAL
    if change & O_ASYNC:
        if may_be_async(file):
            set_async(t.kernel, file, bool(wanted & O_ASYNC))
        else:
            wanted &= ~O_ASYNC  # silently, as in Linux
    file.flags = file.flags & ~SETTABLE | wanted & SETTABLE
    return 0


def _rare(t: Task, file: File, cmd: int, arg: int) -> int:
    if cmd == F_GETPIPE_SZ:
        return _pipe(file).pipe.capacity
    if cmd == F_SETPIPE_SZ:
        return _pipe(file).pipe.resize(arg & 0xFFFFFFFF, t.creds.has(CAP_SYS_RESOURCE))
    if cmd in (F_ADD_SEALS, F_GET_SEALS):
        if not isinstance(file, MemFile):
            raise EINVAL
        return file.add_seals(arg & 0xFFFFFFFF) if cmd == F_ADD_SEALS else file.seals()
    if cmd in (F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_SETSIG, F_GETSIG):
        return _owner(t, file, cmd, arg)
    if cmd == F_DUPFD_QUERY:
        return int(t.fds.any(arg & 0xFFFFFFFF) is file)
    if cmd == F_GETLEASE:
        return F_UNLCK
    if cmd in RW_HINTS:
        return _hint(t, cmd, arg)
    if cmd == F_NOTIFY and not arg & 0xFFFFFFFF & ~DN_MULTISHOT:
        return 0  # no events: an end of what was never begun
    raise EINVAL  # F_SETLEASE, F_NOTIFY and what does not exist


def _pipe(file: File) -> PipeFile:
    if not isinstance(file, PipeFile):
        raise EBADF
    return file


def _hint(t: Task, cmd: int, arg: int) -> int:
    """Write life time hints: nothing here uses them, so none is ever set."""
    if cmd in (F_GET_RW_HINT, F_GET_FILE_RW_HINT):
        t.mem.put_u64(arg, 0)
    elif t.mem.u64(arg) > RWH_MAX:
        raise EINVAL
    return 0


def _owner(t: Task, file: File, cmd: int, arg: int) -> int:
    """Who gets SIGIO and SIGURG of a file."""
    owner = owner_of(file)
    if cmd == F_GETSIG:
        return owner.signo
    if cmd == F_GETOWN:
        return -owner.who if owner.kind == F_OWNER_PGRP else owner.who
    if cmd == F_GETOWN_EX:
        t.mem.pack(F_OWNER_EX, arg, owner.kind, owner.who)
        return 0
    if cmd == F_SETSIG:
        if not 0 <= arg <= 64:
            raise EINVAL
        set_owner(t.kernel, file, Owner(owner.kind, owner.who, owner.creds, arg))
        return 0
    if cmd == F_SETOWN:
        who = int32(arg)
        if who == -(1 << 31):
            raise EINVAL
        kind = F_OWNER_PGRP if who < 0 else F_OWNER_PID
        who = abs(who)
    else:
        kind, who = t.mem.unpack(F_OWNER_EX, arg)
        if kind not in (F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP):
            raise EINVAL
    if who and not _exists(t, kind, who):
        raise ESRCH
    set_owner(t.kernel, file, Owner(kind, who, t.creds, owner.signo))
    return 0


def socket_owner(t: Task, file: File, cmd: int, arg: int) -> int:
    """FIOSETOWN and FIOGETOWN, which pass the number in memory (socket(7), "Ioctls")."""
    if cmd == F_SETOWN:
        return _owner(t, file, cmd, t.mem.u32(arg))
    t.mem.put_i32(arg, _owner(t, file, cmd, 0))
    return 0


def _exists(t: Task, kind: int, who: int) -> bool:
    if who < 0:
        return False
    if kind == F_OWNER_TID:
        return t.kernel.find_task(who) is not None
    return t.kernel.find_group(who) is not None  # a process group's number: its leader may be gone, then ESRCH
