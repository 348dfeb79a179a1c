"""User and group ids: getuid(2) setuid(2) setreuid(2) setresuid(2) setfsuid(2) getgroups(2) and the group calls.

The rules are sentry.creds'; here are registers, guest memory and what else changes with the ids.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from sentry.creds import KEEP, NGROUPS_MAX
from syscalls.args import Addr, Gid, Int, Uid
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task


def commit(t: Task, new: Credentials) -> None:
    """Take on `new`; a process whose effective or file-system ids changed is not dumpable any more (prctl(2))."""
    old = t.creds
    t.creds = new
    if (old.euid, old.egid, old.fsuid, old.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid):
        t.group.dumpable = 0


@syscall("getuid")
def sys_getuid(t: Task) -> int:
    return t.creds.ruid


@syscall("geteuid")
def sys_geteuid(t: Task) -> int:
    return t.creds.euid


@syscall("getgid")
def sys_getgid(t: Task) -> int:
    return t.creds.rgid


@syscall("getegid")
def sys_getegid(t: Task) -> int:
    return t.creds.egid


@syscall("setuid", Uid)
def sys_setuid(t: Task, uid: int) -> int:
    commit(t, t.creds.set_uid(uid))
    return 0


@syscall("setgid", Gid)
def sys_setgid(t: Task, gid: int) -> int:
    commit(t, t.creds.set_gid(gid))
    return 0


@syscall("setreuid", Uid, Uid)
def sys_setreuid(t: Task, ruid: int, euid: int) -> int:
    commit(t, t.creds.set_reuid(ruid, euid))
    return 0


@syscall("setregid", Gid, Gid)
def sys_setregid(t: Task, rgid: int, egid: int) -> int:
    commit(t, t.creds.set_regid(rgid, egid))
    return 0


@syscall("setresuid", Uid, Uid, Uid)
def sys_setresuid(t: Task, ruid: int, euid: int, suid: int) -> int:
    commit(t, t.creds.set_resuid(ruid, euid, suid))
    return 0


@syscall("setresgid", Gid, Gid, Gid)
def sys_setresgid(t: Task, rgid: int, egid: int, sgid: int) -> int:
    commit(t, t.creds.set_resgid(rgid, egid, sgid))
    return 0


@syscall("getresuid", Addr, Addr, Addr)
def sys_getresuid(t: Task, ruid_addr: int, euid_addr: int, suid_addr: int) -> int:
    t.mem.put_u32(ruid_addr, t.creds.ruid)
    t.mem.put_u32(euid_addr, t.creds.euid)
    t.mem.put_u32(suid_addr, t.creds.suid)
    return 0


@syscall("getresgid", Addr, Addr, Addr)
def sys_getresgid(t: Task, rgid_addr: int, egid_addr: int, sgid_addr: int) -> int:
    t.mem.put_u32(rgid_addr, t.creds.rgid)
    t.mem.put_u32(egid_addr, t.creds.egid)
    t.mem.put_u32(sgid_addr, t.creds.sgid)
    return 0


@syscall("setfsuid", Uid)
def sys_setfsuid(t: Task, uid: int) -> int:
    old = t.creds.fsuid
    commit(t, t.creds.set_fsuid(uid))
    return old


@syscall("setfsgid", Gid)
def sys_setfsgid(t: Task, gid: int) -> int:
    old = t.creds.fsgid
    commit(t, t.creds.set_fsgid(gid))
    return old


@syscall("getgroups", Int, Addr)
def sys_getgroups(t: Task, size: int, list_addr: int) -> int:
    groups = t.creds.groups
    if size < 0:
        raise EINVAL
    if size:
        if len(groups) > size:
            raise EINVAL
        t.mem.write(list_addr, struct.pack(f"<{len(groups)}I", *groups))
    return len(groups)


@syscall("setgroups", Int, Addr)
def sys_setgroups(t: Task, size: int, list_addr: int) -> int:
    t.creds.set_groups(())  # permission comes before the arguments
    if not 0 <= size <= NGROUPS_MAX:
        raise EINVAL
    groups = struct.unpack(f"<{size}I", t.mem.read(list_addr, 4 * size)) if size else ()
    if KEEP in groups:
        raise EINVAL
    t.creds = t.creds.set_groups(groups)
    return 0
