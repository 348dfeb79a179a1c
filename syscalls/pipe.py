"""pipe(2), pipe2(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENOPKG, Errno
from sentry.abi.flags import O_CLOEXEC, O_DIRECT, O_NONBLOCK
from syscalls.args import Addr, OpenFlags
from syscalls.registry import syscall
from vfs.anon.pipe import make_pipe

if TYPE_CHECKING:
    from sentry.kernel.task import Task

O_NOTIFICATION_PIPE = 0o200


@syscall("pipe", Addr)
def sys_pipe(t: Task, fds_addr: int) -> int:
    return _pipe(t, fds_addr, 0)


@syscall("pipe2", Addr, OpenFlags, note="no watch queues, so O_NOTIFICATION_PIPE is ENOPKG")
def sys_pipe2(t: Task, fds_addr: int, flags: int) -> int:
    if flags & ~(O_CLOEXEC | O_DIRECT | O_NONBLOCK | O_NOTIFICATION_PIPE):
        raise EINVAL
    if flags & O_NOTIFICATION_PIPE:
        raise ENOPKG
    return _pipe(t, fds_addr, flags)


def _pipe(t: Task, fds_addr: int, flags: int) -> int:
    creds, fds, cloexec = t.creds, t.fds, bool(flags & O_CLOEXEC)
    reader, writer = make_pipe(flags & (O_DIRECT | O_NONBLOCK), creds.fsuid, creds.fsgid, t.kernel.realtime_ns())
    read_fd = fds.install(reader, cloexec)
    try:
        write_fd = fds.install(writer, cloexec)
    except Errno:
        fds.close(read_fd)
        raise
    try:
        t.mem.write(fds_addr, (read_fd | write_fd << 32).to_bytes(8, "little"))
    except Errno:
        fds.close(read_fd)
        fds.close(write_fd)
        raise
    return 0
