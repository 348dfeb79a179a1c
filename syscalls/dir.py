"""getdents(2), getdents64(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ACCESS
from sentry.abi.errno import EINVAL
from sentry.abi.structs import DIRENT, DIRENT64
from syscalls.args import Addr, Fd, UInt
from syscalls.registry import syscall
from vfs.core import notify

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

MAX_BUFFER = 256 * 1024  # more than any libc asks for; a longer answer comes in further calls


@syscall("getdents64", Fd, Addr, UInt)
def sys_getdents64(t: Task, file: File, addr: int, size: int) -> int:
    size = min(size, MAX_BUFFER)
    records = file.records(size)
    if records is not None:
        return _give(t, file, addr, *records)
    out = bytearray()
    pos = file.pos
    head = DIRENT64.pack
    for ino, next_pos, kind, name in file.entries(t):
        length = (len(name) + 27) & ~7  # 19 bytes before the name, a NUL behind it
        if len(out) + length > size:
            if not out:
                raise EINVAL
            break
        out += head(ino, next_pos, length, kind)
        out += name.ljust(length - 19, b"\0")
        pos = next_pos
    return _give(t, file, addr, out, pos)


@syscall("getdents", Fd, Addr, UInt)
def sys_getdents(t: Task, file: File, addr: int, size: int) -> int:
    out = bytearray()
    size = min(size, MAX_BUFFER)
    pos = file.pos
    for ino, next_pos, kind, name in file.entries(t):
        length = (len(name) + 27) & ~7
        if len(out) + length > size:
            if not out:
                raise EINVAL
            break
        out += DIRENT.pack(ino, next_pos, length)
        out += name.ljust(length - 19, b"\0") + bytes((kind,))
        pos = next_pos
    return _give(t, file, addr, out, pos)


def _give(t: Task, file: File, addr: int, out: bytes | bytearray, pos: int) -> int:
    if out:
        t.mem.write(addr, bytes(out))
        file.pos = pos
    if notify.active:
        notify.touched_file(file, IN_ACCESS)
    return len(out)
