"""System V message queues (msgget(2), msgsnd(2), msgrcv(2), msgctl(2))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.errno import E2BIG, EAGAIN, EIDRM, ENOMSG, WouldBlock
from sentry.ipc.perm import IpcObject, seconds
from sentry.wait import IN, OUT, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.creds import Credentials

MSG_NOERROR, MSG_EXCEPT, MSG_COPY = 0o10000, 0o20000, 0o40000


class Message(NamedTuple):
    kind: int
    text: bytes


class MsgQueue(IpcObject):
    def __init__(self, key: int, mode: int, creds: Credentials, limit: int) -> None:
        super().__init__(key, mode, creds)
        self.messages: deque[Message] = deque()
        self.bytes = 0
        self.limit = limit  # msg_qbytes
        self.stime = self.rtime = 0
        self.lspid = self.lrpid = 0
        self.queue = WaitQueue()

    def send(self, message: Message, pid: int, nowait: bool) -> None:
        """WouldBlock while it is full; EAGAIN if the caller does not wait."""
        if self.removed:
            raise EIDRM
        size = len(message.text)
        if self.bytes + size > self.limit or len(self.messages) + 1 > self.limit:
            raise EAGAIN if nowait else WouldBlock
        self.messages.append(message)
        self.bytes += size
        self.lspid, self.stime = pid, seconds()
        self.queue.notify(IN)

    def find(self, wanted: int, flags: int) -> int:
        """The index of the message that msgrcv takes; ENOMSG, or WouldBlock for who waits."""
        if self.removed:
            raise EIDRM
        best, lowest = -1, -wanted + 1
        for index, message in enumerate(self.messages):
            if flags & MSG_COPY:
                if index == wanted:
                    return index
            elif not wanted or flags & MSG_EXCEPT and wanted > 0 and message.kind != wanted:
                return index
            elif wanted > 0:
                if message.kind == wanted and not flags & MSG_EXCEPT:
                    return index
            elif message.kind < lowest:
                best, lowest = index, message.kind
        if best >= 0:
            return best
        raise ENOMSG if flags & 0o4000 else WouldBlock

    def receive(self, wanted: int, size: int, flags: int, pid: int, give: Callable[[Message], None]) -> int:
        """Take one message; `give` copies it out first, so that an EFAULT loses nothing."""
        index = self.find(wanted, flags)
        message = self.messages[index]
        text = message.text
        if len(text) > size:
            if not flags & MSG_NOERROR:
                raise E2BIG
            text = text[:size]
        give(Message(message.kind, text))
        if not flags & MSG_COPY:
            del self.messages[index]
            self.bytes -= len(message.text)
            self.lrpid, self.rtime = pid, seconds()
            self.queue.notify(OUT)
        return len(text)
