"""UserMemory against the double that the other tests use: the C code does what the Python says."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sentry.abi.errno import EFAULT
from sentry.abi.structs import STAT
from sentry.engine._engine import ffi, lib
from sentry.mm.user import UserMemory
from tests.unit.guest_memory import GuestMemory
from vfs.core.file import Stat


@pytest.fixture
def own() -> Any:
    """(memory of this process, address of 512 bytes of it, the bytes)"""
    place = ffi.new("unsigned char[512]")
    return UserMemory(os.getpid()), int(ffi.cast("uintptr_t", place)), ffi.buffer(place), place


TIMES_NS = (0, 1, 999_999_999, 1_000_000_000, 1_790_000_000_123_456_789, -1, -1_500_000_000, 2**65, -(2**64))


@pytest.mark.parametrize("at", TIMES_NS)
def test_put_stat(own: Any, at: int) -> None:
    mem, addr, content, _ = own
    double = GuestMemory(addr, 512)
    st = Stat(0x803, 2**63 + 5, 0o100644, 2, 1000, 4294967294, 0x501, 2**40, 4096, 77, at, at + 1, at - 1, 0)
    mem.put_stat(addr, st)
    double.put_stat(addr, st)
    assert content[: STAT.size] == double.read(addr, STAT.size)
    with pytest.raises(EFAULT):
        mem.put_stat(8, st)


def test_copies(own: Any) -> None:
    mem, addr, content, _ = own
    mem.write(addr, b"some text\0")
    assert mem.read(addr, 4) == b"some" and mem.read_some(addr, 10) == b"some text\0"
    assert mem.cstring(addr, 100) == b"some text"
    assert mem.write_some(addr, memoryview(b"More")) == 4 and content[:9] == b"More text"
    for call, argument in ((mem.read, 4), (mem.read_some, 4), (mem.write_some, b"x")):
        with pytest.raises(EFAULT):
            call(8, argument)


def test_listing(tmp_path: Any) -> None:
    """eng_list and eng_slice: every name once, in answers of any size."""
    names = {b"f%d" % i * (i % 30 + 1) for i in range(3000)}
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    room, records, cookie = ffi.new("char[]", 65536), b"", 3
    part = ffi.new("uint64_t[2]")
    while size := lib.eng_list(fd, room, 65536, cookie):
        assert size > 0
        cookie += lib.eng_slice(room, size, 0, 0, size, part)
        records += ffi.buffer(room)[:size]
    os.close(fd)
    assert cookie == 3 + len(names)
    found, at, count = [], 0, 0
    while at < len(records):
        n = lib.eng_slice(records, len(records), at, 0, 300, part)
        assert n > 0 and part[0] == at and part[1] - at <= 300
        assert lib.eng_slice(records, len(records), 0, count, 300, part) == n and part[0] == at
        end = part[1]
        while at < end:
            length = int.from_bytes(records[at + 16 : at + 18], "little")
            count += 1
            assert int.from_bytes(records[at + 8 : at + 16], "little") == count + 2
            found.append(records[at + 19 : at + length].partition(b"\0")[0])
            at += length
    assert sorted(found) == sorted(names)
