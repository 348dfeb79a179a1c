"""Guest memory as a handler sees it (process_vm_readv(2)): every access is bounded, and a bad address is EFAULT.

Copy a structure once, check the copy, use the copy: another thread of the guest may change the original at any time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

from sentry.abi.errno import EFAULT, EINVAL, ENAMETOOLONG
from sentry.abi.structs import STAT
from sentry.engine._engine import ffi, lib

if TYPE_CHECKING:
    from vfs.core.file import Stat

PATH_MAX = 4096
IOV_MAX = 1024
MAX_RW_COUNT = 0x7FFF_F000
CHUNK = 1 << 20  # one copy moves at most this much; longer ones are made in steps
SSIZE_MAX = (1 << 63) - 1
TASK_SIZE = 0x7FFF_FFFF_F000  # end of the user half

_buffer = ffi.new("unsigned char[]", CHUNK)
_taken = cast("bytes", ffi.buffer(_buffer))  # a slice of it is bytes
_view = memoryview(_taken)
_u32 = struct.Struct("<I")
_i32 = struct.Struct("<i")
_u64 = struct.Struct("<Q")
_i64 = struct.Struct("<q")

_eng_read = lib.eng_read
_eng_write = lib.eng_write
_eng_put_stat = lib.eng_put_stat
_eng_cstring = lib.eng_cstring
_from_buffer = ffi.from_buffer

Iovec = list[tuple[int, int]]


class UserMemory:
    """The address space of the task `tid` (host number)."""

    __slots__ = ("tid",)

    def __init__(self, tid: int) -> None:
        self.tid = tid

    def read(self, addr: int, size: int) -> bytes:
        """Exactly `size` bytes, or EFAULT."""
        if size <= CHUNK:
            if _eng_read(self.tid, addr, _buffer, size) != size:
                raise EFAULT
            return _taken[:size]
        data = self.read_some(addr, size)
        if len(data) != size:
            raise EFAULT
        return data

    def read_some(self, addr: int, size: int) -> bytes:
        """What of `size` bytes (clamped to MAX_RW_COUNT) is readable from `addr` on; EFAULT when nothing is."""
        if 0 < size <= CHUNK:
            n = _eng_read(self.tid, addr, _buffer, size)
            if n <= 0:
                raise EFAULT
            return _taken[:n]
        parts = []
        left = min(size, MAX_RW_COUNT)
        while left:
            n = _eng_read(self.tid, addr, _buffer, left if left < CHUNK else CHUNK)
            if n <= 0:
                break
            parts.append(_taken[:n])
            addr += n
            left -= n
            if n < CHUNK:
                break
        if not parts and size:
            raise EFAULT
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, addr: int, data: bytes) -> None:
        """All of `data`, or EFAULT (a part may have been written, as in Linux)."""
        if _eng_write(self.tid, addr, data, len(data)) != len(data) and data:
            raise EFAULT

    def write_some(self, addr: int, data: bytes) -> int:
        """As much of `data` as is writable; EFAULT when nothing is."""
        if not data:
            return 0
        n = int(_eng_write(self.tid, addr, data if type(data) is bytes else _from_buffer(data), len(data)))
        if n <= 0:
            raise EFAULT
        return n

    def cstring(self, addr: int, limit: int) -> bytes:
        """A string without its NUL; ENAMETOOLONG if `limit` bytes (at most 1 MiB) hold none."""
        n = _eng_cstring(self.tid, addr, _buffer, limit if limit < CHUNK else CHUNK)
        if n < 0:
            raise ENAMETOOLONG if n == -ENAMETOOLONG.code else EFAULT
        return _taken[:n]

    def path(self, addr: int) -> bytes:
        """A path name (path_resolution(7)); ENAMETOOLONG from PATH_MAX bytes on."""
        n = _eng_cstring(self.tid, addr, _buffer, PATH_MAX)
        if n < 0:
            raise ENAMETOOLONG if n == -ENAMETOOLONG.code else EFAULT
        return _taken[:n]

    def u32(self, addr: int) -> int:
        return int(self.unpack(_u32, addr)[0])

    def i32(self, addr: int) -> int:
        return int(self.unpack(_i32, addr)[0])

    def u64(self, addr: int) -> int:
        return int(self.unpack(_u64, addr)[0])

    def i64(self, addr: int) -> int:
        return int(self.unpack(_i64, addr)[0])

    def put_u32(self, addr: int, value: int) -> None:
        self.write(addr, _u32.pack(value & 0xFFFF_FFFF))

    def put_i32(self, addr: int, value: int) -> None:
        self.write(addr, _i32.pack(value))

    def put_u64(self, addr: int, value: int) -> None:
        self.write(addr, _u64.pack(value & 0xFFFF_FFFF_FFFF_FFFF))

    def put_stat(self, addr: int, st: Stat) -> None:
        """A struct stat of stat(2)."""
        try:
            failed = _eng_put_stat(self.tid, addr, *st[:13])
        except OverflowError:
            failed = self._put_far_stat(addr, st)
        if failed:
            raise EFAULT

    def _put_far_stat(self, addr: int, st: Stat) -> int:
        """A file time so far off that its nanoseconds have more than 64 bits, of which utimensat(2) says nothing."""
        dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks = st[:10]
        times = [part & 0xFFFF_FFFF_FFFF_FFFF for ns in st[10:13] for part in divmod(ns, 1_000_000_000)]
        self.write(addr, STAT.pack(dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, *times))
        return 0

    def unpack(self, layout: struct.Struct, addr: int) -> tuple[int, ...]:
        if _eng_read(self.tid, addr, _buffer, layout.size) != layout.size:
            raise EFAULT
        return layout.unpack_from(_view)

    def pack(self, layout: struct.Struct, addr: int, *values: int) -> None:
        self.write(addr, layout.pack(*values))

    def iovec(self, addr: int, count: int) -> Iovec:
        """The (address, length) pairs of readv(2); EINVAL for a bad count or sum; the sum is clamped to
        MAX_RW_COUNT."""
        if not 0 <= count <= IOV_MAX:
            raise EINVAL
        if not count:
            return []
        words = struct.unpack(f"<{2 * count}Q", self.read(addr, 16 * count))
        out = []
        total = 0
        for base, length in zip(words[::2], words[1::2], strict=True):
            if length > SSIZE_MAX:
                raise EINVAL
            if base + length > TASK_SIZE and length:
                raise EFAULT
            length = min(length, MAX_RW_COUNT - total)
            total += length
            out.append((base, length))
        return out

    def gather(self, iov: Iovec, limit: int) -> bytes:
        """The first `limit` bytes that `iov` names; fewer when a part is unreadable, EFAULT when the first is."""
        if len(iov) == 1:
            return self.read_some(iov[0][0], min(iov[0][1], limit)) if iov[0][1] else b""
        parts: list[bytes] = []
        for base, length in iov:
            length = min(length, limit)
            if not length:
                continue
            try:
                part = self.read_some(base, length)
            except EFAULT:
                if parts:
                    break
                raise
            parts.append(part)
            limit -= len(part)
            if len(part) < length:
                break
        return b"".join(parts)

    def scatter(self, iov: Iovec, data: bytes) -> int:
        """Copy `data` out to the places of `iov`; the number of bytes that arrived, EFAULT when none did."""
        done = 0
        view = memoryview(data)
        for base, length in iov:
            part = view[done : done + length]
            if not part:
                if done >= len(data):
                    break
                continue
            n = int(_eng_write(self.tid, base, _from_buffer(part), len(part)))
            if n <= 0:
                if done:
                    break
                raise EFAULT
            done += n
            if n < len(part):
                break
        return done


def behind(iov: Iovec, done: int) -> Iovec:
    """The rest of `iov` after its first `done` bytes."""
    if not done:
        return iov
    rest = []
    for base, length in iov:
        if done >= length:
            done -= length
            continue
        rest.append((base + done, length - done))
        done = 0
    return rest
