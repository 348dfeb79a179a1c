"""The notify platform: seccomp user notification (seccomp_unotify(2)) brings every call that is not native.

One C call per guest call: `eng_reply_wait` answers the last one and waits for the next, for host descriptors, or for a
ptrace event. Handlers run here, in the only thread; what they leave to be done is done by Kernel.turn between calls.
"""

from __future__ import annotations

import gc
import os
import select
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import BY_CODE, EIO, Errno
from sentry.engine._engine import ffi, lib
from sentry.kernel.exec import loader_call
from sentry.kernel.fork import clone_failed
from sentry.kernel.parking import park
from sentry.platform.native import LOADER_MAGIC
from sentry.platform.placement import Placement
from sentry.verdict import CONTINUE
from sentry.wait import Park

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

    Call = Callable[[Task, tuple[int, int, int, int, int, int]], int]

CALL, EVENTS, CHILDREN, HANGUP = 1, 2, 4, 8  # and 16: a deadline has passed
FLAG_CONTINUE = 1
O_CLOEXEC = 0o2000000
ENOSYS = 38
ERESTARTNOINTR = 513
_request = struct.Struct("<QIIiIQ6Q")

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
    "setitimer": "ITIMER_VIRTUAL and ITIMER_PROF: the caller's own CPU time",
    "getitimer": "as setitimer",
    "prctl": "PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER: registers only",
    "read": "an injected signalfd: the caller's own pending signals",
    "readv": "as read",
}


class NotifyPlatform:
    """The listener, the epoll set of host descriptors, and the loop."""

    def __init__(self) -> None:
        self.listener = -1
        self._epoll = select.epoll()
        self._watches: dict[int, Callable[[int], None]] = {}
        self._sigfd = lib.eng_sigchld_fd()
        if self._sigfd < 0:
            raise OSError(-self._sigfd, os.strerror(-self._sigfd))
        self.table: list[Call] = []
        self.continued: frozenset[int] = frozenset()
        self.trace: Callable[[Task, int, tuple[int, ...], int | None], None] | None = None

    def attach(self, listener: int) -> None:
        self.listener = listener
        lib.eng_sync_wake_up(listener, 1)  # an older kernel does without

    # answers -------------------------------------------------------------------------------------
    def answer(self, t: Task, value: int) -> None:
        request, t.request_id = t.request_id, 0
        if self.trace is not None:
            self.trace(t, *t.call, value)
        if request:
            if value >= 0:
                lib.eng_reply(self.listener, request, value, 0, 0)
            else:
                lib.eng_reply(self.listener, request, 0, value, 0)

    def answer_continue(self, t: Task) -> None:
        request, t.request_id = t.request_id, 0
        if self.trace is not None:
            self.trace(t, *t.call, None)
        if request:
            lib.eng_reply(self.listener, request, 0, 0, FLAG_CONTINUE)

    def add_fd(self, t: Task, host_fd: int, at: int, cloexec: bool = True) -> None:
        got = lib.eng_add_fd(self.listener, t.request_id, host_fd, at, O_CLOEXEC if cloexec else 0)
        if got < 0:
            raise BY_CODE.get(-got, EIO)

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

    def _run_watches(self, kernel: Kernel) -> None:
        for fd, events in self._epoll.poll(0):
            callback = self._watches.get(fd)
            if callback is not None:
                kernel.guard(callback, events)

    # the loop ------------------------------------------------------------------------------------
    def run(self, kernel: Kernel) -> None:
        # What start-up made is never looked at again; calls leave no cycles behind, so rounds are rare and short.
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
        gc.enable()  # it is off while the sandbox is made
        reply_wait = lib.eng_reply_wait
        listener, epfd, sigfd = self.listener, self._epoll.fileno(), self._sigfd
        buffer = ffi.new("unsigned char[128]")
        unpack = _request.unpack_from
        view = ffi.buffer(buffer)
        table, tasks, trace = self.table, kernel.tasks, self.trace
        size = len(table)
        placement = kernel.placement = Placement(kernel)
        reply = value = error = flags = 0
        while not kernel.stopping:
            bits = reply_wait(listener, reply, value, error, flags, epfd, sigfd, kernel.until_ns(), buffer)
            reply = 0
            if bits < 0:
                raise OSError(-bits, os.strerror(-bits))
            if bits & CALL:
                request, host_tid, _, nr, _, _, *args = unpack(view)
                t = tasks.get(host_tid)
                if t is None:
                    self._unknown(kernel, request, host_tid, nr)
                    continue
                kernel.calls += 1
                if not placement.ticking:
                    placement.start_ticking()
                kernel.current = t
                t.request_id = request
                t.continued_nr = -1
                t.ended = False
                if t.clone_pending is not None:
                    clone_failed(t)
                call = tuple(args)
                if trace is not None:
                    t.call = (nr, call)
                if bits & EVENTS:  # first what came before the call: whoever has reaped a child finds its files closed
                    bits &= ~EVENTS
                    self._run_watches(kernel)
                try:
                    if 0 <= nr < size:
                        result = table[nr](t, call)
                    elif nr == LOADER_MAGIC:
                        loader_call(t, call)
                        result = -1
                    else:
                        result = -ENOSYS
                        self.answer(t, result)
                    if result >= 0:
                        reply, value, error, flags = request, result, 0, 0
                        t.request_id = 0
                    elif result == CONTINUE:
                        if nr not in self.continued:
                            raise RuntimeError(f"CONTINUE of call {nr}, which is not listed")
                        reply, value, error, flags = request, 0, 0, FLAG_CONTINUE
                        t.continued_nr = nr
                        t.request_id = 0
                    # else: DEFERRED or answered by the handler itself
                    if trace is not None and reply:
                        trace(t, nr, call, None if flags else value)
                except Errno as err:
                    reply, value, error, flags = request, 0, -err.code, 0
                    t.request_id = 0
                    if trace is not None:
                        trace(t, nr, call, -err.code)
                except Park as wait:
                    t.call = (nr, call)
                    park(kernel, t, wait, nr)
                except Exception:
                    reply, value, error, flags = request, 0, kernel.handler_failed(t, nr), 0
                    t.request_id = 0
            if bits != CALL or kernel.ready or kernel.deferred or kernel.late:
                if reply:  # others may be woken below: the caller first
                    lib.eng_reply(listener, reply, value, error, flags)
                    reply = 0
                if bits & CHILDREN:
                    kernel.stops.collect()
                if bits & EVENTS:
                    self._run_watches(kernel)
                if bits & HANGUP:
                    self._hung_up(kernel)
                kernel.turn(not bits & CALL)
        if reply:
            lib.eng_reply(listener, reply, value, error, flags)

    def _unknown(self, kernel: Kernel, request: int, host_tid: int, nr: int) -> None:
        """A task that no clone event announced: only a dying one can be, so it gets no service."""
        kernel.log(f"BUG: call {nr} from unknown task {host_tid}")
        lib.eng_reply(self.listener, request, 0, -ENOSYS, 0)

    def _hung_up(self, kernel: Kernel) -> None:
        """No task is left on the listener; pid 1's end is on its way."""
        kernel.stops.collect()
        if kernel.exit_status is not None:
            kernel.stopping = True
