"""sendto(2), sendmsg(2), sendmmsg(2), recvfrom(2), recvmsg(2), recvmmsg(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EAGAIN, EINVAL, WouldBlock
from sentry.socket.base import Outgoing
from sentry.socket.header import Header, read_address
from sentry.socket.receiving import Receiving, ReceivingMany
from sentry.socket.sending import Sending, SendingMany, prepare
from sentry.wait import IN, OUT, retry
from syscalls.args import Addr, Buffer, Fd, Int, MsgFlags, OutBuffer, Size, UInt
from syscalls.registry import syscall
from syscalls.select import Remaining, read_timespec
from syscalls.socket import patience, socket_of

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

MAX_RW_COUNT = 0x7FFFF000
MAX_MESSAGES = 1024  # of one sendmmsg or recvmmsg
NO_OOB = "no MSG_OOB on unix sockets"


# sending ----------------------------------------------------------------------------------------------------------
def _send(t: Task, step: Sending) -> int:
    deadline_ns, restart = patience(t, step.sock.options.send_timeout_ns)
    return retry(
        step, [(step.sock, OUT)], nonblock=step.nonblock, deadline_ns=deadline_ns, expired=step.expired,
        interrupted=step.progress, restart=restart,
    )  # fmt: skip


@syscall("sendto", Fd, Buffer, Size, MsgFlags, Addr, Int, support="partial", note=NO_OOB)
def sys_sendto(t: Task, file: File, buf_addr: int, size: int, flags: int, addr: int, addr_size: int) -> int:
    sock = socket_of(file)
    address = read_address(t, addr, addr_size) if addr else None
    return _send(t, Sending(t, sock, [(buf_addr, min(size, MAX_RW_COUNT))], Outgoing(b"", address, flags)))


@syscall("sendmsg", Fd, Addr, MsgFlags, support="partial", note=NO_OOB)
def sys_sendmsg(t: Task, file: File, msg_addr: int, flags: int) -> int:
    return _send(t, prepare(t, socket_of(file), msg_addr, flags))


@syscall("sendmmsg", Fd, Addr, UInt, MsgFlags, support="partial", note=NO_OOB)
def sys_sendmmsg(t: Task, file: File, vector_addr: int, count: int, flags: int) -> int:
    many = SendingMany(t, socket_of(file), vector_addr, min(count, MAX_MESSAGES), flags)
    deadline_ns, restart = patience(t, many.sock.options.send_timeout_ns)
    return retry(
        many, [(many.sock, OUT)], nonblock=many.sock.nonblock or bool(flags & abi.MSG_DONTWAIT),
        deadline_ns=deadline_ns, expired=many.expired, interrupted=many.progress, restart=restart,
    )  # fmt: skip


# receiving --------------------------------------------------------------------------------------------------------
def _receive(step: Receiving) -> int:
    sock = step.sock
    if step.flags & abi.MSG_OOB and not sock.has_urgent:
        raise EINVAL
    if step.flags & abi.MSG_ERRQUEUE and not sock.has_errors:
        raise EAGAIN
    deadline_ns, restart = patience(step.t, sock.options.receive_timeout_ns)
    try:
        return retry(
            step, [(sock, IN)], nonblock=sock.nonblock or bool(step.flags & abi.MSG_DONTWAIT), deadline_ns=deadline_ns,
            expired=step.expired, interrupted=step.progress, restart=restart,
        )  # fmt: skip
    except WouldBlock:
        if step.done:
            return step.finish()
        raise


@syscall("recvfrom", Fd, OutBuffer, Size, MsgFlags, Addr, Addr, support="partial", note=NO_OOB)
def sys_recvfrom(t: Task, file: File, buf_addr: int, size: int, flags: int, addr: int, size_addr: int) -> int:
    sock = socket_of(file)
    step = Receiving(t, sock, [(buf_addr, min(size, MAX_RW_COUNT))], flags)
    step.name = (addr, size_addr)
    return _receive(step)


@syscall("recvmsg", Fd, Addr, MsgFlags, support="partial", note=NO_OOB)
def sys_recvmsg(t: Task, file: File, msg_addr: int, flags: int) -> int:
    sock, header = socket_of(file), Header(t, msg_addr)
    return _receive(Receiving(t, sock, header.iov, flags, header))


@syscall("recvmmsg", Fd, Addr, UInt, MsgFlags, Addr, support="partial", note=f"{NO_OOB}; at most {MAX_MESSAGES}")
def sys_recvmmsg(t: Task, file: File, vector_addr: int, count: int, flags: int, timeout_addr: int) -> int:
    many = ReceivingMany(t, socket_of(file), vector_addr, min(count, MAX_MESSAGES), flags)
    deadline_ns, restart = patience(t, many.sock.options.receive_timeout_ns)
    # Linux looks at this timeout only when a message comes (recvmmsg(2), BUGS); here it ends the wait.
    left = Remaining(t, timeout_addr, read_timespec(t, timeout_addr), 1)
    limits = [limit for limit in (deadline_ns, left.deadline_ns) if limit is not None]
    return retry(
        left.after(many), [(many.sock, IN)], nonblock=many.sock.nonblock or bool(flags & abi.MSG_DONTWAIT),
        deadline_ns=min(limits, default=None), expired=left.after(many.expired), interrupted=many.progress,
        restart=restart,
    )  # fmt: skip
