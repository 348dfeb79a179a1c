"""spec and features (runc(8); runtime-spec config.md, features.md)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.jobs.terminal import Terminal
from tests.oci.container import Container, make_root

pytestmark = pytest.mark.timeout(60)
Make = Callable[..., Container]


def call(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*runtime(), *argv], capture_output=True, text=True, timeout=30, check=False, cwd=cwd,
                          stdin=subprocess.DEVNULL)


def features() -> dict[str, Any]:
    done = call("features")
    assert done.returncode == 0 and done.stderr == ""
    return dict(json.loads(done.stdout))


def test_a_written_config_runs_as_it_is(tmp_path: Path) -> None:
    make_root(tmp_path / "rootfs")
    assert call("spec", cwd=tmp_path).returncode == 0
    with Terminal([*runtime(), f"--root={tmp_path}/state", "run", "--bundle", str(tmp_path), "from-spec"]) as t:
        t.expect("#")
        t.line("test -t 0 && hostname && touch /no; exit 7")
        t.expect("runsc-py")
        t.expect("Read-only file system")
        assert t.exit_status() == 7


def test_arguments_and_directory(tmp_path: Path) -> None:
    make_root(tmp_path / "rootfs")
    assert call("spec", "--bundle", str(tmp_path), "--cwd", "/tmp", "--", "/bin/pwd").returncode == 0
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["process"]["terminal"] = False
    path.write_text(json.dumps(document))
    done = call(f"--root={tmp_path}/state", "run", "--bundle", str(tmp_path), "from-spec-2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "/tmp\n", "")


def test_rootless_maps_the_caller_and_leaves_network_and_limits_out(tmp_path: Path) -> None:
    assert call("spec", "--rootless", cwd=tmp_path).returncode == 0
    linux = json.loads((tmp_path / "config.json").read_text())["linux"]
    kinds = {namespace["type"] for namespace in linux["namespaces"]}
    assert "user" in kinds and "network" not in kinds and "resources" not in linux
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 0, "size": 1}]


def test_an_existing_config_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    done = call("spec", cwd=tmp_path)
    assert done.returncode == 1 and "exists" in done.stderr
    assert (tmp_path / "config.json").read_text() == "mine"
    done = call("spec", "--bundle", str(tmp_path / "absent"))
    assert done.returncode == 1 and "No such file or directory" in done.stderr
    assert call("spec", "--cwd", "relative", cwd=tmp_path).returncode == 1


def test_both_versions_are_accepted(make: Make) -> None:
    told = features()
    for key in ("ociVersionMin", "ociVersionMax"):
        c = make("echo hi", change=lambda settings, key=key: settings.update(ociVersion=told[key]))
        c.up()
        assert c.wait() == 0


def test_every_mount_option_is_known(make: Make) -> None:
    """An unknown one would be data for the file system, which refuses it."""
    options = features()["mountOptions"]
    assert {"ro", "rbind", "rprivate", "nosuid", "tmpcopyup"} <= set(options)
    unwanted = ("ro", "rro", "noexec", "rnoexec", "tmpcopyup", "bind", "rbind")
    plain = [option for option in options if option not in unwanted]
    c = make("echo hi >/t/f; cat /t/f", change=lambda settings: settings["mounts"].append(
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": plain}))
    c.up()
    assert c.wait() == 0 and c.text() == "hi\n"


def test_every_capability_is_known(make: Make) -> None:
    names = features()["linux"]["capabilities"]
    c = make("grep -E 'Cap(Eff|Bnd)' /proc/self/status",
             capabilities=dict.fromkeys(("bounding", "effective", "permitted"), names))
    c.up()
    assert c.wait() == 0
    assert {int(line.split()[1], 16) for line in c.text().splitlines()} == {(1 << len(names)) - 1}


def test_every_hook_runs(make: Make, tmp_path: Path) -> None:
    """`features` names a hook only if it is called."""
    log = tmp_path / "log"
    points = features()["hooks"]
    scripts = {point: f"echo {point} >>{log}" for point in points}
    scripts["startContainer"] = "echo startContainer >/tmp/log"  # in the container
    scripts["poststart"] = f"cat {tmp_path}/*/rootfs/tmp/log >>{log}; {scripts['poststart']}"
    hooks = {point: [{"path": "/bin/sh", "args": ["sh", "-c", script]}] for point, script in scripts.items()}
    c = make("true", change=lambda settings: settings.update(hooks=hooks))
    c.up()
    c.wait()
    assert c.call("delete", c.name).returncode == 0
    assert log.read_text().split() == points


def test_what_is_not_done_is_not_claimed() -> None:
    linux = features()["linux"]
    assert [linux[name] for name in ("seccomp", "apparmor", "selinux", "intelRdt")] == [{"enabled": False}] * 4
    assert linux["cgroup"] == {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False}


def test_arguments_are_refused() -> None:
    assert call("features", "more").returncode == 1
