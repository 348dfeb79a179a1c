"""sysfs and the cgroup view, read through the walk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from sentry.abi.errno import ENOENT
from tests.unit.vfs.proc.box import Box
from vfs.sys import cgroup, root


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box(root.make)
    yield made
    made.close()


@pytest.fixture
def t(box: Box) -> Any:
    return box.process(1)


def test_cpus(box: Box, t: Any) -> None:
    """os.cpu_count(), nproc and glibc's sysconf read these."""
    cpus = sorted(os.sched_getaffinity(0))
    assert box.read(t, b"/devices/system/cpu/online") == root.number_list(cpus) + b"\n"
    names = box.list(t, b"/devices/system/cpu")
    assert sum(1 for name in names if name[3:].isdigit() and name.startswith(b"cpu")) == len(cpus)
    assert box.read(t, b"/devices/system/cpu/cpu%d/topology/core_id" % cpus[0]) == b"%d\n" % cpus[0]


def test_number_lists() -> None:
    assert root.number_list([0, 1, 2, 5, 7, 8]) == b"0-2,5,7-8"
    assert root.number_list([]) == b""
    assert root.number_mask([0, 1, 33]) == b"00000002,00000003"


def test_memory_policy(box: Box, t: Any) -> None:
    assert b"[" in box.read(t, b"/kernel/mm/transparent_hugepage/enabled")
    assert box.read(t, b"/devices/system/node/node0/meminfo").startswith(b"Node 0 MemTotal:")


def test_network(box: Box, t: Any) -> None:
    assert box.list(t, b"/class/net") == [b".", b"..", b"lo"]
    assert box.read(t, b"/class/net/lo/mtu") == b"65536\n"
    assert box.link(t, b"/class/net/lo") == b"../../devices/virtual/net/lo"


def test_empty_directories(box: Box, t: Any) -> None:
    for path in (b"/block", b"/module", b"/fs/cgroup", b"/bus"):
        assert box.list(t, path) == [b".", b".."]
    with pytest.raises(ENOENT):
        box.place(t, b"/block/sda")


def test_cgroup() -> None:
    box = Box(cgroup.make)
    try:
        t = box.process(1)
        t.kernel.config.cgroup_limits = {"memory": 64 << 20, "pids": 100}
        assert box.read(t, b"/memory.max") == b"67108864\n"
        assert box.read(t, b"/pids.max") == b"100\n"
        assert box.read(t, b"/pids.current") == b"2\n"
        assert box.read(t, b"/cgroup.procs") == b"1\n"
        assert int(box.read(t, b"/memory.current")) > 1 << 20
        t.kernel.config.cgroup_limits = {}
        assert box.read(t, b"/memory.max") == b"max\n"
        assert box.read(t, b"/cpu.max") == b"max 100000\n"
    finally:
        box.close()
