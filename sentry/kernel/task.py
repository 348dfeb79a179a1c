"""A thread of the guest (clone(2)): what the kernel knows of it between two calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.parking import Parked
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.mm.user import UserMemory
    from sentry.kernel.fs_context import FsContext
    from vfs.core.fd_table import FdTable


class Task:
    """One host thread. Handlers call it `t`.

    host_tid   its number in the Sentry's pid namespace; `tid` is what the guest sees, learnt when first asked for
    parked     the call it sleeps in, as data, or None
    on_stop    what to do at its next ptrace stop, or None; `traced` says that a SEIZE is in force
    """

    __slots__ = (
        "host_tid", "group", "fds", "fs", "creds", "mem", "kernel", "parked", "on_stop", "traced", "_tid",
        "request_id", "checked_epoch", "clone_pending", "pidfd", "stat_fd", "continued_nr", "exec_pending",
        "saved_deadline", "dead", "io_prio", "pdeathsig", "personality", "queued_exact", "clear_tid_addr",
    )  # fmt: skip

    def __init__(
        self, kernel: Kernel, host_tid: int, group: ThreadGroup, fds: FdTable, fs: FsContext, creds: Credentials, mem: UserMemory
    ) -> None:
        self.kernel = kernel
        self.host_tid = host_tid
        self.group = group
        self.fds = fds
        self.fs = fs
        self.creds = creds
        self.mem = mem
        self.parked: Parked | None = None
        self.on_stop: object = None
        self.traced = False
        self._tid = 0
        self.request_id = 0  # notification being handled or parked, 0 when none is open
        self.dead = False
        self.pidfd = -1

    @property
    def tid(self) -> int:
        """The number that gettid(2) gives the guest."""
        if not self._tid:
            self._tid = guest_number(self.host_tid)
        return self._tid

    @property
    def comm(self) -> bytes:
        """Thread name, at most 15 bytes (prctl(2) PR_SET_NAME is native)."""
        try:
            with open(f"/proc/{self.host_tid}/comm", "rb") as f:
                return f.read(16)[:-1]
        except OSError:
            return b""


def guest_number(host_tid: int) -> int:
    """The innermost pid of a host thread (proc(5), NSpid)."""
    try:
        with open(f"/proc/{host_tid}/status", "rb") as f:
            text = f.read(4096)
    except OSError:
        return 0
    at = text.find(b"\nNSpid:")
    return int(text[at + 7 : text.index(b"\n", at + 1)].split()[-1]) if at >= 0 else 0
