"""A clone that the host runs in another form than the guest asked for: clone3(2), and clone(2) with CLONE_PIDFD.

The host reads clone3's flags from memory that other threads can change, and a pidfd that it made would sit at a number
that is not ours. So the cloner is brought to a stop, its registers become a clone(2) that means the same, and go back
to what they were when that call ends, in parent and child: both return from the guest's own call.

    notification -> stop -> entry of clone -> its notification, CONTINUEd -> event: the child is taken in -> exit

That is four stops. A library that falls back to clone(2) by itself is quicker, so it is sent there (syscalls/clone.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EAGAIN, Errno
from sentry.engine._engine import lib
from sentry.kernel.fork import CLONE_PIDFD, CLONE_PTRACE, CLONE_UNTRACED, NAMESPACES, add_child, check_clone
from sentry.kernel.stops import (
    ERESTARTNOINTR,
    ERESTARTSYS,
    EVENT_CLONE,
    EVENT_FORK,
    EVENT_STOP,
    EVENT_VFORK,
    O_TRACESYSGOOD,
    ORIG_RAX,
    R8,
    R10,
    RAX,
    RDI,
    RDX,
    RIP,
    RSI,
    SIGTRAP,
    SYSCALL_STOP,
    WORD,
)
from vfs.anon.pidfd import PidFile
from vfs.core.file import File

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NR_CLONE = 56
EINTR = 4
ARGUMENTS = (RDI, RSI, RDX, R10, R8)


class CloneRequest:
    """What to run instead; `saved` are the argument registers of the guest's call `nr`; `entered`: ours goes on."""

    __slots__ = (
        "child_tid", "entered", "flags", "namespaces", "nr", "parent_tid", "pidfd_addr", "saved", "stack", "tls",
    )  # fmt: skip

    def __init__(
        self, nr: int, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int, pidfd_addr: int
    ) -> None:
        self.nr = nr
        self.flags = flags & ~(CLONE_PIDFD | CLONE_PTRACE | CLONE_UNTRACED | NAMESPACES)  # nobody traces a guest
        self.namespaces = flags & NAMESPACES  # the Sentry's business, the host makes none
        self.stack = stack
        self.parent_tid = parent_tid
        self.child_tid = child_tid
        self.tls = tls
        self.pidfd_addr = pidfd_addr if flags & CLONE_PIDFD else None
        self.saved: tuple[int, ...] = ()
        self.entered = False


def redirect(t: Task, request: CloneRequest) -> None:
    """Check and start; the call is answered later. Errno when it may not be made."""
    check_clone(t, request.flags | request.namespaces)
    if request.pidfd_addr is not None:
        number = t.fds.install(File())  # is there room, and which number will it be
        t.fds.close(number)
        t.mem.put_i32(request.pidfd_addr, number)
    if not t.kernel.stops.interrupt(t, _stopped):
        raise EAGAIN
    t.clone_request = request
    t.kernel.platform.answer(t, -EINTR)


def allow_redirected(t: Task, flags: int) -> bool:
    """Is this clone(2) the one that was put into `t`? No code of the guest has run since."""
    request = t.clone_request
    return request is not None and request.entered and request.flags == flags


def _stopped(t: Task, status: int) -> None:
    """Behind the guest's call: put ours in its place."""
    stops, request = t.kernel.stops, t.clone_request
    if request is None or not stops.get_regs(t):
        t.clone_request = None
        stops.finish(t, status)
        return
    regs = stops.regs
    request.saved = tuple(int(regs[at]) for at in ARGUMENTS)
    regs[RIP] = regs[RIP] - 2
    if status >> 8 != EVENT_STOP << 8 | SIGTRAP:  # a signal, or a stop by one: that first
        _give_back(t, request, status)
        return
    regs[RAX], regs[ORIG_RAX] = NR_CLONE, WORD
    regs[RDI], regs[RSI], regs[RDX] = request.flags, request.stack, request.parent_tid
    regs[R10], regs[R8] = request.child_tid, request.tls
    stops.set_regs(t)
    lib.eng_set_options(t.host_tid, stops.options | O_TRACESYSGOOD)
    t.on_stop = _running
    stops.cont_syscall(t)


def _running(t: Task, status: int) -> None:
    stops, request = t.kernel.stops, t.clone_request
    assert request is not None
    if status >> 16 in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
        _made(t, request)
    elif status >> 8 != SYSCALL_STOP:  # before the entry: a signal has come
        if stops.get_regs(t):
            _give_back(t, request, status)
        return
    elif request.entered:
        _ended(t, request)
        return
    else:
        request.entered = True
    stops.cont_syscall(t)


def _made(t: Task, request: CloneRequest) -> None:
    """Parent and child stand still."""
    host_tid = int(lib.eng_event_message(t.host_tid))
    if host_tid <= 0:
        return
    saved = request.saved
    flags = request.flags | request.namespaces
    child = add_child(t.kernel, t, host_tid, flags, lambda task, status: _child_stopped(task, status, saved))
    if request.pidfd_addr is not None:
        try:
            t.mem.put_i32(request.pidfd_addr, t.fds.install(PidFile(child.group, 0), True))
        except Errno as err:  # a sibling took the last number, or the memory, meanwhile
            t.kernel.debug(f"clone: no pidfd for {host_tid}: {type(err).__name__}")


def _child_stopped(t: Task, status: int, saved: tuple[int, ...]) -> None:
    stops = t.kernel.stops
    if stops.get_regs(t):
        _put_arguments(t, saved)
        stops.set_regs(t)
    stops.finish(t, status)


def _ended(t: Task, request: CloneRequest) -> None:
    """Behind our clone."""
    stops = t.kernel.stops
    if not stops.get_regs(t):
        stops.finish(t)
        return
    if stops.regs[RAX] in (ERESTARTSYS, ERESTARTNOINTR):
        stops.regs[RIP] = stops.regs[RIP] - 2
        _give_back(t, request, EVENT_STOP << 16 | SIGTRAP << 8 | 0x7F)
        return
    _put_arguments(t, request.saved)
    stops.set_regs(t)
    _let_go(t)
    stops.finish(t)


def _give_back(t: Task, request: CloneRequest, status: int) -> None:
    """Nothing has happened: the guest makes its own call again."""
    stops = t.kernel.stops
    _put_arguments(t, request.saved)
    stops.regs[RAX], stops.regs[ORIG_RAX] = request.nr, WORD
    stops.set_regs(t)
    _let_go(t)
    stops.finish(t, status)


def _put_arguments(t: Task, saved: tuple[int, ...]) -> None:
    regs = t.kernel.stops.regs
    for at, value in zip(ARGUMENTS, saved, strict=True):
        regs[at] = value


def _let_go(t: Task) -> None:
    t.clone_request = None
    lib.eng_set_options(t.host_tid, t.kernel.stops.options)
