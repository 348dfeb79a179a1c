"""Delivery of a signal between two calls of its target (signals.py, rule 2), and with a siginfo that the host would not
take.

The target is brought to a ptrace stop. A call of its that the Sentry had not yet received is cancelled by the stop and
rewound, so the guest makes it again after the handler; then the signal is queued and the target goes on. The sender's
call ends when the signal is queued, as with kill(2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.engine._engine import ffi, lib
from sentry.kernel.siginfo import SI_TIMER, SI_TKILL, code_of, has_sender
from sentry.kernel.stops import ERESTARTSYS, ORIG_RAX, RAX, RIP, WORD

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

Done = Callable[[], None]
SIGRTMIN = 32
MAX_QUEUED = 256


class Queued:
    """A signal on its way to a stop; `done` are the senders that wait for it."""

    __slots__ = ("signo", "info", "done")

    def __init__(self, signo: int, info: bytes | None, done: Done | None) -> None:
        self.signo = signo
        self.info = info
        self.done = [done] if done is not None else []

    def finish(self) -> None:
        for done in self.done:
            done()


class Exact:
    """Signals that wait for a stop, by task (`Task.queued_exact`)."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._info = ffi.new("unsigned char[128]")

    def send(self, t: Task, signo: int, info: bytes | None, done: Done | None = None) -> bool:
        """Deliver to `t`; false when it cannot be stopped now (the caller then sends plainly). `done` is called when
        the signal is queued, never from here."""
        if signo < SIGRTMIN:
            for queued in t.queued_exact:
                if queued.signo == signo:  # pending already: merged, as the host would
                    if done is not None:
                        queued.done.append(done)
                    return True
        if t.vforking or t.dead or len(t.queued_exact) >= MAX_QUEUED:
            return False
        if t.request_id and t.parked is None and t.on_stop is None:
            return False  # its call is received and will be answered: a plain signal does no harm to it
        if t.parked is not None:
            if t.on_stop is not None or not self.kernel.stops.interrupt(t, self.at_stop):
                return False
            t.queued_exact.append(Queued(signo, info, done))
            self.kernel.signals.end_call(t.parked, True)
            return True
        t.queued_exact.append(Queued(signo, info, done))
        if t.on_stop is None and len(t.queued_exact) == 1:
            # A stop cancels a call that waits to be received. So those are taken in first: otherwise a sibling that
            # kills in a tight loop would cancel the same call again and again, and its victim would never get on.
            self.kernel.when_quiet(lambda: self._stop(t))
        return True

    def send_now(self, t: Task, signo: int, info: bytes) -> bool:
        """To the caller of the present call, before it ends; false if it cannot be traced."""
        if t.on_stop is not None or not self.kernel.stops.interrupt(t, self.at_stop):
            return False
        t.queued_exact.append(Queued(signo, info, None))
        return True

    def _stop(self, t: Task) -> None:
        if t.on_stop is not None or not t.queued_exact:
            return
        parked = t.parked
        own_mask = parked is not None and parked.park.sigmask is not None
        received = t.request_id and parked is None
        if t.dead or t.vforking or own_mask or received or not self.kernel.stops.interrupt(t, self.at_stop):
            self.give_up(t)
        elif parked is not None:
            self.kernel.signals.end_call(parked, True)

    def give_up(self, t: Task) -> None:
        """Send plainly what is queued: `t` cannot be stopped, or need not be."""
        queued, t.queued_exact = t.queued_exact, []
        for entry in queued:
            if not t.dead:
                if entry.info is not None and self.kernel.stops.seize(t):
                    self._expect(t, entry.signo, entry.info)
                self.plain(t.group.host_pid, t.host_tid, entry.signo, entry.info)
            entry.finish()
        if queued and not t.dead:
            self.kernel.signals.learn(t.group)
            self.kernel.signals.recheck(t.group)

    def at_stop(self, t: Task, status: int) -> None:
        """`t` stands still: queue what it is to get, and fix the siginfo where it matters."""
        self.rewind(t)
        queued, t.queued_exact = t.queued_exact, []
        for entry in queued:
            if entry.info is not None:
                self._expect(t, entry.signo, entry.info)
            self.plain(t.group.host_pid, t.host_tid, entry.signo, entry.info)
        self.kernel.stops.pass_on(t, status)
        for entry in queued:
            entry.finish()

    def _expect(self, t: Task, signo: int, info: bytes) -> None:
        if code_of(info) != SI_TIMER:
            t.siginfos[signo] = info

    def before_delivery(self, t: Task, signo: int) -> None:
        """`t` stands before the delivery of `signo`: its siginfo is put right if the signal is the one that we queued.
        It may come late, where the handler of another holds it back, so it is no purpose of a stop (`on_stop`)."""
        info = t.siginfos.pop(signo, None)
        if info is None or lib.eng_get_siginfo(t.host_tid, self._info) or has_sender(bytes(ffi.buffer(self._info))):
            return
        ffi.memmove(self._info, info, 128)
        lib.eng_set_siginfo(t.host_tid, self._info)

    def rewind(self, t: Task, waits: bool = False) -> None:
        """A notified call that the Sentry never received was cancelled by the stop: let the guest make it again.

        waits  also a wait4 that the host was running: SIGCHLD follows, and the child comes before EINTR.
        """
        stops = self.kernel.stops
        ended, t.ended = t.ended, False
        if ended or not stops.get_regs(t):
            return
        regs = stops.regs
        nr = regs[ORIG_RAX]
        notified = nr < 1024 and nr not in self.kernel.native_only and (waits or nr != t.continued_nr)
        if regs[RAX] == ERESTARTSYS and notified:
            regs[RIP] = regs[RIP] - 2
            regs[RAX] = nr
            regs[ORIG_RAX] = WORD
            stops.set_regs(t)

    def plain(self, host_pid: int, host_tid: int, signo: int, info: bytes | None) -> None:
        """As the host takes it: its siginfo stands for codes below 0, else the sender is pid 0."""
        if info is not None and code_of(info) < 0 and code_of(info) != SI_TKILL:
            ffi.memmove(self._info, info, 128)
            if not lib.eng_queue_signal(host_pid, host_tid, signo, self._info):
                return
        if host_tid:
            lib.eng_tgkill(host_pid, host_tid, signo)
        else:
            lib.eng_kill(host_pid, signo)
