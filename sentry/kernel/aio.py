"""Contexts of Linux asynchronous I/O (io_setup(2)): requests under way, and results that wait to be fetched.

A request runs when it is submitted, as buffered ones do in Linux; what must wait (a poll, a read of an empty pipe) goes
on when its file is notified. Contexts belong to a process: a fork has none of them, an exec and the end destroy them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno, WouldBlock
from sentry.wait import ALWAYS, IN, Entry, WaitQueue

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.anon.eventfd import EventFile
    from vfs.core.file import File

IO_EVENT = Struct("<QQqq")  # data obj res res2
COUNTER_FULL = (1 << 64) - 2


class Context:
    """`room` requests may be under way or unfetched at a time; `asked` counts towards /proc/sys/fs/aio-nr."""

    def __init__(self, asked: int, room: int) -> None:
        self.asked = asked
        self.room = room
        self.active: dict[int, Request] = {}  # by the address of the iocb and a serial number
        self.events: deque[bytes] = deque()
        self.queue = WaitQueue()
        self.dead = False
        self._backlog: deque[Request] = deque()

    def start(self, request: Request, at_once: bool) -> None:
        """Run it now, or in a later turn of the loop, in their order."""
        if at_once and not self._backlog:
            request.run()
            return
        if not self._backlog:
            request.kernel.defer(self._go_on)
        self._backlog.append(request)

    def _go_on(self) -> None:
        if self._backlog:
            request = self._backlog.popleft()
            request.run()
            if self._backlog:
                request.kernel.defer(self._go_on)

    @property
    def full(self) -> bool:
        return len(self.active) + len(self.events) >= self.room

    def complete(self, request: Request, result: int) -> None:
        self.active.pop(id(request), None)
        request.leave()
        if self.dead:
            return
        self.events.append(IO_EVENT.pack(request.data, request.obj_addr, result, 0))
        counter = request.counter
        if counter is not None:
            counter.count = min(counter.count + 1, COUNTER_FULL)
            counter.queue.notify(IN | 0x40)
        self.queue.notify(IN)

    def end(self) -> None:
        """It is destroyed: nothing goes on, and who waits for results gets EINVAL."""
        self.dead = True
        for request in tuple(self.active.values()):
            request.leave()
        self.active.clear()
        self._backlog.clear()
        self.queue.notify()


class Request(Entry):
    """One iocb. `work` gives its result, or raises WouldBlock until `file` has one of the events in `mask`."""

    __slots__ = ("context", "counter", "data", "file", "kernel", "obj_addr", "poll", "waiting", "work")

    def __init__(
        self, t: Task, context: Context, file: File, counter: EventFile | None, data: int, obj_addr: int, mask: int,
        work: Callable[[], int], poll: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(mask | ALWAYS)
        self.kernel: Kernel = t.kernel
        self.context = context
        self.file = file.ref()
        self.counter = counter
        if counter is not None:
            counter.ref()
        self.data = data
        self.obj_addr = obj_addr
        self.work = work
        self.poll = poll
        self.waiting = False  # stands in the file's queue
        context.active[id(self)] = self

    def run(self) -> None:
        if id(self) not in self.context.active:
            return
        try:
            result = self.work()
        except WouldBlock:
            if not self.waiting:
                self.waiting = True
                self.file.queue.add(self)
            return
        except Errno as err:
            result = -err.code
        self.context.complete(self, result)

    def wake(self, events: int) -> None:
        self.kernel.defer(self.run)

    def leave(self) -> None:
        """Done or given up."""
        if self.waiting:
            self.waiting = False
            self.file.queue.remove(self)
        self.file.unref()
        if self.counter is not None:
            self.counter.unref()


class Contexts:
    """Those of one process, by the address that is their number."""

    def __init__(self) -> None:
        self.by_addr: dict[int, Context] = {}

    def end(self) -> None:
        for context in self.by_addr.values():
            context.end()
        self.by_addr.clear()


def contexts(group: ThreadGroup) -> Contexts:
    if group.aio is None:
        group.aio = Contexts()
    return group.aio


def in_use(kernel: Kernel) -> int:
    """/proc/sys/fs/aio-nr."""
    groups = tuple(kernel.groups.values())
    return sum(context.asked for group in groups if group.aio is not None for context in group.aio.by_addr.values())
