"""podman-pause(1), -unpause, -restart: a container that stands still, and one that begins again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.podman.conftest import IMAGE, Podman

pytestmark = pytest.mark.timeout(180)
COUNT = "trap 'echo got TERM; exit 9' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"


def start(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c", COUNT)
    grows(podman, name)


def status(podman: Podman, name: str) -> str:
    return podman.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)


def lines(podman: Podman, name: str) -> int:
    return len(podman.ok("logs", name).split("\n"))


def grows(podman: Podman, name: str) -> None:
    before, end = lines(podman, name), time.monotonic() + 20
    while lines(podman, name) <= before + 2:
        assert time.monotonic() < end, "no output"
        time.sleep(0.05)


def test_pause_and_unpause(podman: Podman, name: str) -> None:
    start(podman, name)
    for _ in range(3):
        podman.ok("pause", name)
        assert status(podman, name) == "paused 0"
        before = lines(podman, name)
        time.sleep(0.3)
        assert lines(podman, name) == before
        podman.ok("unpause", name)
        assert status(podman, name) == "running 0"
        grows(podman, name)


def test_what_podman_refuses(podman: Podman, name: str) -> None:
    start(podman, name)
    assert podman("unpause", name).returncode == 125
    podman.ok("pause", name)
    assert podman("pause", name).returncode == 125
    assert podman("exec", name, "true").returncode != 0
    assert podman("rm", name).returncode != 0
    assert status(podman, name) == "paused 0"


END: dict[str, tuple[Callable[[Podman, str], object], str]] = {
    "kill": (lambda podman, name: podman.ok("kill", name), "exited 137"),
    "stop after unpause": (lambda podman, name: (podman.ok("unpause", name), podman.ok("stop", name)), "exited 9"),
}


@pytest.mark.parametrize("how", END)
def test_the_end_of_a_paused_container(podman: Podman, name: str, how: str) -> None:
    start(podman, name)
    podman.ok("pause", name)
    end, expected = END[how]
    end(podman, name)
    podman("wait", name, timeout_s=20)
    assert status(podman, name) == expected


def test_stop_of_a_paused_container(podman: Podman, name: str) -> None:
    """podman sends the signal, which waits, and after its patience SIGKILL."""
    start(podman, name)
    podman.ok("pause", name)
    done = podman("stop", "-t", "1", name)
    if done.returncode == 0:
        assert status(podman, name) == "exited 137"
    else:                                       # newer versions refuse it
        assert "paused" in done.stderr and status(podman, name) == "paused 0"


def test_removal_of_a_paused_container(podman: Podman, name: str) -> None:
    start(podman, name)
    podman.ok("pause", name)
    podman.ok("rm", "--force", "--time=0", name)
    assert podman("container", "exists", name).returncode == 1


def test_restart(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c",
              "trap 'exit 0' TERM; date +%s%N >>/starts; echo start $(wc -l </starts); while :; do sleep 0.05; done")
    pids = set()
    for count in range(1, 4):
        end = time.monotonic() + 20
        while f"start {count}" not in podman.ok("logs", name):
            assert time.monotonic() < end
            time.sleep(0.05)
        pids.add(podman.ok("inspect", "-f", "{{.State.Pid}}", name))
        assert status(podman, name) == "running 0"
        podman.ok("restart", "-t", "5", name)
    assert len(pids) == 3


def test_restart_policy(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, "--restart=on-failure:2", IMAGE,
              "sh", "-c", "echo run; exit 3")
    end = time.monotonic() + 30
    while podman.ok("logs", name).count("run") < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    while (now := status(podman, name)) != "exited 3":
        assert time.monotonic() < end, now
        time.sleep(0.1)
    assert podman.ok("logs", name).split() == ["run"] * 3
