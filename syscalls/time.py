"""Setting clocks: settimeofday(2) clock_settime(2) adjtimex(2). Reading them is native; nobody here may set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.clock import ADJ_NANO, ADJ_OFFSET_SS_READ, CLOCK_REALTIME, STA_NANO, STA_UNSYNC
from sentry.abi.errno import EINVAL, EOPNOTSUPP, EPERM
from sentry.abi.structs import TIMESPEC, TIMEVAL, TIMEX, TIMEZONE
from syscalls.args import Addr, ClockId
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

READ_ONLY = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)  # CLOCK_MONOTONIC to CLOCK_TAI: Linux sets none of them; there is no 10
TIME_ERROR = 5  # the clock is not known to be synchronized
NOTE = "the clock is the host's: setting it is EPERM for everyone"


@syscall("settimeofday", Addr, Addr, support="partial", note=NOTE)
def sys_settimeofday(t: Task, tv_addr: int, tz_addr: int) -> int:
    if tv_addr:
        sec, usec = t.mem.unpack(TIMEVAL, tv_addr)
        if not 0 <= usec < 1_000_000 or sec < 0:
            raise EINVAL
    if tz_addr:
        t.mem.unpack(TIMEZONE, tz_addr)  # what stands in it is looked at only after the capability
    raise EPERM


@syscall("clock_settime", ClockId, Addr, support="partial", note=NOTE)
def sys_clock_settime(t: Task, clock: int, ts_addr: int) -> int:
    if clock != CLOCK_REALTIME:
        raise EINVAL
    sec, nsec = t.mem.unpack(TIMESPEC, ts_addr)
    if not 0 <= nsec < 1_000_000_000 or sec < 0:
        raise EINVAL
    raise EPERM


@syscall("adjtimex", Addr, support="partial", note=NOTE)
def sys_adjtimex(t: Task, timex_addr: int) -> int:
    modes = t.mem.u32(timex_addr)
    if modes not in (0, ADJ_NANO, ADJ_OFFSET_SS_READ):
        raise EPERM
    status = STA_UNSYNC | (STA_NANO if modes == ADJ_NANO else 0)
    now_ns = t.kernel.realtime_ns()
    part = now_ns % 1_000_000_000
    t.mem.pack(
        TIMEX, timex_addr, modes, 0, 0, 16_000_000, 16_000_000, status, 2, 1, 32_768_000, now_ns // 1_000_000_000,
        part if modes == ADJ_NANO else part // 1000, 10_000, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    return TIME_ERROR


@syscall("clock_adjtime", ClockId, Addr, support="partial", note=NOTE)
def sys_clock_adjtime(t: Task, clock: int, timex_addr: int) -> int:
    if clock != CLOCK_REALTIME:
        raise EOPNOTSUPP if clock in READ_ONLY else EINVAL
    return sys_adjtimex(t, timex_addr)
