"""A Host that writes down what is asked of it (runsc_py/host/protocol.py), so that set-up is tested without rights."""

from __future__ import annotations

import os


class RecordingHost:
    """`calls` holds (name, arguments...); calls that return a descriptor give one of /dev/null, named in `names`."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.names: dict[int, str] = {}
        self.failing: dict[str, int] = {}  # name of a call: errno
        self.missing: set[bytes] = set()  # paths that openat2 does not find
        self.capabilities = (1 << 41) - 1

    def _note(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        code = self.failing.get(name)
        if code:
            raise OSError(code, os.strerror(code))

    def _fd(self, name: str) -> int:
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.names[fd] = name
        return fd

    def named(self) -> list[str]:
        """Names of the calls, in order."""
        return [str(call[0]) for call in self.calls]

    def unshare(self, flags: int) -> None:
        self._note("unshare", flags)

    def setns(self, fd: int, flags: int) -> None:
        self._note("setns", fd, flags)

    def mount(self, source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> None:
        self._note("mount", source, target, fstype, flags, data)

    def umount(self, target: bytes, flags: int) -> None:
        self._note("umount", target, flags)

    def pivot_root(self, new_root: bytes, put_old: bytes) -> None:
        self._note("pivot_root", new_root, put_old)

    def open_tree(self, dirfd: int, path: bytes, flags: int) -> int:
        self._note("open_tree", path, flags)
        return self._fd(f"tree {path.decode()}")

    def move_mount(self, from_fd: int, to_fd: int, to_path: bytes) -> None:
        self._note("move_mount", self.names.get(from_fd, from_fd), self.names.get(to_fd, to_fd), to_path)

    def mount_setattr(self, fd: int, flags: int, attr_set: int, attr_clear: int, propagation: int) -> None:
        self._note("mount_setattr", self.names.get(fd, fd), flags, attr_set, propagation)

    def new_mount(self, fstype: bytes, options: tuple[tuple[bytes, bytes], ...], attributes: int) -> int:
        self._note("new_mount", fstype, options, attributes)
        return self._fd(f"new {fstype.decode()}")

    def openat2(self, dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        self._note("openat2", path, flags, resolve)
        if path.strip(b"/") in self.missing:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self._fd(f"at {path.decode()}")

    def prctl(self, option: int, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0) -> int:
        self._note("prctl", option, a2)
        if option == 24 and a2 > 40:
            raise OSError(22, "Invalid argument")
        return 0

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        self._note("capset", effective, permitted, inheritable)

    def capget(self) -> tuple[int, int, int]:
        return self.capabilities, self.capabilities, 0

    def close_range(self, first: int, last: int) -> None:
        self._note("close_range", first, last)

    def execveat(self, fd: int, argv: list[bytes], env: list[bytes]) -> None:
        self._note("execveat", fd, tuple(argv), tuple(env))

    def restrict(self) -> None:
        self._note("restrict")
