"""The container's cgroup (cgroups(7)): one directory in every version 1 hierarchy, or one in the unified hierarchy.

Joining is done by writing "0" to cgroup.procs from the process that joins: its number differs between pid namespaces.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.oci.spec import Resources

# Sentry, spawner, stub and that of an `exec` are in the cgroup too: a guest still gets as many tasks as was promised.
OWN_TASKS = 4


class Hierarchy:
    """A mounted cgroup file system: version 1 with its controllers, or 2 (controllers is then empty)."""

    def __init__(self, mount_point: str, controllers: frozenset[str], version: int) -> None:
        self.mount_point = mount_point
        self.controllers = controllers
        self.version = version


V1_CONTROLLERS = frozenset(
    "cpu cpuacct cpuset memory devices freezer net_cls blkio perf_event net_prio hugetlb pids rdma misc".split()
)


def hierarchies(mountinfo: str = "/proc/self/mountinfo") -> list[Hierarchy]:
    """Those to use: version 1 where there is any; the unified one beside it ("hybrid") is then left alone."""
    first: dict[str, Hierarchy] = {}
    second: list[Hierarchy] = []
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fstype = right.split(" ", 1)[0]
            if fstype not in ("cgroup", "cgroup2"):
                continue
            fields = left.split()
            if fields[3] != "/":
                continue  # a cgroup of somebody else, bind-mounted
            options = right.split()[-1].split(",")
            if fstype == "cgroup2":
                second.append(Hierarchy(fields[4], frozenset(), 2))
                continue
            controllers = frozenset(o for o in options if o in V1_CONTROLLERS or o.startswith("name="))
            first[",".join(sorted(controllers))] = Hierarchy(fields[4], controllers, 1)
    return list(first.values()) or second[:1]


def clean_path(path: str) -> str:
    """`path` below a hierarchy's root; systemd's "slice:prefix:name" becomes slice/prefix-name.scope."""
    if path.count(":") == 2 and "/" not in path:
        group, prefix, name = path.split(":")
        path = f"{group or 'system.slice'}/{prefix}-{name}.scope"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"cgroup path {path!r} leaves its hierarchy")
    return "/".join(parts)


class Cgroups:
    """The directories of one container. `parents` are those above that are not there yet: they go when empty."""

    def __init__(self, path: str, found: list[Hierarchy] | None = None) -> None:
        self.path = clean_path(path)
        self.hierarchies = hierarchies() if found is None else found
        self.parents = [
            directory
            for hierarchy in self.hierarchies
            for directory in _above(f"{hierarchy.mount_point}/{self.path}", hierarchy.mount_point)
            if not os.path.isdir(directory)
        ]

    @property
    def directories(self) -> list[str]:
        return [f"{h.mount_point}/{self.path}" for h in self.hierarchies]

    def create(self) -> None:
        """Make what can be made; a hierarchy that refuses (read-only, no rights) is left out."""
        usable = []
        for hierarchy in self.hierarchies:
            for _ in range(3):
                try:
                    self._make(hierarchy)
                except FileNotFoundError:
                    continue  # a parent was removed as empty while we were on the way
                except OSError:
                    break
                usable.append(hierarchy)
                break
        self.hierarchies = usable

    def _make(self, hierarchy: Hierarchy) -> None:
        directory = hierarchy.mount_point
        for part in self.path.split("/"):
            if hierarchy.version == 2:
                _enable_controllers(directory)
            parent, directory = directory, f"{directory}/{part}"
            try:
                os.mkdir(directory, 0o755)
            except FileExistsError:
                pass
            if "cpuset" in hierarchy.controllers:
                for name in ("cpuset.cpus", "cpuset.mems"):
                    _copy_if_empty(f"{parent}/{name}", f"{directory}/{name}")

    def limit(self, wanted: Resources) -> list[str]:
        """Apply limits; returns those that this host could not, as text for the debug log."""
        failed = []
        for hierarchy in self.hierarchies:
            directory = f"{hierarchy.mount_point}/{self.path}"
            settings = _settings_v2(wanted) if hierarchy.version == 2 else _settings_v1(wanted, hierarchy.controllers)
            for name, value in settings:
                try:
                    _write(f"{directory}/{name}", value)
                except OSError as err:
                    failed.append(f"{directory}/{name} = {value}: {err.strerror}")
        return failed

    def open_procs(self) -> list[int]:
        """Descriptors to be passed to `join` in the processes that belong here."""
        fds = []
        for directory in self.directories:
            try:
                fds.append(os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
            except OSError:
                pass
        return fds


def join(procs_fds: list[int]) -> None:
    for fd in procs_fds:
        try:
            os.write(fd, b"0")
        except OSError:
            pass  # limits of this one hierarchy are then missing; the container runs


def remove(directories: list[str], patience_s: float = 2.0) -> list[str]:
    """rmdir each; a dying process keeps its cgroup busy for a moment. Returns what is left."""
    left = directories
    deadline = time.monotonic() + patience_s
    while True:
        left = [directory for directory in left if not _rmdir(directory)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.005)


def remove_empty(parents: list[str]) -> None:
    """Deepest first; one that another container uses is busy and stays."""
    for directory in sorted(parents, key=len, reverse=True):
        _rmdir(directory)


def _above(directory: str, top: str) -> list[str]:
    """The directories between `top` and `directory`, both left out."""
    found = []
    directory = os.path.dirname(directory)
    while len(directory) > len(top):
        found.append(directory)
        directory = os.path.dirname(directory)
    return found


def _rmdir(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _copy_if_empty(source: str, target: str) -> None:
    """A new cpuset allows nothing until it is told what (cpuset(7))."""
    try:
        with open(target) as file:
            if file.read().strip():
                return
        with open(source) as file:
            _write(target, file.read().strip())
    except OSError:
        pass


def _enable_controllers(directory: str) -> None:
    """Hand the controllers of `directory` on to its children (cgroup.subtree_control)."""
    try:
        with open(f"{directory}/cgroup.controllers") as file:
            available = file.read().split()
    except OSError:
        return
    for name in ("cpuset", "cpu", "io", "memory", "pids"):
        if name in available:
            try:
                _write(f"{directory}/cgroup.subtree_control", f"+{name}")
            except OSError:
                pass


def _settings_v1(wanted: Resources, controllers: frozenset[str]) -> list[tuple[str, str]]:
    settings: list[tuple[str, str]] = []

    def add(controller: str, name: str, value: int | str | None) -> None:
        if controller in controllers and value not in (None, ""):
            settings.append((name, str(value)))

    add("memory", "memory.limit_in_bytes", wanted.memory)
    add("memory", "memory.memsw.limit_in_bytes", wanted.swap)
    add("memory", "memory.soft_limit_in_bytes", wanted.reservation)
    add("pids", "pids.max", _pids_max(wanted.pids))
    add("cpu", "cpu.shares", wanted.shares or None)
    add("cpu", "cpu.cfs_period_us", wanted.period or None)
    add("cpu", "cpu.cfs_quota_us", wanted.quota or None)
    add("cpuset", "cpuset.cpus", wanted.cpus)
    add("cpuset", "cpuset.mems", wanted.mems)
    return settings


def _settings_v2(wanted: Resources) -> list[tuple[str, str]]:
    settings: list[tuple[str, str]] = []
    if wanted.memory is not None:
        settings.append(("memory.max", _or_max(wanted.memory)))
    if wanted.swap is not None and wanted.memory is not None:
        swap = -1 if wanted.swap < 0 else max(0, wanted.swap - wanted.memory)
        settings.append(("memory.swap.max", _or_max(swap)))
    if wanted.reservation is not None:
        settings.append(("memory.low", str(max(0, wanted.reservation))))
    pids = _pids_max(wanted.pids)
    if pids is not None:
        settings.append(("pids.max", pids))
    if wanted.shares:
        # the range 2..262144 of version 1 onto 1..10000
        settings.append(("cpu.weight", str(1 + (wanted.shares - 2) * 9999 // 262142)))
    if wanted.quota or wanted.period:
        settings.append(("cpu.max", f"{_or_max(wanted.quota or -1)} {wanted.period or 100000}"))
    if wanted.cpus:
        settings.append(("cpuset.cpus", wanted.cpus))
    if wanted.mems:
        settings.append(("cpuset.mems", wanted.mems))
    return settings


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _pids_max(limit: int | None) -> str | None:
    if limit is None or limit == 0:
        return None
    return "max" if limit < 0 else str(limit + OWN_TASKS)
