"""memfd_create(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENAMETOOLONG
from sentry.abi.flags import MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_HUGETLB, MFD_NOEXEC_SEAL
from syscalls.args import Text, UInt
from syscalls.registry import syscall
from vfs.anon.memfd import MemFile, MemInode

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NAME_LIMIT = 249  # NAME_MAX less "memfd:"
KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC | MFD_NOEXEC_SEAL


@syscall("memfd_create", Text, UInt, support="partial", note="no MFD_HUGETLB; MFD_NOEXEC_SEAL sets the mode only")
def sys_memfd_create(t: Task, name_addr: int, flags: int) -> int:
    if flags & ~KNOWN or flags & MFD_HUGETLB or (flags & MFD_EXEC and flags & MFD_NOEXEC_SEAL):
        raise EINVAL
    try:
        name = t.mem.cstring(name_addr, NAME_LIMIT + 1)
    except ENAMETOOLONG:
        raise EINVAL
    noexec = bool(flags & MFD_NOEXEC_SEAL)
    sealing = flags & MFD_ALLOW_SEALING or noexec
    creds = t.creds
    inode = MemInode(
        name, MFD_ALLOW_SEALING if sealing else 0, 0o666 if noexec else 0o777, creds.fsuid, creds.fsgid,
        t.kernel.realtime_ns(),
    )  # fmt: skip
    return t.fds.install(MemFile(inode), bool(flags & MFD_CLOEXEC))
