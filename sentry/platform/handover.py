"""Descriptors for a guest without a listener (unix(7), SCM_RIGHTS): the guest's task is made to receive them.

Every guest holds, at a number out of its reach, one end of a socket pair that was made before the first guest. A task
that stands in a call, and is to have a descriptor before that call ends, runs recvmsg(2), dup3(2) and close(2) in its
place, with all signals blocked, and then gets its own call back:

    guest's call -> recvmsg -> exit -> dup3: entry -> exit -> close: entry -> exit -> the call again, or behind it

A message is sent when its receiver stands at the entry of recvmsg and the one before has been taken: it can reach
nobody else. What a dead receiver left is thrown away first.
"""

from __future__ import annotations

import _socket
import os
import struct
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from sentry.abi.errno import BY_CODE, EFAULT, EIO, ENOMEM, Errno
from sentry.engine._engine import ffi, lib
from sentry.kernel.stops import EVENT_STOP, SIGTRAP, delivery_signal
from sentry.platform import tracing
from sentry.platform.tracing import EVENT_SECCOMP, WORD, Registers

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.platform.ptrace import PtracePlatform, Tracee

NR_CLOSE, NR_RECVMSG, NR_FCNTL, NR_DUP3 = 3, 47, 72, 292
F_SETFD = 2
MSG_DONTWAIT, MSG_CMSG_CLOEXEC, O_CLOEXEC = 0x40, 0x4000_0000, 0o2000000
SOL_SOCKET = SCM_RIGHTS = 1
SYSCALL_STOP = SIGTRAP | 0x80
FAULTS = frozenset((4, 5, 7, 8, 11, 31))  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS: of the guest's own code
ALL_SIGNALS = WORD
BELOW_STACK = 256  # past the 128-byte red zone
_message = struct.Struct("<QIIQQQQI4x QQ 8x QII i4x")  # msghdr, iovec, data, cmsghdr with one descriptor
DATA_AT, CONTROL_AT, FD_AT = 72, 80, 96

Item = tuple[int, int, bool]  # (the Sentry's descriptor, wanted number, close on exec)
Step = tuple[int, tuple[int, ...]]


class Channel:
    """The socket pair: the Sentry's end and its own copy of the guests' end; who receives, and who waits to."""

    def __init__(self, at: int) -> None:
        self.ours, self.theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.at = at  # its number in every guest
        self.receiver: Handover | None = None
        self.waiting: list[Handover] = []

    def send(self, host_fd: int) -> bool:
        """False when it cannot be; nothing but this lies in the channel when it is true."""
        try:
            while True:
                self.theirs.recvmsg(8, 0, MSG_DONTWAIT)  # its descriptors go
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            self.ours.sendmsg([b"."], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("<i", host_fd))], MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def leave(self, who: Handover) -> None:
        """`who` has received, or is gone."""
        if who in self.waiting:
            self.waiting.remove(who)
        if self.receiver is who:
            self.receiver = None
            if self.waiting:
                self.waiting.pop(0).receive()


class Handover:
    """What one call of one task is to have; `value` is how the call ends then, None if the host is to run it."""

    def __init__(self, platform: PtracePlatform, t: Task, tracee: Tracee, items: list[Item], value: int | None) -> None:
        self.platform = platform
        self.t = t
        self.tracee = tracee
        self.items = items
        self.numbers = [at for _, at, _ in items]
        self.value = value
        self.saved: Registers = tracing.copy(tracee.regs)
        self.mask = 0
        self.at_entry = True
        self.failed = False
        self.trapped = False  # a stop that others asked for was used up
        self.signals: list[int] = []
        self.step: Step = (0, ())
        self.kept = b""  # of the guest's memory, while the message lies there
        self.address = (self.saved.rsp - BELOW_STACK) & ~15
        self.steps: Generator[Step, int, None] = self._plan()

    def start(self) -> None:
        """`t` stands at the entry of its call."""
        mask = tracing.signal_mask(self.t.host_tid)
        if mask is None:
            return  # gone
        self.mask = mask
        tracing.set_signal_mask(self.t.host_tid, ALL_SIGNALS)
        self._next(None)

    def _plan(self) -> Generator[Step, int, None]:
        for _, at, cloexec in tuple(self.items):
            flags = MSG_DONTWAIT | (MSG_CMSG_CLOEXEC if cloexec else 0)
            check((yield NR_RECVMSG, (self.platform.link.at, self.address, flags)))
            got = self._received()
            if got == at:  # so it says: this fails when nothing is there
                check((yield NR_FCNTL, (got, F_SETFD, int(cloexec))))
                continue
            error = yield NR_DUP3, (got, at, O_CLOEXEC if cloexec else 0)
            yield NR_CLOSE, (got,)
            check(error)

    def _next(self, result: int | None) -> None:
        try:
            self.step = next(self.steps) if result is None else self.steps.send(result)
        except StopIteration:
            self._finish(self.value)
        except Errno as err:
            self.failed = True
            self._finish(-err.code)
        else:
            if self.at_entry:
                self._enter()
            else:
                self._go_to(*self.step, self.saved.rip - 2)

    def _go_to(self, nr: int, args: tuple[int, ...], rip: int) -> None:
        """Behind a call: make another one from the same instruction."""
        regs = tracing.copy(self.saved)
        regs.rip, regs.rax, regs.orig_rax = rip, nr, WORD
        self._arguments(regs, args)
        tracing.set_registers(self.t.host_tid, regs)
        tracing.go_on(self.t.host_tid)

    def _arguments(self, regs: Registers, args: tuple[int, ...]) -> None:
        for name, value in zip(("rdi", "rsi", "rdx"), args, strict=False):
            setattr(regs, name, value)

    def _enter(self) -> None:
        """At an entry: it becomes that of the step."""
        nr, args = self.step
        if nr == NR_RECVMSG:
            channel = self.platform.link
            if channel.receiver is not None:
                channel.waiting.append(self)
                return
            self.receive()
            return
        self._run(nr, args)

    def _run(self, nr: int, args: tuple[int, ...]) -> None:
        regs = tracing.copy(self.saved)
        regs.orig_rax, regs.rax = nr, WORD - 37  # ENOSYS, as at every entry
        self._arguments(regs, args)
        tracing.set_registers(self.t.host_tid, regs)
        tracing.go_on(self.t.host_tid, 0, True)

    def receive(self) -> None:
        """The channel is ours until recvmsg has ended."""
        channel = self.platform.link
        channel.receiver = self
        host_fd = self.items[0][0]
        if not self._put_message() or not channel.send(host_fd):
            self.steps.close()
            self.failed = True
            channel.leave(self)
            self._finish(-EFAULT.code)
            return
        os.close(host_fd)
        del self.items[0]
        self._run(*self.step)

    def _put_message(self) -> bool:
        base, tid = self.address, self.t.host_tid
        kept = bytearray(_message.size)
        if lib.eng_read(tid, base, ffi.from_buffer(kept), len(kept)) != len(kept):
            return False
        message = _message.pack(0, 0, 0, base + 56, 1, base + CONTROL_AT, 24, 0, base + DATA_AT, 1, 0, 0, 0, -1)
        self.kept = bytes(kept)
        return bool(lib.eng_write(tid, base, ffi.from_buffer(message), len(message)) == len(message))

    def _received(self) -> int:
        """The number that the descriptor got. Others of the guest may write there, and name what they have: so it is
        believed no further than the host's answers to what is done with it."""
        number = bytearray(4)
        tid = self.t.host_tid
        if lib.eng_read(tid, self.address + FD_AT, ffi.from_buffer(number), 4) != 4:
            raise EFAULT
        lib.eng_write(tid, self.address, ffi.from_buffer(self.kept), len(self.kept))
        got = int.from_bytes(number, "little", signed=True)
        if got < 0:
            raise ENOMEM  # the host has no room for it
        return got

    # stops ---------------------------------------------------------------------------------------
    def stopped(self, status: int) -> None:
        tid = self.t.host_tid
        signo = delivery_signal(status)
        if status >> 16 == EVENT_SECCOMP:
            regs = tracing.registers(tid)
            if regs is None:
                return
            if regs.rip != self.saved.rip or regs.orig_rax != self.step[0]:
                lib.eng_kill(self.t.group.host_pid, 9)  # a sibling has changed the code under it
                return
            self.at_entry = True
            self._enter()
        elif signo == SYSCALL_STOP:
            regs = tracing.registers(tid)
            if regs is None:
                return
            self.at_entry = False
            if self.step[0] == NR_RECVMSG:
                self.platform.link.leave(self)
            self._next(regs.rax - (1 << 64) if regs.rax >> 63 else regs.rax)
        elif signo in FAULTS:
            self.abandon()
            self.tracee.handover = None
            tracing.set_signal_mask(tid, self.mask)
            tracing.go_on(tid, signo)
        else:
            if signo:
                self.signals.append(signo)
            self.trapped = self.trapped or status >> 16 == EVENT_STOP
            tracing.go_on(tid)

    def abandon(self) -> None:
        """The task is gone."""
        for host_fd, _, _ in self.items:
            os.close(host_fd)
        self.items.clear()
        self.platform.link.leave(self)

    def _finish(self, value: int | None) -> None:
        """The task's own call: over, or made by the host."""
        t, tracee = self.t, self.tracee
        for host_fd, _, _ in self.items:
            os.close(host_fd)
        self.items.clear()
        tracee.handover = None
        if self.failed:
            t.exec_pending = None  # without its mark it must not go on (exec_proof.py)
            for at in self.numbers:
                t.fds.injected.pop(at, None)
        tracing.set_signal_mask(t.host_tid, self.mask)
        for signo in self.signals:
            lib.eng_tgkill(t.group.host_pid, t.host_tid, signo)
        if self.trapped or t.on_stop is not None and not tracee.to_call:  # a stop uses up the one that was asked for
            lib.eng_interrupt(t.host_tid)
        tracee.regs = self.saved
        if self.at_entry:
            self.platform.end_call(t, tracee, value)
        elif value is None:
            tracee.pass_on = identity(self.saved)
            regs = tracing.copy(self.saved)
            regs.rip, regs.rax, regs.orig_rax = self.saved.rip - 2, self.saved.orig_rax, WORD
            tracing.set_registers(t.host_tid, regs)
            tracing.go_on(t.host_tid)
        else:
            self.platform.end_call(t, tracee, value, behind=True)


def check(result: int) -> None:
    if result < 0:
        raise BY_CODE.get(-result, EIO) if result > -4096 else ENOMEM


def identity(regs: Registers) -> tuple[Any, ...]:
    """Which call, from where."""
    return regs.rip, regs.orig_rax, regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9
