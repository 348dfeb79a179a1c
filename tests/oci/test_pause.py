"""pause and resume (runc(8)): nothing runs, nobody sees it, signals wait."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import kill_group, runtime
from tests.oci.container import Container, descendants, processes
from tests.oci.programs import Programs

pytestmark = pytest.mark.timeout(120)
Make = Callable[..., Container]
SLEEPERS = Path(__file__).with_name("pauses.c")
COUNT = "trap 'echo got TERM; exit 9' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"


def ok(c: Container, command: str) -> None:
    done = c.call(command, c.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command


def refused(c: Container, *argv: str) -> str:
    done = c.call(*argv, c.name)
    assert done.returncode == 1 and done.stdout == "", argv
    return done.stderr


def cpu_ticks(pids: list[int]) -> int:
    """utime and stime of processes (proc_pid_stat(5))."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields)


def below_sentry(c: Container) -> list[int]:
    """Host numbers of the container's processes."""
    sentry = int(json.loads((c.state_root / c.name / "state.json").read_text())["sentryPid"])
    return [pid for pid in descendants(sentry) if pid != sentry]


def test_nothing_runs(make: Make) -> None:
    c = make(f"while :; do :; done & {COUNT}")
    c.up()
    c.until("\n20\n")
    ok(c, "pause")
    assert c.state()["status"] == "paused" and c.state()["pid"] == c.pid()
    length, ticks = len(c.text()), cpu_ticks(below_sentry(c))
    time.sleep(0.5)
    assert (len(c.text()), cpu_ticks(below_sentry(c))) == (length, ticks)
    ok(c, "resume")
    assert c.status() == "running"
    c.until(f"\n{int(c.text().split()[-1]) + 20}\n")


@pytest.mark.parametrize(("seconds", "slack", "paused"), [(2, 1, 0.5), (1, 3, 2.0)])
def test_sleeps_end_in_time_and_by_themselves(
    make: Make, programs: Programs, seconds: float, slack: float, paused: float
) -> None:
    c = make(["/bin/pauses", str(seconds), str(slack)])
    programs.put("pauses", c, SLEEPERS)
    c.up()
    c.until("up")
    ok(c, "pause")
    time.sleep(paused)
    ok(c, "resume")
    assert c.wait() == 0, c.text()
    assert c.text() == "up\nall 16 right\n"


def test_many_times(make: Make, programs: Programs) -> None:
    c = make(["/bin/pauses", "3", "4"])
    programs.put("pauses", c, SLEEPERS)
    c.up()
    c.until("up")
    end = time.monotonic() + 1.5  # it runs for three seconds
    while time.monotonic() < end:
        ok(c, "pause")
        ok(c, "resume")
    assert c.wait() == 0, c.text()


def test_on_the_host_the_sleepers_are_right(programs: Programs) -> None:
    done = subprocess.run([programs.build("pauses", SLEEPERS), "1", "1"], capture_output=True, text=True, timeout=30,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "up\nall 16 right\n")


def test_before_start(make: Make) -> None:
    c = make("echo started")
    assert c.create().returncode == 0
    ok(c, "pause")
    assert c.status() == "paused"
    assert "paused" in refused(c, "start")
    ok(c, "resume")
    assert c.status() == "created" and c.text() == ""
    c.start()
    assert c.wait() == 0 and c.text() == "started\n"


def test_refusals(make: Make) -> None:
    c = make(COUNT)
    c.up()
    assert "container not paused" in refused(c, "resume")
    ok(c, "pause")
    assert "container not running" in refused(c, "pause")
    assert "paused" in refused(c, "delete")
    assert "paused" in refused(c, "start")
    assert c.call("list").stdout.count("paused") == 1
    assert c.call("kill", c.name, "9").returncode == 0
    assert c.wait() == 137
    assert "container not running" in refused(c, "pause")
    assert "container not paused" in refused(c, "resume")
    for argv in (("pause",), ("pause", "a", "b"), ("resume", "no-such-container")):
        assert c.call(*argv).returncode == 1


def test_a_signal_waits(make: Make) -> None:
    c = make(COUNT)
    c.up()
    c.until("\n5\n")
    ok(c, "pause")
    assert c.call("kill", c.name, "TERM").returncode == 0
    os.kill(c.pid(), signal.SIGTERM)  # as conmon passes one on
    time.sleep(0.3)
    assert c.status() == "paused" and "TERM" not in c.text()
    ok(c, "resume")
    assert c.wait() == 9 and c.text().endswith("got TERM\n")


@pytest.mark.parametrize("end", ["kill", "stub", "sentry", "delete"])
def test_the_end_of_a_paused_container(make: Make, end: str) -> None:
    c = make(f"(while :; do :; done) & sleep 100 & {COUNT}")
    c.up()
    c.until("\n5\n")
    ok(c, "pause")
    inside = below_sentry(c)
    assert len(inside) >= 3
    sentry = Path(f"/proc/{inside[0]}/stat").read_text().rpartition(")")[2].split()[1]
    if end == "kill":
        assert c.call("kill", c.name, "KILL").returncode == 0
    elif end == "delete":
        assert c.call("delete", "--force", c.name).returncode == 0
    else:
        os.kill(c.pid() if end == "stub" else int(sentry), signal.SIGKILL)
    assert c.wait() == 137
    patience = time.monotonic() + 5
    while left := set(inside) & set(processes()):
        assert time.monotonic() < patience, left
        time.sleep(0.01)
    if end != "delete":
        assert c.status() == "stopped"


def test_without_a_cgroup() -> None:
    process = subprocess.Popen([*runtime(), "--ignore-cgroups", "do", "--", "/bin/sh", "-c", COUNT],
                               stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    name = f"do-{process.pid}"
    try:
        assert process.stdout.readline() == b"1\n"
        assert subprocess.run([*runtime(), "pause", name], check=False).returncode == 0
        os.set_blocking(process.stdout.fileno(), False)
        process.stdout.read()
        time.sleep(0.3)
        assert process.stdout.read() is None
        assert subprocess.run([*runtime(), "resume", name], check=False).returncode == 0
        os.set_blocking(process.stdout.fileno(), True)
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 9
    finally:
        kill_group(process.pid, signal.SIGTERM)
        process.wait(20)
