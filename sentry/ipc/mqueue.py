"""POSIX message queues (mq_overview(7)): a file system with one directory, whose files are queues.

There is one instance, that of the IPC namespace: every mount of it shows the same queues. All open files of a queue
share its wait queue; `readers` is for those who sleep in mq_receive, for a message that one of them takes is no news
(mq_notify(3)).
"""

from __future__ import annotations

from heapq import heappop, heappush
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.const.files import S_IFDIR, S_IFREG
from sentry.abi.const.rights import CAP_SYS_RESOURCE
from sentry.abi.errno import EBUSY, EEXIST, EINVAL, EMFILE, ENOENT, ENOSPC, WouldBlock
from sentry.wait import IN, OUT, RDNORM, WRNORM, WaitQueue
from vfs.core.file import sought
from vfs.core.mount import Mount
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.open_dir import OpenDir, PlacedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.core.dentry import Path
    from vfs.core.fd_table import FdTable
    from vfs.core.file import File

MQUEUE_MAGIC = 0x19800202
HARD_MESSAGES, HARD_SIZE = 65536, 16 << 20
PRIO_MAX = 32768
TEXT_SIZE = 80  # what stat tells
ENTRY_SIZE = 20
HEAD, NODE = 48, 80  # bytes that Linux charges a message and a priority


class Attr(NamedTuple):
    """struct mq_attr without what changes."""

    messages: int
    size: int


class Limits(NamedTuple):
    """/proc/sys/fs/mqueue."""

    queues: int
    messages: int
    size: int
    default_messages: int
    default_size: int


class Notification(NamedTuple):
    """Who wants to be told of the next message in an empty queue; `table` is the descriptors of `group`."""

    table: FdTable
    group: ThreadGroup
    how: int
    signo: int
    tell: Callable[[Task], None]  # is given the sender


class Readers:
    """Those who sleep in mq_receive."""

    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue = WaitQueue()


class MqueueInode(Inode):
    __slots__ = ("attr", "charged", "heap", "payer", "notification", "queue", "readers", "sequence", "used")

    def __init__(self, fs: MqueueFs, mode: int, creds: Credentials, attr: Attr) -> None:
        super().__init__(fs, fs.new_ino(), S_IFREG | mode, creds.fsuid, creds.fsgid)
        self.size = TEXT_SIZE
        self.attr = attr
        self.charged = 0
        self.payer = creds.fsuid
        self.heap: list[tuple[int, int, bytes]] = []  # (-priority, order, text)
        self.sequence = 0
        self.used = 0  # bytes of all texts
        self.notification: Notification | None = None
        self.queue = WaitQueue()
        self.readers = Readers()

    def open(self, path: Path, flags: int, t: Task) -> File:
        return MqueueFile(path, self, flags)

    def truncate(self, size: int) -> None:
        return

    # messages -------------------------------------------------------------------------------------------------------
    def send(self, text: bytes, priority: int, sender: Task) -> None:
        """WouldBlock while it is full."""
        if len(self.heap) >= self.attr.messages:
            raise WouldBlock
        self.sequence += 1
        heappush(self.heap, (-priority, self.sequence, text))
        self.used += len(text)
        self.mtime_ns = self.ctime_ns = time_ns()
        if self.readers.queue:
            self.readers.queue.notify(IN)
        elif self.notification is not None and len(self.heap) == 1:
            told, self.notification = self.notification, None
            told.tell(sender)
        self.queue.notify(IN | RDNORM)

    def receive(self, give: Callable[[bytes, int], None]) -> int:
        """The oldest of the highest priority; `give` copies it out first. WouldBlock while there is none."""
        if not self.heap:
            raise WouldBlock
        priority, _, text = self.heap[0]
        give(text, -priority)
        heappop(self.heap)
        self.used -= len(text)
        self.mtime_ns = self.ctime_ns = time_ns()
        self.queue.notify(OUT | WRNORM)
        return len(text)

    def register(self, wanted: Notification) -> None:
        if self.notification is not None and not self.notification.group.dead:
            raise EBUSY
        self.notification = wanted

    def text(self) -> bytes:
        told = self.notification
        if told is None:
            return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (self.used, 0, 0, 0)
        signo = told.signo if told.how == 0 else 0
        return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (self.used, told.how, signo, told.group.pid)

    def __del__(self) -> None:
        fs = self.fs
        if self.charged and isinstance(fs, MqueueFs):
            fs.give_back(self.payer, self.charged)


class MqueueFile(PlacedFile):
    """An open queue: reading shows its state, messages go by mq_send and mq_receive."""

    __slots__ = ("inode",)

    def __init__(self, path: Path, inode: MqueueInode, flags: int) -> None:
        super().__init__(path, flags)
        self.inode = inode
        self.queue = inode.queue

    def peek(self, size: int) -> bytes:
        return self.pread(size, self.pos)

    def pread(self, size: int, offset: int) -> bytes:
        return self.inode.text()[offset : offset + size]

    def seek(self, offset: int, whence: int) -> int:
        self.pos = sought(self.pos, offset, whence, TEXT_SIZE)
        return self.pos

    def poll(self) -> int:
        inode = self.inode
        events = IN | RDNORM if inode.heap else 0
        return events | OUT | WRNORM if len(inode.heap) < inode.attr.messages else events

    def flush(self, table: FdTable) -> None:
        told = self.inode.notification
        if told is not None and told.table is table:
            self.inode.notification = None
        super().flush(table)


class MqueueDir(Inode):
    __slots__ = ("entries",)
    fs: MqueueFs

    def __init__(self, fs: MqueueFs) -> None:
        super().__init__(fs, fs.new_ino(), S_IFDIR | 0o1777)
        self.entries: dict[bytes, MqueueInode] = {}

    def lookup(self, name: bytes, t: Task) -> Inode:
        found = self.entries.get(name)
        if found is None:
            raise ENOENT
        return found

    def names(self, t: Task) -> list[Name]:
        return [Name(name, inode.ino, S_IFREG >> 12) for name, inode in self.entries.items()]

    def create(self, name: bytes, mode: int, creds: Credentials) -> Inode:
        """open(2) makes a queue too, with the attributes that mq_open(3) gives without any."""
        return self.make(name, mode, creds, None, 819200)

    def make(self, name: bytes, mode: int, creds: Credentials, attr: Attr | None, rlimit: int) -> MqueueInode:
        """EINVAL, ENOSPC and EMFILE as mq_open(3) says."""
        if name in self.entries:
            raise EEXIST
        fs = self.fs
        limits = fs.limits()
        mighty = creds.has(CAP_SYS_RESOURCE)
        if len(self.entries) >= limits.queues and not mighty:
            raise ENOSPC
        if attr is None:
            attr = Attr(min(limits.messages, limits.default_messages), min(limits.size, limits.default_size))
        most = (HARD_MESSAGES, HARD_SIZE) if mighty else (limits.messages, limits.size)
        if not 0 < attr.messages <= most[0] or not 0 < attr.size <= most[1]:
            raise EINVAL
        cost = attr.messages * (attr.size + HEAD) + min(attr.messages, PRIO_MAX) * NODE
        if fs.charged.get(creds.fsuid, 0) + cost > rlimit:
            raise EMFILE
        inode = MqueueInode(fs, mode, creds, attr)
        inode.charged = cost
        fs.charged[creds.fsuid] = fs.charged.get(creds.fsuid, 0) + cost
        self.entries[name] = inode
        self._touch()
        return inode

    def unlink(self, name: bytes, inode: Inode) -> None:
        del self.entries[name]
        inode.nlink = 0
        inode.ctime_ns = time_ns()
        self._touch()

    def _touch(self) -> None:
        self.size = len(self.entries) * ENTRY_SIZE
        self.mtime_ns = self.ctime_ns = time_ns()

    def open(self, path: Path, flags: int, t: Task) -> File:
        return OpenDir(path, flags)


class MqueueFs(FileSystem):
    name = b"mqueue"
    magic = MQUEUE_MAGIC
    source = b"mqueue"

    def __init__(self) -> None:
        super().__init__()
        self.limits: Callable[[], Limits] = lambda: Limits(256, 10, 8192, 10, 8192)
        self.charged: dict[int, int] = {}  # bytes a user's queues may take (RLIMIT_MSGQUEUE)
        self.top = MqueueDir(self)
        self.set_root(self.top)
        self.mount = Mount(self, self.root)  # where mq_open(3) looks, whatever is mounted

    def give_back(self, uid: int, cost: int) -> None:
        left = self.charged.get(uid, 0) - cost
        if left > 0:
            self.charged[uid] = left
        else:
            self.charged.pop(uid, None)

