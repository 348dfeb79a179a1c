"""The mounts of a container: what is built from a BootConfig, seen through the calls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import syscalls.mount  # noqa: F401  (registers the constructors)
from sentry.abi.const.mounts import MS_NOSUID, MS_RDONLY
from sentry.abi.errno import EACCES, EBUSY, EROFS
from sentry.boot import BootConfig, BootDevice, BootMount
from tests.unit.vfs.fs.vfs_guest import BASE, Guest
from vfs.core.mount import mountinfo_text, mounts_text
from vfs.fs import boot


def _build(config: BootConfig, tmp_path: Path) -> Guest:
    memory = tmp_path / "memory"
    memory.mkdir()
    kernel: Any = SimpleNamespace(
        backing=os.open(memory, os.O_PATH), log=lambda text: None, tasks={}, groups={}, mounts=None,
        config=config, group_death_hooks=[], cpus={0, 1},
    )
    config.root_fd = os.open(tmp_path / "root", os.O_PATH)
    top = boot.build_mounts(kernel, config)
    guest = Guest(top.mount.fs)
    guest.mounts = guest.t.kernel.mounts = kernel.mounts
    guest.t.kernel.backing = kernel.backing
    guest.t.kernel.tasks = {7: guest.t}
    guest.t.fs.root = guest.t.fs.cwd = top
    return guest


@pytest.fixture
def config(tmp_path: Path) -> Iterator[BootConfig]:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_bytes(b"old")
    (root / "data").mkdir()
    (root / "secret").write_bytes(b"s")
    (root / "keys").mkdir()
    (root / "keys/k").write_bytes(b"k")
    (tmp_path / "hosts").write_bytes(b"127.0.0.1 x\n")
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/v").write_bytes(b"v")
    config = BootConfig("test")
    config.mounts = [
        BootMount(b"/proc", "proc"),
        BootMount(b"/dev", "devtmpfs", source=b"tmpfs", flags=MS_NOSUID, data=b"mode=755,size=65536k"),
        BootMount(b"/dev/pts", "devpts", data=b"newinstance,ptmxmode=0666,mode=0620,gid=5"),
        BootMount(b"/dev/shm", "tmpfs", data=b"mode=1777,size=64000k"),
        BootMount(b"/dev/mqueue", "mqueue"),
        BootMount(b"/sys", "sysfs", flags=MS_RDONLY),
        BootMount(b"/etc/hosts", "bind", os.open(tmp_path / "hosts", os.O_PATH), b"/x/hosts"),
        BootMount(b"/mnt/new/deep", "bind", os.open(tmp_path / "volume", os.O_PATH), b"/x/volume", MS_RDONLY),
        BootMount(b"/data", "tmpfs", copy_up=True),
    ]
    config.masked_paths = [b"/secret", b"/keys", b"/not/there"]
    config.readonly_paths = [b"/etc"]
    config.devices = [BootDevice(b"/dev/fuse", 0o020666, 10, 229, 0, 0)]
    yield config


def test_tree(config: BootConfig, tmp_path: Path) -> None:
    (tmp_path / "root/data/kept").write_bytes(b"kept")
    guest = _build(config, tmp_path)
    assert guest.get(b"/etc/hosts") == b"127.0.0.1 x\n"
    assert guest.get(b"/mnt/new/deep/v") == b"v"
    assert guest.open(b"/mnt/new/deep/w", os.O_CREAT | os.O_WRONLY) == -EROFS.code
    assert guest.get(b"/secret") == b""
    assert sorted(guest.names(b"/keys")) == [b".", b".."]
    assert guest.open(b"/etc/new", os.O_CREAT | os.O_WRONLY) == -EROFS.code
    assert guest.get(b"/data/kept") == b"kept"
    guest.put(b"/data/more", b"x")
    assert not (tmp_path / "root/data/more").exists()
    assert guest.readlink(b"/dev/ptmx") == b"pts/ptmx"
    assert guest.call("rmdir", b"/mnt/new/deep") == -EBUSY.code
    assert guest.call("unlink", b"/etc/hosts") == -EROFS.code
    assert guest.stat(b"/dev/shm").mode & 0o7777 == 0o1777
    assert guest.stat(b"/dev/fuse").rdev == os.makedev(10, 229)
    assert guest.open(b"/dev/fuse") == -6
    top = guest.t.fs.root
    text = mounts_text(guest.mounts, top)
    assert b"\ntmpfs /dev tmpfs rw,nosuid 0 0\n" in text
    assert b"/x/volume /mnt/new/deep ext4 ro 0 0\n" in text
    lines = mountinfo_text(guest.mounts, top).splitlines()
    ids = [int(line.split()[0]) for line in lines]
    assert len(set(ids)) == len(ids) == text.count(b"\n")
    assert all(int(line.split()[1]) in ids for line in lines[1:])
    assert [line.split()[3] for line in lines if line.split()[4] == b"/etc"] == [b"/etc"]


def test_memory_devices(config: BootConfig, tmp_path: Path) -> None:
    guest = _build(config, tmp_path)
    null = guest.open(b"/dev/null", os.O_RDWR)
    assert guest.read(null) == b""
    assert guest.write(null, b"abc") == 3
    zero = guest.open(b"/dev/zero", os.O_RDWR)
    assert guest.read(zero, 5) == bytes(5)
    full = guest.open(b"/dev/full", os.O_RDWR)
    assert guest.write(full, b"x") == -28
    random = guest.open(b"/dev/urandom")
    assert guest.read(random, 16) != guest.read(random, 16)
    assert guest.open(b"/dev/null", os.O_DIRECTORY) == -20
    guest.put(b"/dev/null", b"x")  # O_CREAT and O_TRUNC on a device


def test_overlay_root(config: BootConfig, tmp_path: Path) -> None:
    config.overlay = True
    guest = _build(config, tmp_path)
    guest.put(b"/new", b"1")
    guest.put(b"/keep", b"2" * 100_000)
    assert guest.get(b"/keep") == b"2" * 100_000
    assert sorted(os.listdir(tmp_path / "root")) == ["data", "etc", "keys", "secret"]
    assert guest.call("unlink", b"/new") == 0


def test_readonly_root(config: BootConfig, tmp_path: Path) -> None:
    config.root_readonly = True
    guest = _build(config, tmp_path)
    assert guest.open(b"/x", os.O_CREAT | os.O_WRONLY) == -EROFS.code
    assert guest.call("mkdir", b"/x", 0o755) == -EROFS.code
    assert guest.call("chmod", b"/etc", 0o700) == -EROFS.code
    assert guest.call("access", b"/data", 2) == 0
    assert guest.call("access", b"/keys", 2) == -EROFS.code


def test_mount_calls(config: BootConfig, tmp_path: Path) -> None:
    guest = _build(config, tmp_path)
    assert guest.call("mkdir", b"/m", 0o755) == 0
    assert guest.call("mount", b"none", b"/m", guest.place(b"tmpfs\0"), 0, guest.place(b"size=8k\0")) == 0
    guest.put(b"/m/f", b"x" * 4096)
    fd = guest.open(b"/m/g", os.O_CREAT | os.O_WRONLY)
    assert guest.write(fd, b"y" * 8192) == 4096
    assert guest.write(fd, b"y") == -28
    assert guest.call("umount2", b"/m", 0) == -EBUSY.code
    assert guest.call("close", fd) == 0
    assert guest.call("mkdir", b"/b", 0o755) == 0
    assert guest.call("mount", b"/m", b"/b", 0, 4096, 0) == 0
    assert guest.get(b"/b/f") == b"x" * 4096
    assert guest.call("mount", b"none", b"/b", 0, 32 | 4096 | 1, 0) == 0
    assert guest.open(b"/b/n", os.O_CREAT | os.O_WRONLY) == -EROFS.code
    assert guest.call("unlink", b"/m/g") == 0
    assert guest.call("mkdir", b"/c", 0o755) == 0
    assert guest.call("mount", b"/b", b"/c", 0, 8192, 0) == 0
    assert guest.get(b"/c/f") == b"x" * 4096
    assert guest.call("umount2", b"/c", 0) == 0
    assert guest.call("umount2", b"/m", 0) == 0
    assert sorted(guest.names(b"/m")) == [b".", b".."]
    assert guest.call("umount2", b"/", 2) == -22
    plain = guest.other(guest.t.creds._replace(effective=0, permitted=0))
    assert plain.call("mount", b"none", b"/m", guest.place(b"tmpfs\0"), 0, 0) == -1
    assert guest.call("mount", b"none", b"/m", guest.place(b"nosuch\0"), 0, 0) == -19


def test_pivot_root(config: BootConfig, tmp_path: Path) -> None:
    guest = _build(config, tmp_path)
    assert guest.call("mkdir", b"/n", 0o755) == 0
    assert guest.call("mount", b"none", b"/n", guest.place(b"tmpfs\0"), 0, 0) == 0
    assert guest.call("mkdir", b"/n/old", 0o755) == 0
    assert guest.call("pivot_root", b"/n", b"/n/old") == 0
    assert guest.cwd() == b"/"
    assert sorted(guest.names(b"/")) == [b".", b"..", b"old"]
    assert guest.get(b"/old/secret") == b""
    assert guest.call("umount2", b"/old", 2) == 0
    assert sorted(guest.names(b"/old")) == [b".", b".."]


def test_nosuid_noexec_nodev_flags_show(config: BootConfig, tmp_path: Path) -> None:
    guest = _build(config, tmp_path)
    assert guest.call("mkdir", b"/m", 0o755) == 0
    assert guest.call("mount", b"none", b"/m", guest.place(b"tmpfs\0"), 2 | 4 | 8, 0) == 0
    assert guest.call("mknod", b"/m/null", 0o020666, 0x103) == 0
    assert guest.open(b"/m/null") == -EACCES.code
    guest.put(b"/m/x", b"", 0o755)
    assert guest.call("access", b"/m/x", 1) == -EACCES.code
    assert guest.call("statfs", b"/m", BASE) == 0
    assert guest.mem.u64(BASE) == 0x01021994
    assert guest.mem.u64(BASE + 80) & 0xE == 0xE
