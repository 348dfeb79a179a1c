"""/proc/locks (proc_locks(5)): the advisory locks on files that guests have open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vfs.core.dentry import Path
from vfs.core.locks import TO_END, WRITE, LockTable

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File
    from vfs.core.node import Inode

OPEN_FILE = -1  # in Range.pid: the lock belongs to an open file, not to a process


def locks_text(t: Task) -> bytes:
    inodes: dict[Inode, None] = {}
    holders: dict[File, int] = {}
    for task in tuple(t.kernel.tasks.values()):
        for file in task.fds.files.values():
            holders.setdefault(file, task.group.pid)
            if isinstance(file.opened, Path):
                inodes[file.opened.dentry.inode] = None
    lines: list[bytes] = []
    for inode in inodes:
        table = inode.locks
        if isinstance(table, LockTable):
            lines.extend(_lines(inode, table, holders))
    return b"".join(b"%d: %s\n" % (number, line) for number, line in enumerate(lines, 1))


def _lines(inode: Inode, table: LockTable, holders: dict[File, int]) -> list[bytes]:
    stat = inode.stat()
    where = b"%02x:%02x:%d" % (os.major(stat.dev), os.minor(stat.dev), stat.ino)
    lines = []
    for r in table.ranges:
        kind = b"OFDLCK" if r.pid == OPEN_FILE else b"POSIX "
        end = b"EOF" if r.end == TO_END else b"%d" % r.end
        lines.append(b"%s ADVISORY  %s %d %s %d %s" % (kind, _access(r.kind), r.pid, where, r.start, end))
    for owner, access in table.whole.items():
        pid = next((pid for file, pid in holders.items() if file is owner), 0)
        lines.append(b"FLOCK  ADVISORY  %s %d %s 0 EOF" % (_access(access), pid, where))
    return lines


def _access(kind: int) -> bytes:
    return b"WRITE" if kind == WRITE else b"READ "
