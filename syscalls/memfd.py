"""memfd_create(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENAMETOOLONG, ENODEV
from sentry.abi.flags import MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_HUGETLB, MFD_NOEXEC_SEAL
from syscalls.args import Text, UInt
from syscalls.registry import syscall
from vfs.anon.memfd import HugeFile, MemFile, MemInode

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NAME_LIMIT = 249  # NAME_MAX less "memfd:"
MFD_HUGE_SHIFT, MFD_HUGE_MASK = 26, 0x3F
HUGE_SIZES = (21, 30)  # as powers of two
DEFAULT_HUGE = 21
KNOWN = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC | MFD_NOEXEC_SEAL


@syscall("memfd_create", Text, UInt, note="there are no huge pages: mmap(2) of an MFD_HUGETLB one is ENOMEM")
def sys_memfd_create(t: Task, name_addr: int, flags: int) -> int:
    huge = flags >> MFD_HUGE_SHIFT & MFD_HUGE_MASK
    if flags & MFD_HUGETLB:
        flags &= ~(MFD_HUGE_MASK << MFD_HUGE_SHIFT | MFD_HUGETLB)
        huge = huge or DEFAULT_HUGE
    elif huge:
        raise EINVAL
    if flags & ~KNOWN or (flags & MFD_EXEC and flags & MFD_NOEXEC_SEAL):
        raise EINVAL
    try:
        name = t.mem.cstring(name_addr, NAME_LIMIT + 1)
    except ENAMETOOLONG:
        raise EINVAL
    if huge and huge not in HUGE_SIZES:
        raise ENODEV
    noexec = bool(flags & MFD_NOEXEC_SEAL)
    sealing = flags & MFD_ALLOW_SEALING or noexec
    creds = t.creds
    inode = MemInode(
        name, (MFD_ALLOW_SEALING if sealing else 0) | flags & MFD_NOEXEC_SEAL, 0o666 if noexec else 0o777,
        creds.fsuid, creds.fsgid, t.kernel.realtime_ns(),
    )  # fmt: skip
    file = HugeFile(inode, 1 << huge) if huge else MemFile(inode)
    return t.fds.install(file, bool(flags & MFD_CLOEXEC))
