"""select(2), pselect6(2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import EBADF, EINVAL, Errno, WouldBlock
from sentry.abi.flags import O_PATH
from sentry.abi.structs import SIGSET_ARG, TIMESPEC, TIMEVAL
from sentry.wait import ERR, HUP, IN, OUT, PRI, RDBAND, RDNORM, RESTARTNOHAND, WRBAND, WRNORM, retry
from syscalls.args import Addr, Int
from syscalls.epoll import call_mask
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

# Which events make a descriptor ready in each of the three sets (select(2), "Correspondence between select and poll").
READ_SET = IN | RDNORM | RDBAND | HUP | ERR
WRITE_SET = OUT | WRNORM | WRBAND | ERR
EXCEPT_SET = PRI
SETS = (READ_SET, WRITE_SET, EXCEPT_SET)
NS = 1_000_000_000


def read_timespec(t: Task, addr: int) -> int | None:
    """A timeout in ns, or None for NULL."""
    if not addr:
        return None
    sec, nsec = t.mem.unpack(TIMESPEC, addr)
    if sec < 0 or not 0 <= nsec < NS:
        raise EINVAL
    return int(sec * NS + nsec)


class Remaining:
    """A timeout that the call writes back as the time that was left (`unit_ns` 1: timespec, 1000: timeval)."""

    __slots__ = ("addr", "deadline_ns", "t", "unit_ns")

    def __init__(self, t: Task, addr: int, timeout_ns: int | None, unit_ns: int) -> None:
        self.t = t
        self.addr = addr
        self.unit_ns = unit_ns
        self.deadline_ns = None if timeout_ns is None else t.kernel.now_ns() + timeout_ns

    def write(self) -> None:
        """Also where a signal ends the call: a restart goes on with what was left."""
        if self.deadline_ns is not None:
            sec, ns = divmod(max(0, self.deadline_ns - self.t.kernel.now_ns()), NS)
            try:
                self.t.mem.pack(TIMESPEC, self.addr, sec, ns // self.unit_ns)
            except Errno:
                pass  # read-only memory: the result stands, as in Linux

    def after(self, look: Callable[[], int]) -> Callable[[], int]:
        """`look`, and the remaining time when it has a result."""
        if self.deadline_ns is None:
            return look

        def step() -> int:
            found = look()
            self.write()
            return found

        return step


class FdSets:
    """The three sets of one call, copied in once; calling it looks at the files and writes the answer."""

    __slots__ = ("addrs", "bytes", "files", "once", "sets", "t")

    def __init__(self, t: Task, count: int, addrs: tuple[int, int, int], once: bool) -> None:
        if count < 0:
            raise EINVAL
        # Linux looks at no number that its table of descriptors has no room for; the table grows in these steps.
        count = min(count, _table_size(t))
        self.t = t
        self.addrs = addrs
        self.once = once
        self.bytes = (count + 63) // 64 * 8
        valid = (1 << count) - 1
        self.sets = [
            int.from_bytes(t.mem.read(addr, self.bytes), "little") & valid if addr and count else 0 for addr in addrs
        ]
        self.files: list[tuple[int, File]] = []
        wanted = self.sets[0] | self.sets[1] | self.sets[2]
        while wanted:
            fd = (wanted & -wanted).bit_length() - 1
            wanted &= wanted - 1
            file = t.fds.files.get(fd)
            if file is None or file.flags & O_PATH:
                raise EBADF
            self.files.append((fd, file))

    def __call__(self) -> int:
        results = [0, 0, 0]
        found = 0
        for fd, file in self.files:
            events = file.poll()
            bit = 1 << fd
            for i in range(3):
                if self.sets[i] & bit and events & SETS[i]:
                    results[i] |= bit
                    found += 1
        if not found and not self.once:
            raise WouldBlock
        for addr, bits in zip(self.addrs, results, strict=True):
            if addr and self.bytes:
                self.t.mem.write(addr, bits.to_bytes(self.bytes, "little"))
        return found

    def expired(self) -> int:
        self.once = True
        return self()

    def sources(self) -> list[tuple[File, int]]:
        found = []
        for fd, file in self.files:
            mask = 0
            for i in range(3):
                if self.sets[i] >> fd & 1:
                    mask |= SETS[i]
            found.append((file, mask))
        return found


def _table_size(t: Task) -> int:
    """Size of Linux's fdtable: 64, then powers of two from 256 on."""
    highest = max(t.fds.files, default=0)
    return 64 if highest < 64 else max(256, 1 << highest.bit_length())


@syscall("select", Int, Addr, Addr, Addr, Addr)
def sys_select(t: Task, count: int, read_addr: int, write_addr: int, except_addr: int, timeout_addr: int) -> int:
    timeout_ns = None
    if timeout_addr:
        sec, usec = t.mem.unpack(TIMEVAL, timeout_addr)
        sec += usec // 1_000_000
        if sec < 0 or usec < 0:
            raise EINVAL
        timeout_ns = sec * NS + usec % 1_000_000 * 1000
    look = FdSets(t, count, (read_addr, write_addr, except_addr), timeout_ns == 0)
    left = Remaining(t, timeout_addr, timeout_ns, 1000)
    return _wait(look, left, None, 0)


@syscall("pselect6", Int, Addr, Addr, Addr, Addr, Addr)
def sys_pselect6(
    t: Task, count: int, read_addr: int, write_addr: int, except_addr: int, timeout_addr: int, mask_arg_addr: int
) -> int:
    mask_addr, mask_size = t.mem.unpack(SIGSET_ARG, mask_arg_addr) if mask_arg_addr else (0, 0)
    timeout_ns = read_timespec(t, timeout_addr)
    sigmask = call_mask(t, mask_addr, mask_size)
    # A mask of the call's own is looked at before a timeout of zero: a signal that it lets through gives EINTR.
    look = FdSets(t, count, (read_addr, write_addr, except_addr), timeout_ns == 0 and sigmask is None)
    return _wait(look, Remaining(t, timeout_addr, timeout_ns, 1), sigmask, mask_addr)


def _wait(look: FdSets, left: Remaining, sigmask: int | None, mask_addr: int) -> int:
    return retry(
        left.after(look), look.sources(), deadline_ns=left.deadline_ns, expired=left.after(look.expired),
        interrupted=left.write, restart=RESTARTNOHAND, sigmask=sigmask, sigmask_addr=mask_addr,
    )  # fmt: skip
