"""alarm(2), setitimer(2), getitimer(2), timer_create(2) and its family, rt_sigtimedwait(2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import EFAULT, EINVAL
from sentry.kernel.cpu_clock import cpu_clock
from sentry.kernel.interval import SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, PosixTimer, timers_of
from sentry.kernel.overrun import before_wait
from syscalls.args import Addr, Int, Size, UInt
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.cpu_clock import CpuClock
    from sentry.kernel.task import Task

SECOND_NS = 1_000_000_000
ITIMER_REAL, ITIMER_PROF = 0, 2
CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI = 0, 1, 7, 11
CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM = 8, 9
CLOCKS = (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI)
ALARMS = {CLOCK_REALTIME_ALARM: CLOCK_REALTIME, CLOCK_BOOTTIME_ALARM: CLOCK_BOOTTIME}
CAP_WAKE_ALARM = 35
TIMER_ABSTIME = 1
SIGALRM = 14
_itimerval = struct.Struct("<4q")  # interval s, us; value s, us
_itimerspec = struct.Struct("<4q")  # interval s, ns; value s, ns
_sigevent = struct.Struct("<Qiii")


def _microseconds(ns: int) -> tuple[int, int]:
    return ns // SECOND_NS, ns % SECOND_NS // 1000


@syscall("alarm", UInt)
def sys_alarm(t: Task, seconds: int) -> int:
    real = timers_of(t).real
    left_ns, _ = real.get()
    real.set(seconds * SECOND_NS, 0)
    return max((left_ns + SECOND_NS // 2) // SECOND_NS, 1) if left_ns else 0


def _read_itimerval(t: Task, addr: int) -> tuple[int, int]:
    """(value, interval) in ns; EINVAL as Linux."""
    interval_s, interval_us, value_s, value_us = t.mem.unpack(_itimerval, addr)
    for s, us in ((interval_s, interval_us), (value_s, value_us)):
        if s < 0 or not 0 <= us < 1_000_000:
            raise EINVAL
    return value_s * SECOND_NS + value_us * 1000, interval_s * SECOND_NS + interval_us * 1000


@syscall("setitimer", Int, Addr, Addr)
def sys_setitimer(t: Task, which: int, new_addr: int, old_addr: int) -> int:
    if not ITIMER_REAL <= which <= ITIMER_PROF:
        raise EINVAL
    if which != ITIMER_REAL:
        return CONTINUE
    real = timers_of(t).real
    value_ns, interval_ns = _read_itimerval(t, new_addr) if new_addr else (0, 0)
    old = real.get()
    real.set(value_ns, interval_ns)
    if old_addr:
        t.mem.pack(_itimerval, old_addr, *_microseconds(old[1]), *_microseconds(old[0]))
    return 0


@syscall("getitimer", Int, Addr)
def sys_getitimer(t: Task, which: int, addr: int) -> int:
    if not ITIMER_REAL <= which <= ITIMER_PROF:
        raise EINVAL
    if which != ITIMER_REAL:
        return CONTINUE
    left_ns, interval_ns = timers_of(t).real.get()
    t.mem.pack(_itimerval, addr, *_microseconds(interval_ns), *_microseconds(left_ns))
    return 0


@syscall("timer_create", Int, Addr, Addr, note="a CPU-time timer may be late by a few ms of the host's time")
def sys_timer_create(t: Task, clock: int, event_addr: int, id_addr: int) -> int:
    cpu = cpu_clock(t, clock)
    if clock in ALARMS:
        t.creds.require(CAP_WAKE_ALARM)
        clock = ALARMS[clock]  # the sandbox does not sleep by itself
    elif cpu is None and clock not in CLOCKS:
        raise EINVAL
    timers = timers_of(t)
    if not event_addr:
        timer = timers.create(clock, cpu, SIGEV_SIGNAL, SIGALRM, 0, None)
        timer.value = timer.id
    else:
        value, signo, notify, tid = t.mem.unpack(_sigevent, event_addr)
        timer = _create(t, clock, cpu, value, signo, notify, tid)
    try:
        t.mem.put_i32(id_addr, timer.id)
    except EFAULT:
        timers.delete(timer.id)
        raise
    return 0


def _create(
    t: Task, clock: int, cpu: CpuClock | None, value: int, signo: int, notify: int, tid: int
) -> PosixTimer:
    target = None
    if notify & SIGEV_THREAD_ID:
        if notify & ~(SIGEV_THREAD_ID | SIGEV_THREAD):
            raise EINVAL
        target = t.kernel.find_task(tid)
        if target is None or target.group is not t.group:
            raise EINVAL
        notify = SIGEV_SIGNAL
    if notify not in (SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD):
        raise EINVAL
    if notify != SIGEV_NONE and not 1 <= signo <= 64:
        raise EINVAL
    return timers_of(t).create(clock, cpu, notify, signo, value, target)


def _spec(left_ns: int, interval_ns: int) -> tuple[int, int, int, int]:
    return (*divmod(interval_ns, SECOND_NS), *divmod(left_ns, SECOND_NS))


@syscall("timer_settime", Int, Int, Addr, Addr)
def sys_timer_settime(t: Task, number: int, flags: int, new_addr: int, old_addr: int) -> int:
    if not new_addr:
        raise EINVAL
    interval_s, interval_ns, value_s, value_ns = t.mem.unpack(_itimerspec, new_addr)
    if interval_s < 0 or value_s < 0 or not 0 <= interval_ns < SECOND_NS or not 0 <= value_ns < SECOND_NS:
        raise EINVAL
    timer = timers_of(t).find(number)
    old = timer.get()
    timer.overrun = timer.queued = timer.missed = 0
    timer.set(value_s * SECOND_NS + value_ns, interval_s * SECOND_NS + interval_ns, bool(flags & TIMER_ABSTIME))
    if old_addr:
        t.mem.pack(_itimerspec, old_addr, *_spec(*old))
    return 0


@syscall("timer_gettime", Int, Addr)
def sys_timer_gettime(t: Task, number: int, addr: int) -> int:
    timer = timers_of(t).find(number)
    t.mem.pack(_itimerspec, addr, *_spec(*timer.get()))
    return 0


@syscall("timer_getoverrun", Int)
def sys_timer_getoverrun(t: Task, number: int) -> int:
    return timers_of(t).find(number).taken()


@syscall("timer_delete", Int)
def sys_timer_delete(t: Task, number: int) -> int:
    timers_of(t).delete(number)
    return 0


@syscall("rt_sigtimedwait", Addr, Addr, Addr, Size)
def sys_rt_sigtimedwait(t: Task, set_addr: int, info_addr: int, timeout_addr: int, size: int) -> int:
    """The host takes the signal; only the overrun count of a timer's is ours to add."""
    if size == 8 and t.group.timers is not None:
        before_wait(t, t.mem.u64(set_addr), info_addr)
    return CONTINUE
