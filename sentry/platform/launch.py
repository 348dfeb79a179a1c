"""The start of a sandbox: filter, namespaces and the first guest task, up to its loader (engine/launch.c).

`prepare` runs while the host's files can still be seen; `launch` needs none.
"""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

from sentry.abi.nr.x86_64 import NR
from sentry.engine._engine import ffi, lib
from sentry.kernel.exec import Exec, start_init
from sentry.kernel.fork import add_group
from sentry.kernel.limits import Limits
from sentry.kernel.task import Task
from sentry.kernel.thread_group import SigHand, ThreadGroup
from sentry.mm.user import UserMemory
from sentry.platform.filter import filter_for
from sentry.platform.native import rules
from sentry.platform.notify import NotifyPlatform
from sentry.platform.serving import CONTINUED

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.fs_context import FsContext
    from sentry.kernel.kernel import Kernel
    from vfs.core.fd_table import FdTable

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.path.dirname(HERE), "engine", "cache")
REAL_NOFILE = 20000  # descriptors of the Sentry and of a guest's real table
# The loader's descriptor in every guest. A fork copies the real table up to its highest number, so a low one: at the
# end of the table it cost 90 us a fork. 63 is the last number of the table that lies in the task itself.
LOADER_AT = 63
GUEST_UID = 65534  # the host's user that guests are, whoever they are inside
LAUNCH_TIMEOUT_S = 20.0

STEPS = {
    1: "namespaces", 2: "clone", 10: "setsid", 11: "user", 12: "private mounts", 13: "empty root", 14: "pivot_root",
    15: "read-only root", 16: "loader descriptor", 17: "closing descriptors", 18: "limits", 19: "capabilities",
    20: "no_new_privs", 21: "seccomp filter", 22: "loader",
}  # fmt: skip


class LaunchError(Exception):
    """The first guest task could not be made; the text says at which step."""


class Prepared:
    """What must be read or compiled before the host's files are gone."""

    def __init__(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        size = REAL_NOFILE if hard == resource.RLIM_INFINITY else min(hard, REAL_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (size, hard))
        self.loader_at = LOADER_AT
        self.mark_at = size - 1
        self.rules = rules(self.loader_at - 1, self.loader_at - 2)
        self.filter = filter_for(self.rules, CACHE)


_prepared: Prepared | None = None


def prepare() -> Prepared:
    global _prepared
    if _prepared is None:
        _prepared = Prepared()
    return _prepared


def new_platform() -> NotifyPlatform:
    """The platform with its call table, before any guest."""
    platform = NotifyPlatform()
    platform.continued = frozenset(NR[name] for name in CONTINUED)
    return platform


def launch(
    kernel: Kernel, platform: NotifyPlatform, exec_: Exec, argv: list[bytes], env: list[bytes], loader_fd: int,
    fds: FdTable, fs: FsContext, creds: Credentials, limits: Limits,
) -> Task:  # fmt: skip
    """Make pid 1 of the container; it is on its way to the loader's first call when this returns."""
    prepared = prepare()
    kernel.loader_at, kernel.loader_fd = prepared.loader_at, loader_fd
    kernel.mark_at = prepared.mark_at
    kernel.native_only = frozenset(NR[r.name] for r in prepared.rules if not r.tests)
    state = _spawn(prepared, loader_fd, argv, env)
    init_pid, listener_fd = state
    pidfd = lib.eng_pidfd_open(init_pid, 0)
    listener = lib.eng_pidfd_getfd(pidfd, listener_fd)
    os.close(pidfd)
    if listener < 0:
        raise LaunchError(f"the guest's listener cannot be taken over: {os.strerror(-listener)}")
    platform.attach(listener)
    group = ThreadGroup(init_pid, None, SigHand(), limits, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    kernel.init = group
    add_group(kernel, group)
    task = Task(kernel, init_pid, group, fds, fs, creds, UserMemory(init_pid))
    group.tasks[init_pid] = task
    kernel.tasks[init_pid] = task
    start_init(kernel, task, exec_)
    return task


def _spawn(prepared: Prepared, loader_fd: int, argv: list[bytes], env: list[bytes]) -> tuple[int, int]:
    """(pid of guest init, its number of the listener)."""
    words = ffi.cast("volatile int *", lib.eng_launch_state())
    if words == ffi.NULL:
        raise LaunchError("no memory for the launch page")
    strings = [ffi.new("char[]", text) for text in (*argv, *env)]
    arguments = ffi.new("char *[]", [*strings[: len(argv)], ffi.NULL])
    environment = ffi.new("char *[]", [*strings[len(argv) :], ffi.NULL])
    program = prepared.filter
    spawner = lib.eng_spawn(
        ffi.from_buffer(program), len(program) // 8, loader_fd, prepared.loader_at, arguments, environment
    )
    if spawner < 0:
        raise LaunchError(f"fork: {os.strerror(-spawner)}")
    _wait(words, 0)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {GUEST_UID} 1"), ("gid_map", f"0 {GUEST_UID} 1")):
        with open(f"/proc/{spawner}/{name}", "w") as f:
            f.write(text)
    words[1] = 1
    _wait(words, 3)
    _wait(words, 2)
    return words[2], words[3] - 1


def _wait(words: object, index: int) -> None:
    """Until the other side has set word `index` of the launch page, or says what failed."""
    page: list[int] = words  # type: ignore[assignment]
    deadline = time.monotonic() + LAUNCH_TIMEOUT_S
    while not page[index]:
        if page[4]:
            step = STEPS.get(page[4], str(page[4]))
            raise LaunchError(f"guest start failed at {step}: {os.strerror(page[5])}")
        if time.monotonic() > deadline:
            raise LaunchError("guest start took too long")
        time.sleep(0.00005)
