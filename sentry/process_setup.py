"""What a process without a parent in the container starts with (execve(2)): credentials, limits, descriptors, working
directory and program, for pid 1 and for the process of an `exec`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.errno import EACCES, ENOENT, ENOTDIR, Errno
from sentry.boot import CONSOLE, BootError, ProcessConfig
from sentry.creds import Credentials
from sentry.kernel import exec as exec_
from sentry.kernel.limits import Limits
from vfs.anon.host_file import stdio
from vfs.core.access import X, check
from vfs.core.walk import Path, walk
from vfs.tty.file import open_tty

if TYPE_CHECKING:
    from sentry.kernel.fs_context import FsContext
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from vfs.core.fd_table import FdTable
    from vfs.core.file import File
    from vfs.tty.console import Console

DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
O_RDWR = 2
PASSWD_LIMIT = 1 << 20


class Candidate:
    """The task that will be, as far as looking for its program needs one."""

    def __init__(self, kernel: Kernel, fds: FdTable, fs: FsContext, creds: Credentials, limits: Limits) -> None:
        self.kernel = kernel
        self.fds = fds
        self.fs = fs
        self.creds = creds
        self.limits = limits

    @property
    def group(self) -> Candidate:
        return self


def credentials(config: ProcessConfig) -> Credentials:
    bounding, effective, inheritable, permitted, ambient = config.caps
    uid, gid = config.uid, config.gid
    return Credentials(
        uid, uid, uid, uid, gid, gid, gid, gid,
        groups=tuple(sorted({*config.additional_gids})),
        permitted=permitted, effective=effective & permitted, inheritable=inheritable, bounding=bounding,
        ambient=ambient & permitted & inheritable, no_new_privs=config.no_new_privs,
    )  # fmt: skip


def limits(config: ProcessConfig) -> Limits:
    found = Limits()
    for resource, (soft, hard) in config.rlimits.items():
        found.set(resource, soft, hard)
    return found


def open_stdio(kernel: Kernel, config: ProcessConfig, fds: FdTable, console: Console | None, t: Task) -> None:
    """0, 1 and 2, then --preserve-fds."""
    own = [fd for fd in config.stdio if fd != CONSOLE]
    files: list[File] = list(stdio([*own, *config.preserved.values()], kernel, config.uid, config.gid))
    terminal = open_tty(console.tty, _console_place(t, console), O_RDWR, None) if console is not None else None
    for number, fd in enumerate(config.stdio):
        file = terminal if fd == CONSOLE else files.pop(0)
        if file is not None:
            fds.put(number, file)
    for number, file in zip(config.preserved, files, strict=True):
        fds.put(number, file)


def _console_place(t: Task, console: Console) -> Path | None:
    """Where ttyname(3) finds the terminal."""
    try:
        return walk(t, AT_FDCWD, b"/dev/pts/%d" % console.tty.index)
    except Errno:
        return None


def working_directory(t: Task, cwd: bytes) -> Path:
    try:
        place = walk(t, AT_FDCWD, cwd)
        if not place.dentry.inode.is_dir:
            raise ENOTDIR
        check(place.dentry.inode, t, X)
    except Errno as err:
        raise BootError(f"chdir to `{cwd.decode(errors='replace')}`: {os.strerror(err.code)}", 126)
    return place


def add_home(t: Task, config: ProcessConfig) -> None:
    """HOME from the container's passwd(5) where the environment has none, as other runtimes do."""
    if not any(item.startswith(b"HOME=") and len(item) > 5 for item in config.env):
        config.env = [item for item in config.env if not item.startswith(b"HOME=")]
        config.env.append(b"HOME=" + (_home_of(t, b"%d" % config.uid) or b"/"))


def _home_of(t: Task, uid: bytes) -> bytes:
    try:
        place = walk(t, AT_FDCWD, b"/etc/passwd")
        if not place.dentry.inode.is_reg:
            return b""
        file = place.dentry.inode.open(place, 0, t).ref()
        try:
            text = file.pread(PASSWD_LIMIT, 0)
        finally:
            file.unref()
    except Errno:
        return b""
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == uid and b"\0" not in fields[5]:
            return fields[5]
    return b""


def program(t: Task, config: ProcessConfig) -> exec_.Exec:
    """Container engines look for these words: `executable file ... not found in` is 127, `permission denied` is 126."""
    name = config.args[0]
    shown = name.decode(errors="replace")
    search = next((item[5:] for item in config.env if item.startswith(b"PATH=")), DEFAULT_PATH)
    try:
        return exec_.prepare(t, AT_FDCWD, exec_.find_in_path(t, name, search), 0)
    except (ENOENT, ENOTDIR) as err:
        raise BootError(f"executable file `{shown}` not found in $PATH: {os.strerror(err.code)}", 127)
    except EACCES:
        raise BootError(f"executable file `{shown}`: permission denied", 126)
    except Errno as err:
        raise BootError(f"executable file `{shown}`: {os.strerror(err.code)}", 126)
