"""What the platforms share (syscalls(2)): the table of calls that the host may run, how one call is served, how host
descriptors are watched.
"""

from __future__ import annotations

import gc
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno
from sentry.engine._engine import lib
from sentry.kernel.exec import loader_call
from sentry.kernel.fork import clone_failed
from sentry.kernel.parking import park
from sentry.platform.native import LOADER_MAGIC
from sentry.verdict import CONTINUE, DEFERRED, RESULT_MAX
from sentry.wait import Park

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

    Registers = tuple[int, int, int, int, int, int]
    Call = Callable[[Task, Registers], int]
    Serve = Callable[[Task, int, Registers], int]
    Trace = Callable[[Task, int, tuple[int, ...], int | None], None]

ENOSYS = 38
NO_ANSWER = -4096  # results at or below are CONTINUE or DEFERRED; above them the call ends with what they say
EVENTS, CHILDREN = 2, 4  # bits of eng_reply_wait

# Calls that the host may run after the Sentry has decided; no name is resolved and no policy read from memory.
CONTINUED = {
    "clone": "flags checked; the pointers are the child's own tid words and stack",
    "fork": "no argument",
    "vfork": "no argument",
    "execveat": "the injected exec of the loader by its descriptor, nothing else",
    "wait4": "the host keeps the family: it waits, reaps and interrupts",
    "waitid": "as wait4; P_PIDFD names an injected pidfd",
    "pidfd_send_signal": "as rt_sigqueueinfo, to the process of an injected pidfd",
    "exit": "the task's descriptors are closed",
    "exit_group": "as exit",
    "kill": "registers only; sender's permission and every target checked",
    "tkill": "as kill",
    "tgkill": "as kill",
    "rt_sigqueueinfo": "target checked; the host reads the sender's own siginfo",
    "rt_tgsigqueueinfo": "as rt_sigqueueinfo",
    "rt_sigaction": "the task's own handlers; the Sentry has noted them",
    "rt_sigtimedwait": "the caller's own pending signals",
    "mmap": "the injected descriptor at that number decides what is mapped and how",
    "close": "the injected descriptor at that number",
    "unshare": "CLONE_FILES, with CLONE_FS and CLONE_SYSVSEM at most: registers only, the caller's own tables",
    "setitimer": "ITIMER_VIRTUAL and ITIMER_PROF: the caller's own CPU time",
    "getitimer": "as setitimer",
    "prctl": "PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER: registers only",
    "read": "an injected signalfd: the caller's own pending signals",
    "readv": "as read",
}


class Served:
    """Table, trace and host descriptors of a platform. Handlers run in the only thread there is."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, Callable[[int], None]] = {}
        self._sigfd = lib.eng_sigchld_fd()
        if self._sigfd < 0:
            raise OSError(-self._sigfd, os.strerror(-self._sigfd))
        self.table: list[Call] = []
        self.continued: frozenset[int] = frozenset()
        self.trace: Trace | None = None

    # host descriptors ----------------------------------------------------------------------------
    def watch(self, host_fd: int, events: int, callback: Callable[[int], None]) -> None:
        if host_fd in self._watches:
            self._epoll.modify(host_fd, events)
        else:
            self._epoll.register(host_fd, events)
        self._watches[host_fd] = callback

    def unwatch(self, host_fd: int) -> None:
        if self._watches.pop(host_fd, None) is not None:
            try:
                self._epoll.unregister(host_fd)
            except OSError:
                pass  # closed already, which took it out

    def idle(self, kernel: Kernel, wait_ns: int) -> None:
        self._run_watches(kernel, wait_ns / 1e9)

    def _run_watches(self, kernel: Kernel, wait_s: float = 0) -> None:
        for fd, events in self._epoll.poll(wait_s):
            callback = self._watches.get(fd)
            if callback is not None:
                kernel.guard(callback, events)

    # calls ---------------------------------------------------------------------------------------
    def _begin(self) -> None:
        """What start-up made is never looked at again; calls leave no cycles behind, so rounds are rare and short."""
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        gc.enable()  # it is off while the sandbox is made

    def server(self, kernel: Kernel) -> Serve:
        """The function that serves one call (task, number, registers): its result >= 0, -errno, CONTINUE, or DEFERRED
        when it is answered later, or was. What it returns has been traced."""
        table, size, continued, trace = self.table, len(self.table), self.continued, self.trace

        def serve(t: Task, nr: int, registers: Registers) -> int:
            kernel.current = t
            t.continued_nr = -1
            t.ended = False
            if t.clone_pending is not None:
                clone_failed(t)
            if trace is not None:
                t.call = (nr, registers)
            try:
                if 0 <= nr < size:
                    result = table[nr](t, registers)
                    if result > RESULT_MAX:
                        raise OverflowError(f"result {result}")
                    if result == CONTINUE:
                        if nr not in continued:
                            raise RuntimeError(f"CONTINUE of call {nr}, which is not listed")
                        t.continued_nr = nr
                elif nr == LOADER_MAGIC:
                    loader_call(t, registers)
                    return DEFERRED
                else:
                    result = -ENOSYS
            except Errno as err:
                result = -err.code
            except Park as wait:
                t.call = (nr, registers)
                park(kernel, t, wait, nr)
                return DEFERRED
            except Exception:
                result = kernel.handler_failed(t, nr)
            if trace is not None and result != DEFERRED:
                trace(t, nr, registers, None if result == CONTINUE else result)
            return result

        return serve
