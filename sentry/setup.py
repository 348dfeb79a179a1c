"""From a BootConfig to a running kernel: file systems, descriptors, credentials and the first task (execve(2))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.errno import EACCES, ENOENT, ENOTDIR, Errno
from sentry.boot import CONSOLE, BootConfig, BootError
from sentry.creds import Credentials
from sentry.kernel import exec as exec_
from sentry.kernel.fs_context import FsContext
from sentry.kernel.kernel import Kernel, Uts
from sentry.kernel.limits import Limits
from sentry.platform import launch
from syscalls.profile import Profile
from syscalls.strace import tracer
from syscalls.table import table
from vfs.anon.host_file import stdio
from vfs.core import setup
from vfs.core.access import X, check
from vfs.core.fd_table import FdTable
from vfs.core.walk import Path, walk
from vfs.fs.boot import build_mounts
from vfs.proc import root as proc
from vfs.proc import sysctl
from vfs.sys import cgroup
from vfs.sys import root as sysfs
from vfs.tty import devices
from vfs.tty.console import Console
from vfs.tty.file import open_tty
from vfs.tty.session import terminals

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.kernel.task import Task
    from sentry.platform.launch import AnyPlatform
    from vfs.core.file import File

    Trace = Callable[[Task, int, tuple[int, ...], int | None], None]

DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
O_RDWR = 2


class Candidate:
    """The task that pid 1 will be, as far as looking for its program needs one."""

    def __init__(self, kernel: Kernel, fds: FdTable, fs: FsContext, creds: Credentials, limits: Limits) -> None:
        self.kernel = kernel
        self.fds = fds
        self.fs = fs
        self.creds = creds
        self.group = self
        self.limits = limits


def load() -> None:
    """This module's imports are all."""


def boot(config: BootConfig) -> Kernel:
    platform = _platform(config)
    kernel = _kernel(config, platform)
    root = kernel.root = _mounts(kernel, config)
    fds, fs = FdTable(), FsContext(root, root, config.umask)
    creds, limits = _credentials(config), _limits(config)
    fds.limit = limits.nofile
    candidate = cast("Task", Candidate(kernel, fds, fs, creds, limits))
    console = _console(kernel, config)
    _stdio(kernel, config, fds, console, candidate)
    fs.cwd = _working_directory(candidate, config.cwd)
    program = _program(candidate, config)
    try:
        task = launch.launch(
            kernel, platform, program, config.args, config.env, config.loader_fd, config.spawner_fd,
            fds, fs, creds, limits,
        )  # fmt: skip
    except launch.LaunchError as err:
        raise BootError(str(err))
    task.group.oom_score_adj = config.oom_score_adj
    sysctl.apply(kernel, config.sysctl)
    if console is not None and config.terminal:
        terminals(kernel).take(console.tty, task.group)
    return kernel


def _platform(config: BootConfig) -> AnyPlatform:
    machine = os.uname().machine
    platform = launch.new_platform()
    platform.table = table(machine)
    if config.strace and config.log_fd >= 0:
        platform.trace = cast("Trace", tracer(lambda text: _write_line(config.log_fd, text), machine))
    return platform


def _kernel(config: BootConfig, platform: AnyPlatform) -> Kernel:
    kernel = Kernel(platform, config)
    platform.take(kernel)
    kernel.released = False
    kernel.mortal_init = config.mortal_init
    kernel.backing = config.backing_fd
    kernel.uts = Uts(config.hostname or b"localhost", config.domainname or b"(none)")
    kernel.debugging = config.debug
    if config.profile and config.log_fd >= 0:
        profile = Profile(os.uname().machine)
        profile.watch_copies()
        platform.table = profile.table(platform.table)
        kernel.at_end.append(lambda: _write_line(config.log_fd, profile.report()))
    if config.log_fd >= 0:
        kernel.log_fd = config.log_fd
    return kernel


def _write_line(fd: int, text: str) -> None:
    try:
        os.write(fd, text.encode(errors="backslashreplace") + b"\n")
    except OSError:
        pass  # a full pipe: better a line less than a sandbox that stands still


def _mounts(kernel: Kernel, config: BootConfig) -> Path:
    for name, maker in (
        ("proc", proc.make),
        ("sysfs", sysfs.make),
        ("cgroup", cgroup.make),
        ("cgroup2", cgroup.make),
        ("devpts", devices.make_devpts),
    ):
        setup.register(name, maker)
    devices.register()
    try:
        return build_mounts(kernel, config)
    except Errno as err:
        raise BootError(f"mounts: {os.strerror(err.code)}")


def _credentials(config: BootConfig) -> Credentials:
    bounding, effective, inheritable, permitted, ambient = config.caps
    uid, gid = config.uid, config.gid
    return Credentials(
        uid, uid, uid, uid, gid, gid, gid, gid,
        groups=tuple(sorted({*config.additional_gids})),
        permitted=permitted, effective=effective & permitted, inheritable=inheritable, bounding=bounding,
        ambient=ambient & permitted & inheritable, no_new_privs=config.no_new_privs,
    )  # fmt: skip


def _limits(config: BootConfig) -> Limits:
    limits = Limits()
    for resource, (soft, hard) in config.rlimits.items():
        limits.set(resource, soft, hard)
    return limits


def _console(kernel: Kernel, config: BootConfig) -> Console | None:
    if config.console < 0:
        return None
    console = Console(kernel, config.console)
    os.close(config.console)
    devices.attach_console(kernel, console.tty)
    config.window_changed = console.resize
    config.close_console = console.close
    return console


def _stdio(kernel: Kernel, config: BootConfig, fds: FdTable, console: Console | None, t: Task) -> None:
    """0, 1 and 2, then --preserve-fds."""
    own = [fd for fd in config.stdio if fd != CONSOLE]
    files: list[File] = list(stdio([*own, *config.preserved.values()], kernel, config.uid, config.gid))
    terminal = open_tty(console.tty, _console_place(t), O_RDWR, None) if console is not None else None
    for number, fd in enumerate(config.stdio):
        file = terminal if fd == CONSOLE else files.pop(0)
        if file is not None:
            fds.put(number, file)
    for number, file in zip(config.preserved, files, strict=True):
        fds.put(number, file)


def _console_place(t: Task) -> Path | None:
    """Where ttyname(3) finds the terminal."""
    try:
        return walk(t, AT_FDCWD, b"/dev/pts/0")
    except Errno:
        return None


def _working_directory(t: Task, cwd: bytes) -> Path:
    try:
        place = walk(t, AT_FDCWD, cwd)
        if not place.dentry.inode.is_dir:
            raise ENOTDIR
        check(place.dentry.inode, t, X)
    except Errno as err:
        raise BootError(f"chdir to `{cwd.decode(errors='replace')}`: {os.strerror(err.code)}", 126)
    return place


def _program(t: Task, config: BootConfig) -> exec_.Exec:
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
