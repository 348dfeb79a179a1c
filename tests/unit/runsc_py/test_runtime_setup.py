"""The steps by which Sentry and stub are shut in, on a recording Host; mount points and terminals on real ones."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from runsc_py.host import flags as f
from runsc_py.host import trees, tty
from runsc_py.oci.mounts import Mount
from runsc_py.sandbox import confine, sentry, stub
from runsc_py.sandbox.stub import StubPlan
from sentry import boot
from sentry.boot import CONSOLE, BootConfig, BootMount
from tests.unit.runsc_py.recording import RecordingHost


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps that would change the test's own process are only noted."""
    steps: list[str] = []
    for name in ("setsid", "fchdir", "chdir", "mkdir", "dup2", "umask"):
        monkeypatch.setattr(os, name, lambda *a, _name=name: steps.append(_name))
    monkeypatch.setattr(signal, "signal", lambda *a: None)
    monkeypatch.setattr(boot, "load", lambda platform, seccomp: steps.append("load"))
    return steps


def test_sentry_imports_before_it_loses_the_hosts_files(harmless: list[str]) -> None:
    host = RecordingHost()
    monitored = []

    def load(platform: str = "notify", seccomp: object = None) -> None:
        monitored.extend(host.named())

    boot.load = load
    around = sentry.Surroundings("/somewhere", [], 5)
    backing, proc = sentry.enter(host, BootConfig("c"), around)
    assert host.names[backing] == "new tmpfs"
    assert "unshare" not in monitored, "the modules are read from the host's files"
    assert monitored == ["setns"]
    names = host.named()
    order = [
        names.index(n) for n in ("setns", "unshare", "mount", "pivot_root", "umount", "mount_setattr", "close_range")
    ]
    assert order == sorted(order)
    assert ("setns", 5, f.CLONE_NEWNET) in host.calls
    assert ("mount", b"", b"/", b"", f.MS_REC | f.MS_PRIVATE, b"") in host.calls
    sealed = next(call for call in host.calls if call[0] == "mount_setattr")
    assert isinstance(sealed[3], int) and sealed[3] & f.MOUNT_ATTR_RDONLY
    os.close(proc)


def test_all_but_the_named_descriptors_are_closed() -> None:
    host = RecordingHost()
    config = BootConfig("c")
    config.root_fd, config.control_fd, config.exit_fd = 9, 7, 8
    config.stdio = (CONSOLE, 4, CONSOLE)
    config.preserved = {3: 3}
    config.mounts = [BootMount(b"/x", "bind", 12), BootMount(b"/proc", "proc")]
    keep = sentry.descriptors(config)
    assert keep == {9, 7, 8, 4, 3, 12}
    sentry.close_others(host, {*keep, 0, 1, 2})
    assert host.calls == [
        ("close_range", 5, 6),
        ("close_range", 10, 11),
        ("close_range", 13, 0xFFFFFFFF),
    ]


def test_explain_keeps_to_one_line_and_says_where() -> None:
    assert sentry.explain(boot.BootError("no such thing", 127)) == ("no such thing", 127)
    try:
        raise ValueError("odd")
    except ValueError as err:
        text, code = sentry.explain(err)
    assert "ValueError: odd" in text and "test_runtime_setup.py" in text and code == 1


def test_end_all_is_only_for_pid_1(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, signo: killed.append(pid))
    sentry.end_all()
    assert killed == [], "-1 would mean every process of the machine"


def test_capabilities_that_are_left() -> None:
    host = RecordingHost()
    config = BootConfig("c")
    config.proc_fd = 77
    confine.confine(host, config)
    dropped = {call[2] for call in host.calls if call[:2] == ("prctl", f.PR_CAPBSET_DROP)}
    assert dropped >= {2, 5, 12, 13, 16, 19, 21, 24, 38} and not dropped & {0, 1, 3, 4, 27, 31}
    assert ("capset", confine.KEPT, confine.KEPT, 0) in host.calls
    assert host.calls.index(("prctl", f.PR_SET_NO_NEW_PRIVS, 1)) > host.named().index("capset")
    assert host.calls[0] == ("mount_setattr", 77, 0, f.MOUNT_ATTR_RDONLY, 0)
    assert host.calls[-1] == ("restrict",)
    config.overlay = True
    config.mounts = [BootMount(b"/x", "bind", 12, flags=f.MS_RDONLY)]
    host = RecordingHost()
    confine.confine(host, config)
    assert ("capset", 1 << confine.DAC_OVERRIDE, 1 << confine.DAC_OVERRIDE, 0) in host.calls
    config.mounts[0].flags = 0
    assert confine.writes_host_files(config)
    host = RecordingHost()
    confine.drop_capabilities(host, 0)
    assert host.calls[-1] == ("capset", 0, 0, 0)


def plan() -> StubPlan:
    made = StubPlan("c", "/rootfs", "/state")
    for destination, kind, source, flags in (
        ("/proc", "proc", "proc", 0),
        ("/dev", "devtmpfs", "tmpfs", 0),
        ("/data", "bind", "/srv/data", f.MS_RDONLY),
    ):
        mount = Mount(destination, kind, source)
        mount.flags = flags
        made.mounts.append(mount)
    return made


def test_the_stubs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    host = RecordingHost()
    monkeypatch.setattr(trees, "is_directory", lambda fd: True)
    assert host.names[stub.build_root(host, plan())] == "tree /rootfs"
    assert [call for call in host.calls if call[0] == "move_mount"] == [
        ("move_mount", "tree /rootfs", f.AT_FDCWD, b"/state"),
        ("move_mount", "new tmpfs", "at /dev", b""),
        ("move_mount", "tree /srv/data", "at /data", b""),
    ]
    assert ("open_tree", b"/srv/data", f.OPEN_TREE_CLONE) in host.calls
    assert ("mount_setattr", "tree /srv/data", 0, f.MOUNT_ATTR_RDONLY, f.MS_PRIVATE) in host.calls
    assert host.calls[-1] == ("mount_setattr", "new tmpfs", 0, f.MOUNT_ATTR_RDONLY, 0), "a copy there must fail"
    assert all(call[3] == f.RESOLVE_IN_ROOT | f.RESOLVE_NO_MAGICLINKS for call in host.calls if call[0] == "openat2")


def test_a_mount_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    host = RecordingHost()
    monkeypatch.setattr(trees, "is_directory", lambda fd: True)
    monkeypatch.setattr(
        trees, "make_mount_point", lambda *a: (_ for _ in ()).throw(OSError(30, "Read-only file system"))
    )
    stub.build_root(host, plan())
    assert host.named().count("move_mount") == 1


def real_host() -> Any:
    from runsc_py.host.linux import LinuxHost

    return LinuxHost()


def test_mount_points_stay_below_their_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "escape").symlink_to("../../outside")
    (root / "absolute").symlink_to("/inner")
    (root / "inner").mkdir()
    fd = os.open(root, os.O_PATH)
    trees.make_mount_point(real_host(), fd, b"/a/b/c", True)
    trees.make_mount_point(real_host(), fd, b"/a/file", False)
    trees.make_mount_point(real_host(), fd, b"/a/file", False)
    trees.make_mount_point(real_host(), fd, b"/absolute/x", True)
    with pytest.raises(OSError):
        trees.make_mount_point(real_host(), fd, b"/escape/x/y", True)
    os.close(fd)
    assert (root / "a/b/c").is_dir() and (root / "a/file").is_file() and (root / "inner/x").is_dir()
    assert list(outside.iterdir()) == []


def test_terminals() -> None:
    master, slave = tty.new_pty((24, 80))
    assert os.get_terminal_size(slave) == (80, 24)
    os.write(slave, b"a\n")
    assert os.read(master, 16) == b"a\n", "raw: no carriage return"
    assert not os.get_blocking(slave)
    os.close(master)
    os.close(slave)


def test_pipes_get_a_description_of_their_own() -> None:
    reader, writer = os.pipe()
    own = tty.own_description(reader)
    assert os.get_blocking(reader) and not os.get_blocking(own)
    os.write(writer, b"x")
    assert os.read(own, 1) == b"x"
    for fd in (reader, own):
        os.close(fd)
    kept = tty.own_description(writer)
    assert stat.S_ISFIFO(os.fstat(kept).st_mode), "a pipe without a reader cannot be opened for writing: it is shared"
    os.close(kept)
    os.close(writer)


def test_regular_files_share_their_offset(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    own = tty.own_description(fd)
    os.write(own, b"abc")
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    os.close(own)
    os.close(fd)
