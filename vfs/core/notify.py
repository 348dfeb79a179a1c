"""Events on files for inotify(7): who watches an inode is told here; the queues are vfs.anon's.

A mark holds its inode strongly (an inode that nobody refers to may be forgotten). `active` counts all marks, so that
the common case, none at all, costs callers one test.
"""

from __future__ import annotations

from typing import Protocol

from sentry.abi.const.events import (
    IN_ATTRIB,
    IN_CLOSE_NOWRITE,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_EXCL_UNLINK,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_OPEN,
)
from vfs.core.dentry import Dentry
from vfs.core.file import File, watched_closing
from vfs.core.node import Inode

active = 0  # marks in existence
_held: dict[Inode, int] = {}  # watched inodes without a name: how many open files still keep each
_cookie = 0


class Mark(Protocol):
    """One watch: `event` gets an IN_* bit (with IN_ISDIR), a cookie for renames, the name in a watched directory; `end`
    comes when the inode is gone."""

    mask: int

    def event(self, bits: int, cookie: int, name: bytes) -> None: ...

    def end(self) -> None: ...


def add(inode: Inode, mark: Mark) -> None:
    global active
    if not isinstance(inode.watches, list):
        inode.watches = []
    inode.watches.append(mark)
    active += 1
    watched_closing[:] = [closed]


def remove(inode: Inode, mark: Mark) -> None:
    global active
    marks = inode.watches
    if isinstance(marks, list) and mark in marks:
        marks.remove(mark)
        active -= 1
        if not active:
            watched_closing.clear()
        if not marks:
            inode.watches = None
            _held.pop(inode, None)


def send(inode: Inode, bits: int, cookie: int = 0, name: bytes = b"", gone: bool = False) -> None:
    """To the marks of one inode; `gone`: of a file whose name `name` was."""
    marks = inode.watches
    if isinstance(marks, list):
        for mark in tuple(marks):
            if mark.mask & bits & 0xFFF and not (gone and mark.mask & IN_EXCL_UNLINK):
                mark.event(bits, cookie, name)


def touched(dentry: Dentry, bits: int) -> None:
    """Something happened to what `dentry` names (IN_OPEN, IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE): tell the
    marks of its directory and then its own."""
    if not active:
        return
    inode = dentry.inode
    if inode.is_dir:
        bits |= IN_ISDIR
    if dentry.parent is not None:
        send(dentry.parent.inode, bits, 0, dentry.name, dentry.gone)
    send(inode, bits)


def touched_file(file: File, bits: int) -> None:
    if active and file.opened is not None:
        touched(file.opened.dentry, bits)


def opened(file: File) -> None:
    touched_file(file, IN_OPEN)
    if _held and file.opened is not None and file.opened.dentry.inode in _held:
        _held[file.opened.dentry.inode] += 1


def closed(file: File) -> None:
    """The last reference to an open file is gone, and perhaps that was the last of the inode."""
    touched_file(file, IN_CLOSE_WRITE if file.writable else IN_CLOSE_NOWRITE)
    if _held and file.opened is not None:
        inode = file.opened.dentry.inode
        left = _held.get(inode, 0)
        if left > 1:
            _held[inode] = left - 1
        elif left:
            del _held[inode]
            _end(inode)


def created(directory: Dentry, name: bytes, inode: Inode) -> None:
    if active:
        send(directory.inode, IN_CREATE | (IN_ISDIR if inode.is_dir else 0), 0, name)


def removed(dentry: Dentry, last: bool, holders: int = 0) -> None:
    """`last`: no other name is left, and `holders` open files keep the inode."""
    if not active:
        return
    replaced(dentry.inode, last, holders)
    if dentry.parent is not None:
        send(dentry.parent.inode, IN_DELETE | (IN_ISDIR if dentry.inode.is_dir else 0), 0, dentry.name)


def replaced(inode: Inode, last: bool, holders: int = 0) -> None:
    """A name of `inode` is gone, of which its directory hears in another way."""
    if not inode.is_dir:
        send(inode, IN_ATTRIB)  # its link count
    if last and holders:
        _held[inode] = holders
    elif last:
        _end(inode)


def _end(inode: Inode) -> None:
    send(inode, IN_DELETE_SELF)  # without IN_ISDIR, as is IN_MOVE_SELF, for historical reasons
    marks = inode.watches
    if isinstance(marks, list):
        for mark in tuple(marks):
            mark.end()


def renamed(inode: Inode, source: Dentry, name: bytes, target: Dentry, target_name: bytes) -> None:
    """`source` and `target` are the directories."""
    global _cookie
    if not active:
        return
    _cookie += 1
    is_dir = IN_ISDIR if inode.is_dir else 0
    send(source.inode, IN_MOVED_FROM | is_dir, _cookie, name)
    send(target.inode, IN_MOVED_TO | is_dir, _cookie, target_name)
    send(inode, IN_MOVE_SELF)
