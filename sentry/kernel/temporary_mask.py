"""A signal mask for the duration of a call (ppoll(2), pselect6, epoll_pwait).

The call is parked under the thread's own mask M with the call's mask N. A signal that is pending, blocked by M and not
by N must run its handler now, with M restored afterwards and EINTR returned: the thread is made to run
rt_sigsuspend(N), which does exactly that in the host.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.engine._engine import ffi, lib
from sentry.kernel.parking import Parked, unpark
from sentry.kernel.stops import ORIG_RAX, RAX, RDI, RIP, RSI, RSP, WORD, delivery_signal
from sentry.kernel.thread_group import SIG_IGN

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

NR_RT_SIGSUSPEND = 130
IGNORED_BY_DEFAULT = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27  # SIGCHLD, SIGCONT, SIGURG, SIGWINCH
EINTR = 4
ERESTARTNOHAND = WORD - 513  # -514 as a register
BELOW_STACK = 512  # past the 128-byte red zone


class TemporaryMask:
    """The injection, as stops of one thread."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def check(self, t: Task, parked: Parked) -> None:
        """`t` sleeps undisturbed under its own mask: is something due under the call's?"""
        masks = self.kernel.signals.masks(t)
        mask = parked.park.sigmask
        if masks is None or mask is None or t.on_stop is not None:
            return
        due = (masks[0] | masks[1]) & masks[2] & ~mask
        for signo in range(1, 65):
            bit = 1 << (signo - 1)
            if due & bit and ignored(t, signo):
                due &= ~bit
        if not due:
            return
        if not self.kernel.stops.interrupt(t, lambda task, status: self._inject(task, status, mask)):
            return
        unpark(t)
        self.kernel.platform.answer(t, -EINTR)

    def _inject(self, t: Task, status: int, mask: int) -> None:
        stops = self.kernel.stops
        signo = delivery_signal(status)
        if not stops.get_regs(t) or signo and not ignored(t, signo):
            stops.finish(t, status)  # another signal came first, its handler has ended the call
            return
        regs = stops.regs
        if signo:  # the stop before an ignored signal: the guest makes its call again
            regs[RAX], regs[RIP], regs[ORIG_RAX] = regs[ORIG_RAX], regs[RIP] - 2, WORD
            stops.set_regs(t)
            stops.finish(t, status)
            return
        saved = (regs[RDI], regs[RSI])
        at = (regs[RSP] - BELOW_STACK) & ~15
        data = ffi.from_buffer(struct.pack("<Q", mask))
        if lib.eng_write(t.host_tid, at, data, 8) != 8:
            stops.finish(t, status)
            return
        regs[RAX], regs[RDI], regs[RSI] = NR_RT_SIGSUSPEND, at, 8
        regs[RIP] = regs[RIP] - 2
        regs[ORIG_RAX] = WORD
        stops.set_regs(t)
        t.on_stop = lambda task, st: self._woken(task, st, saved)
        stops.cont(t)

    def _woken(self, t: Task, status: int, saved: tuple[int, int]) -> None:
        """Before the handler's frame is made: give the argument registers back; rax says EINTR by itself.

        Traced tasks stop for ignored signals too, and one may come before the injected call runs: neither ends the
        wait.
        """
        stops = self.kernel.stops
        signo = delivery_signal(status)
        if not stops.get_regs(t):
            stops.finish(t, status)
        elif stops.regs[RAX] != ERESTARTNOHAND or signo and ignored(t, signo):
            t.on_stop = lambda task, st: self._woken(task, st, saved)
            stops.cont(t, signo)
        else:
            stops.regs[RDI], stops.regs[RSI] = saved
            stops.set_regs(t)
            stops.finish(t, status)


def ignored(t: Task, signo: int) -> bool:
    """Does `signo` do nothing to `t` (signal(7))?"""
    action = t.group.sighand.get(signo)
    return action.handler == SIG_IGN or not action.caught and bool(IGNORED_BY_DEFAULT >> (signo - 1) & 1)
