"""Whose directory in /proc it is (proc(5), proc_pid(5)): a process or one of its threads, and what the host says of it.

The host's own /proc is read by names that are made of a host number and a constant, never of a guest's bytes. The
numbers in it are translated before a guest sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_PTRACE
from sentry.abi.errno import EACCES, ESRCH
from sentry.kernel.exit import forget_if_reaped
from vfs.core.file import O_PATH, File

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

LIMIT = 64 * 1024
BIG_LIMIT = 32 * 1024 * 1024  # maps and smaps of 65530 mappings


class Subject:
    """`thread` is None for /proc/PID, a thread for /proc/PID/task/TID."""

    __slots__ = ("group", "thread")

    def __init__(self, group: ThreadGroup, thread: Task | None = None) -> None:
        self.group = group
        self.thread = thread

    @property
    def task(self) -> Task:
        """The thread whose credentials and files count: itself, or the leader; ESRCH when all are gone."""
        if self.thread is not None:
            return self.thread
        if not self.group.tasks:
            raise ESRCH
        return self.group.leader

    @property
    def number(self) -> int:
        """As the guest sees it."""
        return self.group.pid if self.thread is None else self.thread.tid

    @property
    def key(self) -> tuple[int, int]:
        """Tells this directory from others, for inode numbers."""
        return self.group.host_pid, 0 if self.thread is None else self.thread.host_tid

    def alive(self) -> bool:
        """Whether it has a directory still: a zombie has, until its parent has waited for it."""
        group = self.group
        if self.thread is not None:
            return not group.dead and group.tasks.get(self.thread.host_tid) is self.thread
        if not group.tasks:
            return False
        kernel = group.leader.kernel
        if kernel.groups.get(group.host_pid) is not group:
            return False
        return not (group.dead and forget_if_reaped(kernel, group))

    def check(self) -> None:
        if not self.alive():
            raise ESRCH

    def host(self, name: str, limit: int = LIMIT) -> bytes:
        """A file of the host's directory for it; ESRCH when it is gone. Of a zombie only `stat` and `status` say
        anything, and nothing else is asked, for its number may be another's soon."""
        self.check()
        group = self.group
        if group.dead and name not in ("stat", "status"):
            return b""
        where = f"/proc/{group.host_pid}"
        if self.thread is not None:
            where += f"/task/{self.thread.host_tid}"
        try:
            with open(f"{where}/{name}", "rb") as f:
                return f.read(limit)
        except OSError:
            raise ESRCH

    # who may look -------------------------------------------------------------------------------------------------
    def may_inspect(self, t: Task) -> bool:
        """ptrace(2), "Ptrace access mode checking", PTRACE_MODE_READ_FSCREDS."""
        group = self.group
        if group is t.group:
            return True
        caller, other = t.creds, self.task.creds
        if not caller.has(CAP_SYS_PTRACE) and not _same_identity(caller, other):
            return False
        if group.dumpable != 1 and not caller.has(CAP_SYS_PTRACE):
            return False
        return caller.covers(other) or caller.has(CAP_SYS_PTRACE)

    def inspect(self, t: Task) -> None:
        """EACCES unless the caller may."""
        self.check()
        if not self.may_inspect(t):
            raise EACCES

    def owner(self) -> tuple[int, int]:
        """Of the entries of its directory."""
        if self.group.dumpable != 1:
            return 0, 0
        creds = self.task.creds
        return creds.euid, creds.egid

    # its files ----------------------------------------------------------------------------------------------------
    def files(self) -> dict[int, File]:
        task = self.task
        return {} if task.dead or self.group.dead else task.fds.files

    def file(self, number: int) -> File | None:
        return self.files().get(number)


def _same_identity(caller: Credentials, other: Credentials) -> bool:
    users = {other.ruid, other.euid, other.suid}
    groups = {other.rgid, other.egid, other.sgid}
    return users == {caller.fsuid} and groups == {caller.fsgid}


def link_mode(file: File) -> int:
    """Permission bits of /proc/PID/fd/N: how the file was opened."""
    if file.flags & O_PATH:
        return 0o100
    return 0o100 | (0o400 if file.readable else 0) | (0o200 if file.writable else 0)
