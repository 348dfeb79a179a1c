"""Sending in steps: what send(2), sendmsg(2) and sendmmsg(2) do while they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EAGAIN, EFAULT, EMSGSIZE, ENOBUFS, EPIPE, Errno, WouldBlock
from sentry.abi.structs import MMSGHDR
from sentry.socket import rights
from sentry.socket.base import Outgoing, Socket
from sentry.socket.control import MAX_CONTROL, parse
from sentry.socket.header import LENGTH_AT, Header, Iovec, behind

if TYPE_CHECKING:
    from sentry.kernel.task import Task

CHUNK = 1 << 20  # bytes that one step of a stream moves


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
            message.data = self.t.mem.gather(behind(self.iov, self.done), wanted) if wanted else b""
            try:
                self.done += sock.send(message, self.t)
            except WouldBlock:
                if self.done and not self.nonblock:
                    raise WaitsMore
                raise
            if self.done >= self.total or len(message.data) < wanted:
                return self.done


def prepare(t: Task, sock: Socket, msg_addr: int, flags: int) -> Sending:
    """A send of what a struct msghdr describes."""
    header = Header(t, msg_addr)
    address = t.mem.read(header.name_addr, header.name_size) if header.name_size else None
    step = Sending(t, sock, header.iov, Outgoing(b"", address, flags))
    if header.control_size:
        if header.control_size > MAX_CONTROL:
            raise ENOBUFS
        parse(t, sock, t.mem.read(header.control_addr, header.control_size), step.message)
    return step


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
                    self.step = prepare(self.t, self.sock, at, self.flags)
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
