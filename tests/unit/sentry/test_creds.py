"""sentry.creds: transitions at exec (capabilities(7)) and questions."""

from __future__ import annotations

import struct

import pytest

from sentry.abi.const.rights import CAP_CHOWN, CAP_NET_RAW, CAP_SETUID, SECBIT_KEEP_CAPS, SECBIT_NOROOT
from sentry.abi.errno import EINVAL, EPERM
from sentry.creds import ALL_CAPS, ROOT, Credentials, FileCaps

USER = Credentials(1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, (5, 7, 100))
RAW = 1 << CAP_NET_RAW


def test_groups() -> None:
    assert USER.in_group(1000) and USER.in_group(7) and not USER.in_group(6)
    assert not USER._replace(fsgid=1).in_group(1000)


def test_require() -> None:
    ROOT.require(CAP_CHOWN)
    with pytest.raises(EPERM):
        USER.require(CAP_CHOWN)


def test_exec_plain() -> None:
    assert ROOT.for_exec() == (ROOT, False)
    assert USER.for_exec() == (USER, False)
    bounded = ROOT._replace(bounding=RAW)
    after, _ = bounded.for_exec()
    assert after.permitted == after.effective == RAW


def test_exec_set_id() -> None:
    after, secure = USER.for_exec(set_uid=0)
    assert secure and (after.ruid, after.euid, after.suid, after.fsuid) == (1000, 0, 0, 0)
    assert after.permitted == after.effective == ALL_CAPS
    after, secure = USER.for_exec(set_gid=50)
    assert secure and (after.rgid, after.egid, after.sgid, after.fsgid) == (1000, 50, 50, 50) and not after.permitted


def test_no_new_privs() -> None:
    user = USER._replace(no_new_privs=True)
    assert user.for_exec(set_uid=0, set_gid=0) == (user, False)
    after, secure = user.for_exec(file_caps=FileCaps(RAW, 0, True))
    assert after.permitted == after.effective == 0 and secure


def test_file_caps() -> None:
    after, secure = USER.for_exec(file_caps=FileCaps(RAW, 0, True))
    assert secure and after.permitted == after.effective == RAW
    after, secure = USER.for_exec(file_caps=FileCaps(RAW, 0, False))
    assert secure and after.permitted == RAW and after.effective == 0
    with pytest.raises(EPERM):  # the bounding set takes what the program cannot do without
        USER._replace(bounding=0).for_exec(file_caps=FileCaps(RAW, 0, True))
    inherits = USER._replace(inheritable=RAW, bounding=0)
    after, _ = inherits.for_exec(file_caps=FileCaps(0, RAW, True))
    assert after.effective == RAW


def test_ambient() -> None:
    user = USER._replace(permitted=RAW, inheritable=RAW, ambient=RAW)
    after, secure = user.for_exec()
    assert (after.permitted, after.effective, after.ambient, secure) == (RAW, RAW, RAW, False)
    after, _ = user.for_exec(set_gid=0)
    assert after.ambient == after.permitted == 0


def test_suid_root_with_file_caps_gets_only_those() -> None:
    after, _ = USER.for_exec(set_uid=0, file_caps=FileCaps(RAW, 0, True))
    assert after.euid == 0 and after.permitted == RAW


def test_securebits() -> None:
    after, _ = USER._replace(securebits=SECBIT_NOROOT | SECBIT_KEEP_CAPS).for_exec(set_uid=0)
    assert after.permitted == 0 and after.securebits == SECBIT_NOROOT
    kept = ROOT._replace(securebits=SECBIT_KEEP_CAPS).set_uid(1000)
    assert kept.permitted == ALL_CAPS and kept.effective == 0


def test_shared_fs() -> None:
    after, _ = USER.for_exec(set_uid=0, shared_fs=True)
    assert after.euid == 1000 and after.permitted == 0
    able = USER._replace(permitted=1 << CAP_SETUID, effective=1 << CAP_SETUID)
    assert able.for_exec(set_uid=0, shared_fs=True)[0].permitted == 1 << CAP_SETUID


def test_parse_file_caps() -> None:
    two = struct.pack("<5I", 0x0200_0001, RAW, 0, 1, 0)
    assert FileCaps.parse(two) == FileCaps(RAW | 1 << 32, 0, True)
    assert FileCaps.parse(struct.pack("<6I", 0x0300_0000, 1, 2, 0, 0, 0)) == FileCaps(1, 2, False)
    assert FileCaps.parse(struct.pack("<6I", 0x0300_0000, 1, 2, 0, 0, 1000)) is None
    for bad in (b"", two[:-1], struct.pack("<5I", 0x0400_0000, 0, 0, 0, 0)):
        with pytest.raises(EINVAL):
            FileCaps.parse(bad)
