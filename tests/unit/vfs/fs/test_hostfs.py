"""hostfs: what a guest does arrives on the host, what the host does is seen, and nothing outside is reached."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentry.abi.const.files import AT_FDCWD, O_PATH
from sentry.abi.errno import EACCES, EEXIST, EINVAL, ELOOP, ENOENT, ENOTDIR
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.core import dentry
from vfs.core.walk import walk
from vfs.fs import hostfs
from vfs.fs.hostfs import HostFs
from vfs.fs.idmap import IdMap

RW = os.O_RDWR


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"outside")
    fs = HostFs(os.open(root, os.O_PATH | os.O_DIRECTORY))
    yield Guest(fs)
    fs.shutdown()


def test_write_through(guest: Guest, tmp_path: Path) -> None:
    assert guest.call("mkdir", b"/d", 0o750) == 0
    guest.put(b"/d/f", b"hello", 0o640)
    assert (tmp_path / "root/d/f").read_bytes() == b"hello"
    assert (tmp_path / "root/d/f").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "root/d").stat().st_mode & 0o7777 == 0o750
    assert guest.get(b"/d/f") == b"hello"
    st = guest.stat(b"/d/f")
    host = (tmp_path / "root/d/f").stat()
    assert (st.ino, st.mode, st.size, st.nlink) == (host.st_ino, host.st_mode, 5, 1)
    assert st.mtime_ns == host.st_mtime_ns
    assert guest.call("unlink", b"/d/f") == 0
    assert guest.call("rmdir", b"/d") == 0
    assert os.listdir(tmp_path / "root") == []


def test_links_stay_inside(guest: Guest, tmp_path: Path) -> None:
    root = tmp_path / "root"
    os.symlink("/secret", root / "absolute")
    os.symlink("../secret", root / "relative")
    os.symlink("../../../../../../../../etc/passwd", root / "far")
    (root / "secret").write_bytes(b"inside")
    assert guest.get(b"/absolute") == b"inside"
    assert guest.get(b"/relative") == b"inside"
    assert guest.open(b"/far") == -ENOENT.code
    assert guest.get(b"/../../secret") == b"inside"


def test_a_directory_swapped_for_a_link_leads_nowhere(guest: Guest, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir()
    (root / "d/secret").write_bytes(b"inside")
    assert guest.get(b"/d/secret") == b"inside"
    os.rename(root / "d", root / "gone")
    os.symlink(tmp_path, root / "d")
    assert guest.get(b"/d/secret") == b"inside"  # by the directory that was open; never the outer one
    for inode in list(guest.mounts.root.fs.open_dirs):  # type: ignore[attr-defined]
        os.close(inode.fd)
        inode.fd = -1
    guest.mounts.root.fs.open_dirs.clear()  # type: ignore[attr-defined]
    assert guest.open(b"/d/secret") == -ENOENT.code


def test_changes_of_the_host_are_seen(guest: Guest, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert guest.call("stat", b"/new", BASE) == -ENOENT.code
    (root / "new").write_bytes(b"1")
    assert guest.get(b"/new") == b"1"
    ino = guest.stat(b"/new").ino
    (root / "other").write_bytes(b"22")
    os.rename(root / "other", root / "new")
    assert guest.get(b"/new") == b"22"
    assert guest.stat(b"/new").ino != ino
    os.unlink(root / "new")
    assert guest.open(b"/new") == -ENOENT.code
    os.mkdir(root / "new")
    assert guest.call("mkdir", b"/new/sub", 0o700) == 0
    assert (root / "new/sub").is_dir()


def test_open_files_outlive_their_names(guest: Guest, tmp_path: Path) -> None:
    guest.put(b"/f", b"abc")
    fd = guest.open(b"/f", RW)
    assert guest.call("unlink", b"/f") == 0
    assert guest.write(fd, b"xyz1") == 4
    assert guest.pread(fd, 10, 0) == b"xyz1"
    assert guest.fstat(fd).nlink == 0
    assert guest.call("fchmod", fd, 0o600) == 0
    assert guest.fstat(fd).mode & 0o777 == 0o600
    assert guest.call("fchown", fd, 12, 13) == 0
    assert (guest.fstat(fd).uid, guest.fstat(fd).gid) == (12, 13)
    assert guest.call("close", fd) == 0


def test_renames_move_cached_dentries(guest: Guest) -> None:
    for name in (b"/a", b"/a/b", b"/c"):
        assert guest.call("mkdir", name, 0o755) == 0
    guest.put(b"/a/b/f", b"1")
    assert guest.call("chdir", b"/a/b") == 0
    assert guest.call("rename", b"/a/b", b"/c/b2") == 0
    assert guest.cwd() == b"/c/b2"
    assert guest.get(b"f") == b"1"
    assert guest.get(b"/c/b2/f") == b"1"
    assert guest.open(b"/a/b/f") == -ENOENT.code
    assert guest.call("rename", b"/c", b"/c/b2/x") == -EINVAL.code
    assert guest.call("chdir", b"/") == 0


def test_exchange(guest: Guest) -> None:
    guest.put(b"/a", b"A")
    guest.put(b"/b", b"B")
    assert guest.call("renameat2", AT_FDCWD, b"/a", AT_FDCWD, b"/b", 2) == 0
    assert (guest.get(b"/a"), guest.get(b"/b")) == (b"B", b"A")
    assert guest.call("renameat2", AT_FDCWD, b"/a", AT_FDCWD, b"/b", 1) == -EEXIST.code
    assert sorted(guest.names(b"/")) == [b".", b"..", b"a", b"b"]


def test_append_and_seek(guest: Guest, tmp_path: Path) -> None:
    guest.put(b"/f", b"12345")
    fd = guest.open(b"/f", os.O_WRONLY | os.O_APPEND)
    with open(tmp_path / "root/f", "ab") as f:
        f.write(b"host")
    assert guest.write(fd, b"!") == 1
    assert guest.call("lseek", fd, 0, 1) == 10
    assert guest.get(b"/f") == b"12345host!"
    assert guest.call("lseek", fd, -3, 2) == 7
    assert guest.call("lseek", fd, -30, 2) == -EINVAL.code
    guest.t.fds.get(fd).flags &= ~os.O_APPEND  # as fcntl F_SETFL does
    assert guest.call("lseek", fd, 0, 0) == 0
    assert guest.write(fd, b"X") == 1
    assert guest.get(b"/f") == b"X2345host!"


def test_directories_in_small_steps(guest: Guest) -> None:
    names = {b"file%03d" % n for n in range(200)}
    for name in names:
        guest.put(b"/" + name, b"")
    assert set(guest.names(b"/", 300)) == names | {b".", b".."}
    fd = guest.open(b"/", os.O_DIRECTORY)
    assert guest.call("getdents64", fd, BASE, 10) == -EINVAL.code


def test_descriptors_of_directories_are_bounded(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfs, "MAX_DIRS", 5)
    path = b""
    for n in range(20):
        path += b"/d%d" % n
        assert guest.call("mkdir", path, 0o755) == 0
        guest.put(path + b"/f", b"%d" % n)
    for n in range(20):
        assert guest.call("mkdir", b"/w%d" % n, 0o755) == 0
        guest.put(b"/w%d/f" % n, b"")
    fs = guest.mounts.root.fs
    assert isinstance(fs, HostFs)
    assert len(fs.open_dirs) <= 21  # one chain may be longer than the limit, while it is opened
    assert guest.get(path + b"/f") == b"19"
    assert guest.call("rename", path + b"/f", b"/w3/f") == 0
    assert guest.get(b"/w3/f") == b"19"


def test_forgotten_dentries_are_found_again(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guest.call("mkdir", b"/keep", 0o755) == 0
    guest.put(b"/keep/f", b"1")
    assert guest.call("chdir", b"/keep") == 0
    held = guest.t.fs.cwd.dentry
    assert guest.call("mknod", b"/sock", 0o140755, 0) == 0
    bound = walk(guest.t, AT_FDCWD, b"/sock").dentry.inode
    bound.bound = guest
    monkeypatch.setattr(dentry, "CACHE_LIMIT", 50)
    monkeypatch.setattr(dentry, "_cached", OrderedDict.fromkeys([held]))
    for n in range(300):
        guest.put(b"/x%d" % n, b"")
        assert guest.call("stat", b"/x%d" % n, BASE) == 0
    assert len(dentry._cached) <= 51
    assert walk(guest.t, AT_FDCWD, b"/sock").dentry.inode is bound
    assert guest.t.fs.cwd.dentry is held and held.parent.children[b"keep"] is held
    assert guest.get(b"f") == b"1"


def test_owner_of_new_files(guest: Guest, tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("needs CAP_CHOWN")
    os.chmod(tmp_path / "root", 0o777)
    assert guest.call("mkdir", b"/sgid", 0o777) == 0
    assert guest.call("chown", b"/sgid", 0, 4242) == 0
    assert guest.call("chmod", b"/sgid", 0o2777) == 0
    user = guest.other(guest.t.creds.set_resuid(1000, 1000, 1000).set_resgid(1000, 1000, 1000)
                       if False else type(guest.t.creds)(1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000))
    user.put(b"/mine", b"")
    host = (tmp_path / "root/mine").stat()
    assert (host.st_uid, host.st_gid, host.st_mode & 0o7777) == (1000, 1000, 0o644)
    user.put(b"/sgid/f", b"")
    assert user.call("mkdir", b"/sgid/d", 0o755) == 0
    assert user.stat(b"/sgid/f").gid == 4242
    st = user.stat(b"/sgid/d")
    assert (st.gid, st.mode & 0o7777) == (4242, 0o2755)
    assert guest.call("chmod", b"/mine", 0o600) == 0
    assert guest.call("chown", b"/mine", 5, 5) == 0
    assert user.open(b"/mine") == -EACCES.code


def test_odd_names(guest: Guest) -> None:
    assert guest.open(b"/" + b"x" * 256) == -36
    assert guest.call("mkdir", b"/" + b"x" * 255, 0o755) == 0
    assert guest.call("mkdir", b"/" + b"x" * 256, 0o755) == -36
    guest.put(b"/f", b"")
    assert guest.open(b"/f/") == -ENOTDIR.code
    assert guest.open(b"/f/.") == -ENOTDIR.code
    assert guest.open(b"/f/..") == -ENOTDIR.code
    assert guest.call("symlink", b"loop", b"/loop") == 0
    assert guest.open(b"/loop") == -ELOOP.code
    assert guest.call("symlink", b"f", b"/l") == 0
    assert guest.open(b"/l", os.O_NOFOLLOW) == -ELOOP.code
    fd = guest.open(b"/l", os.O_NOFOLLOW | O_PATH)
    assert guest.fstat(fd).mode >> 12 == 0o12
    assert guest.call("readlinkat", fd, b"", BASE, 10) == 1


def test_fifo_and_socket_nodes(guest: Guest, tmp_path: Path) -> None:
    assert guest.call("mknod", b"/p", 0o010644, 0) == 0
    assert guest.call("mknod", b"/s", 0o140755, 0) == 0
    reader = guest.open(b"/p", os.O_RDONLY | os.O_NONBLOCK)
    writer = guest.open(b"/p", os.O_WRONLY)
    assert guest.write(writer, b"abc") == 3
    assert guest.read(reader) == b"abc"
    assert guest.open(b"/s") == -6
    assert guest.call("mknod", b"/disk", 0o060600, 0x801) == -1
    assert guest.call("mknod", b"/null", 0o020666, 0x103) == 0


def test_a_single_file(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_bytes(b"127.0.0.1 localhost\n")
    from vfs.core.mount import Mount
    from vfs.core.walk import walk

    fs = HostFs(os.open(tmp_path / "hosts", os.O_PATH))
    guest.put(b"/hosts", b"below")
    guest.mounts.attach(Mount(fs, fs.root), walk(guest.t, AT_FDCWD, b"/hosts"))
    assert guest.get(b"/hosts") == b"127.0.0.1 localhost\n"
    guest.put(b"/hosts", b"new")
    assert (tmp_path / "hosts").read_bytes() == b"new"
    assert guest.stat(b"/hosts").size == 3
    assert guest.call("unlink", b"/hosts") == -16
    assert guest.call("chmod", b"/hosts", 0o600) == 0
    fs.shutdown()


def test_reader_of_a_new_file_gets_no_writable_descriptor(guest: Guest) -> None:
    import fcntl

    fd = guest.open(b"/f", os.O_RDONLY | os.O_CREAT)
    host_fd = guest.t.fds.get(fd).host_fd(False)
    assert fcntl.fcntl(host_fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def test_holes(guest: Guest) -> None:
    fd = guest.open(b"/f", RW | os.O_CREAT)
    assert guest.call("ftruncate", fd, 1 << 20) == 0
    assert guest.call("pwrite64", fd, guest.place(b"x"), 1, 1 << 19) == 1
    assert guest.call("lseek", fd, 0, 3) == 1 << 19
    assert guest.call("fallocate", fd, 3, 1 << 19, 4096) == 0
    assert guest.pread(fd, 4, 1 << 19) == b"\0\0\0\0"
    assert guest.call("fallocate", fd, 0, 0, 2 << 20) == 0
    assert guest.fstat(fd).size == 2 << 20


@pytest.mark.skipif(os.getuid() != 0, reason="needs CAP_CHOWN")
def test_mapped_ids(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, 100_000, 100_000)
    (root / "foreign").write_bytes(b"")
    ids = IdMap(((0, 100_000, 1000), (1000, 200_000, 10)))
    fs = HostFs(os.open(root, os.O_PATH), uids=ids, gids=ids)
    guest = Guest(fs)
    assert (guest.stat(b"/").uid, guest.stat(b"/").gid) == (0, 0)
    assert guest.stat(b"/foreign").uid == 65534
    guest.put(b"/f", b"x")
    host = (root / "f").stat()
    assert (host.st_uid, host.st_gid) == (100_000, 100_000)
    assert guest.call("chown", b"/f", 1005, 5) == 0
    host = (root / "f").stat()
    assert (host.st_uid, host.st_gid) == (200_005, 100_005)
    st = guest.stat(b"/f")
    assert (st.uid, st.gid) == (1005, 5)
    fd = guest.open(b"/f")
    assert guest.fstat(fd).uid == 1005
    assert guest.call("chown", b"/f", 5000, 5) == -EINVAL.code
    assert guest.call("mkdir", b"/d", 0o755) == 0
    assert guest.call("symlink", b"f", b"/l") == 0
    assert os.lstat(root / "l").st_uid == (root / "d").stat().st_uid == 100_000
    fs.shutdown()
