"""The start of a sandbox: namespaces, the spawner, and the first guest task up to its loader (engine/launch.c).

`prepare` runs while the host's files can still be seen; `launch` needs none. `born` makes the Task of a process that
the spawner made, pid 1 or one of `exec`.
"""

from __future__ import annotations

import _socket
import os
import resource
import struct
import time
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno
from sentry.abi.nr.x86_64 import NR
from sentry.engine._engine import ffi, lib
from sentry.kernel.exec import Exec, start_init
from sentry.kernel.fork import add_group
from sentry.kernel.limits import Limits
from sentry.kernel.spawner import Birth, Spawner
from sentry.kernel.task import Task
from sentry.kernel.thread_group import SigHand, ThreadGroup
from sentry.mm.user import UserMemory
from sentry.platform.filter import filter_for
from sentry.platform.native import rules
from sentry.platform.notify import NotifyPlatform
from sentry.platform.seccomp_profile import SeccompProfile
from sentry.platform.serving import CONTINUED

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.fs_context import FsContext
    from sentry.kernel.kernel import Kernel
    from sentry.platform.base import Platform
    from vfs.core.fd_table import FdTable

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.path.dirname(HERE), "engine", "cache")
REAL_NOFILE = 20000  # descriptors of the Sentry and of a guest's real table
# The loader's descriptor in every guest. A fork copies the real table up to its highest number, so a low one: at the
# end of the table it cost 90 us a fork. 63 is the last number of the table that lies in the task itself.
LOADER_AT = 63
CHANNEL_AT = 16400  # of the ptrace platform (handover.py): above every number of a guest's own (kernel/limits.py)
GUEST_UID = 65534  # the host's user that guests are, whoever they are inside
LAUNCH_TIMEOUT_S = 20.0

STEPS = {
    1: "namespaces", 10: "setsid", 11: "user", 12: "private mounts", 13: "empty root", 14: "pivot_root",
    15: "read-only root", 16: "descriptors", 17: "closing descriptors", 18: "limits", 19: "capabilities",
    20: "no_new_privs", 21: "the spawner's program",
}  # fmt: skip
FILTER_HEAD = struct.Struct("<QQ")  # engine/spawner.c


class LaunchError(Exception):
    """The first guest task could not be made; the text says at which step."""


class Prepared:
    """What must be read or compiled before the host's files are gone."""

    def __init__(self, platform: str, seccomp: object) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        size = REAL_NOFILE if hard == resource.RLIM_INFINITY else min(hard, REAL_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (size, hard))
        self.loader_at = LOADER_AT
        self.mark_at = size - 1
        self.channel_at = CHANNEL_AT
        self.rules = rules(self.loader_at - 1, self.loader_at - 2)
        self.seccomp = None if seccomp is None else SeccompProfile(seccomp)
        if self.seccomp is not None:
            self.rules = self.seccomp.native(self.rules)
        self.traced = platform == "ptrace"
        self.filter = filter_for(self.rules, CACHE, self.traced)


_prepared: Prepared | None = None


def prepare(platform: str = "notify", seccomp: object = None) -> Prepared:
    """`seccomp` is config.json's linux.seccomp where it is to be applied; ValueError where it cannot be."""
    global _prepared
    if _prepared is None:
        _prepared = Prepared(platform, seccomp)
        if _prepared.traced:
            import sentry.platform.ptrace  # noqa: F401  (python-ptrace, an extra)
    return _prepared


def new_platform() -> Platform:
    """The platform, before any guest."""
    platform: Platform
    if prepare().traced:
        from sentry.platform.ptrace import PtracePlatform

        platform = PtracePlatform(prepare().channel_at)
    else:
        platform = NotifyPlatform()
    platform.continued = frozenset(NR[name] for name in CONTINUED)
    return platform


def launch(
    kernel: Kernel, platform: Platform, exec_: Exec, argv: list[bytes], env: list[bytes], loader_fd: int,
    spawner_fd: int, fds: FdTable, fs: FsContext, creds: Credentials, limits: Limits,
) -> Task:  # fmt: skip
    """Make pid 1 of the container; it is on its way to the loader's first call when this returns."""
    prepared = prepare()
    kernel.loader_at, kernel.loader_fd = prepared.loader_at, loader_fd
    kernel.mark_at = prepared.mark_at
    kernel.native_only = frozenset(NR[r.name] for r in prepared.rules if not r.tests)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    pid = _spawn(prepared, platform, theirs.fileno(), loader_fd, spawner_fd)
    theirs.close()
    kernel.spawner = Spawner(kernel, pid)
    ours.settimeout(LAUNCH_TIMEOUT_S)
    _hear(ours)
    platform.spawner_unfiltered(pid)
    ours.send(FILTER_HEAD.pack(platform.filter_flags, len(prepared.filter) // 8) + prepared.filter)
    ours.setblocking(False)
    deadline = time.monotonic() + LAUNCH_TIMEOUT_S
    while not platform.spawner_filtered(pid):
        try:
            _hear(ours)
        except BlockingIOError:
            time.sleep(0.00005)
        if time.monotonic() > deadline:
            raise LaunchError("guest start took too long")
    ours.close()
    made: list[Task] = []
    trouble: list[Errno] = []

    def first(host_pid: int) -> Task:
        made.append(born(kernel, host_pid, exec_, fds, fs, creds, limits))
        kernel.init = made[0].group
        return made[0]

    try:
        kernel.spawner.ask(Birth(argv, env, first, lambda status: None, trouble.append))
    except Errno as err:
        trouble.append(err)
    while not made and not trouble:
        platform.serve_spawner(kernel, 100)
        if time.monotonic() > deadline:
            raise LaunchError("guest start took too long")
    if trouble:
        raise LaunchError(f"guest start failed: {os.strerror(trouble[0].code)}")
    return made[0]


def born(
    kernel: Kernel, host_pid: int, exec_: Exec, fds: FdTable, fs: FsContext, creds: Credentials, limits: Limits
) -> Task:
    """The Task of a process without a parent, which is about to exec the loader."""
    group = ThreadGroup(host_pid, None, SigHand(), limits, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    add_group(kernel, group)
    task = Task(kernel, host_pid, group, fds, fs, creds, UserMemory(host_pid))
    group.tasks[host_pid] = task
    kernel.tasks[host_pid] = task
    if kernel.placement is not None:
        kernel.placement.adopt(task)
    start_init(kernel, task, exec_)
    return task


def _spawn(prepared: Prepared, platform: Platform, link: int, loader_fd: int, spawner_fd: int) -> int:
    """The spawner's pid; it is in the guests' namespaces, and on its way into its program."""
    words = ffi.cast("volatile int *", lib.eng_launch_state())
    if words == ffi.NULL:
        raise LaunchError("no memory for the launch page")
    channel_fd, channel_at = platform.channel
    pid = lib.eng_spawn(link, loader_fd, prepared.loader_at, channel_fd, channel_at, spawner_fd)
    if pid < 0:
        raise LaunchError(f"fork: {os.strerror(-pid)}")
    _wait(words, 0)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {GUEST_UID} 1"), ("gid_map", f"0 {GUEST_UID} 1")):
        with open(f"/proc/{pid}/{name}", "w") as f:
            f.write(text)
    words[1] = 1
    return int(pid)


def _hear(link: _socket.socket) -> None:
    """The spawner's message: it is there, or cannot go on."""
    told = link.recv(8)
    if not told:
        _check(ffi.cast("volatile int *", lib.eng_launch_state()))
        raise LaunchError("guest start failed: the spawner has ended")
    code = -int.from_bytes(told, "little", signed=True)
    if code:
        raise LaunchError(f"guest start failed at seccomp filter: {os.strerror(code)}")


def _check(words: object) -> None:
    """The launch page says whether the way to the spawner's program failed, and at which step."""
    page: list[int] = words  # type: ignore[assignment]
    if page[2]:
        step = STEPS.get(page[2], str(page[2]))
        raise LaunchError(f"guest start failed at {step}: {os.strerror(page[3])}")


def _wait(words: object, index: int) -> None:
    """Until the other side has set word `index` of the launch page, or says what failed."""
    page: list[int] = words  # type: ignore[assignment]
    deadline = time.monotonic() + LAUNCH_TIMEOUT_S
    while not page[index]:
        _check(words)
        if time.monotonic() > deadline:
            raise LaunchError("guest start took too long")
        time.sleep(0.00005)
