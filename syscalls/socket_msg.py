"""sendto(2), sendmsg(2), sendmmsg(2), recvfrom(2), recvmsg(2), recvmmsg(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, EPIPE, Errno, WouldBlock
from sentry.abi.structs import MMSGHDR, MSGHDR, TIMESPEC
from sentry.socket import rights
from sentry.socket.base import Incoming, Outgoing, Socket
from sentry.socket.control import MAX_CONTROL, ControlBuffer, parse
from sentry.wait import IN, OUT, retry
from syscalls.args import Addr, Buffer, Fd, Int, MsgFlags, OutBuffer, Size, UInt
from syscalls.registry import syscall
from syscalls.socket import ADDRESS_MAX, patience, read_address, socket_of, write_address

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

Iovec = list[tuple[int, int]]
CHUNK = 1 << 20  # bytes that one step of a stream moves
MAX_RW_COUNT = 0x7FFFF000
MAX_MESSAGES = 1024  # of one sendmmsg or recvmmsg
LENGTH_AT = MSGHDR.size  # msg_len in struct mmsghdr


def _behind(iov: Iovec, done: int) -> Iovec:
    """The rest of `iov` after its first `done` bytes."""
    rest = []
    for base, length in iov:
        if done >= length:
            done -= length
            continue
        rest.append((base + done, length - done))
        done = 0
    return rest


class Header:
    """struct msghdr of the guest, copied in once."""

    __slots__ = ("addr", "control_addr", "control_size", "iov", "name_addr", "name_size")

    def __init__(self, t: Task, addr: int) -> None:
        self.addr = addr
        name_addr, name_size, iov_addr, iov_count, control_addr, control_size, _ = t.mem.unpack(MSGHDR, addr)
        name_size = (name_size ^ 0x80000000) - 0x80000000
        if name_size < 0:
            raise EINVAL
        if iov_count > abi.UIO_MAXIOV:
            raise EMSGSIZE
        self.name_addr = name_addr
        self.name_size = min(name_size, ADDRESS_MAX) if name_addr else 0
        self.iov: Iovec = t.mem.iovec(iov_addr, iov_count)
        self.control_addr = control_addr
        self.control_size = control_size


# sending ----------------------------------------------------------------------------------------------------------
class WaitsMore(WouldBlock):
    """WouldBlock of a stream that has taken a part and whose sender goes on waiting."""


class Sending:
    """A send in steps: a stream takes as much as it has room for, `done` bytes so far. The files of a message that is
    not taken are let go with this object, also when the sender dies in its wait."""

    __slots__ = ("done", "iov", "message", "sock", "t", "total")

    def __init__(self, t: Task, sock: Socket, iov: Iovec, message: Outgoing) -> None:
        self.t = t
        self.sock = sock
        self.iov = iov
        self.message = message
        self.total = sum(size for _, size in iov)
        self.done = 0

    def __del__(self) -> None:
        files, self.message.files = self.message.files, []
        if files:
            rights.drop(files)

    @property
    def nonblock(self) -> bool:
        return self.sock.nonblock or bool(self.message.flags & abi.MSG_DONTWAIT)

    def progress(self) -> int | None:
        return self.done or None

    def expired(self) -> int:
        if not self.done:
            raise EAGAIN
        return self.done

    def __call__(self) -> int:
        try:
            return self._stream() if self.sock.is_stream else self._message()
        except WaitsMore:
            raise
        except EPIPE:
            if self.done:
                return self.done
            if not self.message.flags & abi.MSG_NOSIGNAL:
                self.t.kernel.signals.sigpipe(self.t)
            raise
        except Errno:
            if self.done:
                return self.done
            raise

    def _message(self) -> int:
        sock, message = self.sock, self.message
        if self.total > CHUNK and self.total > sock.options.send_buffer:
            raise EMSGSIZE
        message.data = self.t.mem.gather(self.iov, self.total) if self.total else b""
        if len(message.data) != self.total:
            raise EFAULT
        return sock.send(message, self.t)

    def _stream(self) -> int:
        sock, message = self.sock, self.message
        while True:
            wanted = min(self.total - self.done, CHUNK)
            message.data = self.t.mem.gather(_behind(self.iov, self.done), wanted) if wanted else b""
            try:
                self.done += sock.send(message, self.t)
            except WouldBlock:
                if self.done and not self.nonblock:
                    raise WaitsMore
                raise
            if self.done >= self.total or len(message.data) < wanted:
                return self.done


def _send(t: Task, step: Sending) -> int:
    deadline_ns, restart = patience(t, step.sock.options.send_timeout_ns)
    return retry(
        step, [(step.sock, OUT)], nonblock=step.nonblock, deadline_ns=deadline_ns, expired=step.expired,
        interrupted=step.progress, restart=restart,
    )  # fmt: skip


@syscall("sendto", Fd, Buffer, Size, MsgFlags, Addr, Int)
def sys_sendto(t: Task, file: File, buf_addr: int, size: int, flags: int, addr: int, addr_size: int) -> int:
    sock = socket_of(file)
    address = read_address(t, addr, addr_size) if addr else None
    return _send(t, Sending(t, sock, [(buf_addr, min(size, MAX_RW_COUNT))], Outgoing(b"", address, flags)))


@syscall("sendmsg", Fd, Addr, MsgFlags)
def sys_sendmsg(t: Task, file: File, msg_addr: int, flags: int) -> int:
    return _send(t, _prepare(t, socket_of(file), msg_addr, flags))


def _prepare(t: Task, sock: Socket, msg_addr: int, flags: int) -> Sending:
    """A send of what a struct msghdr describes."""
    header = Header(t, msg_addr)
    address = read_address(t, header.name_addr, header.name_size) if header.name_size else None
    step = Sending(t, sock, header.iov, Outgoing(b"", address, flags))
    if header.control_size:
        if header.control_size > MAX_CONTROL:
            raise ENOBUFS
        parse(t, sock, t.mem.read(header.control_addr, header.control_size), step.message)
    return step


@syscall("sendmmsg", Fd, Addr, UInt, MsgFlags)
def sys_sendmmsg(t: Task, file: File, vector_addr: int, count: int, flags: int) -> int:
    many = SendingMany(t, socket_of(file), vector_addr, min(count, MAX_MESSAGES), flags)
    deadline_ns, restart = patience(t, many.sock.options.send_timeout_ns)
    return retry(
        many, [(many.sock, OUT)], nonblock=many.sock.nonblock or bool(flags & abi.MSG_DONTWAIT),
        deadline_ns=deadline_ns, expired=many.expired, interrupted=many.progress, restart=restart,
    )  # fmt: skip


class SendingMany:
    """sendmmsg: `done` messages are sent, which counts whatever then happens; `step` is the one under way."""

    __slots__ = ("count", "done", "flags", "sock", "step", "t", "vector_addr")

    def __init__(self, t: Task, sock: Socket, vector_addr: int, count: int, flags: int) -> None:
        self.t = t
        self.sock = sock
        self.vector_addr = vector_addr
        self.count = count
        self.flags = flags
        self.done = 0
        self.step: Sending | None = None

    def __call__(self) -> int:
        nonblock = self.sock.nonblock or self.flags & abi.MSG_DONTWAIT
        while self.done < self.count:
            at = self.vector_addr + self.done * MMSGHDR.size
            try:
                if self.step is None:
                    self.step = _prepare(self.t, self.sock, at, self.flags)
                self._sent(self.step())
            except WouldBlock:
                if self.done and nonblock:
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
        return self.done

    def _sent(self, size: int) -> None:
        self.t.mem.put_u32(self.vector_addr + self.done * MMSGHDR.size + LENGTH_AT, size)
        self.done += 1
        self.step = None

    def progress(self) -> int | None:
        if self.step is not None and self.step.done:
            try:
                self._sent(self.step.done)
            except Errno:
                pass
        return self.done or None

    def expired(self) -> int:
        done = self.progress()
        if done is None:
            raise EAGAIN
        return done


# receiving --------------------------------------------------------------------------------------------------------
class Receiving:
    """A receive in steps; with MSG_WAITALL a stream goes on until the buffer is full. `finish` reports what came
    beside the data."""

    __slots__ = ("control", "done", "files", "flags", "header", "incoming", "iov", "name", "sock", "t", "total")

    def __init__(self, t: Task, sock: Socket, iov: Iovec, flags: int, header: Header | None = None) -> None:
        self.t = t
        self.sock = sock
        self.iov = iov
        self.flags = flags
        self.header = header
        self.name = (0, 0)  # recvfrom: the address buffer and the address of its size
        self.total = sum(size for _, size in iov)
        self.done = 0
        self.incoming: Incoming | None = None
        self.files: list[File] = []

    def __call__(self) -> int:
        sock, flags = self.sock, self.flags
        while True:
            room = self.total - self.done
            try:
                incoming = sock.receive(room, flags)
            except WouldBlock:
                if self.done and self.done >= self._target():
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
            if not self._take(incoming):
                break
        return self.finish()

    def _target(self) -> int:
        """How many bytes end the wait."""
        if self.flags & abi.MSG_WAITALL:
            return self.total
        return min(self.sock.options.low_water, self.total)

    def _take(self, incoming: Incoming) -> bool:
        """Copy out and commit; whether the call may go on."""
        sock, data, flags = self.sock, incoming.data, self.flags
        count = self.t.mem.scatter(_behind(self.iov, self.done), data) if data else 0
        if self.incoming is None:
            self.incoming = incoming
        if flags & abi.MSG_PEEK:
            self.files = list(incoming.files)
            for file in self.files:
                file.refs += 1
            more = False
        else:
            self.files += sock.commit(count)
            more = bool(data) and sock.is_stream and not self.files and count == len(data)
        self.done += count
        return more and self.done < self.total and self.done < self._target()

    def finish(self) -> int:
        """Write address, control data and flags; the result of the call."""
        incoming, header = self.incoming or Incoming(b""), self.header
        try:
            if header is not None:
                self._report(header, incoming)
            elif self.name[0]:
                write_address(self.t, incoming.address or b"", *self.name)
        finally:
            files, self.files = self.files, []
            if files:
                rights.drop(files)
        if self.flags & abi.MSG_TRUNC and not self.sock.is_stream:
            return incoming.full_size
        return self.done

    def _report(self, header: Header, incoming: Incoming) -> None:
        mem = self.t.mem
        control = ControlBuffer(self.t, header.control_addr, header.control_size)
        if header.name_addr:
            address = incoming.address or b""
            mem.write(header.name_addr, address[: header.name_size])
            mem.put_u32(header.addr + 8, len(address))
        control.fill(self.sock, incoming, self.files, self.flags)
        flags = incoming.flags | control.flags | self.flags & abi.MSG_CMSG_CLOEXEC
        mem.put_u64(header.addr + 40, control.used)
        mem.put_u32(header.addr + 48, flags)

    def progress(self) -> int | None:
        return self.finish() if self.done else None

    def expired(self) -> int:
        if not self.done:
            raise EAGAIN
        return self.finish()


def _receive(step: Receiving) -> int:
    sock = step.sock
    if step.flags & abi.MSG_OOB:
        raise EINVAL
    if step.flags & abi.MSG_ERRQUEUE:
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


@syscall("recvfrom", Fd, OutBuffer, Size, MsgFlags, Addr, Addr)
def sys_recvfrom(t: Task, file: File, buf_addr: int, size: int, flags: int, addr: int, size_addr: int) -> int:
    sock = socket_of(file)
    step = Receiving(t, sock, [(buf_addr, min(size, MAX_RW_COUNT))], flags)
    step.name = (addr, size_addr)
    return _receive(step)


@syscall("recvmsg", Fd, Addr, MsgFlags)
def sys_recvmsg(t: Task, file: File, msg_addr: int, flags: int) -> int:
    sock, header = socket_of(file), Header(t, msg_addr)
    return _receive(Receiving(t, sock, header.iov, flags, header))


@syscall("recvmmsg", Fd, Addr, UInt, MsgFlags, Addr)
def sys_recvmmsg(t: Task, file: File, vector_addr: int, count: int, flags: int, timeout_addr: int) -> int:
    many = ReceivingMany(t, socket_of(file), vector_addr, min(count, MAX_MESSAGES), flags)
    deadline_ns, restart = patience(t, many.sock.options.receive_timeout_ns)
    if timeout_addr:
        sec, nsec = t.mem.unpack(TIMESPEC, timeout_addr)
        if sec < 0 or not 0 <= nsec < 1_000_000_000:
            raise EINVAL
        # Linux looks at this timeout only when a message comes (recvmmsg(2), BUGS); here it ends the wait.
        limit_ns = t.kernel.now_ns() + sec * 1_000_000_000 + nsec
        deadline_ns = limit_ns if deadline_ns is None else min(deadline_ns, limit_ns)
    return retry(
        many, [(many.sock, IN)], nonblock=many.sock.nonblock or bool(flags & abi.MSG_DONTWAIT),
        deadline_ns=deadline_ns, expired=many.expired, interrupted=many.progress, restart=restart,
    )  # fmt: skip


class ReceivingMany:
    """recvmmsg: `done` messages have come; with MSG_WAITFORONE the first ends the wait."""

    __slots__ = ("count", "done", "flags", "sock", "step", "t", "vector_addr")

    def __init__(self, t: Task, sock: Socket, vector_addr: int, count: int, flags: int) -> None:
        self.t = t
        self.sock = sock
        self.vector_addr = vector_addr
        self.count = count
        self.flags = flags
        self.done = 0
        self.step: Receiving | None = None

    def __call__(self) -> int:
        t, sock, flags = self.t, self.sock, self.flags
        nonblock = sock.nonblock or flags & abi.MSG_DONTWAIT
        while self.done < self.count:
            try:
                if self.step is None:
                    header = Header(t, self.vector_addr + self.done * MMSGHDR.size)
                    self.step = Receiving(t, sock, header.iov, flags & ~abi.MSG_WAITFORONE, header)
                self._came(self.step())
            except WouldBlock:
                if self.done and (nonblock or flags & abi.MSG_WAITFORONE):
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
        return self.done

    def _came(self, size: int) -> None:
        self.t.mem.put_u32(self.vector_addr + self.done * MMSGHDR.size + LENGTH_AT, size)
        self.done += 1
        self.step = None

    def progress(self) -> int | None:
        if self.step is not None and self.step.done:
            try:
                self._came(self.step.finish())
            except Errno:
                pass
        return self.done or None

    def expired(self) -> int:
        done = self.progress()
        if done is None:
            raise EAGAIN
        return done
