"""Everyday work on the host and in a sandbox: output and exit status must be the same (the jobs are in *.toml)."""

from __future__ import annotations

import shlex
import subprocess
import time
import tomllib
from glob import glob
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
JOBS: dict[str, dict[str, Any]] = {
    name: job for file in sorted(HERE.glob("*.toml")) for name, job in tomllib.loads(file.read_text()).items()}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
on_host: dict[str, Any] = {}    # what each job does there, asked once
BUSY = 'while :; do x=$(echo a | cat); : | :; done'


def command(name: str, full: bool) -> list[str]:
    """The job in an empty directory, with a bare environment; the script is an argument, so that no file is needed."""
    job = JOBS[name]
    size = job.get("full" if full else "quick", 0)
    shell = shlex.quote(job.get("shell", "sh"))
    where = f'd=$(mktemp -d) && cd "$d" && {{ {shell} -c "$0"; s=$?; cd /; rm -rf "$d"; exit $s; }}'
    return ["/usr/bin/env", "-i", f"PATH={PATH}", "LC_ALL=C", "HOME=/nonexistent", f"N={size}", "/bin/sh", "-c", where,
            job["script"]]


def missing(name: str, root: str = "") -> list[str]:
    """What a job needs and a root lacks. Links are not followed: an absolute one would lead out of the root."""
    patterns = {tool: [tool] if tool.startswith("/") else [f"{directory}/{tool}" for directory in PATH.split(":")]
                for tool in JOBS[name].get("needs", ())}
    return [tool for tool in patterns if not any(glob(root + pattern) for pattern in patterns[tool])]


def need(name: str, full: bool) -> None:
    if JOBS[name].get("own_root"):
        pytest.skip("changes the system: only in a root that is thrown away (make jobs)")
    if JOBS[name].get("full_only") and not full:
        pytest.skip("too long for a quick run (make jobs)")
    absent = missing(name)
    if absent:
        pytest.skip(f"not installed: {' '.join(absent)}")


def same(host: Any, guest: Any) -> None:
    assert not host.timed_out, "the host itself did not end"
    assert not guest.timed_out, f"did not end; so far:\n{guest.output.decode(errors='replace')}"
    assert guest.output.decode(errors="replace") == host.output.decode(errors="replace")
    assert guest.status == host.status


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", JOBS)
def test_job(name: str, place: str, runner: Any, full: bool) -> None:
    need(name, full)
    limit_s = JOBS[name].get("limit_s", 60)
    if name not in on_host:
        on_host[name] = runner.run("host", command(name, full), limit_s)
    again = full or place != "host"     # the host itself twice, so that a job that varies is seen: when there is time
    same(on_host[name], runner.run(place, command(name, full), limit_s) if again else on_host[name])


@pytest.mark.timeout(0)
def test_pipelines_beside_a_busy_guest(place: str, runner: Any, full: bool) -> None:
    """A second sandbox that never rests must not disturb the first."""
    need("pipelines", full)
    busy = subprocess.Popen(runner.command(place, ["/bin/dash", "-c", BUSY]), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(0.5)
        result = runner.run(place, command("pipelines", full), 900)
        assert busy.poll() is None, "the busy guest ended"
    finally:
        runner.end(busy)
    size = JOBS["pipelines"]["full" if full else "quick"]
    assert (result.status, result.output.decode()) == (0, f"{size} pipelines\n")
