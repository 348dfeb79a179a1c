"""Overall system numbers: sysinfo(2), syslog(2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_ADMIN, CAP_SYSLOG
from sentry.abi.errno import EINVAL, EPERM
from sentry.abi.structs import SYSINFO
from syscalls.args import Addr, Int
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

LOG = b"<5>[    0.000000] runsc-py: an application kernel in user space\n"
LOG_BUF_LEN = 1 << 18
# syslog(2) commands
CLOSE, OPEN, READ, READ_ALL, READ_CLEAR, CLEAR, CONSOLE_OFF, CONSOLE_ON, CONSOLE_LEVEL, UNREAD, BUFFER = range(11)


@syscall("sysinfo", Addr, note="memory and load are the host's, as in any container")
def sys_sysinfo(t: Task, info_addr: int) -> int:
    kib = _meminfo()
    loads = [int(load * 65536) for load in _loads()]
    bytes_of = [kib.get(k, 0) << 10 for k in ("MemTotal", "MemFree", "Shmem", "Buffers", "SwapTotal", "SwapFree")]
    procs = min(len(t.kernel.tasks), 0xFFFF)
    uptime_s = -(-time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000_000)
    t.mem.pack(SYSINFO, info_addr, uptime_s, *loads, *bytes_of, procs, 0, 0, 1)
    return 0


def _meminfo() -> dict[str, int]:
    """proc_meminfo(5) of the host, in KiB."""
    try:
        with open("/proc/meminfo", "rb") as f:
            lines = f.read(16384).decode("ascii", "replace").splitlines()
        return {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines) if rest}
    except (OSError, ValueError, IndexError):
        return {}


def _loads() -> tuple[float, float, float]:
    try:
        with open("/proc/loadavg", "rb") as f:
            one, five, fifteen = f.read(256).split()[:3]
        return float(one), float(five), float(fifteen)
    except (OSError, ValueError):
        return 0.0, 0.0, 0.0


@syscall("syslog", Int, Addr, Int, support="partial", note="one line that never changes; the host's log is not shown")
def sys_syslog(t: Task, command: int, buf_addr: int, size: int) -> int:
    if not CLOSE <= command <= BUFFER:
        raise EINVAL
    if not (t.creds.has(CAP_SYSLOG) or t.creds.has(CAP_SYS_ADMIN)):
        raise EPERM
    if command in (READ, READ_ALL, READ_CLEAR):
        if buf_addr == 0 or size < 0:
            raise EINVAL
        if command == READ:
            return 0  # nothing new since the start
        data = LOG[-size:] if size else b""
        t.mem.write(buf_addr, data)
        return len(data)
    if command == CONSOLE_LEVEL and not 1 <= size <= 8:
        raise EINVAL
    return LOG_BUF_LEN if command == BUFFER else 0
