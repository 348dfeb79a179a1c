"""Signals (signal(7)): the host delivers, the Sentry decides who may send and ends the calls that it holds.

Rule 1, after RECV. A parked task shows in its state letter whether a signal is due (S none, D certainly, R look again);
in D the call is answered -512 (restartable) or -EINTR/-514, which never leaks errno 512. `learn` runs after everything
that may have sent a signal; an epoch closes the race between a call's entry and its parking; a slow scan is the
backstop.
Rule 2, before RECV. A signal to a handler without SA_RESTART would fail any notified call with EINTR in the window
before the Sentry receives it. Such a signal goes out at a ptrace stop, where a call not yet received is rewound
(`rewind`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from sentry.kernel.exact import Exact
from sentry.kernel.parking import unpark
from sentry.kernel.siginfo import SI_KERNEL, SI_USER, kill_info, plain_info
from sentry.wait import RESTARTSYS

if TYPE_CHECKING:
    from sentry.kernel.exact import Done
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.parking import Parked
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

EINTR = 4
SIGKILL, SIGPIPE, SIGALRM, SIGCHLD, SIGCONT, SIGSTOP = 9, 13, 14, 17, 18, 19
SA_SIGINFO = 4
# Ignored by default, or a stop: SIGCHLD, SIGCONT, SIGURG, SIGWINCH; SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU
NOT_FATAL = frozenset((17, 18, 23, 28, 19, 20, 21, 22))
RECHECK_NS = (0, 50_000, 200_000, 1_000_000)  # a CONTINUEd kill lands a little later than its answer
SCAN_NS = 1_000_000_000


class Follower(Protocol):
    """Who wants to know that a process may have been sent signals; None: any process."""

    def signals_came(self, group: ThreadGroup | None) -> None: ...


class Signals:
    """Sending, and learning what the host queued."""

    cancels = True  # a signal cancels a call that was not yet received: rule 2 holds

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._rechecks: dict[ThreadGroup, int] = {}
        self._scanning = False
        self.exact = Exact(kernel)
        self.followers: set[Follower] = set()  # signalfds, which become ready by what is learnt here

    # sending -------------------------------------------------------------------------------------
    def send_group(self, group: ThreadGroup, signo: int, info: bytes | None = None, done: Done | None = None) -> bool:
        """To a process. `info` is a siginfo_t (siginfo.py); without one the host fills it in, as sent by pid 0.

        True when the signal is queued; false when it will be, and `done` is called then.
        """
        if group.dead:
            return True
        if group is self.kernel.init and self.kernel.mortal_init and self._fatal(group, signo):
            self.kernel.init_signal = signo  # the host lets no such signal through to a pid 1
            self.kernel.stops.kill(group.host_pid, SIGKILL)
            return True
        if self.must_be_exact(group, signo) or (info is not None and group.sighand.get(signo).flags & SA_SIGINFO):
            task = self._taker(group, signo)
            if task is not None and self.exact.send(task, signo, info, done):
                return False
        self.exact.plain(group.host_pid, 0, signo, info)
        self.learn(group)
        self.recheck(group)
        return True

    def _fatal(self, group: ThreadGroup, signo: int) -> bool:
        """Does `signo` end a process that has its default action (signal(7))?"""
        return not group.sighand.get(signo).handler and signo not in NOT_FATAL

    def send_task(self, task: Task, signo: int, info: bytes | None = None, done: Done | None = None) -> bool:
        """To one thread (tgkill(2)); result and `done` as in `send_group`."""
        group = task.group
        if self.must_be_exact(group, signo) and self.exact.send(task, signo, info, done):
            return False
        self.exact.plain(group.host_pid, task.host_tid, signo, info)
        self.learn(group)
        self.recheck(group)
        return True

    def send_pgrp(self, host_pgid: int, signo: int) -> None:
        """To every process of a group, as a terminal does (si_code SI_KERNEL where a handler asks for it)."""
        for group in tuple(self.kernel.groups.values()):
            if not group.dead and _pgid(group.host_pid) == host_pgid:
                self.send_group(group, signo, plain_info(signo, SI_KERNEL))

    def sigpipe(self, t: Task) -> None:
        """The caller wrote to a pipe or socket without a reader: the signal first, then the handler's EPIPE."""
        action = t.group.sighand.get(SIGPIPE)
        if action.flags & SA_SIGINFO and action.caught:
            info = kill_info(SIGPIPE, SI_USER, t.group.pid, t.creds.ruid)
            if self.exact.send_now(t, SIGPIPE, info):
                return
        self.exact.plain(t.group.host_pid, t.host_tid, SIGPIPE, None)

    def must_be_exact(self, group: ThreadGroup, signo: int) -> bool:
        """A handler without SA_RESTART takes `signo`, and some thread may be entering a call (not one that sleeps under
        a mask of its own, which `learn` handles)."""
        if not self.cancels or not group.sighand.interrupts(signo):
            return False
        return any(t.parked is None or t.parked.park.sigmask is None for t in group.tasks.values())

    def _taker(self, group: ThreadGroup, signo: int) -> Task | None:
        """The thread that takes a signal to the process: the leader if it does not block it, else any (signal(7))."""
        tasks = [group.leader, *(t for t in group.tasks.values() if t is not group.leader)]
        if len(tasks) == 1:
            return tasks[0]
        for task in tasks[:64]:
            masks = self.masks(task)
            if masks is not None and not masks[2] >> (signo - 1) & 1:
                return task
        return None

    # learning ------------------------------------------------------------------------------------
    def learn(self, group: ThreadGroup) -> None:
        """Something may have sent a signal to `group`: look at its parked threads."""
        group.epoch += 1
        for follower in self.followers:
            follower.signals_came(group)
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
        own_mask = t.parked is not None and t.parked.park.sigmask is not None
        if own_mask or t.on_stop is not None or t.checked_epoch != t.group.epoch:
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
        for follower in self.followers:
            follower.signals_came(None)
        self._scanning = bool(parked)
        if parked:
            self.kernel.timers.add(self.kernel.now_ns() + SCAN_NS, self._scan)

    def check(self, t: Task) -> None:
        """End the parked call of `t` if a signal is due to it."""
        parked = t.parked
        if parked is None:
            return
        if t.on_stop is not None and t.traced:
            self.end_call(parked, False)
            return
        state = self.state(t)
        if state == b"D":
            if parked.park.sigmask is None or self._due_under(t, parked.park.sigmask):
                self.end_call(parked, False)
        elif state == b"R":
            self.recheck(t.group)
        else:
            t.checked_epoch = t.group.epoch
            if parked.park.sigmask is not None:
                self.kernel.temporary_mask.check(t, parked)

    def _due_under(self, t: Task, mask: int) -> bool:
        masks = self.masks(t)
        return masks is not None and bool((masks[0] | masks[1]) & ~masks[2] & ~mask)

    def end_call(self, parked: Parked, caught: bool) -> None:
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
        """`t` is gone."""
        if t.queued_exact:
            self.exact.give_up(t)
        if t.stat_fd >= 0:
            os.close(t.stat_fd)
            t.stat_fd = -1


def _pgid(host_pid: int) -> int:
    try:
        return os.getpgid(host_pid)
    except OSError:
        return -1
