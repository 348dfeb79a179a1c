"""Limits, names, clocks, scheduling, placement, through the table; scheduling on this very process as the guest."""

from __future__ import annotations

import os
import resource as host
import struct
from typing import Any

import pytest

from sentry.abi.structs import RLIMIT, SCHED_ATTR, SYSINFO, TIMEX, UTSNAME
from syscalls import limits

A, B = 0x10000, 0x10400
INF = (1 << 64) - 1
NOFILE, STACK, AS = 7, 3, 9


class Limits:
    def __init__(self) -> None:
        self.values = dict.fromkeys(range(16), (100, 200))

    def get(self, resource: int) -> tuple[int, int]:
        return self.values[resource]

    def set(self, resource: int, soft: int, hard: int) -> None:
        self.values[resource] = (soft, hard)

    @property
    def nofile(self) -> int:
        return self.values[NOFILE][0]


@pytest.fixture
def limited(t: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A task with limits; what would be told to the host is listed."""
    t.group.limits = Limits()
    t.fds = type("Fds", (), {"limit": 0})()
    told: list[Any] = []
    monkeypatch.setattr(limits, "_lower", lambda *args: told.append(args))
    return told


def test_limits(t: Any, call: Any, limited: list[Any]) -> None:
    assert call("getrlimit", NOFILE, A) == 0 and t.mem.unpack(RLIMIT, A) == (100, 200)
    assert call("getrlimit", 16, A) == -22
    t.mem.pack(RLIMIT, A, 150, 120)
    assert call("setrlimit", NOFILE, A) == -22
    t.mem.pack(RLIMIT, A, 50, 300)
    assert call("setrlimit", NOFILE, A) == 0 and t.fds.limit == 50
    t.mem.pack(RLIMIT, A, 1, 1 << 30)
    assert call("setrlimit", NOFILE, A) == -1
    t.creds = t.creds.set_uid(1000)
    t.mem.pack(RLIMIT, A, 1, 301)
    assert call("setrlimit", NOFILE, A) == -1
    assert not limited
    t.mem.pack(RLIMIT, A, 5, 6)
    assert call("prlimit64", 0, AS, A, B) == 0 and t.mem.unpack(RLIMIT, B) == (100, 200)
    assert limited == [(4242, AS, 5, 6)]
    assert call("prlimit64", 42, AS, 0, B) == 0 and t.mem.unpack(RLIMIT, B) == (5, 6)
    assert call("prlimit64", 7, AS, 0, B) == -3
    assert call("prlimit64", 0, AS, 1, 0) == -14


def test_limits_of_another(t: Any, call: Any, limited: list[Any]) -> None:
    other = type("Task", (), {})()
    other.group, other.creds = type("Group", (), {"limits": Limits()})(), t.creds
    t.kernel.find_task = lambda tid: other
    assert call("prlimit64", 9, STACK, 0, A) == 0
    t.creds = t.creds.set_uid(1000)
    assert call("prlimit64", 9, STACK, 0, A) == -1


def test_lower_on_the_host() -> None:
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
        os._exit(0)
    try:
        ceiling = host.prlimit(pid, STACK)[1]
        limits._lower(pid, STACK, 1 << 20, INF)
        assert host.prlimit(pid, STACK) == (1 << 20, ceiling)
        limits._lower(pid, STACK, INF, INF)
        assert host.prlimit(pid, STACK) == (ceiling, ceiling)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    limits._lower(pid, STACK, 1, 1)  # gone: nothing happens


def test_uname(t: Any, call: Any) -> None:
    t.group.personality = 0

    def fields() -> list[bytes]:
        assert call("uname", A) == 0
        return [f.rstrip(b"\0") for f in t.mem.unpack(UTSNAME, A)]

    assert fields()[:2] == [b"Linux", b"box"] and fields()[4:] == [b"x86_64", b"(none)"]
    assert fields()[2].startswith(b"6.")
    t.mem.write(B, b"newname")
    assert call("sethostname", B, 7) == 0 and call("setdomainname", B, 3) == 0
    assert fields()[1] == b"newname" and fields()[5] == b"new"
    assert call("sethostname", B, 65) == call("sethostname", B, -1) == -22
    assert call("personality", 0x20008) == 0 and call("personality", 0xFFFFFFFF) == 0x20008
    assert fields()[4] == b"i686" and fields()[2].startswith(b"2.6.61")
    t.creds = t.creds.set_uid(1)
    assert call("sethostname", B, 99) == -1
    assert call("uname", 8) == -14


def test_sysinfo(t: Any, call: Any) -> None:
    assert call("sysinfo", A) == 0
    uptime, *_, unit = t.mem.unpack(SYSINFO, A)
    total, procs = t.mem.unpack(SYSINFO, A)[4], t.mem.unpack(SYSINFO, A)[10]
    assert uptime > 0 and total > 1 << 26 and unit == 1 and procs == 1


def test_syslog(t: Any, call: Any) -> None:
    size = call("syslog", 3, A, 1000)
    assert size > 10 and t.mem.read(A, 3) == b"<5>"
    assert call("syslog", 3, A, 5) == 5 and call("syslog", 3, 0, 5) == -22
    assert call("syslog", 10, 0, 0) == 1 << 18 and call("syslog", 11, 0, 0) == -22
    t.creds = t.creds.set_uid(1)
    assert call("syslog", 3, A, 1000) == -1


def test_clocks(t: Any, call: Any) -> None:
    t.kernel.realtime_ns = lambda: 1_700_000_000_123_456_789
    t.mem.write(A, struct.pack("<qq", 5, 999_999_999))
    assert call("clock_settime", 0, A) == -1
    assert call("clock_settime", 1, A) == -22
    assert call("settimeofday", A, 0) == -22  # no such microsecond
    assert call("settimeofday", 0, 0) == -1
    assert call("clock_settime", 0, 8) == -14
    t.mem.write(A, bytes(TIMEX.size))
    assert call("adjtimex", A) == 5
    values = t.mem.unpack(TIMEX, A)
    assert values[9:12] == (1_700_000_000, 123_456, 10_000)
    t.mem.put_u32(A, 2)
    assert call("adjtimex", A) == call("clock_adjtime", 0, A) == -1
    assert call("clock_adjtime", 1, A) == -95 and call("clock_adjtime", 99, A) == -22


def test_umask(t: Any, call: Any) -> None:
    t.fs = type("Fs", (), {"umask": 0o22})()
    assert call("umask", 0o177777) == 0o22 and t.fs.umask == 0o777


@pytest.fixture
def real(t: Any) -> Any:
    """The task is a child of this process."""
    pid = os.fork()
    if pid == 0:
        os.read(os.pipe()[0], 1)
        os._exit(0)
    t.host_tid = t.group.host_pid = pid
    yield t
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_affinity(real: Any, call: Any) -> None:
    size = call("sched_getaffinity", 0, 128, A)
    mine = sum(1 << c for c in os.sched_getaffinity(0))
    assert size >= 8 and int.from_bytes(real.mem.read(A, size), "little") == mine
    one = mine & -mine
    real.mem.write(A, one.to_bytes(128, "little"))
    assert call("sched_setaffinity", 42, 128, A) == 0
    assert call("sched_getaffinity", 0, 128, A) == size and int.from_bytes(real.mem.read(A, size), "little") == one
    real.mem.write(A, bytes(128))
    assert call("sched_setaffinity", 0, 128, A) == -22
    assert call("sched_getaffinity", 0, 7, A) == -22 and call("sched_getaffinity", 5, 8, A) == -3
    assert call("sched_getaffinity", -1, 8, A) == -3


def test_policies(real: Any, call: Any) -> None:
    real.mem.put_i32(A, 0)
    assert call("sched_getscheduler", 0) == 0
    assert call("sched_setscheduler", 0, 3, A) == 0 and call("sched_getscheduler", 0) == 3
    assert call("sched_getparam", 0, A) == 0 and real.mem.i32(A) == 0
    real.mem.put_i32(A, 5)
    assert call("sched_setscheduler", 0, 0, A) == -22
    assert call("sched_setscheduler", 0, 1, A) == -1
    assert call("sched_setscheduler", 0, 1, 0) == call("sched_setscheduler", 0, -1, A) == -22
    assert [call("sched_get_priority_max", p) for p in (0, 1, 2, 3, 5, 6, 9)] == [0, 99, 99, 0, 0, 0, -22]
    assert call("sched_rr_get_interval", 0, A) == 0
    assert call("sched_getattr", 0, A, SCHED_ATTR.size, 0) == 0 and real.mem.unpack(SCHED_ATTR, A)[:2] == (56, 3)
    assert call("sched_getattr", 0, A, 47, 0) == -22


def test_sched_setattr(real: Any, call: Any) -> None:
    real.mem.write(A, SCHED_ATTR.pack(56, 0, 0, 7, 0, 0, 0, 0, 0, 0))
    assert call("sched_setattr", 0, A, 0) == 0
    assert os.getpriority(os.PRIO_PROCESS, real.host_tid) == 7
    real.mem.write(A, SCHED_ATTR.pack(9999, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    assert call("sched_setattr", 0, A, 0) == -7 and real.mem.u32(A) == 56
    real.mem.write(A, SCHED_ATTR.pack(56, 6, 0, 0, 0, 1, 1, 1, 0, 0))
    assert call("sched_setattr", 0, A, 0) == -1


def test_nice(real: Any, call: Any) -> None:
    base = os.getpriority(os.PRIO_PROCESS, 0)
    assert call("getpriority", 0, 0) == 20 - base
    assert call("setpriority", 0, 0, base + 3) == 0 and call("getpriority", 0, 42) == 17 - base
    assert call("setpriority", 0, 0, base) == -13
    assert call("setpriority", 0, 9, 5) == -3 and call("getpriority", 3, 0) == -22
    assert call("getpriority", 2, 0) == 17 - base and call("getpriority", 1, 0) == 17 - base


def test_placement(t: Any, call: Any) -> None:
    assert call("ioprio_get", 1, 0) == 2 << 13 | 4
    assert call("ioprio_set", 1, 0, 2 << 13 | 7) == 0 and call("ioprio_set", 1, 0, 1) == -22
    assert call("ioprio_set", 9, 0, 2 << 13) == -22 and call("ioprio_get", 1, 5) == -3
    t.mem.put_u64(A, 1)
    assert call("set_mempolicy", 2, A, 64) == 0 and call("set_mempolicy", 2, 0, 0) == -22
    t.mem.put_u64(A, 2)
    assert call("set_mempolicy", 2, A, 64) == -22 and call("set_mempolicy", 99, 0, 0) == -22
    assert call("get_mempolicy", B, A, 1024, 0, 4) == 0 and t.mem.u64(A) == 1
    assert call("get_mempolicy", B, 0, 0, 0, 0) == 0 and t.mem.i32(B) == 2
    assert call("mbind", 0x1000, 0x1000, 0, 0, 0, 0) == 0 and call("mbind", 1, 1, 0, 0, 0, 0) == -22
