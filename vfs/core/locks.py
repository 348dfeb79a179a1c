"""Advisory locks: record locks and open file description locks (fcntl(2)), whole-file locks (flock(2)).

A record lock belongs to a table of descriptors (threads share it, fork makes a new one), the other two kinds to an open
file. `LockTable` hangs on an inode; its queue tells sleepers that something was unlocked. They never reach the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sentry.abi.errno import EDEADLK, ENOLCK, WouldBlock
from sentry.wait import IN, WaitQueue

if TYPE_CHECKING:
    from vfs.core.file import File
    from vfs.core.node import Inode

READ, WRITE = 0, 1  # F_RDLCK, F_WRLCK
TO_END = (1 << 63) - 1  # the end of a lock that grows with the file
LIMIT = 16384  # ranges on one inode


class Range:
    """`owner` locks the bytes start..end (end included); `pid` is what F_GETLK tells, -1 for an open file's lock."""

    __slots__ = ("end", "kind", "owner", "pid", "start")

    def __init__(self, start: int, end: int, kind: int, owner: object, pid: int) -> None:
        self.start = start
        self.end = end
        self.kind = kind
        self.owner = owner
        self.pid = pid


_blocked_on: dict[int, object] = {}  # id(owner) that sleeps in F_SETLKW -> the owner it waits for
_loose: WeakKeyDictionary[File, LockTable] = WeakKeyDictionary()  # of files without a path


class LockTable:
    """`ranges` are ordered by start; those of one owner do not overlap. `whole` maps open files to their flock kind."""

    __slots__ = ("queue", "ranges", "whole")

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.whole: dict[object, int] = {}
        self.queue = WaitQueue()

    # records ------------------------------------------------------------------------------------------------------
    def conflict(self, owner: object, start: int, end: int, kind: int) -> Range | None:
        for r in self.ranges:
            if r.start > end:
                break
            if r.end >= start and r.owner is not owner and (kind == WRITE or r.kind == WRITE):
                return r
        return None

    def lock(self, owner: object, start: int, end: int, kind: int, pid: int, wait: bool = False) -> None:
        """WouldBlock while somebody else's lock is in the way; EDEADLK if waiting for it would never end."""
        other = self.conflict(owner, start, end, kind)
        if other is not None:
            if wait:
                self._check_deadlock(owner, other.owner)
                _blocked_on[id(owner)] = other.owner
            raise WouldBlock
        _blocked_on.pop(id(owner), None)
        if len(self.ranges) >= LIMIT:
            raise ENOLCK
        shrunk = self._cut(owner, start, end)
        for r in list(self.ranges):  # neighbours of the same kind grow together
            if r.owner is owner and r.kind == kind and r.end + 1 >= start and r.start <= end + 1:
                start, end = min(start, r.start), max(end, r.end)
                self.ranges.remove(r)
        self._insert(Range(start, end, kind, owner, pid))
        if shrunk:
            self.queue.notify(IN)  # a write lock may have become a read lock

    def unlock(self, owner: object, start: int, end: int) -> None:
        if self._cut(owner, start, end):
            self.queue.notify(IN)

    def _insert(self, new: Range) -> None:
        at = 0
        while at < len(self.ranges) and self.ranges[at].start < new.start:
            at += 1
        self.ranges.insert(at, new)

    def _cut(self, owner: object, start: int, end: int) -> bool:
        """Take the bytes start..end out of the owner's ranges."""
        changed = False
        for r in list(self.ranges):
            if r.owner is not owner or r.end < start or r.start > end:
                continue
            changed = True
            self.ranges.remove(r)
            if r.start < start:
                self._insert(Range(r.start, start - 1, r.kind, owner, r.pid))
            if r.end > end:
                self._insert(Range(end + 1, r.end, r.kind, owner, r.pid))
        return changed

    def _check_deadlock(self, owner: object, blocker: object) -> None:
        at: object | None = blocker
        for _ in range(10):  # as deep as Linux looks
            if at is owner:
                raise EDEADLK
            at = _blocked_on.get(id(at))
            if at is None:
                return

    # whole files ----------------------------------------------------------------------------------------------------
    def flock(self, file: object, kind: int) -> None:
        """WouldBlock while another open file's lock is in the way; a conversion gives up the old lock first."""
        held = self.whole.get(file)
        if held == kind:
            return
        if held is not None:
            self.funlock(file)
        if self.whole and (kind == WRITE or WRITE in self.whole.values()):
            raise WouldBlock
        self.whole[file] = kind

    def funlock(self, file: object) -> None:
        if self.whole.pop(file, None) is not None:
            self.queue.notify(IN)

    def release(self, owner: object) -> None:
        """A descriptor (record locks) or an open file (the other kinds) was closed."""
        if self.whole:
            self.funlock(owner)
        if self.ranges:
            self.unlock(owner, 0, TO_END)


def stop_waiting(owner: object) -> None:
    """A call that slept in F_SETLKW was given up."""
    _blocked_on.pop(id(owner), None)


def table_of(file: File) -> LockTable:
    """The locks of the file's inode; a file without a path has its own."""
    opened = file.opened
    if opened is None:
        found = _loose.get(file)
        if found is None:
            found = _loose[file] = LockTable()
        return found
    inode: Inode = opened.dentry.inode
    if inode.locks is None:
        inode.locks = LockTable()
    return inode.locks
