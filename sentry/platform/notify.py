"""The notify platform: seccomp user notification (seccomp_unotify(2)) brings every call that is not native.

One C call per guest call: `eng_reply_wait` answers the last one and waits for the next, for host descriptors, or for a
ptrace event. Handlers run here, in the only thread; what they leave to be done is done by Kernel.turn between calls.
"""

from __future__ import annotations

import os
import select
import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import BY_CODE, EIO
from sentry.engine._engine import ffi, lib
from sentry.kernel.exec import leader_again
from sentry.platform.placement import Placement
from sentry.platform.serving import CHILDREN, ENOSYS, EVENTS, NO_ANSWER, Served
from sentry.verdict import CONTINUE

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

CALL, HANGUP = 1, 8
FLAG_CONTINUE = 1
O_CLOEXEC = 0o2000000
SPEC_ALLOW, NEW_LISTENER, WAIT_KILLABLE_RECV = 1 << 2, 1 << 3, 1 << 5  # SECCOMP_FILTER_FLAG_*
_request = struct.Struct("<QIIiIQ6Q")


class NotifyPlatform(Served):
    """The listener and the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.listener = -1

    def take(self, kernel: Kernel) -> None:
        """The kernel is right as it is."""

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

    # the loop ------------------------------------------------------------------------------------
    def run(self, kernel: Kernel) -> None:
        self._begin()
        reply_wait = lib.eng_reply_wait
        listener, epfd, sigfd = self.listener, self._epoll.fileno(), self._sigfd
        buffer = ffi.new("unsigned char[128]")
        unpack = _request.unpack_from
        view = ffi.buffer(buffer)
        tasks, serve = kernel.tasks, self.server(kernel)
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
                    t = leader_again(kernel, host_tid)
                if t is None:
                    self._unknown(kernel, request, host_tid, nr, tuple(args))
                    continue
                kernel.calls += 1
                if not placement.ticking:
                    placement.start_ticking()
                t.request_id = request
                if bits & EVENTS:  # first what came before the call: whoever has reaped a child finds its files closed
                    bits &= ~EVENTS
                    t.continued_nr = -1
                    self._run_watches(kernel)
                result = serve(t, nr, tuple(args))
                if result >= 0:
                    reply, value, error, flags = request, result, 0, 0
                    t.request_id = 0
                elif result > NO_ANSWER:
                    reply, value, error, flags = request, 0, result, 0
                    t.request_id = 0
                elif result == CONTINUE:
                    reply, value, error, flags = request, 0, 0, FLAG_CONTINUE
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

    def _unknown(self, kernel: Kernel, request: int, host_tid: int, nr: int, args: tuple[int, ...]) -> None:
        """The spawner, or a child that it has just made; else a task that no clone event announced, which can only be
        a dying one: it gets no service."""

        def reply(value: int) -> None:
            if value == CONTINUE:
                lib.eng_reply(self.listener, request, 0, 0, FLAG_CONTINUE)
            else:
                lib.eng_reply(self.listener, request, max(value, 0), min(value, 0), 0)

        spawner = kernel.spawner
        if spawner is None or not spawner.heard(host_tid, nr, args, reply):
            kernel.log(f"BUG: call {nr} from unknown task {host_tid}")
            reply(-ENOSYS)

    # the start ------------------------------------------------------------------------------------
    filter_flags = NEW_LISTENER | SPEC_ALLOW | WAIT_KILLABLE_RECV
    channel = (-1, -1)  # a descriptor by which others reach guests, and its number there; the listener does it here

    def spawner_unfiltered(self, pid: int) -> None:
        """The spawner waits for its filter: it has no guest yet."""

    def spawner_filtered(self, pid: int) -> bool:
        """Is the filter in force, and the spawner ours? The listener lies at the lowest number, which was free."""
        pidfd = lib.eng_pidfd_open(pid, 0)
        listener = lib.eng_pidfd_getfd(pidfd, 0)
        os.close(pidfd)
        if listener < 0:
            return False
        self.attach(listener)
        return True

    def serve_spawner(self, kernel: Kernel, wait_ms: int) -> None:
        """Before the loop runs: one call of the spawner or of its first child, if one comes in time."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        if not poll.poll(wait_ms):
            return
        buffer = ffi.new("unsigned char[128]")
        bits = lib.eng_reply_wait(self.listener, 0, 0, 0, 0, -1, -1, 0, buffer)
        if bits < 0:
            raise OSError(-bits, os.strerror(-bits))
        if bits & CALL:
            request, host_tid, _, nr, _, _, *args = _request.unpack_from(ffi.buffer(buffer))
            self._unknown(kernel, request, host_tid, nr, tuple(args))

    def _hung_up(self, kernel: Kernel) -> None:
        """No task is left on the listener; pid 1's end is on its way."""
        kernel.stops.collect()
        if kernel.exit_status is not None:
            kernel.stopping = True
