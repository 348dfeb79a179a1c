"""Who is told what (inotify(7)), through the calls that make it happen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentry.abi.const.events import (
    IN_ALL_EVENTS,
    IN_ATTRIB,
    IN_CLOSE_NOWRITE,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_ISDIR,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_OPEN,
)
from sentry.abi.const.files import AT_FDCWD
from tests.unit.vfs.fs.vfs_guest import Guest
from vfs.core import notify
from vfs.core.walk import walk
from vfs.fs.backing import Backing
from vfs.fs.tmpfs import TmpFs


class Mark:
    def __init__(self, mask: int = IN_ALL_EVENTS) -> None:
        self.mask = mask
        self.seen: list[tuple[int, bytes]] = []
        self.cookies: list[int] = []
        self.ended = 0

    def event(self, bits: int, cookie: int, name: bytes) -> None:
        self.seen.append((bits, name))
        self.cookies.append(cookie)

    def end(self) -> None:
        self.ended += 1

    def take(self) -> list[tuple[int, bytes]]:
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    guest = Guest(TmpFs(Backing(-1)))
    yield guest
    assert notify.active == 0


def test_a_directory_hears_of_its_names(guest: Guest) -> None:
    assert guest.call("mkdir", b"/d", 0o755) == 0
    mark, inode = Mark(), walk(guest.t, AT_FDCWD, b"/d").dentry.inode
    notify.add(inode, mark)
    fd = guest.open(b"/d/f", os.O_CREAT | os.O_WRONLY)
    assert guest.write(fd, b"x") == 1
    assert guest.call("close", fd) == 0
    assert mark.take() == [(IN_CREATE, b"f"), (IN_OPEN, b"f"), (IN_MODIFY, b"f"), (IN_CLOSE_WRITE, b"f")]
    guest.call("chmod", b"/d/f", 0o600)
    guest.call("mkdir", b"/d/sub", 0o755)
    assert mark.take() == [(IN_ATTRIB, b"f"), (IN_CREATE | IN_ISDIR, b"sub")]
    guest.call("rename", b"/d/f", b"/d/g")
    assert mark.take() == [(IN_MOVED_FROM, b"f"), (IN_MOVED_TO, b"g")]
    assert mark.cookies[-1] == mark.cookies[-2] != 0
    guest.call("unlink", b"/d/g")
    guest.call("rmdir", b"/d/sub")
    assert mark.take() == [(IN_DELETE, b"g"), (IN_DELETE | IN_ISDIR, b"sub")]
    guest.call("rmdir", b"/d")
    assert mark.take() == [(IN_DELETE_SELF, b"")]
    notify.remove(inode, mark)


def test_a_file_hears_of_itself(guest: Guest) -> None:
    guest.put(b"/f", b"x")
    mark, inode = Mark(), walk(guest.t, AT_FDCWD, b"/f").dentry.inode
    notify.add(inode, mark)
    fd = guest.open(b"/f")
    copy = guest.call("dup", fd)
    guest.call("close", fd)
    guest.call("close", copy)
    assert mark.take() == [(IN_OPEN, b""), (IN_CLOSE_NOWRITE, b"")]
    guest.call("link", b"/f", b"/h")
    guest.call("rename", b"/f", b"/g")
    assert (IN_MOVE_SELF, b"") in mark.take()
    guest.call("unlink", b"/g")
    assert mark.take() == [(IN_ATTRIB, b"")]  # the link count changed
    assert mark.ended < 1
    guest.call("unlink", b"/h")
    assert mark.take()[-1] == (IN_DELETE_SELF, b"") and mark.ended == 1
    notify.remove(inode, mark)


def test_a_file_ends_with_its_last_descriptor(guest: Guest) -> None:
    guest.put(b"/f", b"x")
    guest.put(b"/g", b"x")
    mark, inode = Mark(IN_DELETE_SELF), walk(guest.t, AT_FDCWD, b"/f").dentry.inode
    notify.add(inode, mark)
    first, second = guest.open(b"/f"), guest.open(b"/f")
    guest.call("rename", b"/g", b"/f")
    guest.call("close", first)
    assert mark.take() == []
    guest.call("close", second)
    assert mark.take() == [(IN_DELETE_SELF, b"")]
    notify.remove(inode, mark)
    assert not notify._held


def test_masks(guest: Guest) -> None:
    mark, inode = Mark(IN_CREATE), walk(guest.t, AT_FDCWD, b"/").dentry.inode
    notify.add(inode, mark)
    guest.put(b"/f", b"x")
    assert mark.take() == [(IN_CREATE, b"f")]
    notify.remove(inode, mark)
    notify.remove(inode, mark)
