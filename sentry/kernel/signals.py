"""Signals (signal(7)): the host delivers, the Sentry decides who may send and ends the calls that it holds.

Rule 1, after RECV. A parked task shows in its state letter whether a signal is due (S none, D certainly, R look again);
in D the call is answered -512 (restartable) or -EINTR/-514, which never leaks errno 512. `learn` runs after everything that
may have sent a signal; an epoch closes the race between a call's entry and its parking; a slow scan is the backstop.
Rule 2, before RECV. A signal to a handler without SA_RESTART would fail any notified call with EINTR in the window before the
Sentry receives it. Such a signal goes out at a ptrace stop, where a call not yet received is rewound (`rewind`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.engine._engine import ffi, lib
from sentry.kernel.parking import unpark
from sentry.kernel.siginfo import SI_KERNEL, SI_TIMER, SI_TKILL, SI_USER, code_of, kill_info, plain_info
from sentry.kernel.stops import ERESTARTSYS, ORIG_RAX, RAX, RIP, WORD, delivery_signal, is_group_stop
from sentry.wait import RESTARTSYS

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.parking import Parked
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

EINTR = 4
SIGKILL, SIGPIPE, SIGALRM, SIGCHLD, SIGCONT, SIGSTOP = 9, 13, 14, 17, 18, 19
SA_SIGINFO = 4
RECHECK_NS = (0, 50_000, 200_000, 1_000_000)  # a CONTINUEd kill lands a little later than its answer
SCAN_NS = 1_000_000_000


class Signals:
    """Sending, and learning what the host queued."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._rechecks: dict[ThreadGroup, int] = {}
        self._scanning = False
        self._info = ffi.new("unsigned char[128]")

    # sending -------------------------------------------------------------------------------------
    def send_group(self, group: ThreadGroup, signo: int, info: bytes | None = None) -> None:
        """To a process. `info` is a siginfo_t (siginfo.py); without one the host fills it in, as sent by pid 0."""
        if group.dead:
            return
        if self.must_be_exact(group, signo) or (info is not None and group.sighand.get(signo).flags & SA_SIGINFO):
            task = self._taker(group, signo)
            if task is not None and self.send_exact(task, signo, info):
                return
        self._plain(group.host_pid, 0, signo, info)
        self.learn(group)
        self.recheck(group)

    def send_task(self, task: Task, signo: int, info: bytes | None = None) -> None:
        """To one thread (tgkill(2))."""
        group = task.group
        if self.must_be_exact(group, signo) and self.send_exact(task, signo, info):
            return
        self._plain(group.host_pid, task.host_tid, signo, info)
        self.learn(group)
        self.recheck(group)

    def send_pgrp(self, host_pgid: int, signo: int) -> None:
        """To every process of a group, as a terminal does (si_code SI_KERNEL where a handler asks for it)."""
        for group in tuple(self.kernel.groups.values()):
            if not group.dead and _pgid(group.host_pid) == host_pgid:
                self.send_group(group, signo, plain_info(signo, SI_KERNEL))

    def sigpipe(self, t: Task) -> None:
        """The caller wrote to a pipe or socket without a reader: the signal first, then the handler's EPIPE."""
        if t.group.sighand.get(SIGPIPE).flags & SA_SIGINFO and t.group.sighand.get(SIGPIPE).caught:
            if t.on_stop is None and self.kernel.stops.interrupt(t, self.at_stop):  # its call is received: no need to wait
                t.queued_exact.append((SIGPIPE, kill_info(SIGPIPE, SI_USER, t.group.pid, t.creds.ruid)))
                return
        self._plain(t.group.host_pid, t.host_tid, SIGPIPE, None)

    def must_be_exact(self, group: ThreadGroup, signo: int) -> bool:
        """A handler without SA_RESTART takes `signo`, and some thread may be entering a call (not one that sleeps under a
        mask of its own, which `learn` handles)."""
        if not group.sighand.interrupts(signo):
            return False
        return any(t.parked is None or t.parked.park.sigmask is None for t in group.tasks.values())

    def _plain(self, host_pid: int, host_tid: int, signo: int, info: bytes | None) -> None:
        if info is not None and code_of(info) < 0 and code_of(info) != SI_TKILL:  # these the host lets us queue
            ffi.memmove(self._info, info, 128)
            if not lib.eng_queue_signal(host_pid, host_tid, signo, self._info):
                return
        if host_tid:
            lib.eng_tgkill(host_pid, host_tid, signo)
        else:
            lib.eng_kill(host_pid, signo)

    def _taker(self, group: ThreadGroup, signo: int) -> Task | None:
        """The thread that takes a signal to the process: the leader if it does not block it, else any (kernel/signal.c)."""
        tasks = [group.leader, *(t for t in group.tasks.values() if t is not group.leader)]
        if len(tasks) == 1:
            return tasks[0]
        for task in tasks[:64]:
            masks = self.masks(task)
            if masks is not None and not masks[2] >> (signo - 1) & 1:
                return task
        return None

    # exact delivery ------------------------------------------------------------------------------
    def send_exact(self, t: Task, signo: int, info: bytes | None) -> bool:
        """Deliver between two calls of `t`; false when it cannot be stopped now (the caller then sends plainly)."""
        if any(queued[0] == signo for queued in t.queued_exact) and signo < 32:
            return True  # already pending: merged, as the host would
        if t.vforking or t.dead or len(t.queued_exact) > 256:
            return False
        t.queued_exact.append((signo, info))
        if t.on_stop is None and len(t.queued_exact) == 1:
            # A stop cancels a call that waits to be received. So those are taken in first: otherwise a sibling that kills in a
            # tight loop would cancel the same call again and again, and its victim would never get on.
            self.kernel.when_quiet(lambda: self._stop_for_queued(t))
        return True

    def _stop_for_queued(self, t: Task) -> None:
        if t.on_stop is not None or not t.queued_exact or t.dead:
            return
        own_mask = t.parked is not None and t.parked.park.sigmask is not None
        if t.vforking or own_mask or not self.kernel.stops.interrupt(t, self.at_stop):
            queued, t.queued_exact = t.queued_exact, []
            for signo, info in queued:
                self._plain(t.group.host_pid, t.host_tid, signo, info)
            self.learn(t.group)
            self.recheck(t.group)
        elif t.parked is not None:
            self._interrupt(t.parked, True)

    def at_stop(self, t: Task, status: int) -> None:
        """`t` stands still: queue what it is to get, and fix the siginfo where it matters."""
        self.rewind(t)
        queued, t.queued_exact = t.queued_exact, []
        expected: dict[int, bytes] = {}
        blocked = self._blocked_at_stop(t)
        for signo, info in queued:
            self._plain(t.group.host_pid, t.host_tid, signo, info)
            if info is not None and code_of(info) != SI_TIMER and not blocked >> (signo - 1) & 1:
                expected[signo] = info
        stops = self.kernel.stops
        if not expected or is_group_stop(status):
            stops.release(t, delivery_signal(status))
            return
        t.on_stop = lambda task, st: self._at_delivery(task, st, expected)
        lib.eng_cont(t.host_tid, delivery_signal(status))

    def _at_delivery(self, t: Task, status: int, expected: dict[int, bytes]) -> None:
        signo = delivery_signal(status)
        info = expected.pop(signo, None)
        if info is not None:
            ffi.memmove(self._info, info, 128)
            lib.eng_set_siginfo(t.host_tid, self._info)
        if expected and not is_group_stop(status):
            lib.eng_cont(t.host_tid, signo)
        else:
            self.kernel.stops.finish(t, status)

    def rewind(self, t: Task) -> None:
        """A notified call that the Sentry never received was cancelled by the stop: let the guest make it again."""
        stops = self.kernel.stops
        ended, t.ended = t.ended, False
        if ended or not stops.get_regs(t):
            return
        regs = stops.regs
        nr = regs[ORIG_RAX]
        if regs[RAX] == ERESTARTSYS and nr < 1024 and nr not in self.kernel.native_only and nr != t.continued_nr:
            regs[RIP] = regs[RIP] - 2
            regs[RAX] = nr
            regs[ORIG_RAX] = WORD
            stops.set_regs(t)

    def _blocked_at_stop(self, t: Task) -> int:
        masks = self.masks(t)
        return masks[2] if masks is not None else 0

    # learning ------------------------------------------------------------------------------------
    def learn(self, group: ThreadGroup) -> None:
        """Something may have sent a signal to `group`: look at its parked threads."""
        group.epoch += 1
        for task in tuple(group.tasks.values()):
            if task.parked is not None:
                self.check(task)

    def recheck(self, group: ThreadGroup) -> None:
        """A signal is on its way (a kill that the host runs): look again a few times."""
        if group not in self._rechecks:
            self.kernel.defer(lambda: self._recheck(group))
        self._rechecks[group] = 0

    def _recheck(self, group: ThreadGroup) -> None:
        step = self._rechecks.get(group)
        if step is None:
            return
        if group.dead:
            del self._rechecks[group]
            return
        self.learn(group)
        step += 1
        if step == len(RECHECK_NS):
            del self._rechecks[group]
            return
        self._rechecks[group] = step
        self.kernel.timers.add(self.kernel.now_ns() + RECHECK_NS[step], lambda: self._recheck(group))

    def parked(self, t: Task) -> None:
        """A call was just parked: anything that came since its entry must still end it."""
        if t.on_stop is not None or t.checked_epoch != t.group.epoch or (t.parked and t.parked.park.sigmask is not None):
            self.check(t)
        if not self._scanning:
            self._scanning = True
            self.kernel.timers.add(self.kernel.now_ns() + SCAN_NS, self._scan)

    def _scan(self) -> None:
        """The backstop: a lost `learn` is a delay of a second, not a hang."""
        parked = [t for t in self.kernel.tasks.values() if t.parked is not None]
        for task in parked:
            if task.parked is not None:
                self.check(task)
        self._scanning = bool(parked)
        if parked:
            self.kernel.timers.add(self.kernel.now_ns() + SCAN_NS, self._scan)

    def check(self, t: Task) -> None:
        """End the parked call of `t` if a signal is due to it."""
        parked = t.parked
        if parked is None:
            return
        if t.on_stop is not None and t.traced:
            self._interrupt(parked, False)
            return
        state = self.state(t)
        if state == b"D":
            if parked.park.sigmask is None or self._due_under(t, parked.park.sigmask):
                self._interrupt(parked, False)
        elif state == b"R":
            self.recheck(t.group)
        else:
            t.checked_epoch = t.group.epoch
            if parked.park.sigmask is not None:
                self.kernel.temporary_mask.check(t, parked)

    def _due_under(self, t: Task, mask: int) -> bool:
        masks = self.masks(t)
        return masks is not None and bool((masks[0] | masks[1]) & ~masks[2] & ~mask)

    def _interrupt(self, parked: Parked, caught: bool) -> None:
        """Answer a parked call as the host's kernel answers a sleeper that a signal woke."""
        t = parked.task
        request = parked.park
        value: int | None = request.interrupted() if request.interrupted is not None else None
        if value is None:
            if request.restart == RESTARTSYS:
                value = -512
            else:
                value = -EINTR if caught or self._caught_pending(t) else -514
                if value == -514 and request.deadline_ns is not None:
                    t.saved_deadline = (parked.nr, request.deadline_ns)
        unpark(t)
        t.ended = True
        self.kernel.platform.answer(t, value)

    def _caught_pending(self, t: Task) -> bool:
        masks = self.masks(t)
        return masks is None or bool((masks[0] | masks[1]) & ~masks[2] & masks[3])

    def state(self, t: Task) -> bytes:
        """The state letter (proc_pid_stat(5)) of a host thread; its file is kept open."""
        try:
            if t.stat_fd < 0:
                t.stat_fd = os.open(f"/proc/{t.host_tid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(t.stat_fd, 128, 0)
        except OSError:
            return b""
        at = text.rfind(b") ")
        return text[at + 2 : at + 3]

    def masks(self, t: Task) -> tuple[int, int, int, int] | None:
        """(thread pending, process pending, blocked, caught) of a host thread as 64-bit masks; None when it is gone."""
        try:
            with open(f"/proc/{t.host_tid}/status", "rb") as f:
                text = f.read(4096)
        except OSError:
            return None
        at = text.find(b"SigPnd:")
        if at < 0:
            return None
        words = text[at:].split(None, 10)
        return int(words[1], 16), int(words[3], 16), int(words[5], 16), int(words[9], 16)

    def forget(self, t: Task) -> None:
        if t.stat_fd >= 0:
            os.close(t.stat_fd)
            t.stat_fd = -1


def _pgid(host_pid: int) -> int:
    try:
        return os.getpgid(host_pid)
    except OSError:
        return -1
