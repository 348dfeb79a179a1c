"""config.json as podman, buildah and the runtime-spec's examples write it; errors name the place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runsc_py.host import flags as f
from runsc_py.oci.mounts import Mount
from runsc_py.oci.process import CAP_BITS
from runsc_py.oci.reader import BadConfig, Reader
from runsc_py.oci.spec import Spec, load

PODMAN: dict[str, Any] = {
    "ociVersion": "1.0.2-dev",
    "process": {
        "user": {"uid": 1000, "gid": 100, "umask": 18, "additionalGids": [5, 6]},
        "args": ["echo", "hi"],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN"],
            "permitted": ["CAP_CHOWN", "CAP_NOT_YET_KNOWN"],
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}],
    },
    "root": {"path": "/somewhere/merged"},
    "hostname": "box",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro", "rprivate"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["rw", "tmpcopyup", "mode=1777"]},
    ],
    "annotations": {"a": "b"},
    "linux": {
        "resources": {"devices": [{"allow": False}], "pids": {"limit": 2048}, "memory": {"limit": 1 << 26, "swap": -1}},
        "cgroupsPath": "/libpod_parent/libpod-1",
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/n"}],
        "devices": [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 8576, "uid": 0, "gid": 0}
        ],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
    },
}


def read(document: object) -> Spec:
    return Spec.read(json.dumps(document).encode(), "/bundle")


def changed(path: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(PODMAN))
    node: Any = document
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[int(last) if last.isdigit() else last] = value
    return document


def test_process() -> None:
    process = read(PODMAN).process
    assert (process.args, process.cwd) == (["echo", "hi"], "/")
    assert (process.uid, process.gid, process.umask, process.additional_gids) == (1000, 100, 0o22, [5, 6])
    chown = CAP_BITS["CAP_CHOWN"]
    assert process.caps == (chown | CAP_BITS["CAP_KILL"], chown, 0, chown, 0)
    assert process.rlimits == {7: (1024, 4096)}
    assert not process.terminal and not process.no_new_privs


def test_linux_part() -> None:
    spec = read(PODMAN)
    assert spec.namespaces == {"pid": "", "network": "/run/netns/n"}
    assert (spec.resources.pids, spec.resources.memory, spec.resources.swap) == (2048, 1 << 26, -1)
    assert spec.resources.quota is None
    assert spec.devices[0].mode == 0o020600, "podman's fileMode has the type bits"
    assert (spec.hostname, spec.annotations, spec.masked_paths) == ("box", {"a": "b"}, ["/proc/kcore"])
    assert spec.seccomp == {"defaultAction": "SCMP_ACT_ERRNO"}


def test_mounts() -> None:
    proc, dev, data, tmp = read(PODMAN).mounts
    assert (proc.kind, proc.flags) == ("proc", f.MS_NOSUID | f.MS_NOEXEC | f.MS_NODEV)
    assert (dev.kind, dev.data) == ("devtmpfs", ["mode=755", "size=65536k"])
    assert (data.kind, data.source, data.recursive, data.flags) == ("bind", "/srv/data", True, f.MS_RDONLY)
    assert (data.propagation, data.data) == ("rprivate", [])
    assert (tmp.kind, tmp.copy_up, tmp.flags) == ("tmpfs", True, 0)


@pytest.mark.parametrize(
    ("options", "flags"),
    [(["ro", "rw"], 0), (["rw", "ro"], f.MS_RDONLY), (["nosuid", "suid", "nodev"], f.MS_NODEV), (["rro"], f.MS_RDONLY)],
)
def test_the_last_of_two_options_wins(options: list[str], flags: int) -> None:
    mount = Mount("/x", "tmpfs")
    mount.take_options(options)
    assert mount.flags == flags


def test_relative_places() -> None:
    mount = Mount.read(
        Reader({"destination": "a//b/../c", "type": "bind", "source": "src", "options": ["bind"]}), "/bundle"
    )
    assert (mount.destination, mount.source, mount.recursive) == ("/a/c", "/bundle/src", False)
    assert read(changed("root.path", "rootfs")).root == "/bundle/rootfs"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("process.cwd", 7, "$.process.cwd: expected string"),
        ("process.cwd", "relative", "$.process.cwd: 'relative' is not absolute"),
        ("process.args", [], "$.process.args: required (array of strings)"),
        ("process.args", ["a", 1], "$.process.args[1]: expected string"),
        ("process.args", ["a\0b"], "$.process.args[0]: NUL byte in string"),
        ("process.user.uid", -1, "$.process.user.uid: -1 is not between 0 and 4294967294"),
        ("process.user.uid", True, "$.process.user.uid: expected integer"),
        ("process.rlimits.0.type", "RLIMIT_X", "$.process.rlimits[0].type: unknown limit 'RLIMIT_X'"),
        (
            "process.rlimits.0.soft",
            5000,
            "$.process.rlimits[0]: Invalid argument (soft limit 5000 above hard limit 4096)",
        ),
        ("mounts.1", "x", "$.mounts[1]: expected object"),
        ("mounts.1.type", "zfs", "$.mounts[1].type: file system 'zfs' is not supported"),
        ("root.path", None, "$.root.path: required (string)"),
        ("ociVersion", "2.0", "$.ociVersion: '2.0' is not 1.x"),
        ("linux.devices.0.type", "q", "$.linux.devices[0].type: unknown device type 'q'"),
        ("hooks", {"prestart": [{"path": "x"}]}, "$.hooks.prestart[0].path: 'x' is not absolute"),
    ],
)
def test_an_error_names_its_place(path: str, value: object, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(changed(path, value))
    assert str(caught.value) == message


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100000, b"\xff", b"[]", b"null"])
def test_no_json_is_no_traceback(text: bytes) -> None:
    with pytest.raises(BadConfig):
        Spec.read(text, "/bundle")


def test_load_reads_the_bundle(tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps(changed("root.path", "rootfs")))
    assert load(str(tmp_path)).root == f"{tmp_path}/rootfs"
    with pytest.raises(FileNotFoundError):
        load(str(tmp_path / "none"))
