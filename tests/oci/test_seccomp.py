"""--oci-seccomp: config.json's linux.seccomp (runtime-spec config-linux.md, "Seccomp")."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.oci.container import config, make_root

pytestmark = pytest.mark.timeout(60)
ALLOW = "SCMP_ACT_ALLOW"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("seccomp") / "rootfs"
    make_root(at)
    return at


def run(root: Path, script: str, *rules: dict[str, Any], flag: bool = True, **profile: Any) -> Any:
    settings = config(["sh", "-c", script])
    settings["root"]["path"] = str(root)
    settings["linux"]["seccomp"] = {"defaultAction": ALLOW, "syscalls": list(rules), **profile}
    bundle = root.parent
    (bundle / "config.json").write_text(json.dumps(settings))
    flags = ["--oci-seccomp"] if flag else []
    return subprocess.run([*runtime(), f"--root={bundle}/state", "--ignore-cgroups", *flags, "run", "--bundle",
                           str(bundle), "seccomp"], capture_output=True, text=True, timeout=30, check=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def test_only_when_asked_for(root: Path) -> None:
    refused = rule("SCMP_ACT_ERRNO", "mkdir", "mkdirat")
    assert run(root, "mkdir /tmp/a && rmdir /tmp/a || busybox rmdir /tmp/a", refused, flag=False).returncode == 0
    assert "Operation not permitted" in run(root, "mkdir /tmp/a", refused).stderr


def test_errno_of_the_rule_and_of_the_default(root: Path) -> None:
    assert "Read-only file system" in run(root, "mkdir /tmp/b", rule("SCMP_ACT_ERRNO", "mkdir", errnoRet=30)).stderr
    names = [name for name in _all_names() if name != "sethostname"]
    done = run(root, "hostname x", rule(ALLOW, *names), defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=13)
    assert "Permission denied" in done.stderr


def test_a_call_that_would_be_native(root: Path) -> None:
    began = time.monotonic()
    assert run(root, "sleep 20", rule("SCMP_ACT_ERRNO", "nanosleep", "clock_nanosleep")).returncode == 0
    assert time.monotonic() - began < 15


def test_kill(root: Path) -> None:
    assert run(root, "hostname x; echo $?", rule("SCMP_ACT_KILL", "sethostname")).stdout == "159\n"
    assert run(root, "exec hostname x", rule("SCMP_ACT_KILL_PROCESS", "sethostname")).returncode == 159


def test_arguments(root: Path) -> None:
    signal_zero = rule("SCMP_ACT_ERRNO", "kill", errnoRet=1, args=[{"index": 1, "op": "SCMP_CMP_EQ", "value": 0}])
    done = run(root, "sleep 5 & kill -0 $! && echo seen; kill -9 $! && echo killed", signal_zero)
    assert done.stdout == "killed\n"
    masked = rule("SCMP_ACT_ERRNO", "umask", args=[{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 7, "valueTwo": 7}])
    assert run(root, "umask 0022; umask 0707; umask", masked).stdout == "0022\n"


def test_status_tells(root: Path) -> None:
    assert "Seccomp:\t2\n" in run(root, "cat /proc/self/status").stdout
    assert "Seccomp:\t0\n" in run(root, "cat /proc/self/status", flag=False).stdout


@pytest.mark.parametrize(("profile", "message"), [
    ({"defaultAction": "SCMP_ACT_MAYBE"}, "defaultAction 'SCMP_ACT_MAYBE' is not supported"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0}, "0 is no errno"),
    ({"syscalls": [rule("SCMP_ACT_NOTIFY", "mount")]}, "action 'SCMP_ACT_NOTIFY' is not supported"),
    ({"syscalls": [rule(ALLOW, "kill", args=[{"index": 9, "op": "SCMP_CMP_EQ"}])]}, "are not understood"),
    ({"syscalls": [rule("SCMP_ACT_ERRNO", "futex", args=[{"index": 1, "op": "SCMP_CMP_EQ"}])]}, "cannot be applied"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_in_one_line(root: Path, profile: dict[str, Any], message: str) -> None:
    done = run(root, "echo started", **profile)
    assert done.returncode == 1 and done.stdout == "" and message in done.stderr and done.stderr.count("\n") == 1


def _all_names() -> list[str]:
    from syscalls import registry

    return list(registry.numbers("x86_64"))
