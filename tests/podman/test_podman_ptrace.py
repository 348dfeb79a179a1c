"""`podman --runtime-flag platform=ptrace` (sentry/platform/ptrace.py): the README's first session there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.jobs.terminal import Terminal
from tests.podman.conftest import IMAGE, Podman

FLAG = ("--runtime-flag", "platform=ptrace")


def is_traced(podman: Podman, name: str) -> bool:
    """Is any process of the container's control group traced? The stub, whose number podman knows, never is."""
    stub = podman.ok("inspect", "--format", "{{.State.Pid}}", name)
    group = read(stub, "cgroup")
    beside = [pid for pid in os.listdir("/proc") if pid.isdigit() and read(pid, "cgroup") == group]
    assert len(beside) > 2
    return any("TracerPid:" in text and "TracerPid:\t0\n" not in text for text in (read(p, "status") for p in beside))


def read(pid: str, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def test_a_command(podman: Podman) -> None:
    done = podman(*FLAG, "run", "--rm", "--network=none", IMAGE, "sh", "-c", "echo hi; uname -s; ls / | wc -l; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.split()[:2] == ["hi", "Linux"]


def test_a_terminal(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in podman.env.items():
        monkeypatch.setenv(variable, value)
    argv = podman.argv(*FLAG, "run", "--rm", "-it", "--network=none", "-e", "PS1=$ ", IMAGE, "sh")
    with Terminal(argv, rows=33, columns=101) as t:
        t.prompt()
        t.run("stty size", "33 101")
        t.start("sleep 100")
        t.quiet("never", 0.5)
        t.type("\x1a")
        t.expect("Stopped")
        t.prompt()
        t.start("fg")
        t.quiet("never", 0.5)
        t.type("\x03")
        t.prompt()
        t.line("exit 4")
        assert t.exit_status() == 4


@pytest.mark.parametrize("flag", [FLAG, ()])
def test_guests_are_traced_with_the_flag_and_not_without(podman: Podman, name: str, flag: tuple[str, ...]) -> None:
    podman.ok(*flag, "run", "-d", "--name", name, "--network=none", IMAGE, "sleep", "100")
    assert is_traced(podman, name) == bool(flag)
    assert podman.ok(*flag, "exec", name, "echo", "in") == "in"
    podman.ok(*flag, "stop", "--time=0", name)
    assert podman.ok("inspect", "--format", "{{.State.ExitCode}}", name) == "137"
