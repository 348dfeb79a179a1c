"""statfs(2), fstatfs(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.const.mounts import (
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RELATIME,
    ST_NOATIME,
    ST_NODEV,
    ST_NODIRATIME,
    ST_NOEXEC,
    ST_NOSUID,
    ST_RDONLY,
    ST_RELATIME,
)
from sentry.abi.structs import STATFS
from syscalls.args import Addr, FdAny, Path
from syscalls.registry import syscall
from vfs.core.anon import path_of
from vfs.core.walk import walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree
    from vfs.core.file import File

ST_VALID = 0x20  # in the kernel only; always set
_FLAGS = (
    (MS_NOSUID, ST_NOSUID),
    (MS_NODEV, ST_NODEV),
    (MS_NOEXEC, ST_NOEXEC),
    (MS_NOATIME, ST_NOATIME),
    (MS_NODIRATIME, ST_NODIRATIME),
    (MS_RELATIME, ST_RELATIME),
)


@syscall("statfs", Path, Addr)
def sys_statfs(t: Task, path: bytes, addr: int) -> int:
    return _statfs(t, walk(t, AT_FDCWD, path), addr)


@syscall("fstatfs", FdAny, Addr)
def sys_fstatfs(t: Task, file: File, addr: int) -> int:
    return _statfs(t, path_of(file), addr)


def _statfs(t: Task, place: tree.Path, addr: int) -> int:
    mount = place.mount
    st = mount.fs.statfs()
    flags = ST_VALID | (ST_RDONLY if mount.readonly else 0)
    for bit, shown in _FLAGS:
        if mount.flags & bit:
            flags |= shown
    dev = mount.fs.dev
    t.mem.write(
        addr,
        STATFS.pack(
            st.magic, st.bsize, st.blocks, st.bfree, st.bavail, st.files, st.ffree, dev, 0, st.namelen, st.bsize, flags
        ),
    )
    return 0
