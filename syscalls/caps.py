"""Capability sets of a thread: capget(2) capset(2), capabilities(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.rights import (
    _LINUX_CAPABILITY_VERSION_1,
    _LINUX_CAPABILITY_VERSION_2,
    _LINUX_CAPABILITY_VERSION_3,
)
from sentry.abi.errno import EINVAL, EPERM, ESRCH
from sentry.abi.structs import CAP_DATA
from syscalls.args import Addr
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

WORDS = {_LINUX_CAPABILITY_VERSION_1: 1, _LINUX_CAPABILITY_VERSION_2: 2, _LINUX_CAPABILITY_VERSION_3: 2}


def _words(t: Task, header_addr: int) -> int:
    """How many 32-bit words the version has; 0 after telling the guest which one we prefer."""
    words = WORDS.get(t.mem.u32(header_addr), 0)
    if not words:
        t.mem.put_u32(header_addr, _LINUX_CAPABILITY_VERSION_3)
    return words


@syscall("capget", Addr, Addr)
def sys_capget(t: Task, header_addr: int, data_addr: int) -> int:
    words = _words(t, header_addr)
    if not words:
        if data_addr:
            raise EINVAL
        return 0  # a probe for the version
    pid = t.mem.i32(header_addr + 4)
    if pid < 0:
        raise EINVAL
    target = t if pid in (0, t.tid) else t.kernel.find_task(pid)
    if target is None:
        raise ESRCH
    if data_addr == 0:
        return 0
    creds = target.creds
    sets = (creds.effective, creds.permitted, creds.inheritable)
    parts = [CAP_DATA.pack(*(s >> 32 * i & 0xFFFFFFFF for s in sets)) for i in range(words)]
    t.mem.write(data_addr, b"".join(parts))
    return 0


@syscall("capset", Addr, Addr)
def sys_capset(t: Task, header_addr: int, data_addr: int) -> int:
    words = _words(t, header_addr)
    if not words:
        raise EINVAL
    if t.mem.i32(header_addr + 4) not in (0, t.tid):
        raise EPERM
    effective = permitted = inheritable = 0
    for i, (e, p, n) in enumerate(CAP_DATA.iter_unpack(t.mem.read(data_addr, words * CAP_DATA.size))):
        effective |= e << 32 * i
        permitted |= p << 32 * i
        inheritable |= n << 32 * i
    t.creds = t.creds.set_caps(effective, permitted, inheritable)
    return 0
