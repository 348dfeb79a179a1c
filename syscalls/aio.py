"""io_setup(2), io_submit(2), io_getevents(2), io_pgetevents(2), io_cancel(2), io_destroy(2).

A context's number is an address in the caller's memory, where Linux has a ring that the library may read; here it is a
page without the ring's mark, so libraries make the call.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    RWF_APPEND,
    RWF_DSYNC,
    RWF_HIPRI,
    RWF_NOWAIT,
    RWF_SYNC,
    S_IFBLK,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
)
from sentry.abi.errno import (
    BY_CODE,
    EAGAIN,
    EBADF,
    EFAULT,
    EINPROGRESS,
    EINVAL,
    EIO,
    EOPNOTSUPP,
    Errno,
    WouldBlock,
)
from sentry.abi.structs import TIMESPEC
from sentry.kernel.aio import IO_EVENT, Context, Request, contexts, in_use
from sentry.kernel.in_place import Step, run_in_place
from sentry.mm.user import MAX_RW_COUNT, TASK_SIZE
from sentry.wait import ALWAYS, IN, OUT, RESTARTNOHAND, retry
from syscalls.args import Addr, Long, UInt, ULong
from syscalls.epoll import call_mask
from syscalls.registry import DEFERRED, syscall
from syscalls.transfer import CHUNK, Reading, Writing
from vfs.anon.eventfd import EventFile
from vfs.proc.sysctl import value

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.mm.user import Iovec
    from vfs.core.file import File

NR_MMAP, NR_MUNMAP, NR_IO_SETUP, NR_IO_DESTROY = 9, 11, 206, 207
PAGE = 4096
PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS = 3, 0x22
MOST = 0x1000_0000
ROOM = 65536  # requests of one context
AT_ONCE = 32  # requests that one io_submit runs itself; the rest is done in turns of the loop
PREAD, PWRITE, FSYNC, FDSYNC, POLL, PREADV, PWRITEV = 0, 1, 2, 3, 5, 7, 8
FLAG_RESFD, FLAG_IOPRIO = 1, 2
RWF = RWF_APPEND | RWF_DSYNC | RWF_HIPRI | RWF_NOWAIT | RWF_SYNC
# data key rw_flags opcode reqprio fd buf nbytes offset reserved flags resfd
IOCB = Struct("<QIIHhIQQqQII")
KEY_AT = 8
SIGSET_ARG = Struct("<QQ")


class Iocb:
    """struct iocb, copied once."""

    __slots__ = ("addr", "buf", "data", "fd", "flags", "offset", "opcode", "resfd", "rw_flags", "size")

    def __init__(self, t: Task, addr: int) -> None:
        (
            self.data, _, self.rw_flags, self.opcode, _, self.fd, self.buf, self.size, self.offset, reserved,
            self.flags, self.resfd,
        ) = t.mem.unpack(IOCB, addr)  # fmt: skip
        self.addr = addr
        if reserved or self.size >= 1 << 63:
            raise EINVAL


@syscall("io_setup", UInt, Addr)
def sys_io_setup(t: Task, count: int, id_addr: int) -> int:
    if t.mem.u64(id_addr) or not count or count > MOST:
        raise EINVAL
    kernel = t.kernel
    if in_use(kernel) + count > value(kernel, b"fs/aio-max-nr"):
        raise EAGAIN
    group = t.group

    def done(result: int) -> int:
        if result < 0:
            raise BY_CODE.get(-result, EIO)
        t.mem.put_u64(id_addr, result)
        contexts(group).by_addr[result] = Context(count, min(count * 2, ROOM))
        return 0

    steps = [Step(NR_MMAP, (0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0))]
    run_in_place(t, NR_IO_SETUP, steps, done)
    return DEFERRED


def _context(t: Task, number: int) -> Context:
    found = t.group.aio.by_addr.get(number) if t.group.aio is not None else None
    if found is None:
        raise EINVAL
    return found


@syscall("io_destroy", ULong)
def sys_io_destroy(t: Task, number: int) -> int:
    context = _context(t, number)
    del contexts(t.group).by_addr[number]
    context.end()
    run_in_place(t, NR_IO_DESTROY, [Step(NR_MUNMAP, (number, PAGE, 0, 0, 0, 0))], lambda result: 0)
    return DEFERRED


@syscall("io_submit", ULong, Long, Addr)
def sys_io_submit(t: Task, number: int, count: int, list_addr: int) -> int:
    if count < 0:
        raise EINVAL
    context = _context(t, number)
    done = 0
    for done in range(min(count, context.room)):
        try:
            _submit(t, context, t.mem.u64(list_addr + 8 * done), done < AT_ONCE)
        except Errno:
            if done:
                return done
            raise
    return done + 1 if count else 0


def _submit(t: Task, context: Context, addr: int, at_once: bool) -> None:
    iocb = Iocb(t, addr)
    if context.full:
        raise EAGAIN
    file = t.fds.get(iocb.fd)
    counter = None
    if iocb.flags & FLAG_RESFD:
        wanted = t.fds.get(iocb.resfd)
        if not isinstance(wanted, EventFile):
            raise EINVAL
        counter = wanted
    t.mem.put_u32(addr + KEY_AT, 0)
    mask, work = _work(t, iocb, file)
    request = Request(t, context, file, counter, iocb.data, addr, mask, work, iocb.opcode == POLL)
    context.start(request, at_once and iocb.size <= CHUNK)


def _work(t: Task, iocb: Iocb, file: File) -> tuple[int, Callable[[], int]]:
    """What to do, and the events of the file that it may have to wait for."""
    opcode = iocb.opcode
    if opcode == POLL:
        return _poll(iocb, file)
    if opcode in (FSYNC, FDSYNC):
        return 0, _sync(iocb, file)
    if opcode not in (PREAD, PWRITE, PREADV, PWRITEV):
        raise EINVAL
    writing = opcode in (PWRITE, PWRITEV)
    if not (file.writable if writing else file.readable):
        raise EBADF
    if iocb.rw_flags & ~RWF:
        raise EOPNOTSUPP
    kind = file.stat().mode & S_IFMT
    if kind == S_IFDIR or file.native_read and not writing:
        raise EINVAL
    iov = _iovec(t, iocb)
    at: int | None = None
    if kind not in (S_IFIFO, S_IFSOCK):
        if iocb.offset < 0:
            raise EINVAL
        at = iocb.offset
    if not any(size for _, size in iov):
        return 0, lambda: 0
    if not writing:
        reading = Reading(t, file, iov, at)
        return IN, reading
    if kind == S_IFREG and (iocb.rw_flags & RWF_APPEND or file.flags & 0o2000):
        at = file.stat().size
    transfer = Writing(t, file, iov, at)
    if kind != S_IFREG or not iocb.rw_flags & (RWF_DSYNC | RWF_SYNC):
        return OUT, transfer

    def write_through() -> int:
        done = transfer()
        file.sync(not iocb.rw_flags & RWF_SYNC)
        return done

    return OUT, write_through


def _iovec(t: Task, iocb: Iocb) -> Iovec:
    if iocb.opcode in (PREADV, PWRITEV):
        return t.mem.iovec(iocb.buf, iocb.size)
    size = min(iocb.size, MAX_RW_COUNT)
    if iocb.buf + size > TASK_SIZE:
        raise EFAULT
    return [(iocb.buf, size)]


def _sync(iocb: Iocb, file: File) -> Callable[[], int]:
    if iocb.buf or iocb.offset or iocb.size or iocb.rw_flags:
        raise EINVAL
    if file.stat().mode & S_IFMT not in (S_IFREG, S_IFBLK, S_IFDIR):
        raise EINVAL

    def sync() -> int:
        file.sync(iocb.opcode == FDSYNC)
        return 0

    return sync


def _poll(iocb: Iocb, file: File) -> tuple[int, Callable[[], int]]:
    if iocb.buf > 0xFFFF or iocb.offset or iocb.size or iocb.rw_flags:
        raise EINVAL
    mask = iocb.buf | ALWAYS

    def look() -> int:
        ready = file.poll() & mask
        if not ready:
            raise WouldBlock
        return ready

    return mask, look


class Fetching:
    """Takes results as they come: `done` of at most `most` have been copied out, and `least` are waited for."""

    __slots__ = ("addr", "context", "done", "least", "most", "t")

    def __init__(self, t: Task, context: Context, least: int, most: int, addr: int) -> None:
        self.t = t
        self.context = context
        self.least = least
        self.most = most
        self.addr = addr
        self.done = 0

    def __call__(self) -> int:
        events = self.context.events
        take = min(len(events), self.most - self.done)
        if take:
            data = b"".join(events[i] for i in range(take))
            self.t.mem.write(self.addr + self.done * IO_EVENT.size, data)
            for _ in range(take):
                events.popleft()
            self.done += take
        if self.done >= self.least:
            return self.done
        if self.context.dead:
            if self.done:
                return self.done
            raise EINVAL
        raise WouldBlock

    def expired(self) -> int:
        return self.done

    def progress(self) -> int | None:
        return self.done or None


def _get_events(
    t: Task, number: int, least: int, most: int, addr: int, timeout_addr: int, sigmask: int | None, mask_addr: int
) -> int:
    timeout_ns = None
    if timeout_addr:
        seconds, ns = t.mem.unpack(TIMESPEC, timeout_addr)
        timeout_ns = min(max(seconds * 1_000_000_000 + ns, 0), 1 << 62)
    context = _context(t, number)
    if not 0 <= least <= most:
        raise EINVAL
    fetch = Fetching(t, context, least, min(most, context.room), addr)
    fetch.least = min(least, fetch.most)
    deadline_ns = None if timeout_ns is None else t.kernel.now_ns() + timeout_ns
    return retry(
        fetch, [(context, IN)], deadline_ns=deadline_ns, expired=fetch.expired, interrupted=fetch.progress,
        restart=RESTARTNOHAND, sigmask=sigmask, sigmask_addr=mask_addr,
    )  # fmt: skip


@syscall("io_getevents", ULong, Long, Long, Addr, Addr)
def sys_io_getevents(t: Task, number: int, least: int, most: int, addr: int, timeout_addr: int) -> int:
    return _get_events(t, number, least, most, addr, timeout_addr, None, 0)


@syscall("io_pgetevents", ULong, Long, Long, Addr, Addr, Addr)
def sys_io_pgetevents(
    t: Task, number: int, least: int, most: int, addr: int, timeout_addr: int, mask_arg_addr: int
) -> int:
    mask_addr, mask_size = t.mem.unpack(SIGSET_ARG, mask_arg_addr) if mask_arg_addr else (0, 0)
    sigmask = call_mask(t, mask_addr, mask_size)
    return _get_events(t, number, least, most, addr, timeout_addr, sigmask, mask_addr)


@syscall("io_cancel", ULong, Addr, Addr)
def sys_io_cancel(t: Task, number: int, iocb_addr: int, event_addr: int) -> int:
    if t.mem.unpack(IOCB, iocb_addr)[1]:
        raise EINVAL
    context = _context(t, number)
    for request in tuple(context.active.values()):
        if request.obj_addr == iocb_addr and request.poll:
            context.complete(request, 0)
            raise EINPROGRESS
    raise EINVAL
