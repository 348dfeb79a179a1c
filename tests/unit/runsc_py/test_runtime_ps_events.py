"""ps(1)'s lines and Go's durations, without a container; a cgroup's files without a cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from runsc_py.cli.events import duration_s
from runsc_py.cli.ps import rows, selects
from runsc_py.errors import Failure
from runsc_py.host.cgroup_stats import UNLIMITED, Cgroup

LONG = """\
F S   UID     PID    PPID  C PRI  NI ADDR SZ WCHAN  TTY          TIME CMD
4 S     0       1       0  0  80   0 -   568 -      ?        00:00:00 init
0 S 65534      12       1  0  80   0 -   568 -      ?        00:00:00 sh 12 13
0 S 65534      13      12  0  80   0 -   568 -      ?        00:00:00 cat""".splitlines()
FULL = """\
UID          PID    PPID  C STIME TTY          TIME CMD
nobody        12       1  0 13:35 ?        00:00:00 /bin/sh -c  two  spaces""".splitlines()


def test_only_rows_of_the_container_with_its_users() -> None:
    assert rows(LONG, {12: 0, 99: 5}) == [LONG[0], LONG[2].replace("65534", "    0")]
    assert rows(LONG, {13: 1234567}) == [LONG[0], LONG[3].replace("S 65534", "S1234567")]
    assert rows(FULL, {12: 0}) == [FULL[0], FULL[1].replace("nobody", "root  ")]
    assert rows(FULL, {12: 4242424242}) == [FULL[0], FULL[1].replace("nobody       ", "4242424242   ")]
    assert rows(FULL, {}) == [FULL[0]]
    with pytest.raises(Failure):
        rows(["COMMAND", "sh"], {12: 0})
    with pytest.raises(Failure):
        rows([], {12: 0})


@pytest.mark.parametrize(("options", "expected"), [
    ("-ef", True), ("aux", True), ("-A", True), ("-C sleep", True), ("--pid 1", True), ("-p 3", True), ("x", True),
    ("-o pid,comm", False), ("-opid", False), ("-l", False), ("-f", False), ("--format pid", False),
    ("--forest", False),     ("-f -o user -e", True)])
def test_which_options_select(options: str, expected: bool) -> None:
    assert selects(options.split()) is expected


@pytest.mark.parametrize(("text", "seconds"), [
    ("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("2", 2), ("1.5s", 1.5), ("1h", 3600), (".5s", 0.5), ("10us", 1e-5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5x", "-5s", "5s ", "0s", "1e3s", "5 s", "0"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(Failure):
        duration_s(text)


def write(at: Path, files: dict[str, str]) -> list[str]:
    at.mkdir()
    for name, text in files.items():
        (at / name).write_text(text)
    return [str(at)]


def test_version_2(tmp_path: Path) -> None:
    group = Cgroup(write(tmp_path / "g", {
        "cgroup.controllers": "cpu memory pids\n", "cgroup.procs": "5\n6\n7\n8\n",
        "cpu.stat": "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\n"
                    "nr_periods 4\nnr_throttled 0\nthrottled_usec 7\n",
        "cpuset.cpus": "0-2,5\n", "cpuset.mems": "0\n",
        "memory.current": "4096\n", "memory.max": "max\n", "memory.peak": "8192\n", "memory.stat": "anon 5\nfile 6\n",
        "memory.events": "low 0\nmax 3\noom 1\noom_kill 2\n", "memory.swap.max": "0\n",
        "pids.current": "4\n", "pids.max": "14\n"}))
    told = group.stats([7, 8])
    assert told["cpu"] == {"usage": {"total": 3_000_000, "kernel": 1_000_000, "user": 2_000_000},
                           "throttling": {"periods": 4, "throttledTime": 7000}}
    assert told["cpuset"] == {"cpus": [0, 1, 2, 5], "mems": [0]}
    assert told["memory"] == {
        "cache": 6, "usage": {"limit": UNLIMITED, "usage": 4096, "max": 8192, "failcnt": 3},
        "swap": {"limit": 0, "usage": 0, "failcnt": 0}, "raw": {"anon": 5, "file": 6}}
    assert told["pids"] == {"current": 2, "limit": 10}
    assert group.oom_kills() == 2


def test_version_1(tmp_path: Path) -> None:
    directories = [
        *write(tmp_path / "cpu", {"cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"}),
        *write(tmp_path / "cpuacct", {"cpuacct.usage": "77\n", "cpuacct.usage_percpu": "70 7\n",
                                      "cpuacct.stat": "user 1\nsystem 2\n"}),
        *write(tmp_path / "memory", {"memory.usage_in_bytes": "10\n", "memory.limit_in_bytes": "20\n",
                                     "memory.stat": "cache 3\n", "memory.oom_control": "under_oom 0\noom_kill 1\n"}),
        str(tmp_path / "absent")]
    group = Cgroup(directories)
    told = group.stats([])
    assert told["cpu"] == {"usage": {"total": 77, "percpu": [70, 7], "kernel": 20_000_000, "user": 10_000_000},
                           "throttling": {}}
    memory = told["memory"]
    assert isinstance(memory, dict)
    assert memory["usage"] == {"limit": 20, "usage": 10, "max": 0, "failcnt": 0} and memory["cache"] == 3
    assert told["pids"] == {"current": 0} and group.oom_kills() == 1


def test_nothing_is_there() -> None:
    group = Cgroup(["/no/such/cgroup"])
    assert group.directories == [] and group.oom_kills() == 0
    assert group.stats([])["pids"] == {"current": 0}
