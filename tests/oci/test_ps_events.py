"""ps and events (runc(8)): who runs in a container, and what it uses."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.oci.container import Container

pytestmark = pytest.mark.timeout(60)
Make = Callable[..., Container]
TWO = "sleep 100 & echo up; while :; do :; done"


def table(c: Container, *options: str) -> list[list[str]]:
    done = c.call("ps", c.name, *options)
    assert done.returncode == 0 and done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_ps(make: Make) -> None:
    c = make(TWO)
    c.up()
    c.until("up")
    heading, *rows = table(c)
    assert heading == "UID PID PPID C STIME TTY TIME CMD".split()
    assert [row[0] for row in rows] == ["root", "root"]
    assert [" ".join(row[7:9]) for row in rows] == ["/bin/sh -c", "sleep 100"]
    assert rows[1][2] == rows[0][1], "the second is a child of the first"
    numbers = json.loads(c.call("ps", "--format", "json", c.name).stdout)
    assert numbers == [int(row[1]) for row in rows]
    assert Path(f"/proc/{numbers[1]}/comm").read_text() == "sleep\n", "the numbers are the host's"
    assert [row[1] for row in table(c, "-o", "pid,comm")] == ["COMMAND", "sh", "sleep"]
    assert [row[0] for row in table(c, "aux")] == ["USER", "root", "root"]
    assert [row[1] for row in table(c, "-C", "sleep", "-o", "pid,comm")] == ["COMMAND", "sleep"]


def test_ps_shows_the_users_of_the_container(make: Make) -> None:
    c = make(TWO, user={"uid": 4242, "gid": 1})
    c.up()
    c.until("up")
    with pytest.raises(KeyError):
        pwd.getpwuid(4242)
    assert {row[0] for row in table(c)[1:]} == {"4242"}
    assert {row[0] for row in table(c, "-o", "uid,pid,args")[1:]} == {"4242"}
    assert {row[2] for row in table(c, "-l")[1:]} == {"4242"}


def test_ps_of_containers_that_do_not_run(make: Make) -> None:
    c = make("exit 0")
    assert c.create().returncode == 0
    assert len(table(c)) == 2
    assert c.call("pause", c.name).returncode == 0
    assert len(table(c)) == 2
    assert c.call("resume", c.name).returncode == 0
    c.start()
    c.wait()
    assert len(table(c)) == 1
    assert c.call("ps", "--format=json", c.name).stdout == "[]\n"


@pytest.mark.parametrize(("options", "words"), [(["--format=yaml"], "neither table nor json"), ([], "container id")])
def test_ps_refuses(make: Make, options: list[str], words: str) -> None:
    c = make(TWO)
    done = c.call("ps", *options, *([c.name] if options else []))
    assert done.returncode == 1 and words in done.stderr


def test_ps_without_a_column_of_numbers(make: Make) -> None:
    c = make(TWO)
    c.up()
    done = c.call("ps", c.name, "-o", "comm")
    assert done.returncode == 1 and done.stdout == "" and "PID" in done.stderr
    done = c.call("ps", c.name, "--no-such-option")
    assert done.returncode == 1 and done.stderr.startswith("runsc-py: ps: ")


def limits(**resources: Any) -> Callable[[dict[str, Any]], None]:
    def change(settings: dict[str, Any]) -> None:
        settings["linux"]["resources"] = resources

    return change


def stats(c: Container) -> dict[str, Any]:
    done = c.call("events", "--stats", c.name)
    assert done.returncode == 0, done.stderr
    event = json.loads(done.stdout)
    assert (event["type"], event["id"]) == ("stats", c.name)
    return dict(event["data"])


def test_stats(make: Make) -> None:
    c = make("sleep 100 & sleep 100 & echo up; while :; do :; done", change=limits(
        memory={"limit": 200 << 20}, pids={"limit": 50}))
    c.up()
    c.until("up")
    first = stats(c)
    assert first["pids"] == {"current": 3, "limit": 50}
    assert first["memory"]["usage"]["limit"] == 200 << 20
    assert 1 << 20 < first["memory"]["usage"]["usage"] < 200 << 20
    assert first["memory"]["raw"]["pgfault"] > 0
    assert first["network_interfaces"] is None and first["blkio"] == {}
    time.sleep(0.5)
    usage, before = stats(c)["cpu"]["usage"], first["cpu"]["usage"]
    assert usage["total"] - before["total"] > 50_000_000, "it spins"
    assert usage["user"] >= before["user"] and usage["kernel"] >= 0


def test_stats_without_a_cgroup(make: Make) -> None:
    c = make("sleep 100 & echo up; while :; do :; done")
    assert c.create(flags=["--ignore-cgroups"]).returncode == 0
    c.start()
    c.until("up")
    found = stats(c)
    assert found["pids"]["current"] == 2 and found["memory"]["usage"]["usage"] > 1 << 20
    time.sleep(0.5)
    assert stats(c)["cpu"]["usage"]["total"] > found["cpu"]["usage"]["total"]


def test_events_go_on_until_the_end(make: Make) -> None:
    c = make(TWO)
    c.up()
    c.until("up")
    following = subprocess.Popen([*runtime(), f"--root={c.state_root}", "events", "--interval", "200ms", c.name],
                                 stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    totals = [json.loads(following.stdout.readline())["data"]["cpu"]["usage"]["total"] for _ in range(3)]
    assert totals == sorted(totals) and totals[0] < totals[2]
    assert c.call("kill", c.name, "9").returncode == 0
    assert following.wait(5) == 0
    done = c.call("events", "--stats", c.name)
    assert done.returncode == 1 and "container not running" in done.stderr


def test_memory_that_runs_out_is_an_event(make: Make) -> None:
    """The process that takes too much is killed, the container goes on."""
    hog = "echo up; while ! test -e /tmp/go; do sleep 0.05; done; " \
          "awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo status $?; sleep 100"
    c = make(hog, change=limits(memory={"limit": 64 << 20, "swap": 64 << 20}))
    c.up()
    c.until("up")
    following = subprocess.Popen([*runtime(), f"--root={c.state_root}", "events", "--interval=1h", c.name],
                                 stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        time.sleep(0.5)
        (c.bundle / "rootfs" / "tmp" / "go").touch()
        c.until("status 137")
        assert json.loads(following.stdout.readline()) == {"type": "oom", "id": c.name}
        assert c.status() == "running"
    finally:
        following.kill()
        following.wait()


@pytest.mark.parametrize("interval", ["0s", "x", "-1s", "5 s"])
def test_intervals_that_are_none(make: Make, interval: str) -> None:
    c = make(TWO)
    c.up()
    done = c.call("events", f"--interval={interval}", c.name)
    assert done.returncode == 1 and "--interval" in done.stderr


def test_environment_without_a_path(make: Make) -> None:
    """As container engines call a runtime."""
    c = make(TWO)
    c.up()
    c.until("up")
    env = {name: value for name, value in os.environ.items() if name not in ("PATH", "HOME")}
    argv = [*runtime(), f"--root={c.state_root}", "ps", c.name]
    done = subprocess.run(argv, env=env, capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 3, done.stderr
