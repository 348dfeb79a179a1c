"""Containers one after the other and side by side: each has its own result, and none leaves anything behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.podman.conftest import IMAGE, Podman

pytestmark = pytest.mark.timeout(900)
SHORT = 12  # digits of an id that are enough
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
        assert len(identity) in (SHORT, 64)
        while left := left_of(identity):
            assert time.monotonic() < end, left
            time.sleep(0.05)


def short_id(hostname: str) -> str:
    """The first digits of its id, which a container has as its host's name. Newer podmans take a --cidfile away again
    when they remove the container."""
    assert re.fullmatch(r"[0-9a-f]{12}", hostname), hostname
    return hostname


def identity_of(at: Path) -> str:
    return at.read_text().strip()


def test_in_a_row(podman: Podman, full: bool) -> None:
    identities = set()
    for number in range(ROW[full]):
        done = podman.run("-e", f"N={number}", IMAGE, "sh", "-c", "hostname; echo $N; exit $((N % 100))")
        hostname, rest = done.stdout.split("\n", 1)
        assert (done.returncode, rest) == (number % 100, f"{number}\n"), done.stderr
        identities.add(short_id(hostname))
    assert len(identities) == ROW[full]
    assert_nothing_left(identities)


def test_at_once(podman: Podman, tmp_path: Path, full: bool) -> None:
    """All live at the same time: each waits until every other has said so in a volume."""
    count = AT_ONCE[full]
    script = f"touch /v/$N; while test $(ls /v | wc -l) -lt {count}; do sleep 0.1; done; hostname; echo $N; exit $N"
    volume = tmp_path / "v"
    volume.mkdir()
    started = [
        subprocess.Popen(
            podman.argv("run", "--rm", "--network=none", "-e", f"N={number}", "-v", f"{volume}:/v", IMAGE,
                        "sh", "-c", script),
            env=podman.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(count)
    ]
    results = [(*process.communicate(timeout=300), process.returncode) for process in started]
    hostnames, rest = zip(*(out.split("\n", 1) for out, _, _ in results), strict=True)
    assert rest == tuple(f"{number}\n" for number in range(count))
    assert [(err, code) for _, err, code in results] == [("", number) for number in range(count)]
    assert len(set(hostnames)) == count
    assert_nothing_left(map(short_id, hostnames))


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
