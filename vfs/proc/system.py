"""The files of /proc that tell of the whole system (proc(5)): memory, CPUs, time, load, version.

Memory, CPU time and load are the host's, as in any container, cut down to the container's own limits; numbers of
processes are the guest's, and what would tell of the host's devices or of its other work is left out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sentry.abi.release import RELEASE, SYSNAME, VERSION

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

NS = 1_000_000_000
MEMORY_KEYS = (
    b"MemTotal", b"MemFree", b"MemAvailable", b"Buffers", b"Cached", b"SwapCached", b"Active", b"Inactive",
    b"Active(anon)", b"Inactive(anon)", b"Active(file)", b"Inactive(file)", b"Unevictable", b"Mlocked", b"SwapTotal",
    b"SwapFree", b"Dirty", b"Writeback", b"AnonPages", b"Mapped", b"Shmem", b"KReclaimable", b"Slab", b"SReclaimable",
    b"SUnreclaim", b"KernelStack", b"PageTables", b"CommitLimit", b"Committed_AS", b"VmallocTotal", b"VmallocUsed",
    b"VmallocChunk", b"AnonHugePages", b"HugePages_Total", b"HugePages_Free", b"HugePages_Rsvd", b"HugePages_Surp",
    b"Hugepagesize",
)  # fmt: skip
COUNTS = (b"HugePages_Total", b"HugePages_Free", b"HugePages_Rsvd", b"HugePages_Surp")
HUGE = (b"HugePages_Total", b"HugePages_Free", b"HugePages_Rsvd", b"HugePages_Surp", b"SwapTotal", b"SwapFree")
FILESYSTEMS = (
    b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\nnodev\tdevpts\nnodev\tmqueue\n"
    b"nodev\toverlay\n"
)
DEVICES = (
    b"Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n"
    b"128 ptm\n136 pts\n\nBlock devices:\n"
)
CGROUPS = (b"cpuset", b"cpu", b"cpuacct", b"blkio", b"memory", b"devices", b"freezer", b"pids")


def host_file(name: str, limit: int = 1 << 20) -> bytes:
    """A file at the top of the host's /proc; b"" if there is none."""
    try:
        with open(f"/proc/{name}", "rb") as f:
            return f.read(limit)
    except OSError:
        return b""


def memory_limit(kernel: Kernel) -> int:
    """The container's own limit in KiB, 0 for none."""
    limits: dict[str, int] = getattr(kernel.config, "cgroup_limits", None) or {}
    limit = limits.get("memory", 0)
    return limit >> 10 if limit > 0 else 0


def meminfo(t: Task) -> bytes:
    found: dict[bytes, int] = {}
    for line in host_file("meminfo").splitlines():
        key, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            found[key] = int(words[0])
    limit = memory_limit(t.kernel)
    lines = []
    for key in MEMORY_KEYS:
        if key not in found:
            continue
        value = found[key]
        if limit and key not in COUNTS and key not in (b"Hugepagesize", b"VmallocTotal"):
            value = min(value, limit)
        if key in COUNTS:
            lines.append(b"%-15s %8d\n" % (key + b":", 0))
        else:
            lines.append(b"%-15s %8d kB\n" % (key + b":", value))
    return b"".join(lines)


def cpuinfo(t: Task) -> bytes:
    """Nothing here that the guest could not ask its CPU by itself; CPUs that it may not run on are left out."""
    allowed = t.kernel.cpus
    blocks = host_file("cpuinfo", 8 << 20).split(b"\n\n")
    kept = []
    for block in blocks:
        key, _, value = block.partition(b"\n")[0].partition(b":")
        if key.strip() == b"processor" and value.strip().isdigit() and int(value) in allowed:
            kept.append(block.strip(b"\n") + b"\n\n")
    return b"".join(kept) or host_file("cpuinfo")


def stat(t: Task) -> bytes:
    """CPU time is the host's; interrupts, context switches and forks of the host are not told."""
    kernel = t.kernel
    lines = [line + b"\n" for line in host_file("stat").splitlines() if line.startswith(b"cpu")]
    boot_s = (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // NS
    lines.append(b"intr 0\nctxt 0\nbtime %d\n" % boot_s)
    lines.append(b"processes %d\nprocs_running %d\nprocs_blocked 0\n" % (last_pid(kernel), running(kernel)))
    lines.append(b"softirq 0 0 0 0 0 0 0 0 0 0 0\n")
    return b"".join(lines)


def last_pid(kernel: Kernel) -> int:
    return max((group.pid for group in kernel.groups.values()), default=1)


def running(kernel: Kernel) -> int:
    """Who is not asleep in a call; at least the one who asks."""
    return max(1, sum(1 for task in tuple(kernel.tasks.values()) if task.parked is None and task.request_id))


def uptime(t: Task) -> bytes:
    up_cs = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 10_000_000
    idle = host_file("uptime").split()
    return b"%d.%02d %s\n" % (up_cs // 100, up_cs % 100, idle[1] if len(idle) > 1 else b"0.00")


def loadavg(t: Task) -> bytes:
    words = host_file("loadavg").split()[:3]
    loads = b" ".join(words) if len(words) == 3 else b"0.00 0.00 0.00"
    kernel = t.kernel
    return b"%s %d/%d %d\n" % (loads, running(kernel), len(kernel.tasks), last_pid(kernel))


def version(t: Task) -> bytes:
    return b"%s version %s (runsc-py) %s\n" % (SYSNAME, RELEASE, VERSION)


def cgroups(t: Task) -> bytes:
    head = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
    return head + b"".join(b"%s\t0\t1\t1\n" % name for name in CGROUPS)


def interrupts(t: Task) -> bytes:
    return b"           " + b"".join(b"CPU%-8d" % cpu for cpu in sorted(t.kernel.cpus)) + b"\n"


def vmstat(t: Task) -> bytes:
    names = (
        b"nr_free_pages", b"nr_inactive_anon", b"nr_active_anon", b"nr_inactive_file", b"nr_active_file",
        b"nr_dirty", b"nr_writeback", b"nr_mapped", b"nr_shmem", b"pgpgin", b"pgpgout", b"pswpin", b"pswpout",
        b"pgfault", b"pgmajfault", b"oom_kill",
    )  # fmt: skip
    free = 0
    for line in meminfo(t).splitlines():
        if line.startswith(b"MemFree:"):
            free = int(line.split()[1]) // 4
    return b"".join(b"%s %d\n" % (name, free if name == b"nr_free_pages" else 0) for name in names)


def pressure(t: Task) -> bytes:
    return b"".join(b"%s avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" % who for who in (b"some", b"full"))
