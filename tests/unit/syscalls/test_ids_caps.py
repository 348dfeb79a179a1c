"""Ids, groups, capability calls and the prctl(2) operations on them, through the table."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from sentry.abi.const import rights as r
from sentry.creds import ALL_CAPS, KEEP, ROOT
from syscalls.registry import CONTINUE

A, B, C = 0x10000, 0x10100, 0x10200
V3 = 0x20080522


def test_ids(t: Any, call: Any) -> None:
    t.group.dumpable = 1
    assert call("setresuid", 1000, 1001, KEEP) == 0
    assert t.group.dumpable == 0
    assert (call("getuid"), call("geteuid")) == (1000, 1001)
    assert call("getresuid", A, A + 4, A + 8) == 0
    assert struct.unpack("<3I", t.mem.read(A, 12)) == (1000, 1001, 0)
    assert call("setuid", 77) == -1
    assert call("setgid", 50) == -1  # CAP_SETGID went with the effective id 0
    assert call("setreuid", KEEP, 0) == 0
    assert call("setgid", 50) == 0 and call("getegid") == 50
    assert call("setuid", KEEP) == -22
    assert call("getresuid", A, 1, B) == -14


def test_setfsuid_tells_the_old_one(t: Any, call: Any) -> None:
    assert call("setfsuid", 1000) == 0
    assert call("setfsuid", KEEP) == 1000
    assert call("setfsgid", 5) == 0 and t.creds.fsgid == 5


def test_groups(t: Any, call: Any) -> None:
    t.mem.write(A, struct.pack("<3I", 9, 3, 7))
    assert call("setgroups", 3, A) == 0
    assert call("getgroups", 0, 0) == 3
    assert call("getgroups", 2, B) == -22
    assert call("getgroups", 3, B) == 3
    assert struct.unpack("<3I", t.mem.read(B, 12)) == (3, 7, 9)
    assert call("setgroups", 65537, A) == -22
    assert call("setgroups", -1, A) == -22
    assert call("setgroups", 3, 1) == -14
    t.creds = t.creds.set_uid(1000)
    assert call("setgroups", 65537, A) == -1


def test_capget(t: Any, call: Any) -> None:
    t.mem.write(A, struct.pack("<Ii", 0, 0))
    assert call("capget", A, 0) == 0 and t.mem.u32(A) == V3
    t.mem.write(A, struct.pack("<Ii", 1, 0))
    assert call("capget", A, B) == -22
    assert call("capget", A, B) == 0
    assert struct.unpack("<6I", t.mem.read(B, 24)) == (0xFFFFFFFF, 0xFFFFFFFF, 0, ALL_CAPS >> 32, ALL_CAPS >> 32, 0)
    t.mem.write(A, struct.pack("<Ii", V3, 77))
    assert call("capget", A, B) == -3
    t.mem.write(A, struct.pack("<Ii", V3, -1))
    assert call("capget", A, B) == -22
    assert call("capget", 1, B) == -14


def test_capset(t: Any, call: Any) -> None:
    t.mem.write(A, struct.pack("<Ii", V3, 42))
    t.mem.write(B, struct.pack("<6I", 1, 3, 0, 0, 0, 0))
    assert call("capset", A, B) == 0
    assert (t.creds.effective, t.creds.permitted) == (1, 3)
    t.mem.write(B, struct.pack("<6I", 1, 7, 0, 0, 0, 0))
    assert call("capset", A, B) == -1
    t.mem.write(A, struct.pack("<Ii", V3, 1))
    assert call("capset", A, B) == -1
    t.mem.write(A, struct.pack("<Ii", 5, 0))
    assert call("capset", A, B) == -22


def test_prctl_capabilities(t: Any, call: Any) -> None:
    raw = r.CAP_NET_RAW
    assert call("prctl", r.PR_CAPBSET_READ, raw) == 1
    assert call("prctl", r.PR_CAPBSET_DROP, raw) == 0
    assert call("prctl", r.PR_CAPBSET_READ, raw) == 0
    assert call("prctl", r.PR_CAPBSET_READ, 64) == call("prctl", r.PR_CAPBSET_DROP, 41) == -22
    assert call("prctl", r.PR_CAP_AMBIENT, r.PR_CAP_AMBIENT_RAISE, 0) == -1
    t.creds = t.creds._replace(inheritable=1)
    assert call("prctl", r.PR_CAP_AMBIENT, r.PR_CAP_AMBIENT_RAISE, 0) == 0
    assert call("prctl", r.PR_CAP_AMBIENT, r.PR_CAP_AMBIENT_IS_SET, 0) == 1
    assert call("prctl", r.PR_CAP_AMBIENT, r.PR_CAP_AMBIENT_LOWER, 0) == 0 and t.creds.ambient == 0
    assert call("prctl", r.PR_CAP_AMBIENT, 9, 0) == call("prctl", r.PR_CAP_AMBIENT, 1, 63) == -22


def test_prctl_secure_bits(t: Any, call: Any) -> None:
    assert call("prctl", r.PR_SET_KEEPCAPS, 1) == 0 and call("prctl", r.PR_GET_KEEPCAPS) == 1
    assert call("prctl", r.PR_SET_KEEPCAPS, 2) == -22
    assert call("prctl", r.PR_SET_SECUREBITS, 1 << 20) == -1
    assert call("prctl", r.PR_SET_SECUREBITS, r.SECBIT_NOROOT | r.SECBIT_NOROOT_LOCKED) == 0
    assert call("prctl", r.PR_SET_SECUREBITS, 0) == -1
    assert call("prctl", r.PR_GET_SECUREBITS) == 3
    t.creds = ROOT._replace(effective=0)
    assert call("prctl", r.PR_SET_SECUREBITS, 0) == -1


def test_prctl_no_new_privs(t: Any, call: Any) -> None:
    assert call("prctl", r.PR_GET_NO_NEW_PRIVS) == 0
    assert call("prctl", r.PR_SET_NO_NEW_PRIVS, 0) == -22
    assert call("prctl", r.PR_SET_NO_NEW_PRIVS, 1, 1) == -22
    assert call("prctl", r.PR_SET_NO_NEW_PRIVS, 1) == 0
    assert call("prctl", r.PR_GET_NO_NEW_PRIVS) == 1 and t.creds.no_new_privs


def test_prctl_process(t: Any, call: Any) -> None:
    t.group.dumpable, t.group.subreaper = 1, False
    assert call("prctl", r.PR_SET_DUMPABLE, 2) == -22
    assert call("prctl", r.PR_SET_DUMPABLE, 0) == 0 and call("prctl", r.PR_GET_DUMPABLE) == 0
    assert call("prctl", r.PR_SET_NAME, A) == CONTINUE
    assert call("prctl", r.PR_SET_PDEATHSIG, 9) == CONTINUE
    assert call("prctl", r.PR_SET_PDEATHSIG, 65) == -22
    assert call("prctl", r.PR_SET_CHILD_SUBREAPER, 1) == CONTINUE
    assert call("prctl", r.PR_GET_CHILD_SUBREAPER, A) == 0 and t.mem.i32(A) == 1
    assert call("prctl", 12345) == -22
    assert call("prctl", r.PR_SET_MM, r.PR_SET_MM_BRK, 0) == -1
    assert call("prctl", r.PR_SET_SECCOMP, 2, A) == -22


@pytest.mark.parametrize("option", range(80))
def test_prctl_hostile(call: Any, option: int, t: Any) -> None:
    t.group.dumpable, t.group.subreaper = 1, False
    for value in (0, 1, 7, (1 << 64) - 1):
        assert isinstance(call("prctl", option, value, value, value, value), int)
