"""Resource limits of a process (getrlimit(2)); kept here; syscalls/limits.py pushes some down to the host as well."""

from __future__ import annotations

INFINITY = (1 << 64) - 1
CPU, FSIZE, DATA, STACK, CORE, RSS, NPROC, NOFILE = range(8)
MEMLOCK, AS, LOCKS, SIGPENDING, MSGQUEUE, NICE, RTPRIO, RTTIME = range(8, 16)
COUNT = 16
NOFILE_MAX = 16384  # guest descriptors stay well below the loader's real numbers

_DEFAULTS: dict[int, tuple[int, int]] = {
    STACK: (8 << 20, INFINITY),
    CORE: (0, INFINITY),
    NPROC: (NOFILE_MAX, NOFILE_MAX),
    NOFILE: (1024, NOFILE_MAX),
    MEMLOCK: (8 << 20, 8 << 20),
    SIGPENDING: (NOFILE_MAX, NOFILE_MAX),
    MSGQUEUE: (819200, 819200),
    NICE: (0, 0),
    RTPRIO: (0, 0),
}


class Limits:
    """(soft, hard) by resource number; copied by fork."""

    __slots__ = ("values",)

    def __init__(self, values: dict[int, tuple[int, int]] | None = None) -> None:
        if values is None:
            values = {n: _DEFAULTS.get(n, (INFINITY, INFINITY)) for n in range(COUNT)}
        self.values = values

    def get(self, resource: int) -> tuple[int, int]:
        return self.values[resource]

    def set(self, resource: int, soft: int, hard: int) -> None:
        """The descriptor limit is clamped: numbers from NOFILE_MAX on are the loader's."""
        if resource == NOFILE:
            soft, hard = min(soft, NOFILE_MAX), min(hard, NOFILE_MAX)
        self.values[resource] = (soft, hard)

    def copy(self) -> Limits:
        return Limits(dict(self.values))

    @property
    def nofile(self) -> int:
        return self.values[NOFILE][0]

    @property
    def fsize(self) -> int:
        return self.values[FSIZE][0]

    @property
    def nproc(self) -> int:
        return self.values[NPROC][0]

    @property
    def stack(self) -> int:
        return self.values[STACK][0]
