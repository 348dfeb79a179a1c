"""The memory layer over a directory of the host: what is below stays as it was, whatever is done above."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentry.abi.errno import EEXIST, ENOENT, ENOSPC, ENOTEMPTY
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.core.dentry import forget
from vfs.fs.backing import SMALL, Backing, Space
from vfs.fs.hostfs import HostFs
from vfs.fs.overlay import OverlayFs
from vfs.fs.tmpfs import TmpFs

RW = os.O_RDWR


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    root = tmp_path / "root"
    (root / "d/sub").mkdir(parents=True)
    (root / "d/f").write_bytes(b"lower")
    (root / "d/big").write_bytes(b"B" * 100_000)
    (root / "d/sub/deep").write_bytes(b"deep")
    os.link(root / "d/f", root / "d/hard")
    os.symlink("f", root / "d/link")
    (tmp_path / "memory").mkdir()
    fs = OverlayFs(HostFs(os.open(root, os.O_PATH)), Backing(os.open(tmp_path / "memory", os.O_PATH)))
    guest = Guest(fs)
    before = _tree(root)
    yield guest
    assert _tree(root) == before
    fs.shutdown()


def _tree(top: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(p): (p.lstat().st_mode, p.lstat().st_nlink, p.read_bytes() if p.is_file() else b"")
        for p in sorted(top.rglob("*"))
    }


def test_a_copy_up_is_seen_by_open_files_and_other_names(guest: Guest) -> None:
    reader = guest.open(b"/d/f")
    assert guest.read(reader, 3) == b"low"
    writer = guest.open(b"/d/f", RW)
    assert guest.call("pwrite64", writer, guest.place(b"UPPER"), 5, 0) == 5
    assert guest.read(reader) == b"ER"
    assert guest.get(b"/d/hard") == b"UPPER"
    assert guest.stat(b"/d/hard").ino == guest.stat(b"/d/f").ino == guest.fstat(reader).ino
    forget(guest.mounts.root.root)
    assert guest.get(b"/d/hard") == b"UPPER"


def test_attributes_survive_a_forgotten_dentry(guest: Guest) -> None:
    assert guest.call("chmod", b"/d/sub/deep", 0o600) == 0
    assert guest.call("chmod", b"/d/sub", 0o700) == 0
    ino = guest.stat(b"/d/sub/deep").ino
    forget(guest.mounts.root.root)
    st = guest.stat(b"/d/sub/deep")
    assert (st.mode & 0o777, st.ino) == (0o600, ino)
    assert guest.stat(b"/d/sub").mode & 0o777 == 0o700
    assert guest.get(b"/d/sub/deep") == b"deep"


def test_whiteouts_and_opaque_directories(guest: Guest) -> None:
    assert guest.call("rmdir", b"/d/sub") == -ENOTEMPTY.code
    assert guest.call("unlink", b"/d/sub/deep") == 0
    assert guest.call("rmdir", b"/d/sub") == 0
    assert guest.call("stat", b"/d/sub", BASE) == -ENOENT.code
    assert guest.call("mkdir", b"/d/sub", 0o755) == 0
    forget(guest.mounts.root.root)
    assert sorted(guest.names(b"/d/sub")) == [b".", b".."]
    assert sorted(guest.names(b"/d")) == [b".", b"..", b"big", b"f", b"hard", b"link", b"sub"]
    guest.put(b"/d/sub/deep", b"new")
    assert guest.get(b"/d/sub/deep") == b"new"


def test_directories_below_can_be_renamed(guest: Guest) -> None:
    assert guest.call("rename", b"/d", b"/e") == 0
    forget(guest.mounts.root.root)
    assert guest.get(b"/e/sub/deep") == b"deep"
    assert guest.get(b"/e/link") == b"lower"
    assert guest.open(b"/d/f") == -ENOENT.code
    guest.put(b"/e/sub/deep", b"changed")
    guest.put(b"/e/sub/more", b"more")
    assert guest.call("rename", b"/e/sub", b"/sub") == 0
    forget(guest.mounts.root.root)
    assert guest.get(b"/sub/deep") == b"changed"
    assert sorted(guest.names(b"/sub")) == [b".", b"..", b"deep", b"more"]
    assert sorted(guest.names(b"/")) == [b".", b"..", b"e", b"sub"]
    assert guest.call("mkdir", b"/d", 0o755) == 0
    assert sorted(guest.names(b"/d")) == [b".", b".."]


def test_a_renamed_file_is_not_copied(guest: Guest) -> None:
    assert guest.call("rename", b"/d/big", b"/moved") == 0
    forget(guest.mounts.root.root)
    assert guest.mounts.root.fs.space.used == 0  # type: ignore[attr-defined]
    assert guest.get(b"/moved") == b"B" * 100_000
    fd = guest.open(b"/moved", os.O_WRONLY | os.O_APPEND)
    assert guest.write(fd, b"!") == 1
    assert guest.get(b"/moved")[-2:] == b"B!"
    assert guest.mounts.root.fs.space.used >= 100_000  # type: ignore[attr-defined]


def test_truncating_opens_copy_nothing(guest: Guest) -> None:
    guest.put(b"/d/big", b"s")
    assert guest.mounts.root.fs.space.used == 4096  # type: ignore[attr-defined]
    assert guest.get(b"/d/big") == b"s"


def test_contents_move_to_the_store_and_back_out(guest: Guest, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    fd = guest.open(b"/new", RW | os.O_CREAT)
    assert guest.write(fd, b"x" * SMALL) == SMALL
    assert os.listdir(memory) == []
    assert guest.write(fd, b"y") == 1
    assert len(os.listdir(memory)) == 1
    assert guest.pread(fd, SMALL + 9, 0) == b"x" * SMALL + b"y"
    assert guest.call("unlink", b"/new") == 0
    assert len(os.listdir(memory)) == 1
    assert guest.call("close", fd) == 0
    assert os.listdir(memory) == []
    assert guest.mounts.root.fs.space.used == 0  # type: ignore[attr-defined]


def test_mapped_bytes_are_the_same_bytes(guest: Guest) -> None:
    guest.put(b"/m", b"abc")
    fd = guest.open(b"/m", RW)
    file = guest.t.fds.get(fd)
    host_fd = file.host_fd(True)
    os.pwrite(host_fd, b"X", 1)
    assert guest.pread(fd, 9, 0) == b"aXc"
    guest.call("pwrite64", fd, guest.place(b"Y"), 1, 2)
    assert os.pread(host_fd, 9, 0) == b"aXY"


def test_unlinked_while_open(guest: Guest) -> None:
    fd = guest.open(b"/d/sub/deep")
    assert guest.call("unlink", b"/d/sub/deep") == 0
    assert guest.read(fd) == b"deep"
    assert guest.fstat(fd).nlink == 0
    assert guest.call("fchmod", fd, 0o600) == 0
    assert guest.fstat(fd).mode & 0o777 == 0o600
    assert guest.open(b"/d/sub/deep") == -ENOENT.code


def test_space_is_counted(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    space = Space(10 * 4096, 5)
    fs = TmpFs(Backing(os.open(tmp_path / "memory", os.O_PATH)), space)
    guest = Guest(fs)
    guest.put(b"/a", b"x" * 5000)
    assert (space.used, space.inodes) == (8192, 2)
    for name in (b"/b", b"/c"):
        assert guest.call("link", b"/a", name) == 0
    assert space.inodes == 4
    assert guest.call("mkdir", b"/d", 0o755) == 0
    assert guest.call("mkdir", b"/e", 0o755) == -ENOSPC.code
    assert guest.call("link", b"/a", b"/e") == -ENOSPC.code
    assert guest.call("link", b"/a", b"/b") == -EEXIST.code
    for name in (b"/b", b"/c"):
        assert guest.call("unlink", name) == 0
    assert guest.call("setxattr", b"/a", b"user.x", b"v" * 100, 100, 0) == 0
    assert space.used == 8192 + 126
    assert guest.call("setxattr", b"/a", b"user.x", b"v", 1, 0) == 0
    assert guest.call("removexattr", b"/a", b"user.x") == 0
    assert (space.used, space.inodes) == (8192, 3)
    assert guest.call("setxattr", b"/a", b"user.y", b"v", 1, 0) == 0
    assert guest.call("truncate", b"/a", 1) == 0
    assert space.used == 4096 + 27
    assert guest.call("truncate", b"/a", 1 << 40) == 0  # a hole
    fd = guest.open(b"/a", RW)
    assert guest.call("pwrite64", fd, guest.place(bytes(9 * 4096)), 9 * 4096, 1 << 40) == 8 * 4096
    assert guest.call("pwrite64", fd, guest.place(b"x"), 1, 1 << 41) == -ENOSPC.code
    guest.call("close", fd)
    assert guest.call("unlink", b"/a") == 0
    assert (space.used, space.inodes) == (0, 2)
