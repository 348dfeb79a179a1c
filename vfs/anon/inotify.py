"""inotify(7): a queue of file system events as a file. Who tells it is in vfs/core/notify.py."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sentry.abi.errno import EEXIST, EINVAL, ENOSPC, ENOTTY, WouldBlock
from sentry.abi.flags import (
    FIONREAD,
    IN_ALL_EVENTS,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_ONESHOT,
    IN_Q_OVERFLOW,
    O_RDONLY,
)
from sentry.abi.structs import INOTIFY_EVENT
from sentry.wait import IN, RDNORM
from vfs.anon.inode import SHARED
from vfs.core import notify
from vfs.core.file import File, Stat

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.node import Inode

MAX_QUEUED = 16384  # /proc/sys/fs/inotify/max_queued_events
MAX_WATCHES = 65536  # of one instance; /proc/sys/fs/inotify/max_user_watches counts per user
KEPT = IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK


class Watch:
    """One watched inode; a mark of vfs.core.notify."""

    __slots__ = ("file", "inode", "mask", "number")

    def __init__(self, file: InotifyFile, inode: Inode, number: int, mask: int) -> None:
        self.file = file
        self.inode = inode
        self.number = number
        self.mask = mask

    def event(self, bits: int, cookie: int, name: bytes) -> None:
        self.file.put(self.number, bits, cookie, name)
        if self.mask & IN_ONESHOT:
            self.file.drop(self)

    def end(self) -> None:
        self.file.drop(self)


class InotifyFile(File):
    """`events` are packed and padded, ready to be read."""

    __slots__ = ("_next", "events", "watches")

    def __init__(self, flags: int) -> None:
        super().__init__(O_RDONLY | flags)
        self.events: deque[bytes] = deque()
        self.watches: dict[int, Watch] = {}
        self._next = 1

    # watches ------------------------------------------------------------------------------------------------------
    def add(self, inode: Inode, mask: int) -> int:
        """The number of the watch on `inode`: a new one, or the one there was with its mask replaced or extended."""
        for watch in inode.watches if isinstance(inode.watches, list) else ():
            if isinstance(watch, Watch) and watch.file is self:
                if mask & IN_MASK_CREATE:
                    raise EEXIST
                watch.mask = mask & KEPT | (watch.mask if mask & IN_MASK_ADD else 0)
                return watch.number
        if len(self.watches) >= MAX_WATCHES:
            raise ENOSPC
        watch = Watch(self, inode, self._next, mask & KEPT)
        self.watches[self._next] = watch
        self._next += 1
        notify.add(inode, watch)
        return watch.number

    def remove(self, number: int) -> None:
        watch = self.watches.get(number)
        if watch is None:
            raise EINVAL
        self.drop(watch)

    def drop(self, watch: Watch) -> None:
        """The watch ends, which is an event too."""
        if self.watches.pop(watch.number, None) is not None:
            notify.remove(watch.inode, watch)
            self.put(watch.number, IN_IGNORED, 0, b"")

    def put(self, number: int, bits: int, cookie: int, name: bytes) -> None:
        events = self.events
        if len(events) >= MAX_QUEUED:
            number, bits, cookie, name = -1, IN_Q_OVERFLOW, 0, b""
        size = (len(name) // INOTIFY_EVENT.size + 1) * INOTIFY_EVENT.size if name else 0
        event = INOTIFY_EVENT.pack(number, bits, cookie, size) + name + bytes(size - len(name))
        if events and events[-1] == event:
            return  # the same again is one event
        events.append(event)
        self.queue.notify(IN | RDNORM)

    # data ---------------------------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        if not self.events:
            raise WouldBlock
        whole: list[bytes] = []
        for event in self.events:
            size -= len(event)
            if size < 0:
                break
            whole.append(event)
        if not whole:
            raise EINVAL  # the next event does not fit
        return b"".join(whole)

    def consume(self, count: int) -> None:
        while self.events and count >= len(self.events[0]):
            count -= len(self.events.popleft())

    def poll(self) -> int:
        return IN | RDNORM if self.events else 0

    def seek(self, offset: int, whence: int) -> int:
        return 0

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request != FIONREAD:
            raise ENOTTY
        t.mem.put_i32(arg, sum(len(event) for event in self.events))
        return 0

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:inotify"

    def release(self) -> None:
        for watch in self.watches.values():
            notify.remove(watch.inode, watch)
        self.watches.clear()
        self.events.clear()
