"""What a container uses, as its cgroup counts it (cgroups(7)), in the words of `runc events`.

The Sentry's own time and memory are in it: they are what the container costs. Processes are the container's alone.
"""

from __future__ import annotations

import os

from .cgroups import OWN_TASKS

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
UNLIMITED = (1 << 64) - 1
Numbers = dict[str, int]


class Cgroup:
    """The directories of one container; every file may be missing."""

    def __init__(self, directories: list[str]) -> None:
        self.directories = [directory for directory in directories if os.path.isdir(directory)]

    def _read(self, name: str) -> str:
        for directory in self.directories:
            try:
                with open(f"{directory}/{name}", encoding="ascii", errors="replace") as file:
                    return file.read()
            except OSError:
                continue
        return ""

    def _number(self, name: str) -> int:
        """0 for what is not there; "max" is no limit."""
        text = self._read(name).strip()
        return UNLIMITED if text == "max" else int(text) if text.isdecimal() else 0

    def _numbers(self, name: str) -> list[int]:
        return [int(text) for text in self._read(name).split() if text.isdecimal()]

    def _table(self, name: str) -> Numbers:
        rows = (line.split() for line in self._read(name).splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}

    def oom_kills(self) -> int:
        """How often memory ran out so far."""
        for name in ("memory.events", "memory.oom_control"):
            found = self._table(name)
            if "oom_kill" in found:
                return found["oom_kill"]
        return 0

    def stats(self, inside: list[int]) -> dict[str, object]:
        """`inside` are the host numbers of the container's processes."""
        unified = bool(self._read("cgroup.controllers"))
        return {
            "cpu": self._cpu_v2() if unified else self._cpu_v1(),
            "cpuset": {"cpus": _list(self._read("cpuset.cpus")), "mems": _list(self._read("cpuset.mems"))},
            "memory": self._memory_v2() if unified else self._memory_v1(),
            "pids": self._pids(inside),
            "blkio": {},
            "hugetlb": {},
            "intel_rdt": {},
            "network_interfaces": None,
        }

    def _cpu_v1(self) -> dict[str, object]:
        ticks = self._table("cpuacct.stat")
        usage = {
            "total": self._number("cpuacct.usage"),
            "percpu": self._numbers("cpuacct.usage_percpu"),
            "kernel": ticks.get("system", 0) * TICK_NS,
            "user": ticks.get("user", 0) * TICK_NS,
        }
        return {"usage": usage, "throttling": _throttling(self._table("cpu.stat"), "throttled_time", 1)}

    def _cpu_v2(self) -> dict[str, object]:
        stat = self._table("cpu.stat")
        names = (("total", "usage_usec"), ("kernel", "system_usec"), ("user", "user_usec"))
        usage = {ours: stat.get(name, 0) * 1000 for ours, name in names}
        return {"usage": usage, "throttling": _throttling(stat, "throttled_usec", 1000)}

    def _memory_v1(self) -> dict[str, object]:
        raw = self._table("memory.stat")
        kinds = {"usage": "memory", "swap": "memory.memsw", "kernel": "memory.kmem", "kernelTCP": "memory.kmem.tcp"}
        used = {kind: self._usage_v1(prefix) for kind, prefix in kinds.items()}
        return {"cache": raw.get("cache", 0), **used, "raw": raw}

    def _usage_v1(self, prefix: str) -> Numbers:
        names = (("limit", "limit_in_bytes"), ("usage", "usage_in_bytes"), ("max", "max_usage_in_bytes"),
                 ("failcnt", "failcnt"))  # fmt: skip
        return {ours: self._number(f"{prefix}.{name}") for ours, name in names}

    def _memory_v2(self) -> dict[str, object]:
        raw, events = self._table("memory.stat"), self._table("memory.events")
        memory = {"limit": self._number("memory.max"), "usage": self._number("memory.current"),
                  "max": self._number("memory.peak"), "failcnt": events.get("max", 0)}  # fmt: skip
        swap = {"limit": self._number("memory.swap.max"), "usage": self._number("memory.swap.current"), "failcnt": 0}
        return {"cache": raw.get("file", 0), "usage": memory, "swap": swap, "raw": raw}

    def _pids(self, inside: list[int]) -> Numbers:
        """Without Sentry and stubs, which have one thread each, and the room that was made for them."""
        own = len(set(self._numbers("cgroup.procs")) - set(inside))
        found = {"current": max(0, self._number("pids.current") - own)}
        limit = self._number("pids.max")
        if 0 < limit < UNLIMITED:
            found["limit"] = max(0, limit - OWN_TASKS)
        return found


def _throttling(stat: Numbers, time_name: str, unit_ns: int) -> Numbers:
    names = (("periods", "nr_periods", 1), ("throttledPeriods", "nr_throttled", 1),
             ("throttledTime", time_name, unit_ns))  # fmt: skip
    return {ours: stat[name] * unit for ours, name, unit in names if stat.get(name)}


def _list(text: str) -> list[int]:
    """0-2,5 of cpuset(7)."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found += range(int(first), int(last or first) + 1)
    return found


def of_processes(pids: list[int], count: int) -> dict[str, object]:
    """Without a cgroup: from proc_pid_stat(5) of those that live now. `count` are the container's own."""
    user = kernel = resident = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read(4096)
        except OSError:
            continue
        fields = text[text.rfind(b")") + 2 :].split()
        user, kernel, resident = user + int(fields[11]), kernel + int(fields[12]), resident + int(fields[21])
    usage = {"total": (user + kernel) * TICK_NS, "kernel": kernel * TICK_NS, "user": user * TICK_NS}
    memory = {"usage": {"limit": UNLIMITED, "usage": resident * os.sysconf("SC_PAGE_SIZE"), "failcnt": 0}, "raw": {}}
    return {"cpu": {"usage": usage, "throttling": {}}, "memory": memory, "pids": {"current": count}, "blkio": {},
            "hugetlb": {}, "intel_rdt": {}, "network_interfaces": None}  # fmt: skip
