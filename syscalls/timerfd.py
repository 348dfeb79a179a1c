"""timerfd_create(2), timerfd_settime(2), timerfd_gettime(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EPERM
from sentry.abi.flags import (
    CAP_WAKE_ALARM,
    CLOCK_BOOTTIME,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    TFD_CLOEXEC,
    TFD_NONBLOCK,
    TFD_TIMER_ABSTIME,
    TFD_TIMER_CANCEL_ON_SET,
)
from sentry.abi.structs import ITIMERSPEC
from syscalls.args import Addr, ClockId, Fd, Int
from syscalls.registry import syscall
from vfs.anon.timerfd import TimerFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

CLOCKS = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)
ALARMS = (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)
NS = 1_000_000_000
KTIME_MAX = (1 << 63) - 1


@syscall("timerfd_create", ClockId, Int)
def sys_timerfd_create(t: Task, clock: int, flags: int) -> int:
    if flags & ~(TFD_CLOEXEC | TFD_NONBLOCK) or clock not in CLOCKS:
        raise EINVAL
    if clock in ALARMS:
        t.creds.require(CAP_WAKE_ALARM)
    return t.fds.install(TimerFile(t.kernel, clock, flags & TFD_NONBLOCK), bool(flags & TFD_CLOEXEC))


@syscall("timerfd_settime", Fd, Int, Addr, Addr, support="partial", note="TFD_TIMER_CANCEL_ON_SET has no effect")
def sys_timerfd_settime(t: Task, file: File, flags: int, new_addr: int, old_addr: int) -> int:
    interval_sec, interval_nsec, sec, nsec = t.mem.unpack(ITIMERSPEC, new_addr)
    if flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET):
        raise EINVAL
    interval_ns, value_ns = _ns(interval_sec, interval_nsec), _ns(sec, nsec)
    timer = _timer(file)
    if timer.clock in ALARMS and not t.creds.has(CAP_WAKE_ALARM):
        raise EPERM
    before = timer.remaining()
    timer.arm(value_ns, interval_ns, bool(flags & TFD_TIMER_ABSTIME), flags)
    if old_addr:
        _put(t, old_addr, before)
    return 0


@syscall("timerfd_gettime", Fd, Addr)
def sys_timerfd_gettime(t: Task, file: File, addr: int) -> int:
    _put(t, addr, _timer(file).remaining())
    return 0


def _timer(file: File) -> TimerFile:
    if not isinstance(file, TimerFile):
        raise EINVAL
    return file


def _ns(sec: int, nsec: int) -> int:
    if sec < 0 or not 0 <= nsec < NS:
        raise EINVAL
    return min(sec * NS + nsec, KTIME_MAX)


def _put(t: Task, addr: int, remaining: tuple[int, int]) -> None:
    value_ns, interval_ns = remaining
    t.mem.pack(ITIMERSPEC, addr, *divmod(interval_ns, NS), *divmod(value_ns, NS))
