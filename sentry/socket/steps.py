"""Sends and receives that go on while they wait, and several of them in one call (sendmmsg(2), recvmmsg(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EAGAIN, Errno, WouldBlock
from sentry.abi.structs import MMSGHDR
from sentry.socket.header import LENGTH_AT

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.base import Socket


class Step:
    """What `retry` is given: called until it no longer raises WouldBlock; `done` says how far it has come."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> int:
        raise NotImplementedError

    def finish(self) -> int:
        """It ends with what is done: the result of the call."""
        return self.done

    def progress(self) -> int | None:
        """A signal ends it."""
        return self.finish() if self.done else None

    def expired(self) -> int:
        """SO_RCVTIMEO or SO_SNDTIMEO ends it."""
        done = self.progress()
        if done is None:
            raise EAGAIN
        return done


class Messages(Step):
    """`done` messages of a vector are through, which counts whatever then happens; `step` is the one under way."""

    __slots__ = ("count", "flags", "sock", "step", "t", "vector_addr")

    def __init__(self, t: Task, sock: Socket, vector_addr: int, count: int, flags: int) -> None:
        super().__init__()
        self.t = t
        self.sock = sock
        self.vector_addr = vector_addr
        self.count = count
        self.flags = flags
        self.step: Step | None = None

    def begin(self, msg_addr: int) -> Step:
        """The message that the struct msghdr at `msg_addr` describes."""
        raise NotImplementedError

    def first_is_enough(self) -> bool:
        """Whether the call ends, rather than wait, once a message is through."""
        return self.sock.nonblock or bool(self.flags & abi.MSG_DONTWAIT)

    def __call__(self) -> int:
        while self.done < self.count:
            try:
                if self.step is None:
                    self.step = self.begin(self.vector_addr + self.done * MMSGHDR.size)
                self._through(self.step())
            except WouldBlock:
                if self.done and self.first_is_enough():
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
        return self.done

    def _through(self, size: int) -> None:
        self.t.mem.put_u32(self.vector_addr + self.done * MMSGHDR.size + LENGTH_AT, size)
        self.done += 1
        self.step = None

    def progress(self) -> int | None:
        if self.step is not None and self.step.done:
            try:
                self._through(self.step.finish())
            except Errno:
                pass
        return self.done or None
