"""The processes that a sandbox consists of, their memory and CPU time; proc(5), PR_SET_CHILD_SUBREAPER of prctl(2)."""

from __future__ import annotations

import ctypes
import os

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x20000
MS_REC_PRIVATE = 0x4000 | 0x40000
MNT_DETACH = 2
HYBRID = b"/sys/fs/cgroup/unified"

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Whatever is started and orphaned below us stays our descendant, so that a sandbox's processes can be found."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def leave_hybrid_cgroups() -> None:
    """In a mount namespace of our own, hide the cgroup2 tree of a hybrid hierarchy, with which crun refuses to run."""
    if not os.path.ismount(HYBRID):
        return
    if _libc.unshare(CLONE_NEWNS) != 0 or _libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _libc.umount2(HYBRID, MNT_DETACH)


def descendants() -> list[int]:
    """Every process below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return [pid for pid in found if (_stat(pid) or ["Z"])[0] != "Z"]


def pss_kb(pids: list[int]) -> float:
    """Memory of processes together, pages shared with others counted in parts."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return float(total)


def cpu_s(pids: list[int]) -> float:
    ticks = sum(int(fields[11]) + int(fields[12]) for pid in pids if (fields := _stat(pid)))
    return ticks / os.sysconf("SC_CLK_TCK")


def reap() -> None:
    """Collect orphans that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
