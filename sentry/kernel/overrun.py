"""rt_sigtimedwait(2) takes a timer's signal: its si_overrun (timer_getoverrun(2)) is of the time when it is taken.

The host runs the call and fills in the siginfo that was queued when the timer first expired. Where expirations were
missed since then, the caller is stopped right behind the call, and the count in its copy is put right.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import EFAULT
from sentry.kernel.siginfo import SI_TIMER
from sentry.kernel.stops import ORIG_RAX, RAX, RIP, WORD, delivery_signal

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NR_RT_SIGTIMEDWAIT = 128
EINTR = WORD - 3  # -4 as a register
OVERRUN = 20  # bytes from the start of a siginfo_t
_info = struct.Struct("<iiiiii")  # signo, errno, code, padding, timer, overrun


def before_wait(t: Task, mask: int, info_addr: int) -> None:
    """`t` is about to take a signal of `mask`."""
    timers = t.group.timers
    if timers is None or not info_addr or t.on_stop is not None:
        return
    for timer in timers.posix.values():
        if timer.missed and mask >> (timer.signo - 1) & 1 and timer.pending():
            t.kernel.stops.interrupt(t, lambda task, status: _taken(task, status, info_addr))
            return


def _taken(t: Task, status: int, info_addr: int) -> None:
    stops = t.kernel.stops
    if stops.get_regs(t) and stops.regs[ORIG_RAX] == NR_RT_SIGTIMEDWAIT:
        regs = stops.regs
        if 1 <= regs[RAX] <= 64:
            _correct(t, int(regs[RAX]), info_addr)
        elif regs[RAX] == EINTR and not delivery_signal(status):  # another thread was quicker, our stop ended the wait
            regs[RAX], regs[RIP], regs[ORIG_RAX] = NR_RT_SIGTIMEDWAIT, regs[RIP] - 2, WORD
            stops.set_regs(t)
    stops.finish(t, status)


def _correct(t: Task, signo: int, info_addr: int) -> None:
    timers = t.group.timers
    if timers is None:
        return
    try:
        _, _, code, _, number, _ = t.mem.unpack(_info, info_addr)
        timer = timers.posix.get(number)
        if code == SI_TIMER and timer is not None and timer.signo == signo and timer.missed:
            t.mem.put_i32(info_addr + OVERRUN, timer.taken())
    except EFAULT:
        pass  # the guest has unmapped it meanwhile
