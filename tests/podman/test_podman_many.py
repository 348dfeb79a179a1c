"""Containers one after the other and side by side: each has its own result, and none leaves anything behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.podman.conftest import IMAGE, Podman

pytestmark = pytest.mark.timeout(900)
ROW = {False: 10, True: 100}
AT_ONCE = {False: 4, True: 10}


def left_of(identity: str) -> list[str]:
    """What the host still has of a container: state, cgroups, mounts, processes."""
    found = [str(path) for path in Path("/run/runsc-py").glob(f"*{identity}*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/libpod_parent/*{identity}*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if identity in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                groups = (entry / "cgroup").read_text()
            except OSError:
                continue
            if identity in line + groups:
                found.append(f"{entry.name}: {line}")
    return found


def assert_nothing_left(identities: Iterable[str], patience_s: float = 10) -> None:
    """conmon goes a moment after podman's command."""
    end = time.monotonic() + patience_s
    for identity in identities:
        assert len(identity) == 64
        while left := left_of(identity):
            assert time.monotonic() < end, left
            time.sleep(0.05)


def identity_of(at: Path) -> str:
    return at.read_text().strip()


def test_in_a_row(podman: Podman, tmp_path: Path, full: bool) -> None:
    for number in range(ROW[full]):
        done = podman.run("--cidfile", str(tmp_path / str(number)), "-e", f"N={number}", IMAGE,
                          "sh", "-c", "echo $N; exit $((N % 100))")
        assert (done.returncode, done.stdout) == (number % 100, f"{number}\n"), done.stderr
    assert_nothing_left(identity_of(tmp_path / str(number)) for number in range(ROW[full]))


def test_at_once(podman: Podman, tmp_path: Path, full: bool) -> None:
    """All live at the same time: each waits until every other has said so in a volume."""
    count = AT_ONCE[full]
    script = f"touch /v/$N; while test $(ls /v | wc -l) -lt {count}; do sleep 0.1; done; hostname; exit $N"
    volume = tmp_path / "v"
    volume.mkdir()
    started = [
        subprocess.Popen(
            podman.argv("run", "--rm", "--network=none", "--cidfile", str(tmp_path / str(number)), "--hostname",
                        f"h{number}", "-e", f"N={number}", "-v", f"{volume}:/v", IMAGE, "sh", "-c", script),
            env=podman.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(count)
    ]
    results = [(*process.communicate(timeout=300), process.returncode) for process in started]
    assert results == [(f"h{number}\n", "", number) for number in range(count)]
    assert_nothing_left(identity_of(tmp_path / str(number)) for number in range(count))


def test_one_many_times(podman: Podman, name: str, full: bool) -> None:
    """The same container started again and again: what it wrote stays, and nothing else grows."""
    podman.ok("create", "--network=none", "--name", name, IMAGE, "sh", "-c", "echo x >>/log; wc -l </log")
    identity = podman.ok("inspect", "-f", "{{.Id}}", name)
    for number in range(1, ROW[full] + 1):
        assert podman.ok("start", "-a", name) == str(number)
    podman.ok("rm", name)
    assert_nothing_left([identity])


def test_killed_from_outside(podman: Podman, tmp_path: Path, full: bool) -> None:
    """Sentry or stub dies by SIGKILL: podman sees 137 and cleans up."""
    for number in range(2 if not full else 20):
        cid = tmp_path / str(number)
        podman.ok("run", "-d", "--rm", "--network=none", "--cidfile", str(cid), IMAGE, "sleep", "100")
        identity = identity_of(cid)
        stub = int(podman.ok("inspect", "-f", "{{.State.Pid}}", identity))
        record = json.loads((Path("/run/runsc-py") / identity / "state.json").read_text())
        os.kill(stub if number % 2 else record["sentryPid"], signal.SIGKILL)
        assert_nothing_left([identity])
