"""The host's system calls that the runtime needs beyond `os`, as one protocol; tests use a recording double.

Imported for type checks only (`typing` costs more than a whole command may). Every method raises OSError.
"""

from __future__ import annotations

from typing import Protocol


class Host(Protocol):
    def unshare(self, flags: int) -> None: ...

    def setns(self, fd: int, flags: int) -> None: ...

    def mount(self, source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> None: ...

    def umount(self, target: bytes, flags: int) -> None: ...

    def pivot_root(self, new_root: bytes, put_old: bytes) -> None: ...

    def open_tree(self, dirfd: int, path: bytes, flags: int) -> int: ...

    def move_mount(self, from_fd: int, to_fd: int, to_path: bytes) -> None:
        """Attach the detached mount `from_fd` at `to_path` below `to_fd` (an empty path: at `to_fd` itself)."""

    def mount_setattr(self, fd: int, flags: int, attr_set: int, attr_clear: int, propagation: int) -> None: ...

    def new_mount(self, fstype: bytes, options: tuple[tuple[bytes, bytes], ...], attributes: int) -> int:
        """fsopen(2), fsconfig(2) and fsmount(2): a detached mount of a new file system."""

    def openat2(self, dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int: ...

    def prctl(self, option: int, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0) -> int: ...

    def capset(self, effective: int, permitted: int, inheritable: int) -> None: ...

    def capget(self) -> tuple[int, int, int]: ...

    def close_range(self, first: int, last: int) -> None: ...

    def execveat(self, fd: int, argv: list[bytes], env: list[bytes]) -> None: ...

    def restrict(self) -> None:
        """The Sentry's own seccomp filter (sentry/platform/host_filter.py) is in force from here on."""
