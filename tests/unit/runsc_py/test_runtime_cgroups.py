"""cgroups of version 1 and 2, on plain directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runsc_py.host import cgroups
from runsc_py.host.cgroups import Cgroups, Hierarchy
from runsc_py.oci.reader import Reader
from runsc_py.oci.spec import Resources

WANTED = Resources(
    Reader(
        {
            "memory": {"limit": 1000, "swap": 3000, "reservation": 500},
            "pids": {"limit": 10},
            "cpu": {"shares": 1024, "quota": 50000, "period": 100000},
        }
    )
)
MOUNTINFO = """\
30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 /inner /elsewhere rw - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def v1(tmp_path: Path, *names: str) -> list[Hierarchy]:
    for name in names:
        (tmp_path / name).mkdir()
    return [Hierarchy(str(tmp_path / name), frozenset((name,)), 1) for name in names]


def test_hybrid_means_version_1(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(MOUNTINFO)
    found = cgroups.hierarchies(str(tmp_path / "m"))
    assert [h.mount_point for h in found] == ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct"]
    (tmp_path / "m").write_text(MOUNTINFO.splitlines()[4] + "\n")
    assert [h.version for h in cgroups.hierarchies(str(tmp_path / "m"))] == [2]
    (tmp_path / "m").write_text("")
    assert cgroups.hierarchies(str(tmp_path / "m")) == []


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/libpod_parent/libpod-1", "libpod_parent/libpod-1"),
        ("a//b/./c", "a/b/c"),
        ("machine.slice:libpod:1", "machine.slice/libpod-1.scope"),
    ],
)
def test_paths(path: str, clean: str) -> None:
    assert cgroups.clean_path(path) == clean


def test_a_path_cannot_leave_its_hierarchy() -> None:
    with pytest.raises(ValueError, match="leaves"):
        cgroups.clean_path("/a/../../etc")


def test_limits_of_version_1(tmp_path: Path) -> None:
    group = Cgroups("/p/c", v1(tmp_path, "memory", "pids", "freezer"))
    group.create()
    for name in ("memory/p/c/memory.limit_in_bytes", "memory/p/c/memory.memsw.limit_in_bytes", "pids/p/c/pids.max"):
        (tmp_path / name).touch()
    failed = group.limit(WANTED)
    assert (tmp_path / "memory/p/c/memory.limit_in_bytes").read_text() == "1000"
    assert (tmp_path / "memory/p/c/memory.memsw.limit_in_bytes").read_text() == "3000"
    assert (tmp_path / "pids/p/c/pids.max").read_text() == str(10 + cgroups.OWN_TASKS)
    assert len(failed) == 1 and "memory.soft_limit_in_bytes = 500: No such file" in failed[0]


def test_limits_of_version_2() -> None:
    settings = dict(cgroups._settings_v2(WANTED))
    assert settings == {
        "memory.max": "1000",
        "memory.swap.max": "2000",
        "memory.low": "500",
        "pids.max": str(10 + cgroups.OWN_TASKS),
        "cpu.weight": "39",
        "cpu.max": "50000 100000",
    }
    none = Resources(Reader({"memory": {"limit": -1}, "pids": {"limit": -1}}))
    assert dict(cgroups._settings_v2(none)) == {"memory.max": "max", "pids.max": "max"}


def test_a_new_cpuset_gets_its_parents_cpus(tmp_path: Path) -> None:
    hierarchies = v1(tmp_path, "cpuset")
    (tmp_path / "cpuset/p/c").mkdir(parents=True)
    for directory, text in (("", "0-1\n"), ("p", "0-1\n"), ("p/c", "\n")):
        for name in ("cpuset.cpus", "cpuset.mems"):
            (tmp_path / "cpuset" / directory / name).write_text(text)
    Cgroups("/p/c", hierarchies).create()
    assert (tmp_path / "cpuset/p/c/cpuset.cpus").read_text() == "0-1"


def test_a_hierarchy_that_refuses_is_left_out(tmp_path: Path) -> None:
    good = v1(tmp_path, "memory")
    group = Cgroups("c", [*good, Hierarchy(str(tmp_path / "absent"), frozenset(("pids",)), 1)])
    group.create()
    assert group.directories == [str(tmp_path / "memory/c")]


def test_join_writes_zero(tmp_path: Path) -> None:
    group = Cgroups("c", v1(tmp_path, "memory"))
    group.create()
    (tmp_path / "memory/c/cgroup.procs").touch()
    fds = group.open_procs()
    cgroups.join(fds)
    for fd in fds:
        os.close(fd)
    assert (tmp_path / "memory/c/cgroup.procs").read_text() == "0"


def test_parents_go_with_the_last_container(tmp_path: Path) -> None:
    hierarchies = v1(tmp_path, "memory", "pids")
    (tmp_path / "pids" / "a").mkdir()
    first = Cgroups("/a/b/c1", hierarchies)
    assert first.parents == [str(tmp_path / name) for name in ("memory/a/b", "memory/a", "pids/a/b")]
    first.create()
    second = Cgroups("/a/b/c2", hierarchies)
    second.create()
    assert second.parents == []
    assert cgroups.remove(first.directories) == []
    cgroups.remove_empty(first.parents)
    assert (tmp_path / "memory/a/b/c2").is_dir()
    cgroups.remove(second.directories)
    cgroups.remove_empty(first.parents)
    assert list((tmp_path / "memory").iterdir()) == [] and [p.name for p in (tmp_path / "pids").iterdir()] == ["a"]


def test_remove(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    busy = tmp_path / "busy"
    (busy / "child").mkdir(parents=True)
    assert cgroups.remove([str(tmp_path / "gone"), str(busy), str(tmp_path / "never")], 0.02) == [str(busy)]
    assert not (tmp_path / "gone").exists()
