"""Guest memory (sentry/mm/user.py) as a test has it: one mapping, everything else faults. Touches no host."""

from __future__ import annotations

from struct import Struct
from typing import Any

from sentry.abi.errno import EFAULT, EINVAL, ENAMETOOLONG
from sentry.abi.structs import STAT

NS = 1_000_000_000

Iovec = list[tuple[int, int]]


class GuestMemory:
    """`size` bytes at `base`."""

    def __init__(self, base: int, size: int) -> None:
        self.base = base
        self.end = base + size
        self.bytes = bytearray(size)

    def read(self, addr: int, size: int) -> bytes:
        if size and not self.base <= addr <= addr + size <= self.end:
            raise EFAULT
        return bytes(self.bytes[addr - self.base : addr - self.base + size])

    def read_some(self, addr: int, size: int) -> bytes:
        if size and not self.base <= addr < self.end:
            raise EFAULT
        return self.read(addr, min(size, self.end - addr))

    def write(self, addr: int, data: bytes) -> None:
        if data and not self.base <= addr <= addr + len(data) <= self.end:
            raise EFAULT
        self.bytes[addr - self.base : addr - self.base + len(data)] = data

    def write_some(self, addr: int, data: bytes) -> int:
        if data and not self.base <= addr < self.end:
            raise EFAULT
        part = data[: self.end - addr]
        self.write(addr, part)
        return len(part)

    def cstring(self, addr: int, limit: int) -> bytes:
        data = self.read_some(addr, limit)
        text, end, _ = data.partition(b"\0")
        if not end:
            raise ENAMETOOLONG if len(data) == limit else EFAULT
        return text

    def path(self, addr: int) -> bytes:
        return self.cstring(addr, 4096)

    def unpack(self, layout: Struct, addr: int) -> tuple[Any, ...]:
        return layout.unpack(self.read(addr, layout.size))

    def pack(self, layout: Struct, addr: int, *values: Any) -> None:
        self.write(addr, layout.pack(*values))

    def put_stat(self, addr: int, st: Any) -> None:
        """The meaning of what the engine does in C."""
        times: list[int] = []
        for at in (st.atime_ns, st.mtime_ns, st.ctime_ns):
            times += (at // NS & (1 << 64) - 1, at % NS)
        head = (st.dev, st.ino, st.nlink, st.mode, st.uid, st.gid, st.rdev, st.size, st.blksize, st.blocks)
        self.write(addr, STAT.pack(*head, *times))

    def u32(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 4), "little")

    def i32(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 4), "little", signed=True)

    def u64(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 8), "little")

    def i64(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 8), "little", signed=True)

    def put_u32(self, addr: int, value: int) -> None:
        self.write(addr, (value & 0xFFFF_FFFF).to_bytes(4, "little"))

    def put_i32(self, addr: int, value: int) -> None:
        self.write(addr, value.to_bytes(4, "little", signed=True))

    def put_u64(self, addr: int, value: int) -> None:
        self.write(addr, (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little"))

    def iovec(self, addr: int, count: int) -> Iovec:
        if not 0 <= count <= 1024:
            raise EINVAL
        pairs = [(self.u64(addr + 16 * i), self.u64(addr + 16 * i + 8)) for i in range(count)]
        if sum(size for _, size in pairs) >= 1 << 63:
            raise EINVAL
        return pairs

    def gather(self, iov: Iovec, limit: int) -> bytes:
        return b"".join(self.read(addr, size) for addr, size in iov)[:limit]

    def scatter(self, iov: Iovec, data: bytes) -> int:
        done = 0
        for addr, size in iov:
            part = data[done : done + size]
            if not part:
                break
            done += self.write_some(addr, part)
        return done
