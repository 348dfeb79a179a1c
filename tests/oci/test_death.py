"""pid_namespaces(7): deaths in every order. No guest outlives its Sentry, and nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import runtime
from tests.oci.container import Container, descendants, processes

pytestmark = pytest.mark.timeout(600)
Make = Callable[..., Container]
BUSY = "(while :; do :; done) & (while :; do sleep 0.01; done) & (sleep 1000) & echo up; while :; do sleep 0.05; done"


def family(c: Container) -> list[int]:
    """The Sentry and the guests: all processes whose cgroup is the container's, the pid of the pid-file apart."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            inside = entry.name.isdigit() and c.name in (entry / "cgroup").read_text()
            zombie = inside and (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if inside and not zombie and int(entry.name) != c.pid():
            found.append(int(entry.name))
    return found


def levels(pid: int) -> list[str]:
    """The process's numbers, outermost namespace first; nothing when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]


def split(c: Container) -> tuple[int, list[int]]:
    """(the Sentry, the guests): the Sentry is pid 1 of the outer namespace, guests live one level deeper."""
    numbers = {pid: levels(pid) for pid in family(c)}
    outer = [pid for pid, ns in numbers.items() if len(ns) == 2 and ns[-1] == "1"]
    assert len(outer) == 1, numbers
    return outer[0], [pid for pid, ns in numbers.items() if len(ns) > 2]


def gone(pids: list[int], patience_s: float) -> float:
    """Seconds until all are gone (a zombie counts as gone)."""
    began = time.monotonic()
    while True:
        alive = [pid for pid in pids if pid in processes()]
        if not alive:
            return time.monotonic() - began
        assert time.monotonic() - began < patience_s, f"still there: {[(p, processes().get(p)) for p in alive]}"
        time.sleep(0.002)


def test_sentry_killed(make: Make) -> None:
    c = make(BUSY)
    c.up()
    c.until("up")
    sentry, guests = split(c)
    assert len(guests) >= 4
    os.kill(sentry, signal.SIGKILL)
    assert gone(guests, 5) < 0.1 + 0.1                  # 100 ms, and the time that looking takes
    assert c.wait(5) == 137
    assert c.status() == "stopped"
    assert c.call("delete", c.name).returncode == 0


def test_guest_pid_1_killed(make: Make) -> None:
    c = make(BUSY)
    c.up()
    c.until("up")
    guests = split(c)[1]
    first = next(pid for pid in guests if levels(pid)[-1:] == ["1"])
    os.kill(first, signal.SIGKILL)
    gone(guests, 5)
    assert c.wait(5) == 137


def test_stub_killed(make: Make) -> None:
    c = make(BUSY)
    c.up()
    c.until("up")
    everything = family(c)
    os.kill(c.pid(), signal.SIGKILL)
    gone(everything, 10)
    assert c.wait(5) == 137
    assert c.call("delete", "--force", c.name).returncode == 0


def left_behind(c: Container) -> list[str]:
    found = [f"process {pid}: {line}" for pid, line in processes().items() if c.name in line]
    found += [f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if c.name in line
              or str(c.bundle) in line]
    if c.state_root.exists():
        found += [f"state {path}" for path in c.state_root.iterdir()]
    for top in Path("/sys/fs/cgroup").glob("*"):
        found += [f"cgroup {path}" for path in top.glob("runsc-py-tests/*") if c.name in path.name]
    found += [f"socket {line}" for line in Path("/proc/net/unix").read_text().splitlines() if c.name in line]
    return found


def test_random_deaths_leave_nothing(make: Make, full: bool) -> None:
    """create, start, kill, delete, with a kill -9 of a random process of ours at a random moment."""
    rng = random.Random(5)
    for round_number in range(50 if full else 10):
        c = make("echo up; (sleep 100) & sleep 100")
        steps = [["create", "--bundle", str(c.bundle), "--pid-file", str(c.pid_file), c.name], ["start", c.name],
                 ["state", c.name], ["kill", c.name, "9"], ["delete", c.name]]
        victim_step, delay_s = rng.randrange(len(steps)), rng.random() * 0.25
        for number, step in enumerate(steps):
            with c.output.open("ab") as out:
                cli = subprocess.Popen([*runtime(), f"--root={c.state_root}", *step], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out)
            if number == victim_step:
                time.sleep(delay_s)
                ours = [pid for pid in (*descendants(cli.pid), *(family(c) if c.pid_file.exists() else []))
                        if pid != os.getpid()]
                if c.pid_file.exists() and c.pid_file.read_text().isdigit():
                    ours.append(c.pid())
                for pid in rng.sample(ours, 1) if ours else []:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            cli.wait(60)
        done = c.call("delete", "--force", c.name)
        assert done.returncode == 0, done.stderr
        end = time.monotonic() + 10
        while left_behind(c) and time.monotonic() < end:
            reap()
            time.sleep(0.02)
        assert not left_behind(c), f"round {round_number}, killed at {steps[victim_step][0]} after {delay_s:.3f} s"
        reap()
        c.waited = 137


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
