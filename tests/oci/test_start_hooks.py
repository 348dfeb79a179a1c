"""startContainer hooks (runtime-spec config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle")."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.oci.container import Container

pytestmark = pytest.mark.timeout(60)
Make = Callable[..., Container]


def hooked(*hooks: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(settings: dict[str, Any]) -> None:
        settings["hooks"] = {"startContainer": list(hooks)}

    return change


def sh(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin", "KNOWN=yes"], **more}


def test_runs_in_the_container_before_its_program(make: Make) -> None:
    hook = sh("cat > /tmp/state; (id -u; echo $KNOWN$HIDDEN; pwd; hostname) > /tmp/who")
    c = make("cat /tmp/who; echo then the program", hooked(hook, sh("echo second >> /tmp/who")),
             user={"uid": 1000, "gid": 1000}, env=["PATH=/bin", "HIDDEN=x"])  # fmt: skip
    c.create()
    assert not (c.bundle / "rootfs/tmp/who").exists(), "not before `start`"
    c.start()
    assert c.wait() == 0
    assert c.text() == "0\nyes\n/\ninside\nsecond\nthen the program\n"
    state = json.loads((c.bundle / "rootfs/tmp/state").read_text())
    assert state["id"] == c.name and state["status"] == "created" and state["pid"] > 0


@pytest.mark.parametrize(("hook", "why"), [
    (sh("exit 3"), "exit status 3"),
    ({"path": "/no/such"}, "No such file or directory"),
    (sh("sleep 50", timeout=1), "timed out after 1 s"),
])  # fmt: skip
def test_one_that_fails_ends_the_container(make: Make, hook: dict[str, Any], why: str) -> None:
    c = make("echo started", hooked(sh("touch /tmp/first"), hook, sh("touch /tmp/third")))
    c.create()
    done = c.call("start", c.name)
    assert done.returncode == 1 and why in done.stderr and done.stderr.count("\n") == 1
    assert c.wait() == 137 and c.text() == ""
    rootfs = c.bundle / "rootfs/tmp"
    assert (rootfs / "first").exists() and not (rootfs / "third").exists()
