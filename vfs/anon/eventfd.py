"""eventfd(2): a 64-bit counter as a file."""

from __future__ import annotations

from sentry.abi.errno import EINVAL, WouldBlock
from sentry.wait import IN, OUT, RDNORM, WRNORM
from vfs.anon.inode import SHARED
from vfs.core.file import O_RDWR, File, Stat

MAX = (1 << 64) - 2  # the highest value; writes that would exceed it wait


class EventFile(File):
    """`semaphore`: a read takes one instead of all."""

    __slots__ = ("count", "semaphore")

    def __init__(self, count: int, semaphore: bool, flags: int) -> None:
        super().__init__(O_RDWR | flags)
        self.count = count
        self.semaphore = semaphore

    def peek(self, size: int) -> bytes:
        if size < 8:
            raise EINVAL
        if not self.count:
            raise WouldBlock
        return (1 if self.semaphore else self.count).to_bytes(8, "little")

    def consume(self, count: int) -> None:
        if count:
            self.count -= 1 if self.semaphore else self.count
            self.queue.notify(OUT | WRNORM)

    def write(self, data: bytes) -> int:
        if len(data) < 8:
            raise EINVAL
        value = int.from_bytes(data[:8], "little")
        if value > MAX:
            raise EINVAL
        if self.count + value > MAX:
            raise WouldBlock
        self.count += value
        self.queue.notify(IN | RDNORM)
        return 8

    def poll(self) -> int:
        return (IN | RDNORM if self.count else 0) | (OUT | WRNORM if self.count < MAX else 0)

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[eventfd]"
