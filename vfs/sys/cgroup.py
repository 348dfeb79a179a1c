"""cgroup2 (cgroups(7)): the container's own group as programs read it to learn their limits; nothing can be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const.mounts import CGROUP2_SUPER_MAGIC
from vfs.core.node import FileSystem, Inode
from vfs.core.synth import SynthDir, SynthFile, SynthFs
from vfs.proc.system import memory_limit
from vfs.sys.root import number_list

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

PAGE = 4096
PERIOD_US = 100_000


def make(kernel: Kernel, options: bytes = b"") -> FileSystem:
    fs = SynthFs(b"cgroup2", CGROUP2_SUPER_MAGIC, b"cgroup")
    entries: dict[bytes, Inode] = {name: SynthFile(fs, render, mode=0o444) for name, render in FILES.items()}
    fs.set_root(SynthDir(fs, entries, ino=1))
    return fs


def _limit(kernel: Kernel, name: str) -> int:
    limits: dict[str, int] = getattr(kernel.config, "cgroup_limits", None) or {}
    return limits.get(name, 0)


def _processes(t: Task) -> bytes:
    return b"".join(b"%d\n" % pid for pid in sorted(g.pid for g in t.kernel.groups.values() if g.pid and not g.dead))


def _threads(t: Task) -> bytes:
    return b"".join(b"%d\n" % tid for tid in sorted(task.tid for task in t.kernel.tasks.values() if task.tid))


def _memory_max(t: Task) -> bytes:
    limit = memory_limit(t.kernel)
    return b"%d\n" % (limit << 10) if limit else b"max\n"


def _memory_current(t: Task) -> bytes:
    """The pages that the processes hold; what they share is counted once for each."""
    total = 0
    for group in tuple(t.kernel.groups.values()):
        try:
            with open(f"/proc/{group.host_pid}/statm", "rb") as f:
                total += int(f.read(256).split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return b"%d\n" % total


def _pids_max(t: Task) -> bytes:
    limit = _limit(t.kernel, "pids")
    return b"%d\n" % limit if limit > 0 else b"max\n"


def _pids_current(t: Task) -> bytes:
    return b"%d\n" % len(t.kernel.tasks)


def _cpu_max(t: Task) -> bytes:
    quota, period = _limit(t.kernel, "cpu_quota"), _limit(t.kernel, "cpu_period") or PERIOD_US
    return b"%d %d\n" % (quota, period) if quota > 0 else b"max %d\n" % period


def _cpus(t: Task) -> bytes:
    return number_list(sorted(t.kernel.cpus)) + b"\n"


def _always(text: bytes) -> Callable[[Task], bytes]:
    return lambda t: text


FILES: dict[bytes, Callable[[Task], bytes]] = {
    b"cgroup.controllers": _always(b"cpuset cpu memory pids\n"),
    b"cgroup.events": _always(b"populated 1\nfrozen 0\n"),
    b"cgroup.procs": _processes,
    b"cgroup.subtree_control": _always(b"\n"),
    b"cgroup.threads": _threads,
    b"cgroup.type": _always(b"domain\n"),
    b"cpu.max": _cpu_max,
    b"cpu.weight": _always(b"100\n"),
    b"cpuset.cpus": _always(b"\n"),
    b"cpuset.cpus.effective": _cpus,
    b"cpuset.mems.effective": _always(b"0\n"),
    b"memory.current": _memory_current,
    b"memory.events": _always(b"low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
    b"memory.high": _always(b"max\n"),
    b"memory.low": _always(b"0\n"),
    b"memory.max": _memory_max,
    b"memory.min": _always(b"0\n"),
    b"memory.swap.current": _always(b"0\n"),
    b"memory.swap.max": _always(b"max\n"),
    b"pids.current": _pids_current,
    b"pids.max": _pids_max,
}
