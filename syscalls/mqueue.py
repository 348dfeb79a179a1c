"""mq_open(3), mq_unlink(3), mq_send(3), mq_receive(3), mq_notify(3), mq_getattr(3): the system calls behind them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    NAME_MAX,
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_LARGEFILE,
    O_NONBLOCK,
)
from sentry.abi.errno import EACCES, EBADF, EEXIST, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, ETIMEDOUT
from sentry.abi.structs import MQ_ATTR, SIGEVENT, SIGINFO_QUEUE, TIMESPEC
from sentry.ipc.mqueue import PRIO_MAX, Attr, Limits, MqueueFile, MqueueFs, MqueueInode, Notification
from sentry.ipc.namespace import ipc
from sentry.kernel.limits import MSGQUEUE
from sentry.wait import IN, OUT, retry
from syscalls.args import Addr, Int, Mode, OpenFlags, Size, Text, UInt
from syscalls.registry import syscall
from vfs.core import names, setup
from vfs.core.dentry import Path
from vfs.core.opening import open_place
from vfs.core.walk import find
from vfs.proc.sysctl import value

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from vfs.core.file import File

SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD = 0, 1, 2
SI_MESGQ = -3
SA_SIGINFO = 4
LAST_SIGNAL = 64
EVER_NS = 1 << 62


def _limits(kernel: Kernel) -> Limits:
    parameters = (b"queues_max", b"msg_max", b"msgsize_max", b"msg_default", b"msgsize_default")
    return Limits(*(value(kernel, b"fs/mqueue/" + name) for name in parameters))


def _file_system(kernel: Kernel) -> MqueueFs:
    fs = ipc(kernel).mqueue
    fs.limits = partial(_limits, kernel)
    return fs


setup.register("mqueue", lambda kernel, options: _file_system(kernel))


def _name(t: Task, name_addr: int) -> bytes:
    name = t.mem.path(name_addr)
    if not name:
        raise ENOENT
    if len(name) > NAME_MAX:
        raise ENAMETOOLONG
    if b"/" in name or name in (b".", b".."):
        raise EACCES
    return name


@syscall("mq_open", Text, OpenFlags, Mode, Addr)
def sys_mq_open(t: Task, name_addr: int, flags: int, mode: int, attr_addr: int) -> int:
    attr = None
    if flags & O_CREAT and attr_addr:
        _, messages, size, _ = t.mem.unpack(MQ_ATTR, attr_addr)
        attr = Attr(messages, size)
    name = _name(t, name_addr)
    t.fds.need_room()
    fs = _file_system(t.kernel)
    top = Path(fs.mount, fs.root)
    new = False
    try:
        place = find(t, top, name)
        if flags & O_CREAT and flags & O_EXCL:
            raise EEXIST
        if flags & O_ACCMODE == O_ACCMODE:
            raise EINVAL
    except ENOENT:
        if not flags & O_CREAT:
            raise
        names.check_new(t, top, name)
        if flags & O_ACCMODE == O_ACCMODE:
            raise EINVAL
        made = fs.top.make(name, mode & ~t.fs.umask & 0o7777, t.creds, attr, t.group.limits.get(MSGQUEUE)[0])
        place = Path(fs.mount, names.enter(fs.root, name, made))
        new = True
    kept = flags & (O_ACCMODE | O_NONBLOCK) | O_LARGEFILE
    return t.fds.install(open_place(t, place, kept, new), cloexec=True)


@syscall("mq_unlink", Text)
def sys_mq_unlink(t: Task, name_addr: int) -> int:
    name = _name(t, name_addr)
    fs = _file_system(t.kernel)
    names.unlink(t, Path(fs.mount, fs.root), name, False)
    return 0


def _deadline(t: Task, addr: int) -> int | None:
    """An absolute time on CLOCK_REALTIME, as one of the kernel's clock."""
    if not addr:
        return None
    seconds, ns = t.mem.unpack(TIMESPEC, addr)
    if seconds < 0 or not 0 <= ns < 1_000_000_000:
        raise EINVAL
    kernel = t.kernel
    return min(kernel.now_ns() + seconds * 1_000_000_000 + ns - kernel.realtime_ns(), EVER_NS)


def _expired() -> int:
    raise ETIMEDOUT


def _queue(file: File) -> MqueueFile:
    if not isinstance(file, MqueueFile):
        raise EBADF
    return file


@syscall("mq_timedsend", Int, Addr, Size, UInt, Addr)
def sys_mq_timedsend(t: Task, fd: int, text_addr: int, size: int, priority: int, timeout_addr: int) -> int:
    deadline_ns = _deadline(t, timeout_addr)
    if priority >= PRIO_MAX:
        raise EINVAL
    file = _queue(t.fds.get(fd))
    if not file.writable:
        raise EBADF
    inode = file.inode
    if size > inode.attr.size:
        raise EMSGSIZE
    text = t.mem.read(text_addr, size) if size else b""

    def send() -> int:
        inode.send(text, priority, t)
        return 0

    return retry(send, [(file, OUT)], nonblock=file.nonblock, deadline_ns=deadline_ns, expired=_expired)


@syscall("mq_timedreceive", Int, Addr, Size, Addr, Addr)
def sys_mq_timedreceive(t: Task, fd: int, text_addr: int, size: int, priority_addr: int, timeout_addr: int) -> int:
    deadline_ns = _deadline(t, timeout_addr)
    file = _queue(t.fds.get(fd))
    if not file.readable:
        raise EBADF
    inode = file.inode
    if size < inode.attr.size:
        raise EMSGSIZE

    def give(text: bytes, priority: int) -> None:
        if priority_addr:
            t.mem.put_u32(priority_addr, priority)
        t.mem.write(text_addr, text)

    receive = partial(inode.receive, give)
    return retry(receive, [(inode.readers, IN)], nonblock=file.nonblock, deadline_ns=deadline_ns, expired=_expired)


@syscall("mq_notify", Int, Addr, support="partial", note="no SIGEV_THREAD: there are no netlink sockets to tell it by")
def sys_mq_notify(t: Task, fd: int, event_addr: int) -> int:
    if not event_addr:
        inode = _queue(t.fds.get(fd)).inode
        if inode.notification is not None and inode.notification.table is t.fds:
            inode.notification = None
        return 0
    value, signo, how, _ = _event(t, event_addr)
    if how not in (SIGEV_NONE, SIGEV_SIGNAL):
        raise EINVAL
    if how == SIGEV_SIGNAL and not 0 <= signo <= LAST_SIGNAL:
        raise EINVAL
    inode = _queue(t.fds.get(fd)).inode
    group, kernel = t.group, t.kernel

    def tell(sender: Task) -> None:
        if how == SIGEV_SIGNAL and signo and not group.dead:
            info = SIGINFO_QUEUE.pack(signo, 0, SI_MESGQ, sender.group.pid, sender.creds.ruid, value)
            # The host leaves the sender's number in a siginfo only where it is put in at a stop.
            exactly = sender.group is group and group.sighand.get(signo).flags & SA_SIGINFO
            if not exactly or not kernel.signals.exact.send_now(sender, signo, info):
                kernel.signals.send_group(group, signo, info)

    inode.register(Notification(t.fds, group, how, signo, tell))
    return 0


def _event(t: Task, addr: int) -> tuple[int, int, int, int]:
    value, signo, how, target = t.mem.unpack(SIGEVENT, addr)[:4]
    return value, signo, how, target


@syscall("mq_getsetattr", Int, Addr, Addr)
def sys_mq_getsetattr(t: Task, fd: int, new_addr: int, old_addr: int) -> int:
    flags = None
    if new_addr:
        flags = t.mem.unpack(MQ_ATTR, new_addr)[0]
        if flags & ~O_NONBLOCK:
            raise EINVAL
    file = _queue(t.fds.get(fd))
    inode: MqueueInode = file.inode
    shown = MQ_ATTR.pack(file.flags & O_NONBLOCK, inode.attr.messages, inode.attr.size, len(inode.heap))
    if flags is not None:
        file.flags = file.flags & ~O_NONBLOCK | flags
    if old_addr:
        t.mem.write(old_addr, shown)
    return 0


