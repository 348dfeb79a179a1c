"""Unix sockets with message borders: datagrams and sequenced packets (unix(7), SOCK_DGRAM, SOCK_SEQPACKET)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import (
    ECONNREFUSED,
    ECONNRESET,
    EMSGSIZE,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    WouldBlock,
)
from sentry.abi.flags import AF_UNSPEC, MSG_DONTWAIT, MSG_OOB, MSG_TRUNC, SOCK_DGRAM, SOCK_SEQPACKET
from sentry.socket.base import SHUT_READ, SHUT_WRITE, Incoming, Outgoing, QuietPipeError
from sentry.socket.names import UNNAMED, find, name_of
from sentry.socket.unix import CLOSED, CONNECTED, EVERYTHING, Message, UnixSocket
from sentry.socket.unix_connection import UnixConnection
from sentry.wait import OUT, WRBAND, WRNORM

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

MAX_QUEUE = 10  # net.unix.max_dgram_qlen: one more than that fits


class MessageQueue(UnixSocket):
    """Sending and receiving whole messages."""

    __slots__ = ()
    is_stream = False

    def receive(self, size: int, flags: int) -> Incoming:
        self.raise_error()
        if not self.inbox:
            if self.shut & SHUT_READ and (self.connected_kind or not (self.nonblock or flags & MSG_DONTWAIT)):
                return Incoming(b"")
            raise WouldBlock
        message = self.inbox[0]
        incoming = Incoming(message.data[:size])
        incoming.full_size = len(message.data)
        if incoming.full_size > size:
            incoming.flags |= MSG_TRUNC
        if message.sender.address != UNNAMED:
            incoming.address = message.sender.address
        incoming.files = message.files
        incoming.creds = message.creds
        return incoming

    def commit(self, count: int) -> list[File]:
        if not self.inbox:
            return []
        message = self.inbox.popleft()
        files = self.take_files(message)
        self.free(message)
        return files

    def put(self, message: Outgoing, to: UnixSocket, t: Task | None) -> int:
        """Send `message` to `to`, which is alive; there is room in its queue."""
        size = len(message.data)
        buffer = self.options.send_buffer
        if size > buffer - 32:
            raise EMSGSIZE
        if self.used >= buffer:
            raise WouldBlock
        if to.shut & SHUT_READ or self.shut & SHUT_WRITE:
            raise QuietPipeError
        creds = message.creds or self.creds_for(to, t)
        to.deliver(Message(message.data, self, creds, message.files, (creds or self.maker).uid))
        message.files = []
        return size


class UnixSeqpacket(MessageQueue, UnixConnection):
    """A connection that keeps message borders."""

    __slots__ = ()

    def __init__(self, t: Task, flags: int) -> None:
        UnixConnection.__init__(self, t, SOCK_SEQPACKET, flags)

    def send(self, message: Outgoing, t: Task | None) -> int:
        self.raise_error()
        if message.flags & MSG_OOB:
            raise EOPNOTSUPP
        peer = self.peer
        if self.state != CONNECTED or peer is None:
            raise ENOTCONN
        if self.shut & SHUT_WRITE:
            raise QuietPipeError
        return self.put(message, peer, t)  # a destination is ignored

    def receive(self, size: int, flags: int) -> Incoming:
        if self.state != CONNECTED:
            raise ENOTCONN
        return super().receive(size, flags)


class UnixDatagram(MessageQueue):
    """Datagrams to a name or to the connected peer."""

    __slots__ = ()

    def __init__(self, t: Task, flags: int) -> None:
        super().__init__(t, SOCK_DGRAM, flags)

    def connect(self, t: Task, address: bytes) -> None:
        if address[:2] == AF_UNSPEC.to_bytes(2, "little") and len(address) >= 2:
            self._leave(None)
            self.state = CLOSED
            return
        name = name_of(address)
        self.autobind(t)
        to = find(t, name, self.kind)
        if to.peer is not None and to.peer is not self:
            raise EPERM
        self._leave(to)
        self.peer = to
        self.state = CONNECTED

    def _leave(self, new: UnixSocket | None) -> None:
        """Another peer: what the old one has sent is gone."""
        old, self.peer = self.peer, None
        if old is not None and old is not new and self.inbox:
            self.purge()
            if not old.dead and old.peer is self:
                old.error = ECONNRESET.code
                old.queue.notify(EVERYTHING)

    def send(self, message: Outgoing, t: Task | None) -> int:
        if message.flags & MSG_OOB:
            raise EOPNOTSUPP
        if len(message.data) > self.options.send_buffer - 32:
            raise EMSGSIZE
        if self.shut & SHUT_WRITE:
            raise QuietPipeError
        if message.address is not None and t is not None:
            to = find(t, name_of(message.address), self.kind)
        else:
            peer = self.peer
            if peer is None:
                raise ENOTCONN
            if peer.dead:
                self.peer = None
                self.state = CLOSED
                self.purge()
                raise ECONNREFUSED
            to = peer
        if t is not None:
            self.autobind(t)
        if to.peer is not None and to.peer is not self:
            raise EPERM
        if self._is_full(to):
            to.block(self)
            raise WouldBlock
        return self.put(message, to, t)

    def _is_full(self, to: UnixSocket) -> bool:
        return to is not self and to.peer is not self and len(to.inbox) > MAX_QUEUE and not to.shut & SHUT_READ

    def poll(self) -> int:
        events = super().poll()
        peer = self.peer
        if events & OUT and peer is not None and not peer.dead and self._is_full(peer):
            peer.block(self)  # tell us when it has room
            events &= ~(OUT | WRNORM | WRBAND)
        return events
