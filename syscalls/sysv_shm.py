"""shmget(2), shmat(2), shmdt(2), shmctl(2).

The guest maps a segment itself: its shmat becomes an mmap(2) of the segment's file (kernel/in_place.py), whose
descriptor is put at a number out of every guest's reach and closed again behind the mmap; shmdt becomes munmap(2).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.ipc import (
    IPC_64,
    IPC_INFO,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SHM_EXEC,
    SHM_HUGETLB,
    SHM_INFO,
    SHM_LOCK,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    SHM_STAT,
    SHM_STAT_ANY,
    SHM_UNLOCK,
    SHMMIN,
)
from sentry.abi.const.rights import CAP_IPC_LOCK
from sentry.abi.errno import BY_CODE, EINVAL, EIO, ENOMEM, ENOSPC, EPERM
from sentry.abi.structs import IPC_PERM, SHMID_DS_TAIL
from sentry.ipc.namespace import ipc
from sentry.ipc.perm import R, W, seconds
from sentry.ipc.shm import Segment, detached
from sentry.kernel.in_place import Step, free_number, run_in_place
from sentry.kernel.limits import MEMLOCK
from syscalls.args import Addr, Int, Size
from syscalls.registry import DEFERRED, syscall
from vfs.fs.backing import PAGE
from vfs.fs.boot import MEMORY
from vfs.proc.sysctl import value

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NR_CLOSE, NR_MMAP, NR_MUNMAP, NR_SHMAT, NR_SHMDT = 3, 9, 11, 30, 67
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_FIXED, MAP_FIXED_NOREPLACE = 1, 0x10, 0x10_0000
SHMLBA = PAGE
EEXIST = 17
X = 1
SHMINFO = Struct("<5Q32x")  # max min mni seg all
SHM_INFO_STRUCT = Struct("<i4x5Q")  # used tot rss swp swap_attempts swap_successes


@syscall("shmget", Int, Size, Int, note="there are no huge pages: ENOMEM")
def sys_shmget(t: Task, key: int, size: int, flags: int) -> int:
    kernel = t.kernel
    table = ipc(kernel).shm

    def make() -> Segment:
        if not SHMMIN <= size <= value(kernel, b"kernel/shmmax"):
            raise EINVAL
        if flags & SHM_HUGETLB:
            t.creds.require(CAP_IPC_LOCK)
            raise ENOMEM
        pages = -(-size // PAGE)
        if table.pages + pages > value(kernel, b"kernel/shmall"):
            raise ENOSPC
        if pages * PAGE > MEMORY:
            raise ENOMEM
        return table.new(key, flags, t.creds, size, t.group.pid)

    return table.get(key, flags, t.creds, value(kernel, b"kernel/shmmni"), make, lambda found: size <= found.size).id


@syscall("shmat", Int, Addr, Int)
def sys_shmat(t: Task, number: int, addr: int, flags: int) -> int:
    if number < 0:
        raise EINVAL
    if addr & SHMLBA - 1:
        if not flags & SHM_RND:
            raise EINVAL
        addr &= ~(SHMLBA - 1)
        if not addr and flags & SHM_REMAP:
            raise EINVAL
    elif not addr and flags & SHM_REMAP:
        raise EINVAL
    table = ipc(t.kernel).shm
    segment = table.find(number)
    writable = not flags & SHM_RDONLY
    segment.check(t.creds, R | (W if writable else 0) | (X if flags & SHM_EXEC else 0))
    size = segment.pages * PAGE
    how = MAP_SHARED
    if addr:
        if addr + size >= 1 << 64:
            raise EINVAL
        how |= MAP_FIXED if flags & SHM_REMAP else MAP_FIXED_NOREPLACE
    prot = PROT_READ | (PROT_WRITE if writable else 0) | (PROT_EXEC if flags & SHM_EXEC else 0)
    fd = free_number(t)

    def done(result: int) -> int:
        if -4096 < result < 0:
            raise EINVAL if result == -EEXIST else BY_CODE.get(-result, EIO)
        segment.atime, segment.lpid = seconds(), t.group.pid
        return result

    t.group.memory.segments = True

    steps = [
        Step(NR_MMAP, (addr, size, prot, how, fd, 0), lambda task: _inject(task, segment, writable, fd)),
        Step(NR_CLOSE, (fd, 0, 0, 0, 0, 0)),
    ]
    run_in_place(t, NR_SHMAT, steps, done)
    return DEFERRED


def _inject(t: Task, segment: Segment, writable: bool, fd: int) -> None:
    t.kernel.platform.add_fd(t, segment.host_fd(writable), fd)


@syscall("shmdt", Addr)
def sys_shmdt(t: Task, addr: int) -> int:
    if addr & PAGE - 1:
        raise EINVAL
    table = ipc(t.kernel).shm
    mapped = table.attachments(t.group)
    first = next((entry for entry in mapped if entry[1].start - entry[1].offset == addr), None)
    if first is None:
        raise EINVAL
    segment = first[0]
    # All of this attachment that is still there: mprotect(2) or munmap(2) may have left it in parts.
    parts = [
        m for s, m in mapped
        if s is segment and m.start - m.offset == addr and m.end <= addr + segment.pages * PAGE
    ]  # fmt: skip
    end = parts[0].end
    for part in parts[1:]:
        if part.start != end:
            break
        end = part.end

    def done(result: int) -> int:
        if result:
            raise BY_CODE.get(-result, EIO)
        detached(segment, t.group.pid)
        if segment.doomed:
            table.sweep()
        return 0

    start = parts[0].start
    steps = [Step(NR_MUNMAP, (start, end - start, 0, 0, 0, 0))]
    steps += [Step(NR_MUNMAP, (p.start, p.end - p.start, 0, 0, 0, 0)) for p in parts if p.start >= end][:64]
    run_in_place(t, NR_SHMDT, steps, done)
    return DEFERRED


@syscall(
    "shmctl", Int, Int, Addr, support="partial",
    note="attachments are counted when asked; shm_dtime and shm_lpid do not follow fork, exec and exit; SHM_LOCK only "
    "sets the mark",
)  # fmt: skip
def sys_shmctl(t: Task, number: int, command: int, addr: int) -> int:
    command &= ~IPC_64
    table = ipc(t.kernel).shm
    if number < 0 or command < 0:
        raise EINVAL
    if command in (IPC_INFO, SHM_INFO):
        return _info(t, command, addr)
    if command in (SHM_STAT, SHM_STAT_ANY, IPC_STAT):
        table.sweep()
        segment = table.find(number) if command == IPC_STAT else table.at(number)
        if command != SHM_STAT_ANY:
            segment.check(t.creds, R)
        _put(t, segment, addr)
        return 0 if command == IPC_STAT else segment.id
    if command == IPC_SET:
        perm = t.mem.unpack(IPC_PERM, addr)
        segment = table.find(number)
        segment.check_owner(t.creds)
        segment.set_owner(perm[1], perm[2], perm[5])
    elif command == IPC_RMID:
        segment = table.find(number)
        segment.check_owner(t.creds)
        table.doom(segment)
    elif command in (SHM_LOCK, SHM_UNLOCK):
        segment = table.find(number)
        if not t.creds.has(CAP_IPC_LOCK):
            if t.creds.euid not in (segment.uid, segment.cuid):
                raise EPERM
            if command == SHM_LOCK and not t.group.limits.get(MEMLOCK)[0]:
                raise EPERM
        segment.locked = command == SHM_LOCK
    else:
        raise EINVAL
    return 0


def _put(t: Task, s: Segment, addr: int) -> None:
    attached = ipc(t.kernel).shm.count([s])[s]
    tail = SHMID_DS_TAIL.pack(s.size, s.atime, s.dtime, s.ctime, s.cpid, s.lpid, attached)
    t.mem.write(addr, s.packed_perm() + tail)


def _info(t: Task, command: int, addr: int) -> int:
    kernel = t.kernel
    table = ipc(kernel).shm
    if command == IPC_INFO:
        most, count, pages = (value(kernel, b"kernel/" + name) for name in (b"shmmax", b"shmmni", b"shmall"))
        t.mem.pack(SHMINFO, addr, most, SHMMIN, count, count, pages)
    else:
        t.mem.pack(SHM_INFO_STRUCT, addr, len(table), table.pages, sum(s.resident() for s in table), 0, 0, 0)
    return table.highest
