"""inotify on a memory file system, with the calls that make the events."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sentry.abi import flags as abi
from sentry.abi.errno import EINVAL as Invalid
from sentry.abi.errno import WouldBlock
from sentry.abi.structs import INOTIFY_EVENT
from tests.unit.vfs.anon.test_pipe import Watch
from tests.unit.vfs.fs.vfs_guest import Guest
from vfs.anon import inotify
from vfs.core import notify
from vfs.fs.backing import Backing
from vfs.fs.tmpfs import TmpFs

EINVAL, ENOENT, ENOTDIR, EEXIST, EBADF = -22, -2, -20, -17, -9


@pytest.fixture
def guest() -> Any:
    return Guest(TmpFs(Backing(-1), mode=0o755))


def events(file: Any, size: int = 4096) -> list[tuple[int, int, bytes]]:
    try:
        data = file.peek(size)
    except WouldBlock:
        return []
    file.consume(len(data))
    found, at = [], 0
    while at < len(data):
        number, mask, _, length = INOTIFY_EVENT.unpack_from(data, at)
        found.append((number, mask, data[at + 16 : at + 16 + length].rstrip(b"\0")))
        at += 16 + length
    return found


def test_names_in_a_directory(guest: Any) -> None:
    guest.call("mkdir", b"/d", 0o755)
    fd = guest.call("inotify_init1", abi.IN_NONBLOCK | abi.IN_CLOEXEC)
    file = guest.t.fds.get(fd)
    assert file.nonblock and guest.t.fds.cloexec == {fd}
    wd = guest.call("inotify_add_watch", fd, b"/d", abi.IN_CREATE | abi.IN_DELETE | abi.IN_MOVE)
    assert wd == 1
    watch = Watch()
    file.queue.add(watch)
    new = guest.open(b"/d/file", os.O_CREAT | os.O_RDWR)
    assert new > 0 and watch.take() & abi.POLLIN and file.poll() & abi.POLLIN
    guest.call("rename", b"/d/file", b"/d/other")
    guest.call("mkdir", b"/d/sub", 0o755)
    guest.call("unlink", b"/d/other")
    moved = [(mask, name) for _, mask, name in events(file)]
    assert moved == [
        (abi.IN_CREATE, b"file"), (abi.IN_MOVED_FROM, b"file"), (abi.IN_MOVED_TO, b"other"),
        (abi.IN_CREATE | abi.IN_ISDIR, b"sub"), (abi.IN_DELETE, b"other"),
    ]  # fmt: skip
    assert events(file) == [] and file.poll() == 0
    guest.call("close", fd)
    assert not notify.active


def test_one_file(guest: Any) -> None:
    new = guest.open(b"/f", os.O_CREAT | os.O_RDWR)
    fd = guest.call("inotify_init")
    file = guest.t.fds.get(fd)
    wd = guest.call("inotify_add_watch", fd, b"/f", abi.IN_MODIFY | abi.IN_DELETE_SELF)
    guest.write(new, b"x")
    guest.write(new, b"y")
    assert events(file) == [(wd, abi.IN_MODIFY, b"")]  # the same again is one event
    assert guest.call("inotify_add_watch", fd, b"/f", abi.IN_OPEN | abi.IN_MASK_ADD) == wd
    assert guest.call("inotify_add_watch", fd, b"/f", abi.IN_OPEN | abi.IN_MASK_CREATE) == EEXIST
    second = guest.open(b"/f")
    guest.write(new, b"z")
    assert [mask for _, mask, _ in events(file)] == [abi.IN_OPEN, abi.IN_MODIFY]
    guest.call("unlink", b"/f")
    guest.call("close", new)
    assert events(file) == []  # a file lasts as long as a descriptor
    guest.call("close", second)
    assert [mask for _, mask, _ in events(file)] == [abi.IN_DELETE_SELF, abi.IN_IGNORED]
    assert guest.call("inotify_rm_watch", fd, wd) == EINVAL
    guest.call("close", fd)
    assert not notify.active


def test_once_and_removal(guest: Any) -> None:
    new = guest.open(b"/f", os.O_CREAT | os.O_RDWR)
    fd = guest.call("inotify_init")
    file = guest.t.fds.get(fd)
    wd = guest.call("inotify_add_watch", fd, b"/f", abi.IN_MODIFY | abi.IN_ONESHOT)
    guest.write(new, b"x")
    guest.write(new, b"x")
    assert [mask for _, mask, _ in events(file)] == [abi.IN_MODIFY, abi.IN_IGNORED]
    again = guest.call("inotify_add_watch", fd, b"/f", abi.IN_MODIFY)
    assert again == wd + 1
    assert guest.call("inotify_rm_watch", fd, again) == 0
    assert events(file) == [(again, abi.IN_IGNORED, b"")]
    assert not notify.active


def test_small_buffers_and_overflow(guest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.call("mkdir", b"/d", 0o755)
    fd = guest.call("inotify_init")
    file = guest.t.fds.get(fd)
    guest.call("inotify_add_watch", fd, b"/d", abi.IN_CREATE)
    for name in (b"/d/a", b"/d/b"):
        guest.open(name, os.O_CREAT)
    with pytest.raises(Invalid):
        file.peek(31)
    assert [name for _, _, name in events(file, 63)] == [b"a"]
    assert [name for _, _, name in events(file)] == [b"b"]
    monkeypatch.setattr(inotify, "MAX_QUEUED", 3)
    for i in range(6):
        guest.open(b"/d/x%d" % i, os.O_CREAT)
    found = events(file)
    assert len(found) == 4 and found[-1] == (-1, abi.IN_Q_OVERFLOW, b"")
    guest.call("close", fd)


def test_errors(guest: Any) -> None:
    fd = guest.call("inotify_init")
    plain = guest.open(b"/f", os.O_CREAT)
    assert guest.call("inotify_init1", 1) == EINVAL
    assert guest.call("inotify_add_watch", fd, b"/none", abi.IN_CREATE) == ENOENT
    assert guest.call("inotify_add_watch", fd, b"/f", 0) == EINVAL
    assert guest.call("inotify_add_watch", fd, b"/f", abi.IN_CREATE | abi.IN_ONLYDIR) == ENOTDIR
    assert guest.call("inotify_add_watch", plain, b"/f", abi.IN_CREATE) == EINVAL
    assert guest.call("inotify_add_watch", 99, b"/f", abi.IN_CREATE) == EBADF
    assert guest.call("inotify_rm_watch", fd, 1) == EINVAL
    guest.call("close", fd)
