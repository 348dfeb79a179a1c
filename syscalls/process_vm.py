"""Memory of other processes: process_vm_readv(2), process_madvise(2), process_mrelease(2), move_pages(2)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_NICE
from sentry.abi.errno import E2BIG, EACCES, EFAULT, EINVAL, ENODEV, ENOENT, EPERM, ESRCH, WouldBlock
from sentry.mm.user import behind
from sentry.wait import IN, WaitQueue, retry
from syscalls.args import Addr, FdNum, Int, Pid, Size, UInt, ULong
from syscalls.pidfd import pidfd_of
from syscalls.ptrace import may_attach
from syscalls.registry import syscall
from syscalls.transfer import CHUNK, TURN
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.mm.user import Iovec

# Advice that changes no contents, which is all that one process may give another.
MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE = 3, 20, 21, 25
MPOL_MF_MOVE, MPOL_MF_MOVE_ALL = 2, 4
PAGE = 4096
MOST_PAGES = 1 << 20
PRESENT = 1 << 63
PAGES_AT_ONCE = 256
U64 = Struct("<Q")
I32 = Struct("<i")


class Copy:
    """Between two address spaces, as far as both are there; a long one lets others run between its stretches."""

    __slots__ = ("done", "local", "queue", "remote", "size", "t", "target", "write")

    def __init__(self, t: Task, target: Task, local: Iovec, remote: Iovec, write: bool) -> None:
        self.t = t
        self.target = target
        self.local = local
        self.remote = remote
        self.write = write
        self.size = min(sum(size for _, size in local), sum(size for _, size in remote))
        self.done = 0
        self.queue = WaitQueue()

    def __call__(self) -> int:
        pause = self.done + TURN
        source, sink = (self.t.mem, self.target.mem) if self.write else (self.target.mem, self.t.mem)
        there, here = (self.local, self.remote) if self.write else (self.remote, self.local)
        while self.done < self.size:
            if self.done >= pause:
                self.t.kernel.defer(self.queue.notify)
                raise WouldBlock
            wanted = min(self.size - self.done, CHUNK)
            try:
                data = source.gather(behind(there, self.done), wanted)
                moved = sink.scatter(behind(here, self.done), data)
            except EFAULT:
                if self.done:
                    break
                raise
            self.done += moved
            if moved < wanted:
                break
        return self.done

    def progress(self) -> int | None:
        return self.done or None


def _copy(
    t: Task, pid: int, local_addr: int, local_count: int, remote_addr: int, remote_count: int, flags: int, write: bool
) -> int:
    if flags:
        raise EINVAL
    local = t.mem.iovec(local_addr, local_count)
    if not any(size for _, size in local):
        return 0
    remote = t.mem.iovec(remote_addr, remote_count)
    if not any(size for _, size in remote):
        return 0
    target = t.kernel.find_task(pid)
    if target is None or target.dead:
        raise ESRCH
    if target.group is not t.group and not may_attach(t, target):
        raise EPERM
    copy = Copy(t, target, local, remote, write)
    return retry(copy, [(copy, IN)], interrupted=copy.progress)


@syscall("process_vm_readv", Pid, Addr, ULong, Addr, ULong, ULong)
def sys_process_vm_readv(
    t: Task, pid: int, local_addr: int, local_count: int, remote_addr: int, remote_count: int, flags: int
) -> int:
    return _copy(t, pid, local_addr, local_count, remote_addr, remote_count, flags, False)


@syscall("process_vm_writev", Pid, Addr, ULong, Addr, ULong, ULong)
def sys_process_vm_writev(
    t: Task, pid: int, local_addr: int, local_count: int, remote_addr: int, remote_count: int, flags: int
) -> int:
    return _copy(t, pid, local_addr, local_count, remote_addr, remote_count, flags, True)


@syscall(
    "process_madvise", FdNum, Addr, Size, Int, UInt, support="partial",
    note="WILLNEED, COLD, PAGEOUT and COLLAPSE, which change no contents: checked, without effect",
)  # fmt: skip
def sys_process_madvise(t: Task, pidfd: int, iov_addr: int, count: int, advice: int, flags: int) -> int:
    if flags:
        raise EINVAL
    iov = t.mem.iovec(iov_addr, count)
    group = pidfd_of(t, pidfd).group
    if group.dead or not group.tasks:
        raise ESRCH
    if advice not in (MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE):
        raise EINVAL
    if group is not t.group:
        if not Subject(group).may_inspect(t):
            raise EACCES
        t.creds.require(CAP_SYS_NICE)
    if any(base & (PAGE - 1) for base, size in iov):
        raise EINVAL
    return sum(size for _, size in iov)


@syscall("process_mrelease", FdNum, UInt)
def sys_process_mrelease(t: Task, pidfd: int, flags: int) -> int:
    if flags:
        raise EINVAL
    group = pidfd_of(t, pidfd).group
    if group.dead or not group.tasks:
        raise ESRCH
    if not group.exiting and not _being_killed(t, group.leader):
        raise EINVAL
    return 0  # the host frees it as soon as its last thread is gone


def _being_killed(t: Task, target: Task) -> bool:
    """Does a SIGKILL wait for it?"""
    masks = t.kernel.signals.masks(target)
    return masks is not None and bool((masks[0] | masks[1]) >> 8 & 1)


@syscall("move_pages", Pid, ULong, Addr, Addr, Addr, Int, note="there is one memory node: nothing ever moves")
def sys_move_pages(
    t: Task, pid: int, count: int, pages_addr: int, nodes_addr: int, status_addr: int, flags: int
) -> int:
    if flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL):
        raise EINVAL
    if flags & MPOL_MF_MOVE_ALL:
        t.creds.require(CAP_SYS_NICE)
    if count > MOST_PAGES:
        raise E2BIG
    target = t if not pid else t.kernel.find_task(pid)
    if target is None or target.dead:
        raise ESRCH
    if target.group is not t.group and not Subject(target.group).may_inspect(t):
        raise EPERM
    if not count:
        return 0
    if nodes_addr:
        for (node,) in I32.iter_unpack(t.mem.read(nodes_addr, 4 * count)):
            if node:
                raise ENODEV
    asking = Asking(t, target, pages_addr, status_addr, count)
    return retry(asking, [(asking, IN)])


class Asking:
    """Where many pages are, PAGES_AT_ONCE at a time, so that others run between."""

    __slots__ = ("count", "done", "pages_addr", "queue", "status_addr", "t", "target")

    def __init__(self, t: Task, target: Task, pages_addr: int, status_addr: int, count: int) -> None:
        self.t = t
        self.target = target
        self.pages_addr = pages_addr
        self.status_addr = status_addr
        self.count = count
        self.done = 0
        self.queue = WaitQueue()

    def __call__(self) -> int:
        take = min(self.count - self.done, PAGES_AT_ONCE)
        mem = self.t.mem
        addresses = U64.iter_unpack(mem.read(self.pages_addr + 8 * self.done, 8 * take))
        answer = b"".join(I32.pack(_status(self.target, addr)) for (addr,) in addresses)
        mem.write(self.status_addr + 4 * self.done, answer)
        self.done += take
        if self.done < self.count:
            self.t.kernel.defer(self.queue.notify)
            raise WouldBlock
        return 0


def _status(target: Task, addr: int) -> int:
    """The node of a page: 0, or why it has none."""
    try:
        with open(f"/proc/{target.host_tid}/pagemap", "rb", buffering=0) as f:
            f.seek(addr // PAGE * 8)
            word = f.read(8)
    except (OSError, OverflowError):
        return -EFAULT.code
    if len(word) < 8:
        return -EFAULT.code
    if U64.unpack(word)[0] & PRESENT:
        return 0
    try:
        target.mem.read(addr, 1)
    except EFAULT:
        return -EFAULT.code
    return -ENOENT.code


@syscall("migrate_pages", Pid, ULong, Addr, Addr, note="there is one memory node: nothing ever moves")
def sys_migrate_pages(t: Task, pid: int, most: int, old_addr: int, new_addr: int) -> int:
    if most > 8 * PAGE:
        raise EINVAL
    size = (max(most, 1) - 1 + 7) // 8
    if size and old_addr:
        t.mem.read(old_addr, size)
    new = t.mem.read(new_addr, size) if size and new_addr else b""
    target = t if not pid else t.kernel.find_task(pid)
    if target is None or target.dead:
        raise ESRCH
    if target.group is not t.group and not Subject(target.group).may_inspect(t):
        raise EPERM
    if not int.from_bytes(new, "little") & 1:
        raise EINVAL
    return 0
