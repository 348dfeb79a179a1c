"""Connections between unix sockets: listen(2), connect(2), accept(2), and streams (unix(7), SOCK_STREAM)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sentry.abi.errno import (
    ECONNREFUSED,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
    WouldBlock,
)
from sentry.abi.flags import MSG_OOB, O_NONBLOCK, SOCK_STREAM
from sentry.socket.base import NO_CREDS, SHUT_READ, SHUT_WRITE, Incoming, Outgoing, Ucred
from sentry.socket.names import UNNAMED, find, name_of
from sentry.socket.unix import CLOSED, CONNECTED, LISTENING, READABLE, WRITABLE, Message, UnixSocket

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.base import Socket
    from vfs.core.file import File

SOMAXCONN = 4096
CHUNK = 1 << 16  # bytes of one message of a stream


class UnixConnection(UnixSocket):
    """`pending` are connections that wait to be accepted; one more than `backlog` fits, as in Linux."""

    __slots__ = ("backlog", "pending")

    connected_kind = True

    def __init__(self, t: Task, kind: int, flags: int) -> None:
        UnixSocket.__init__(self, t, kind, flags)
        self.backlog = 0
        self.pending: deque[UnixConnection] = deque()

    def listen(self, t: Task, backlog: int) -> None:
        if self.address == UNNAMED or self.state == CONNECTED:
            raise EINVAL
        self.backlog = min(backlog & 0xFFFFFFFF, SOMAXCONN)
        self.state = LISTENING
        self.peer_creds = Ucred.of(t)
        self.unblock()

    def connect(self, t: Task, address: bytes) -> None:
        name = name_of(address)
        self.autobind(t)
        to = find(t, name, self.kind)
        if not isinstance(to, UnixConnection) or to.state != LISTENING or to.shut & SHUT_READ:
            raise ECONNREFUSED
        if len(to.pending) > to.backlog:  # looked at before whether we may connect at all
            to.block(self)
            raise WouldBlock
        if self.state != CLOSED:
            raise EISCONN if self.state == CONNECTED else EINVAL
        if self.peer is not None:
            raise EISCONN
        other = new_like(self, t)
        other.accepted = False
        other.address = to.address
        pair(self, other)
        other.peer_creds = Ucred.of(t)
        self.peer_creds = to.peer_creds
        to.pending.append(other)
        to.queue.notify(READABLE)
        self.queue.notify(WRITABLE)

    def accept(self, t: Task, flags: int) -> Socket:
        if self.state != LISTENING:
            raise EINVAL
        if not self.pending:
            if self.shut & SHUT_READ and not self.nonblock:
                raise EINVAL  # who would have to wait; others hear EAGAIN
            raise WouldBlock
        sock = self.pending.popleft()
        self.unblock()
        sock.accepted = True
        sock.flags |= flags & O_NONBLOCK
        sock.maker = Ucred.sender(t)
        sock.inode.uid, sock.inode.gid = t.creds.fsuid, t.creds.fsgid
        sock.options.pass_creds = self.options.pass_creds
        sock.options.values.update(self.options.values)
        return sock

    def poll(self) -> int:
        return super().poll() | (READABLE if self.pending else 0)

    def queued_files(self) -> Iterator[File]:
        yield from super().queued_files()
        for sock in self.pending:
            yield from sock.queued_files()

    def purge(self) -> None:
        super().purge()
        while self.pending:
            self.pending.popleft().close(reset=True)


class UnixStream(UnixConnection):
    """Bytes without borders; files and credentials stay with the bytes that they came with."""

    __slots__ = ()

    def __init__(self, t: Task, flags: int) -> None:
        super().__init__(t, SOCK_STREAM, flags)

    def send(self, message: Outgoing, t: Task | None) -> int:
        if message.flags & MSG_OOB:
            raise EOPNOTSUPP
        if message.address is not None:
            raise EISCONN if self.state == CONNECTED else EOPNOTSUPP
        peer = self.peer
        if peer is None:
            raise ENOTCONN
        if self.shut & SHUT_WRITE:
            raise EPIPE
        data = message.data
        done, size = 0, len(data)
        buffer = self.options.send_buffer
        step = min(max(buffer // 2 - 64, 1), CHUNK)
        creds = message.creds or self.creds_for(peer, t)
        while done < size:
            if peer.dead or peer.shut & SHUT_READ:
                if done:
                    break
                raise EPIPE
            if self.used >= buffer:
                if done:
                    break
                raise WouldBlock
            part = data if size <= step else data[done : done + step]
            peer.deliver(Message(part, self, creds, message.files, (creds or self.maker).uid))
            message.files = []
            done += len(part)
        return done

    def receive(self, size: int, flags: int) -> Incoming:
        if self.state != CONNECTED:
            raise EINVAL
        inbox = self.inbox
        if not inbox:
            self.raise_error()
            if self.shut & SHUT_READ:
                return Incoming(b"")
            raise WouldBlock
        first = inbox[0]
        whole = not first.at and len(first.data) <= size
        incoming = Incoming(first.data if whole else first.data[first.at : first.at + size])
        incoming.creds = first.creds
        incoming.files = first.files
        if first.sender.address != UNNAMED:
            incoming.address = first.sender.address
        if len(incoming.data) < size and len(inbox) > 1 and not first.files:
            self._gather(incoming, size)
        return incoming

    def _gather(self, incoming: Incoming, size: int) -> None:
        """Go on into the messages behind the first: as far as they have one writer, if that matters, and up to the
        first that carries files."""
        parts, room = [incoming.data], size - len(incoming.data)
        first, creds_matter = self.inbox[0], self.options.pass_creds
        for message in self.inbox:
            if message is first:
                continue
            if creds_matter and not (message.creds or NO_CREDS).same(first.creds or NO_CREDS):
                break
            part = message.data[message.at : message.at + room]
            parts.append(part)
            room -= len(part)
            if message.files:
                incoming.files = message.files
                break
            if not room:
                break
        incoming.data = b"".join(parts)
        incoming.full_size = len(incoming.data)

    def commit(self, count: int) -> list[File]:
        files: list[File] = []
        inbox = self.inbox
        while count > 0 and inbox:
            message = inbox[0]
            if message.files:
                files += self.take_files(message)
            left = len(message.data) - message.at
            if count < left:
                message.at += count
                break
            count -= left
            inbox.popleft()
            self.free(message)
        return files


def new_like(sock: UnixConnection, t: Task) -> UnixConnection:
    """The other end that connect(2) makes."""
    kind: type[UnixConnection] = type(sock)
    return kind(t, 0)  # type: ignore[call-arg]


def pair(one: UnixSocket, other: UnixSocket) -> None:
    one.peer, other.peer = other, one
    one.state = other.state = CONNECTED
