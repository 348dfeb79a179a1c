"""A kernel whose processes are real ones of the host: procfs is read through the walk, as a guest would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from sentry.abi.const.files import AT_FDCWD
from sentry.abi.errno import EFAULT
from sentry.creds import ROOT
from sentry.kernel.fs_context import FsContext
from sentry.kernel.limits import Limits
from sentry.kernel.timers import Timers
from sentry.net.namespace import NetNamespace
from vfs.core.fd_table import FdTable
from vfs.core.file import File
from vfs.core.mount import Mount, MountNamespace
from vfs.core.node import FileSystem
from vfs.core.opening import open_place
from vfs.core.walk import FOLLOW, walk

SLEEPER = (
    "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\ntime.sleep(1000)"
)


class Bag:
    """Whatever attributes it is given."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Memory:
    def read_some(self, addr: int, size: int) -> bytes:
        if addr < 4096:
            raise EFAULT
        return b"m" * size

    def write_some(self, addr: int, data: bytes) -> int:
        if addr < 4096:
            raise EFAULT
        return len(data)


def asleep(pid: int) -> bool:
    """Both threads of SLEEPER are there and sleep."""
    states = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/stat", "rb") as f:
            states.append(f.read().rpartition(b") ")[2][:1])
    return states == [b"S", b"S"]


class Box:
    def __init__(self, make: Any, options: bytes = b"") -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        kernel: Any = Bag(
            groups={}, tasks={}, zombies={}, group_death_hooks=[],
            config=Bag(cgroup_limits={}, oci_seccomp=None), backing=-1,
            uts=Bag(nodename=b"box", domainname=b"(none)"), init=None,
            cpus=frozenset(os.sched_getaffinity(0)),
        )  # fmt: skip
        kernel.find_group = lambda pid: next((g for g in kernel.groups.values() if g.pid == pid), None)
        kernel.find_task = lambda tid: next((t for t in kernel.tasks.values() if t.tid == tid), None)
        kernel.guest_pid = lambda host: kernel.groups[host].pid if host in kernel.groups else 0
        kernel.now_ns, kernel.defer, kernel.timers = time.monotonic_ns, lambda callback: None, Timers()
        kernel.net = NetNamespace(kernel)
        kernel.signals = Bag(send_pgrp=lambda *a: None, send_group=lambda *a: None)
        self.kernel = kernel
        self.fs: FileSystem = make(kernel, options)
        self.mount = Mount(self.fs, self.fs.root)
        kernel.mounts = MountNamespace(self.mount)

    def process(self, pid: int, parent: Any = None) -> Any:
        """A process of the host, known to guests as `pid`; its first task."""
        child = subprocess.Popen([sys.executable, "-S", "-c", SLEEPER, "argument"], start_new_session=True)
        self.children.append(child)
        deadline = time.monotonic() + 5
        while not asleep(child.pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        group: Any = Bag(
            host_pid=child.pid, pid=pid, tasks={}, parent=parent.group if parent else None, children=set(), dead=False,
            limits=Limits(), exe=None, exe_file=None, loader_range=(0, 0), oom_score_adj=0, personality=0, dumpable=1,
        )  # fmt: skip
        if parent:
            parent.group.children.add(group)
        self.kernel.groups[child.pid] = group
        for at, tid in enumerate(sorted(int(name) for name in os.listdir(f"/proc/{child.pid}/task"))):
            task: Any = Bag(
                kernel=self.kernel, host_tid=tid, tid=pid + at, group=group, fds=FdTable(), creds=ROOT, mem=Memory(),
                fs=FsContext(self.mount.top(), self.mount.top()), dead=False, parked=None, request_id=0,
                net=self.kernel.net,
            )  # fmt: skip
            group.tasks[tid] = task
            self.kernel.tasks[tid] = task
        group.leader = group.tasks[child.pid]
        return group.leader

    def kill(self, t: Any, reap: bool = True) -> None:
        """What the kernel does when a process ends: only the zombie's last task stays."""
        os.kill(t.group.host_pid, signal.SIGKILL)
        if reap:
            next(c for c in self.children if c.pid == t.group.host_pid).wait()
        else:
            os.waitid(os.P_PID, t.group.host_pid, os.WEXITED | os.WNOWAIT)
        t.group.dead = True
        t.dead = True
        t.group.tasks = {t.host_tid: t}

    def open(self, t: Any, path: bytes, flags: int = 0) -> File:
        return open_place(t, walk(t, AT_FDCWD, path), flags)

    def read(self, t: Any, path: bytes) -> bytes:
        file = self.open(t, path)
        parts = []
        while data := file.peek(65536):
            file.consume(len(data))
            parts.append(data)
        return b"".join(parts)

    def write(self, t: Any, path: bytes, data: bytes) -> int:
        return self.open(t, path, 1).write(data)

    def link(self, t: Any, path: bytes) -> bytes:
        return walk(t, AT_FDCWD, path, 0).inode.readlink(t)

    def list(self, t: Any, path: bytes) -> list[bytes]:
        return [entry.name for entry in self.open(t, path).entries(t)]

    def place(self, t: Any, path: bytes) -> Any:
        return walk(t, AT_FDCWD, path, FOLLOW)

    def close(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
