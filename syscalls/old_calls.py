"""sysfs(2) and ustat(2), which old programs still know; lsm_list_modules(2) and its family."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.errno import E2BIG, EINVAL, EOPNOTSUPP
from syscalls.args import Addr, Int, UInt, ULong
from syscalls.registers import int32
from syscalls.registry import syscall
from vfs.core.mount import mounts_of
from vfs.proc.system import FILESYSTEMS

if TYPE_CHECKING:
    from sentry.kernel.task import Task

USTAT = Struct("<i4xQ6s6s4x")  # tfree tinode fname fpack
U64 = Struct("<Q")
LSM_ID_CAPABILITY = 100


def _types() -> list[bytes]:
    return [line.rsplit(b"\t", 1)[-1] for line in FILESYSTEMS.splitlines()]


@syscall("sysfs", Int, ULong, Addr)
def sys_sysfs(t: Task, option: int, arg: int, buf_addr: int) -> int:
    types = _types()
    if option == 1:
        name = t.mem.path(arg)
        if name not in types:
            raise EINVAL
        return types.index(name)
    if option == 2:
        index = arg & 0xFFFF_FFFF
        if index >= len(types):
            raise EINVAL
        t.mem.write(buf_addr, types[index] + b"\0")
        return 0
    if option == 3:
        return len(types)
    raise EINVAL


@syscall("ustat", UInt, Addr)
def sys_ustat(t: Task, dev: int, buf_addr: int) -> int:
    """The file system with a device number, in the encoding of stat(2)'s old form."""
    for mount in mounts_of(t):
        if _old_dev(mount.fs.dev) == dev:
            st = mount.fs.statfs()
            t.mem.write(buf_addr, USTAT.pack(int32(st.bfree), st.ffree, b"", b""))
            return 0
    raise EINVAL


def _old_dev(dev: int) -> int:
    """new_encode_dev: 32 bits."""
    major, minor = dev >> 8 & 0xFFF, dev & 0xFF | dev >> 12 & 0xFFF00
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


@syscall("lsm_list_modules", Addr, Addr, UInt)
def sys_lsm_list_modules(t: Task, ids_addr: int, size_addr: int, flags: int) -> int:
    """Only that of capabilities(7), which every kernel has."""
    if flags:
        raise EINVAL
    room = t.mem.u32(size_addr)
    t.mem.put_u32(size_addr, U64.size)
    if room < U64.size:
        raise E2BIG
    t.mem.put_u64(ids_addr, LSM_ID_CAPABILITY)
    return 1


@syscall("lsm_get_self_attr", UInt, Addr, Addr, UInt)
def sys_lsm_get_self_attr(t: Task, attr: int, ctx_addr: int, size_addr: int, flags: int) -> int:
    """No module that runs has an attribute of a task."""
    if not attr or flags & ~1:
        raise EINVAL
    t.mem.u32(size_addr)
    raise EOPNOTSUPP


@syscall("lsm_set_self_attr", UInt, Addr, UInt, UInt)
def sys_lsm_set_self_attr(t: Task, attr: int, ctx_addr: int, size: int, flags: int) -> int:
    if flags or size < 32:
        raise EINVAL
    if size > 4096:
        raise E2BIG
    t.mem.read(ctx_addr, size)
    raise EOPNOTSUPP
