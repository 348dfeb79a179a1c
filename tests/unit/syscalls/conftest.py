"""A task without a kernel: enough of `t` for handlers that only compute."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from sentry.abi.errno import Errno
from sentry.creds import ROOT
from syscalls import registry, table
from tests.unit.guest_memory import GuestMemory

PAGE = 0x10000
SIZE = 0x10000


class Bag:
    """Whatever attributes a test gives it."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@pytest.fixture
def t() -> Any:
    task: Any = Bag(tid=42, host_tid=4242, creds=ROOT, comm=b"test", affinity=frozenset(), policy=0, ioprio=0)
    task.mem = GuestMemory(PAGE, SIZE)
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
