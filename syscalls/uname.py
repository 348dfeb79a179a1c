"""Names of the system: uname(2) sethostname(2) setdomainname(2), and the execution domain of personality(2)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.const.tasks import PER_LINUX32, UNAME26
from sentry.abi.errno import EINVAL
from sentry.abi.release import RELEASE, SYSNAME, VERSION
from sentry.abi.structs import UTSNAME
from syscalls.args import Addr, Int, UInt
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

NAME_MAX = 64  # __NEW_UTS_LEN
PER_MASK = 0xFF
QUERY = 0xFFFFFFFF
MACHINE = os.uname().machine.encode()
COMPAT = {b"x86_64": b"i686", b"aarch64": b"armv8l"}  # what PER_LINUX32 shows


@syscall("uname", Addr)
def sys_uname(t: Task, name_addr: int) -> int:
    persona, uts = t.group.personality, t.kernel.uts
    machine = COMPAT.get(MACHINE, MACHINE) if persona & PER_MASK == PER_LINUX32 else MACHINE
    release = _as_2_6(RELEASE) if persona & UNAME26 else RELEASE
    t.mem.write(name_addr, UTSNAME.pack(SYSNAME, uts.nodename, release, VERSION, machine, uts.domainname))
    return 0


def _as_2_6(release: bytes) -> bytes:
    """6.1 is shown as 2.6.61, as personality(2) UNAME26 wants it."""
    minor, _, rest = release.partition(b".")[2].partition(b".")
    return b"2.6.%d" % (60 + int(minor)) + rest.lstrip(b"0123456789")


@syscall("sethostname", Addr, Int)
def sys_sethostname(t: Task, name_addr: int, size: int) -> int:
    t.kernel.uts.nodename = _new_name(t, name_addr, size)
    return 0


@syscall("setdomainname", Addr, Int)
def sys_setdomainname(t: Task, name_addr: int, size: int) -> int:
    t.kernel.uts.domainname = _new_name(t, name_addr, size)
    return 0


def _new_name(t: Task, name_addr: int, size: int) -> bytes:
    t.creds.require(CAP_SYS_ADMIN)
    if not 0 <= size <= NAME_MAX:
        raise EINVAL
    return t.mem.read(name_addr, size) if size else b""


@syscall("personality", UInt, support="partial", note="effect: ADDR_NO_RANDOMIZE, UNAME26, PER_LINUX32")
def sys_personality(t: Task, persona: int) -> int:
    old = t.group.personality
    if persona != QUERY:
        t.group.personality = persona
    return old
