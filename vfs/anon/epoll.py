"""epoll(7): a set of watched files and the list of those that may be ready.

An `EpollItem` sleeps on its file's queue and enters the ready list when that is notified, so that waiting costs as much
as there is ready, not as much as is watched. What is in the list is asked with `poll` before it is reported.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import ref

from sentry.abi.errno import EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC
from sentry.abi.flags import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EPOLLWAKEUP
from sentry.wait import ALWAYS, IN, OUT, RDNORM, Entry
from vfs.anon.inode import SHARED
from vfs.core.file import O_RDWR, File, Stat

if TYPE_CHECKING:
    from sentry.wait import WaitQueue

MAX_NESTS = 4  # links between epoll files in one chain
MAX_WATCHES = 1 << 20  # of one set; /proc/sys/fs/epoll/max_user_watches counts per user
PRIVATE = EPOLLET | EPOLLEXCLUSIVE | EPOLLONESHOT | EPOLLWAKEUP
EXCLUSIVE_OK = 0xFFFF_FFFF & (IN | OUT | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)


class FileRef(ref["File"]):
    """A watched file: watching does not keep it open. It knows its entry, so that neither refers to the other."""

    __slots__ = ("epoll", "key")

    epoll: ref[EpollFile]
    key: tuple[int, int]


def _file_gone(file: ref[File]) -> None:
    assert isinstance(file, FileRef)
    epoll = file.epoll()
    if epoll is not None:
        item = epoll.items.get(file.key)
        if item is not None:
            epoll.drop(item)


class EpollItem(Entry):
    """One watched file, known by its number and description; gone when the description is."""

    __slots__ = ("data", "epoll", "events", "file", "queue")

    def __init__(self, epoll: EpollFile, file: File, key: tuple[int, int], events: int, data: int) -> None:
        super().__init__((events & ~PRIVATE) | ALWAYS)
        self.epoll = ref(epoll)  # weak: the set owns the item
        self.file = FileRef(file, _file_gone)
        self.file.epoll, self.file.key = self.epoll, key
        self.queue: WaitQueue = file.queue
        self.events = events
        self.data = data

    def wake(self, events: int) -> None:
        if self.mask:
            epoll = self.epoll()
            if epoll is not None:
                epoll.mark(self)

    def ready(self) -> int:
        """Events to report now; 0 for a file whose last descriptor is closed."""
        file = self.file()
        if file is None or file.refs <= 0 or not self.mask:
            return 0
        return file.poll() & self.mask


class EpollFile(File):
    """An epoll instance."""

    __slots__ = ("items", "ready_items")

    def __init__(self) -> None:
        super().__init__(O_RDWR)
        self.items: dict[tuple[int, int], EpollItem] = {}  # (number, id of the File)
        self.ready_items: OrderedDict[EpollItem, None] = OrderedDict()  # in the order in which they became ready

    # the interest list ------------------------------------------------------------------------------------------------
    def add(self, file: File, fd: int, events: int, data: int) -> None:
        key = (fd, id(file))
        if events & EPOLLEXCLUSIVE and (events & ~EXCLUSIVE_OK or isinstance(file, EpollFile)):
            raise EINVAL
        if isinstance(file, EpollFile):
            self._check_nesting(file)
        if key in self.items:
            raise EEXIST
        if len(self.items) >= MAX_WATCHES:
            raise ENOSPC
        item = self.items[key] = EpollItem(self, file, key, events, data)
        item.queue.add(item)
        if item.ready():
            self.mark(item)

    def modify(self, file: File, fd: int, events: int, data: int) -> None:
        item = self._find(file, fd)
        if (events | item.events) & EPOLLEXCLUSIVE:
            raise EINVAL
        item.events, item.data, item.mask = events, data, (events & ~PRIVATE) | ALWAYS
        if item.ready():
            self.mark(item)

    def remove(self, file: File, fd: int) -> None:
        self.drop(self._find(file, fd))

    def _find(self, file: File, fd: int) -> EpollItem:
        item = self.items.get((fd, id(file)))
        if item is None:
            raise ENOENT
        return item

    def drop(self, item: EpollItem) -> None:
        item.queue.remove(item)
        self.ready_items.pop(item, None)
        self.items.pop(item.file.key, None)

    # the ready list ---------------------------------------------------------------------------------------------------
    def mark(self, item: EpollItem) -> None:
        if item not in self.ready_items:
            self.ready_items[item] = None
        self.queue.notify(IN | RDNORM)

    def collect(self, limit: int) -> list[tuple[EpollItem, int]]:
        """Up to `limit` ready items with their events, taken off the list; `commit` or `put_back` must follow."""
        found: list[tuple[EpollItem, int]] = []
        ready = self.ready_items
        while ready and len(found) < limit:
            item = ready.popitem(last=False)[0]
            events = item.ready()
            if events:
                found.append((item, events))
        return found

    def commit(self, found: list[tuple[EpollItem, int]]) -> None:
        """The events were handed out: one-shot items are disabled, level-triggered ones stay in the list."""
        for item, _ in found:
            if item.events & EPOLLONESHOT:
                item.mask = 0
            elif not item.events & EPOLLET:
                self.ready_items[item] = None  # at the end: all take turns

    def put_back(self, found: list[tuple[EpollItem, int]]) -> None:
        """The guest's memory could not take the events."""
        for item, _ in found:
            self.ready_items[item] = None

    # nesting ----------------------------------------------------------------------------------------------------------
    def _children(self) -> list[EpollFile]:
        files = [item.file() for item in self.items.values()]
        return [file for file in files if isinstance(file, EpollFile)]

    def _depth(self, target: EpollFile | None, seen: dict[int, int]) -> int:
        """Longest chain of epoll files below this one; ELOOP when it leads to `target`."""
        if self is target:
            raise ELOOP
        if id(self) not in seen:
            seen[id(self)] = 0
            below = [child._depth(target, seen) + 1 for child in self._children()]
            seen[id(self)] = max(below, default=0)
        return seen[id(self)]

    def _height(self) -> int:
        """Longest chain of epoll files above this one; bounded because every link was checked when it was made."""
        entries = self.queue._entries or ()
        above = [e.epoll() for e in entries if isinstance(e, EpollItem)]
        return max((epoll._height() + 1 for epoll in above if epoll is not None), default=0)

    def _check_nesting(self, child: EpollFile) -> None:
        if child is self:
            raise EINVAL
        if child._depth(self, {}) + 1 + self._height() > MAX_NESTS:
            raise ELOOP

    # a file -----------------------------------------------------------------------------------------------------------
    def poll(self) -> int:
        ready = self.ready_items
        while ready:
            item = next(iter(ready))
            if item.ready():
                return IN | RDNORM
            del ready[item]
        return 0

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[eventpoll]"

    def release(self) -> None:
        for item in self.items.values():
            item.queue.remove(item)
        self.items.clear()
        self.ready_items.clear()
