"""From a BootConfig to a running kernel: file systems, descriptors, credentials and the first task (execve(2))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from sentry import process_setup as process
from sentry.abi.errno import Errno
from sentry.boot import BootConfig, BootError
from sentry.kernel.fs_context import FsContext
from sentry.kernel.kernel import Kernel, Uts
from sentry.net import tun
from sentry.net.namespace import initial
from sentry.net.settle import settle
from sentry.platform import launch
from syscalls.profile import Profile
from syscalls.registry import numbers
from syscalls.strace import tracer
from syscalls.table import table
from vfs.core import setup
from vfs.core.fd_table import FdTable
from vfs.fs.boot import build_mounts
from vfs.proc import root as proc
from vfs.proc import sysctl
from vfs.sys import cgroup
from vfs.sys import root as sysfs
from vfs.tty import devices
from vfs.tty.console import Console
from vfs.tty.session import terminals

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.kernel.task import Task
    from sentry.platform.base import Platform
    from vfs.core.walk import Path

    Trace = Callable[[Task, int, tuple[int, ...], int | None], None]


def load() -> None:
    """This module's imports are all."""


def boot(config: BootConfig) -> Kernel:
    platform = _platform(config)
    kernel = _kernel(config, platform)
    root = kernel.root = _mounts(kernel, config)
    fds, fs = FdTable(), FsContext(root, root, config.umask)
    creds, limits = process.credentials(config), process.limits(config)
    fds.limit = limits.nofile
    candidate = cast("Task", process.Candidate(kernel, fds, fs, creds, limits))
    console = _console(kernel, config)
    process.open_stdio(kernel, config, fds, console, candidate)
    fs.cwd = process.working_directory(candidate, config.cwd)
    process.add_home(candidate, config)
    program = process.program(candidate, config)
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


def _platform(config: BootConfig) -> Platform:
    machine = os.uname().machine
    platform = launch.new_platform()
    platform.table = table(machine)
    seccomp = launch.prepare().seccomp
    if seccomp is not None:
        platform.table = seccomp.guard(platform.table, numbers(machine))
    if config.strace and config.log_fd >= 0:
        platform.trace = cast("Trace", tracer(lambda text: _write_line(config.log_fd, text), machine))
    return platform


def _kernel(config: BootConfig, platform: Platform) -> Kernel:
    kernel = Kernel(platform, config)
    platform.take(kernel)
    kernel.net = initial(kernel)
    kernel.at_end.append(lambda: settle(kernel))
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
    tun.register()
    try:
        return build_mounts(kernel, config)
    except Errno as err:
        raise BootError(f"mounts: {os.strerror(err.code)}")


def _console(kernel: Kernel, config: BootConfig) -> Console | None:
    if config.console < 0:
        return None
    console = Console(kernel, config.console)
    os.close(config.console)
    devices.attach_console(kernel, console.tty)
    config.window_changed = console.resize
    config.close_console = console.close
    return console
