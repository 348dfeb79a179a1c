"""A thread of the guest (clone(2)): what the kernel knows of it between two calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.ipc.sem import UndoList
    from sentry.kernel.clone3 import CloneRequest
    from sentry.kernel.exact import Queued
    from sentry.kernel.exec import Exec
    from sentry.kernel.fs_context import FsContext
    from sentry.kernel.in_place import InPlace
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.parking import Parked
    from sentry.kernel.thread_group import ThreadGroup
    from sentry.mm.user import UserMemory
    from sentry.net.namespace import NetNamespace
    from vfs.core.fd_table import FdTable


class Task:
    """One host thread. Handlers call it `t`.

    host_tid   its number in the Sentry's pid namespace; `tid` is what the guest sees, learnt when first asked for
    net        the network namespace; threads may each have their own (setns(2))
    parked     the call it sleeps in, as data, or None
    on_stop    what to do at its next ptrace stop, or None; `traced` says that a SEIZE is in force
    """

    __slots__ = (
        "host_tid", "group", "fds", "fs", "creds", "mem", "kernel", "parked", "on_stop", "traced", "_tid", "request_id",
        "dead",
        "checked_epoch", "clone_pending", "vforking", "stat_fd", "continued_nr", "exec_pending", "saved_deadline",
        "queued_exact", "siginfos", "personality", "call", "ended", "affinity", "policy", "clone_request",
        "in_place", "undo", "mempolicy", "ioprio", "net",
    )  # fmt: skip

    def __init__(
        self, kernel: Kernel, host_tid: int, group: ThreadGroup, fds: FdTable, fs: FsContext, creds: Credentials,
        mem: UserMemory,
    ) -> None:  # fmt: skip
        self.kernel = kernel
        self.host_tid = host_tid
        self.group = group
        self.fds = fds
        self.fs = fs
        self.creds = creds
        self.mem = mem
        self.net: NetNamespace = kernel.net
        self._tid = 0
        self.request_id = 0  # the notification being handled or parked, 0 when none is open
        self.call: tuple[int, tuple[int, ...]] = (-1, ())  # number and registers of that call, kept for strace
        self.parked: Parked | None = None
        self.saved_deadline: tuple[int, int] | None = None  # (call number, deadline) of a call to be made again
        self.on_stop: Callable[[Task, int], None] | None = None
        self.traced = False
        self.queued_exact: list[Queued] = []  # signals to be queued at the next stop
        self.siginfos: dict[int, bytes] = {}  # of pending signals that the host knows by another, put right at delivery
        self.checked_epoch = 0
        self.continued_nr = -1  # the call that the host runs for it, since its last notification
        self.ended = False  # its last call was ended by a signal on purpose: not to be rewound
        self.clone_pending: int | None = None  # flags of a clone under way
        self.clone_request: CloneRequest | None = None  # a clone that is made in another form (clone3.py)
        self.in_place: InPlace | None = None  # calls that it makes in place of its own (in_place.py)
        self.undo: UndoList | None = None  # of its semaphore operations (semop(2))
        self.vforking = False  # sleeps in vfork(2) until its child execs or exits
        self.exec_pending: Exec | None = None
        self.stat_fd = -1  # the host's /proc/TID/stat, kept open once it was needed
        self.personality = 0
        self.affinity: frozenset[int] = frozenset()  # what sched_setaffinity(2) chose, empty for any CPU
        self.ioprio = 0  # of ioprio_set(2), 0 for none
        self.mempolicy = (0, 0)  # of set_mempolicy(2): mode and nodes
        self.policy = 0  # of sched_setscheduler(2), with SCHED_RESET_ON_FORK
        self.dead = False

    @property
    def tid(self) -> int:
        """The number that gettid(2) gives the guest."""
        if not self._tid:
            group = self.group
            self._tid = group.pid if self.host_tid == group.host_pid else guest_number(self.host_tid)
        return self._tid

    @property
    def comm(self) -> bytes:
        """Thread name, at most 15 bytes (prctl(2) PR_SET_NAME is native)."""
        try:
            with open(f"/proc/{self.host_tid}/comm", "rb") as f:
                return f.read(16)[:-1]
        except OSError:
            return b""


def guest_number(host_tid: int, pidfd: int = -1) -> int:
    """The innermost pid of a host thread (proc(5), NSpid); quicker where there is a pidfd of it."""
    try:
        fd = os.open(f"/proc/self/fdinfo/{pidfd}" if pidfd >= 0 else f"/proc/{host_tid}/status", os.O_RDONLY)
    except OSError:
        return 0
    try:
        text = os.read(fd, 4096)
    except OSError:
        return 0
    finally:
        os.close(fd)
    at = text.find(b"\nNSpid:")
    return max(int(text[at + 7 : text.index(b"\n", at + 1)].split()[-1]), 0) if at >= 0 else 0
