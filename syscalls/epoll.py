"""epoll_create(2), epoll_ctl(2), epoll_wait(2), epoll_pwait(2), epoll_pwait2(2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import EFAULT, EINVAL, EPERM, Errno, WouldBlock
from sentry.abi.flags import EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
from sentry.abi.structs import EPOLL_EVENT, TIMESPEC
from sentry.wait import IN, RESTARTNOHAND, retry
from syscalls.args import Addr, EpollOp, Fd, Int, Size, UInt
from syscalls.registry import syscall
from vfs.anon.epoll import EpollFile
from vfs.core.file import File

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MAX_EVENTS = 0x7FFFFFFF // EPOLL_EVENT.size
CHUNK = 16384  # events handed out by one call: as many as a process has descriptors, and no more work than that
SIGSET_SIZE = 8


@syscall("epoll_create", Int)
def sys_epoll_create(t: Task, size: int) -> int:
    if size <= 0:
        raise EINVAL
    return t.fds.install(EpollFile())


@syscall("epoll_create1", Int)
def sys_epoll_create1(t: Task, flags: int) -> int:
    if flags & ~EPOLL_CLOEXEC:
        raise EINVAL
    return t.fds.install(EpollFile(), bool(flags))


@syscall("epoll_ctl", Fd, EpollOp, UInt, Addr, note="EPOLLEXCLUSIVE wakes all; EPOLLWAKEUP has no effect")
def sys_epoll_ctl(t: Task, epoll: File, op: int, fd: int, event_addr: int) -> int:
    events = data = 0
    if op != EPOLL_CTL_DEL:
        events, data = t.mem.unpack(EPOLL_EVENT, event_addr)
    file = t.fds.get(fd)
    if type(file).poll is File.poll:  # always ready: regular files, directories, some devices
        raise EPERM
    if epoll is file or not isinstance(epoll, EpollFile):
        raise EINVAL
    if op == EPOLL_CTL_ADD:
        epoll.add(file, fd, events, data)
    elif op == EPOLL_CTL_MOD:
        epoll.modify(file, fd, events, data)
    elif op == EPOLL_CTL_DEL:
        epoll.remove(file, fd)
    else:
        raise EINVAL
    return 0


@syscall("epoll_wait", Fd, Addr, Int, Int)
def sys_epoll_wait(t: Task, epoll: File, events_addr: int, limit: int, timeout_ms: int) -> int:
    return _wait(t, epoll, events_addr, limit, timeout_ms * 1_000_000 if timeout_ms >= 0 else None, None, 0)


@syscall("epoll_pwait", Fd, Addr, Int, Int, Addr, Size)
def sys_epoll_pwait(
    t: Task, epoll: File, events_addr: int, limit: int, timeout_ms: int, mask_addr: int, mask_size: int
) -> int:
    timeout_ns = timeout_ms * 1_000_000 if timeout_ms >= 0 else None
    return _wait(t, epoll, events_addr, limit, timeout_ns, call_mask(t, mask_addr, mask_size), mask_addr)


@syscall("epoll_pwait2", Fd, Addr, Int, Addr, Addr, Size)
def sys_epoll_pwait2(
    t: Task, epoll: File, events_addr: int, limit: int, timeout_addr: int, mask_addr: int, mask_size: int
) -> int:
    timeout_ns = None
    if timeout_addr:
        sec, nsec = t.mem.unpack(TIMESPEC, timeout_addr)
        if sec < 0 or not 0 <= nsec < 1_000_000_000:
            raise EINVAL
        timeout_ns = sec * 1_000_000_000 + nsec
    return _wait(t, epoll, events_addr, limit, timeout_ns, call_mask(t, mask_addr, mask_size), mask_addr)


def call_mask(t: Task, mask_addr: int, size: int) -> int | None:
    """The signal mask that a call is given for its duration, or None."""
    if not mask_addr:
        return None
    if size != SIGSET_SIZE:
        raise EINVAL
    return t.mem.u64(mask_addr)


def _wait(
    t: Task, epoll: File, events_addr: int, limit: int, timeout_ns: int | None, sigmask: int | None, mask_addr: int
) -> int:
    if not 0 < limit <= MAX_EVENTS:
        raise EINVAL
    if events_addr + limit * EPOLL_EVENT.size > 1 << 47:
        raise EFAULT
    if not isinstance(epoll, EpollFile):
        raise EINVAL
    limit = min(limit, CHUNK)

    def look() -> int:
        found = epoll.collect(limit)
        if not found:
            if timeout_ns == 0:
                return 0
            raise WouldBlock
        pack = EPOLL_EVENT.pack
        try:
            t.mem.write(events_addr, b"".join([pack(events, item.data) for item, events in found]))
        except Errno:
            epoll.put_back(found)
            raise
        epoll.commit(found)
        return len(found)

    deadline_ns = None if timeout_ns is None else t.kernel.now_ns() + timeout_ns
    return retry(
        look, [(epoll, IN)], deadline_ns=deadline_ns, expired=look_again(look), restart=RESTARTNOHAND, sigmask=sigmask,
        sigmask_addr=mask_addr,
    )  # fmt: skip


def look_again(look: Callable[[], int]) -> Callable[[], int]:
    """At the deadline: what became ready meanwhile counts, else 0."""

    def expired() -> int:
        try:
            return look()
        except WouldBlock:
            return 0

    return expired
