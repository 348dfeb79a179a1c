"""A task without a kernel: enough of `t` for handlers that only compute."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

from sentry.abi.errno import EFAULT, ENAMETOOLONG, Errno
from sentry.creds import ROOT
from syscalls import registry, table

PAGE = 0x10000
SIZE = 0x10000


class Memory:
    """64 KiB of guest memory at PAGE; anything else is EFAULT."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)

    def read(self, addr: int, size: int) -> bytes:
        if not PAGE <= addr <= addr + size <= PAGE + SIZE:
            raise EFAULT
        return bytes(self.data[addr - PAGE : addr - PAGE + size])

    def read_some(self, addr: int, size: int) -> bytes:
        if not PAGE <= addr < PAGE + SIZE:
            raise EFAULT
        return self.read(addr, min(size, PAGE + SIZE - addr))

    def write(self, addr: int, data: bytes) -> int:
        self.read(addr, len(data))
        self.data[addr - PAGE : addr - PAGE + len(data)] = data
        return len(data)

    write_some = write

    def cstring(self, addr: int, limit: int) -> bytes:
        data, end, _ = self.read_some(addr, limit).partition(b"\0")
        if not end:
            raise ENAMETOOLONG
        return data

    def path(self, addr: int) -> bytes:
        return self.cstring(addr, 4096)

    def u32(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 4), "little")

    def i32(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 4), "little", signed=True)

    def u64(self, addr: int) -> int:
        return int.from_bytes(self.read(addr, 8), "little")

    def put_u32(self, addr: int, value: int) -> None:
        self.write(addr, value.to_bytes(4, "little"))

    def put_i32(self, addr: int, value: int) -> None:
        self.write(addr, value.to_bytes(4, "little", signed=True))

    def put_u64(self, addr: int, value: int) -> None:
        self.write(addr, value.to_bytes(8, "little"))

    def unpack(self, layout: struct.Struct, addr: int) -> tuple[Any, ...]:
        return layout.unpack(self.read(addr, layout.size))

    def pack(self, layout: struct.Struct, addr: int, *values: Any) -> None:
        self.write(addr, layout.pack(*values))


class Bag:
    """Whatever attributes a test gives it."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture
def t() -> Any:
    task: Any = Bag(tid=42, host_tid=4242, mem=Memory(), creds=ROOT, comm=b"test", affinity=frozenset(), policy=0)
    task.group = Bag(pid=42, host_pid=4242, leader=task, tasks={4242: task}, host_tasks={})
    uts = Bag(nodename=b"box", domainname=b"(none)")
    task.kernel = Bag(tasks={4242: task}, cpus=frozenset(os.sched_getaffinity(0)), uts=uts)
    task.kernel.find_task = lambda tid: task if tid == 42 else None
    task.kernel.find_group = lambda pid: task.group if pid == 42 else None
    return task


@pytest.fixture
def call(t: Any) -> Callable[..., int]:
    """call("name", registers...): through the table as the loop does, an Errno as a negative number."""
    by_number, numbers = table.table("x86_64"), registry.numbers("x86_64")

    def run(name: str, *registers: int) -> int:
        raw: Any = tuple(r & (1 << 64) - 1 for r in (*registers, 0, 0, 0, 0, 0, 0)[:6])
        try:
            return by_number[numbers[name]](t, raw)
        except Errno as err:
            return -err.code

    return run
