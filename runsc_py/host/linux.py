"""The Host protocol on a real Linux: thin calls into sentry/engine/hostcalls.c, failures as OSError."""

from __future__ import annotations

import os

from sentry.engine._engine import ffi, lib

from .flags import (
    AT_EMPTY_PATH,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
)


def _checked(result: int, what: str | bytes | None = None) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
    return result


class LinuxHost:
    """Stateless; one instance serves the process."""

    def unshare(self, flags: int) -> None:
        _checked(lib.host_unshare(flags))

    def setns(self, fd: int, flags: int) -> None:
        _checked(lib.host_setns(fd, flags))

    def mount(self, source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> None:
        _checked(lib.host_mount(source or ffi.NULL, target, fstype or ffi.NULL, flags, data or ffi.NULL), target)

    def umount(self, target: bytes, flags: int) -> None:
        _checked(lib.host_umount(target, flags), target)

    def pivot_root(self, new_root: bytes, put_old: bytes) -> None:
        _checked(lib.host_pivot_root(new_root, put_old), new_root)

    def open_tree(self, dirfd: int, path: bytes, flags: int) -> int:
        return _checked(lib.host_open_tree(dirfd, path, flags | OPEN_TREE_CLOEXEC), path)

    def move_mount(self, from_fd: int, to_fd: int, to_path: bytes) -> None:
        flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
        _checked(lib.host_move_mount(from_fd, b"", to_fd, to_path, flags), to_path)

    def mount_setattr(self, fd: int, flags: int, attr_set: int, attr_clear: int, propagation: int) -> None:
        _checked(lib.host_mount_setattr(fd, b"", flags | AT_EMPTY_PATH, attr_set, attr_clear, propagation))

    def new_mount(self, fstype: bytes, options: tuple[tuple[bytes, bytes], ...], attributes: int) -> int:
        context = _checked(lib.host_fsopen(fstype, FSOPEN_CLOEXEC), fstype)
        try:
            for key, value in options:
                command = FSCONFIG_SET_STRING if value else FSCONFIG_SET_FLAG
                _checked(lib.host_fsconfig(context, command, key, value or ffi.NULL, 0), key)
            _checked(lib.host_fsconfig(context, FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0), fstype)
            return _checked(lib.host_fsmount(context, FSMOUNT_CLOEXEC, attributes), fstype)
        finally:
            os.close(context)

    def openat2(self, dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        return _checked(lib.host_openat2(dirfd, path, flags | os.O_CLOEXEC, mode, resolve), path)

    def prctl(self, option: int, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0) -> int:
        return _checked(lib.host_prctl(option, a2, a3, a4, a5))

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        _checked(lib.host_capset(effective, permitted, inheritable))

    def capget(self) -> tuple[int, int, int]:
        sets = ffi.new("uint64_t[3]")
        _checked(lib.host_capget(sets))
        return sets[0], sets[1], sets[2]

    def close_range(self, first: int, last: int) -> None:
        _checked(lib.host_close_range(first, last, 0))

    def execveat(self, fd: int, argv: list[bytes], env: list[bytes]) -> None:
        keep = [ffi.new("char[]", text) for text in (*argv, *env)]
        args = ffi.new("char *[]", [*keep[: len(argv)], ffi.NULL])
        envp = ffi.new("char *[]", [*keep[len(argv) :], ffi.NULL])
        _checked(lib.host_execveat(fd, b"", args, envp, AT_EMPTY_PATH))

    def restrict(self) -> None:
        from sentry.platform import host_filter

        host_filter.install()
