"""cachestat(2): how much of a file is in memory."""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFMT, S_IFREG, SEEK_DATA, SEEK_HOLE
from sentry.abi.errno import EBADF, EINVAL, ENXIO, EOPNOTSUPP, Errno
from syscalls.args import Addr, Fd, UInt
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

RANGE = Struct("<QQ")  # struct cachestat_range: off len
ANSWER = Struct("<5Q")  # struct cachestat: cache dirty writeback evicted recently_evicted
PAGE = 4096
EXTENTS = 4096  # looked at for one answer


@syscall(
    "cachestat", Fd, Addr, Addr, UInt, support="partial",
    note="all data of a file counts as cached and clean, holes as not cached",
)  # fmt: skip
def sys_cachestat(t: Task, file: File, range_addr: int, answer_addr: int, flags: int) -> int:
    offset, length = t.mem.unpack(RANGE, range_addr)
    if flags:
        raise EINVAL
    if file.stat().mode & S_IFMT != S_IFREG:
        raise EOPNOTSUPP
    if not (file.readable or file.writable):
        raise EBADF
    size = file.stat().size
    end = min(size, offset + length) if length else size
    t.mem.pack(ANSWER, answer_addr, _pages(file, offset, end), 0, 0, 0, 0)
    return 0


def _pages(file: File, start: int, end: int) -> int:
    """Pages with data; `seek` moves the file's position, so it is put back."""
    position, count = file.pos, 0
    try:
        for _ in range(EXTENTS):
            if start >= end:
                break
            data = file.seek(start, SEEK_DATA)
            hole = file.seek(data, SEEK_HOLE)
            if data >= end:
                break
            first, last = max(data, start) // PAGE, -(-min(hole, end) // PAGE)
            count += last - first
            start = hole
        else:
            count += -(-(end - start) // PAGE)
    except ENXIO:
        pass
    except Errno:
        count = max(0, -(-end // PAGE) - start // PAGE)
    finally:
        file.seek(position, os.SEEK_SET)
    return count


