"""Files that are made up when they are looked at, and the places of files without a path."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sentry.abi.const.files import AT_FDCWD, O_PATH, RESOLVE_NO_MAGICLINKS
from sentry.abi.errno import EACCES, EINVAL, ELOOP, ENOENT, EPERM, ESPIPE
from sentry.abi.structs import OPEN_HOW
from sentry.creds import Credentials
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.core.anon import path_of
from vfs.core.node import Name
from vfs.core.synth import MagicLink, SynthDir, SynthFile, SynthFs, SynthLink, number
from vfs.core.walk import path_name

stored: list[bytes] = []


@pytest.fixture
def guest() -> Guest:
    stored.clear()
    fs = SynthFs(b"proc", 0x9FA0)
    calls = [0]

    def count(t: Any) -> bytes:
        calls[0] += 1
        return b"read %d by %d\n" % (calls[0], t.tid)

    def find(t: Any, name: bytes) -> Any:
        if not name.isdigit() or int(name) > 3:
            return None
        return SynthDir(fs, {b"name": SynthFile(fs, lambda t: name)}, ino=number("dir", name))

    def names(t: Any) -> list[Name]:
        return [Name(b"%d" % n, number("dir", b"%d" % n), 4) for n in range(4)]

    root = SynthDir(
        fs,
        {
            b"count": SynthFile(fs, count),
            b"self": SynthLink(fs, lambda t: b"%d" % (t.tid % 4)),
            b"knob": SynthFile(fs, lambda t: b"".join(stored), lambda t, data: stored.append(data)),
            b"fd": SynthDir(fs, {b"0": MagicLink(fs, lambda t: t.fds.get(0).name(), lambda t: path_of(t.fds.get(0)))}),
        },
        find=find,
        names=names,
        ino=1,
    )
    fs.set_root(root)
    return Guest(fs)


def test_text_is_made_at_the_first_read(guest: Guest) -> None:
    fd = guest.open(b"/count")
    assert guest.read(fd, 5) == b"read "
    assert guest.read(fd) == b"1 by 7\n"
    assert guest.read(fd) == b""
    assert guest.pread(fd, 4, 7) == b"by 7"
    assert guest.call("lseek", fd, 0, 0) == 0
    assert guest.read(fd) == b"read 2 by 7\n"
    assert guest.stat(b"/count").size == 0


def test_dynamic_directories(guest: Guest) -> None:
    assert sorted(guest.names(b"/")) == [b".", b"..", b"0", b"1", b"2", b"3", b"count", b"fd", b"knob", b"self"]
    assert guest.get(b"/2/name") == b"2"
    assert guest.get(b"/self/name") == b"3"
    assert guest.readlink(b"/self") == b"3"
    assert guest.open(b"/9/name") == -ENOENT.code
    assert guest.stat(b"/2").ino == guest.stat(b"/2").ino != guest.stat(b"/3").ino
    assert guest.call("chdir", b"/2") == 0
    assert guest.cwd() == b"/2"
    assert guest.get(b"../1/name") == b"1"


def test_stores(guest: Guest) -> None:
    fd = guest.open(b"/knob", os.O_WRONLY | os.O_TRUNC)
    assert guest.write(fd, b"on") == 2
    assert stored == [b"on"]
    assert guest.get(b"/knob") == b"on"
    assert guest.other(Credentials(5, 5, 5, 5, 5, 5, 5, 5)).open(b"/knob", os.O_WRONLY) == -EACCES.code
    assert guest.call("mkdir", b"/new", 0o755) == -EPERM.code
    assert guest.call("unlink", b"/knob") == -EPERM.code
    assert guest.open(b"/new", os.O_CREAT | os.O_WRONLY) == -EPERM.code


def test_magic_links_lead_to_open_files(guest: Guest) -> None:
    assert guest.call("pipe2", BASE, os.O_NONBLOCK) == 0
    assert guest.write(1, b"hello") == 5
    assert guest.readlink(b"/fd/0").startswith(b"pipe:[")
    assert guest.stat(b"/fd/0").mode >> 12 == 1
    assert guest.call("lseek", 0, 0, 0) == -ESPIPE.code
    fd = guest.open(b"/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    assert fd >= 0
    assert guest.read(fd) == b"hello"
    how = guest.place(OPEN_HOW.pack(0, 0, RESOLVE_NO_MAGICLINKS))
    assert guest.call("openat2", AT_FDCWD, b"/fd/0", how, OPEN_HOW.size) == -ELOOP.code
    place = guest.open(b"/fd/0", O_PATH | os.O_NOFOLLOW)
    assert guest.fstat(place).mode >> 12 == 10
    assert path_name(path_of(guest.t.fds.get(1)), guest.t.fs.root).startswith(b"pipe:[")
    assert guest.call("readlink", b"/count", BASE, 10) == -EINVAL.code
