"""poll(2), ppoll(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, WouldBlock
from sentry.abi.flags import O_PATH
from sentry.abi.structs import POLLFD
from sentry.wait import ALWAYS, NVAL, RESTARTNOHAND, retry
from syscalls.args import Addr, Int, Size, UInt
from syscalls.epoll import call_mask
from syscalls.registry import syscall
from syscalls.select import Remaining, read_timespec

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


class Wanted:
    """The pollfd array of one call, copied in once; calling it looks at the files and writes the answer."""

    __slots__ = ("addr", "entries", "files", "once", "t")

    def __init__(self, t: Task, addr: int, count: int, once: bool) -> None:
        if count > t.fds.limit:
            raise EINVAL
        self.t = t
        self.addr = addr
        self.once = once  # a timeout of zero: answer now, whatever there is
        self.entries = list(POLLFD.iter_unpack(t.mem.read(addr, count * POLLFD.size))) if count else []
        find = t.fds.files.get
        self.files: list[File | None] = [find(fd) if fd >= 0 else None for fd, _, _ in self.entries]

    def __call__(self) -> int:
        ready = []
        for (fd, events, _), file in zip(self.entries, self.files, strict=True):
            if file is not None:
                ready.append(NVAL if file.flags & O_PATH else file.poll() & (events | ALWAYS))
            else:
                ready.append(NVAL if fd >= 0 else 0)
        found = len(ready) - ready.count(0)
        if not found and not self.once:
            raise WouldBlock
        if self.entries:
            self._answer(ready)
        return found

    def _answer(self, ready: list[int]) -> None:
        pack = POLLFD.pack
        answers = [pack(fd, ev, bits) for (fd, ev, _), bits in zip(self.entries, ready, strict=True)]
        self.t.mem.write(self.addr, b"".join(answers))

    def expired(self) -> int:
        self.once = True
        return self()

    def sources(self) -> list[tuple[File, int]]:
        pairs = zip(self.entries, self.files, strict=True)
        return [(file, (events & 0xFFFF) | ALWAYS) for (_, events, _), file in pairs if file is not None]


@syscall("poll", Addr, UInt, Int)
def sys_poll(t: Task, fds_addr: int, count: int, timeout_ms: int) -> int:
    look = Wanted(t, fds_addr, count, timeout_ms == 0)
    deadline_ns = t.kernel.now_ns() + timeout_ms * 1_000_000 if timeout_ms > 0 else None
    return retry(look, look.sources(), deadline_ns=deadline_ns, expired=look.expired, restart=RESTARTNOHAND)


@syscall("ppoll", Addr, UInt, Addr, Addr, Size)
def sys_ppoll(t: Task, fds_addr: int, count: int, timeout_addr: int, mask_addr: int, mask_size: int) -> int:
    timeout_ns = read_timespec(t, timeout_addr)
    sigmask = call_mask(t, mask_addr, mask_size)
    # A mask of the call's own is looked at before a timeout of zero: a signal that it lets through gives EINTR.
    look = Wanted(t, fds_addr, count, timeout_ns == 0 and sigmask is None)
    left = Remaining(t, timeout_addr, timeout_ns, 1)
    return retry(
        left.after(look), look.sources(), deadline_ns=left.deadline_ns, expired=left.after(look.expired),
        interrupted=left.write, restart=RESTARTNOHAND, sigmask=sigmask, sigmask_addr=mask_addr,
    )  # fmt: skip


