"""The files at the top of /proc and the tree of /proc/sys."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from sentry.abi.errno import EACCES, EINVAL, ENOENT, EPERM
from tests.unit.vfs.proc.box import Box
from vfs.proc import sysctl
from vfs.proc.settings import SETTINGS


def test_memory(box: Box, t: Any) -> None:
    fields = dict(line.split()[:2] for line in box.read(t, b"/meminfo").splitlines())
    with open("/proc/meminfo", "rb") as f:
        host = dict(line.split()[:2] for line in f.read().splitlines())
    assert fields[b"MemTotal:"] == host[b"MemTotal:"]
    assert {b"MemFree:", b"MemAvailable:", b"Buffers:", b"Cached:", b"SwapTotal:", b"SReclaimable:"} <= fields.keys()
    t.kernel.config.cgroup_limits = {"memory": 64 << 20}
    fields = dict(line.split()[:2] for line in box.read(t, b"/meminfo").splitlines())
    assert fields[b"MemTotal:"] == b"65536"
    assert int(fields[b"MemAvailable:"]) <= 65536
    t.kernel.config.cgroup_limits = {"memory": -1}
    assert box.read(t, b"/meminfo").split()[1] == host[b"MemTotal:"]


def test_times(box: Box, t: Any) -> None:
    up = float(box.read(t, b"/uptime").split()[0])
    assert abs(up - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
    stat = box.read(t, b"/stat")
    assert stat.startswith(b"cpu  ")
    boot = int(stat.split(b"btime ")[1].split()[0])
    assert abs(boot + up - time.time()) < 2
    assert re.fullmatch(rb"[\d.]+ [\d.]+ [\d.]+ \d+/2 1\n", box.read(t, b"/loadavg"))


def test_cpus(box: Box, t: Any) -> None:
    text = box.read(t, b"/cpuinfo")
    assert text.count(b"processor\t") == box.read(t, b"/stat").count(b"\ncpu") > 0
    assert text.endswith(b"\n\n")


def test_version_is_that_of_uname(box: Box, t: Any) -> None:
    release = box.read(t, b"/sys/kernel/osrelease").strip()
    assert b"version " + release + b" " in box.read(t, b"/version")
    assert box.read(t, b"/sys/kernel/ostype") == b"Linux\n"


def test_every_setting_can_be_read_and_takes_its_own_value(box: Box, t: Any) -> None:
    for path, setting in SETTINGS.items():
        text = box.read(t, b"/sys/" + path)
        assert text == setting.start + b"\n"
        if setting.mode & 0o200:
            assert box.write(t, b"/sys/" + path, text) == len(text)
            assert box.read(t, b"/sys/" + path) == text
        else:
            with pytest.raises(EPERM):
                sysctl.sysctl(t.kernel).set(path, text)


def test_bounds(box: Box, t: Any) -> None:
    for bad in (b"", b"x", b"-1", b"4294967296", b"1 2", b"1" * 100, b"\0"):
        with pytest.raises(EINVAL):
            box.write(t, b"/sys/net/core/somaxconn", bad)
    box.write(t, b"/sys/net/core/somaxconn", b"0x10\n")
    assert box.read(t, b"/sys/net/core/somaxconn") == b"16\n"
    assert sysctl.value(t.kernel, b"net/core/somaxconn") == 16
    box.write(t, b"/sys/kernel/sem", b"1 2\n")  # fewer numbers leave the rest
    assert box.read(t, b"/sys/kernel/sem") == b"1\t2\t500\t32000\n"


def test_only_root_writes(box: Box, t: Any) -> None:
    t.creds = t.creds._replace(fsuid=1000, effective=0)
    with pytest.raises(EACCES):
        box.write(t, b"/sys/kernel/hostname", b"x")


def test_names_of_the_system(box: Box, t: Any) -> None:
    assert box.read(t, b"/sys/kernel/hostname") == b"box\n"
    box.write(t, b"/sys/kernel/hostname", b"other\nmore")
    assert t.kernel.uts.nodename == b"other"
    box.write(t, b"/sys/kernel/hostname", b"x" * 5000)
    assert t.kernel.uts.nodename == b"x" * 64


def test_uuid(box: Box, t: Any) -> None:
    first, second = (box.read(t, b"/sys/kernel/random/uuid") for _ in range(2))
    assert first != second
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n", first)
    assert box.read(t, b"/sys/kernel/random/boot_id") == box.read(t, b"/sys/kernel/random/boot_id")


def test_container_settings(box: Box, t: Any) -> None:
    sysctl.apply(t.kernel, {b"net.ipv4.ip_unprivileged_port_start": b"0", b"kernel.msgmax": b"65536"})
    assert box.read(t, b"/sys/net/ipv4/ip_unprivileged_port_start") == b"0\n"
    assert sysctl.value(t.kernel, b"kernel/msgmax") == 65536
    with pytest.raises(ENOENT):
        sysctl.apply(t.kernel, {b"net.no.such": b"0"})


def test_number() -> None:
    from vfs.proc.texts import number

    assert [number(text, -100, 100) for text in (b"10\n", b" 0x10", b"010", b"-3", b"+3\0")] == [10, 16, 8, -3, 3]
    for bad in (b"", b"-", b"1x", b"08", b"--1", b"101", b"\xff"):
        with pytest.raises(EINVAL):
            number(bad, -100, 100)
