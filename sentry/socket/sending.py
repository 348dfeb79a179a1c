"""Sending in steps: what send(2), sendmsg(2) and sendmmsg(2) do while they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EFAULT, EMSGSIZE, ENOBUFS, EPIPE, Errno, WouldBlock
from sentry.mm.user import Iovec, behind
from sentry.socket import rights
from sentry.socket.base import Outgoing, Socket
from sentry.socket.control import MAX_CONTROL, parse
from sentry.socket.header import Header
from sentry.socket.steps import Messages, Step

if TYPE_CHECKING:
    from sentry.kernel.task import Task

CHUNK = 1 << 20  # bytes that one step of a stream moves


class WaitsMore(WouldBlock):
    """WouldBlock of a stream that has taken a part and whose sender goes on waiting."""


class Sending(Step):
    """A send in steps: a stream takes as much as it has room for, `done` bytes so far. The files of a message that is
    not taken are let go with this object, also when the sender dies in its wait."""

    __slots__ = ("iov", "message", "sock", "t", "total")

    def __init__(self, t: Task, sock: Socket, iov: Iovec, message: Outgoing) -> None:
        super().__init__()
        self.t = t
        self.sock = sock
        self.iov = iov
        self.message = message
        self.total = sum(size for _, size in iov)

    def __del__(self) -> None:
        files, self.message.files = self.message.files, []
        if files:
            rights.drop(files)

    @property
    def nonblock(self) -> bool:
        return self.sock.nonblock or bool(self.message.flags & abi.MSG_DONTWAIT)

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


class SendingMany(Messages):
    """sendmmsg."""

    __slots__ = ()

    def begin(self, msg_addr: int) -> Sending:
        return prepare(self.t, self.sock, msg_addr, self.flags)
