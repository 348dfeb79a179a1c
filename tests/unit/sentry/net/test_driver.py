"""The driver of a stack: its clock, its turns, its one timer."""

from __future__ import annotations

from typing import Any

import pytest

from sentry.net.namespace import NetNamespace
from tests.unit.syscalls.anon.fake_kernel import FakeKernel


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def net(kernel: FakeKernel) -> Any:
    kernel.run_deferred()
    return kernel.net


def test_entering_sets_the_clock(kernel: FakeKernel, net: NetNamespace) -> None:
    kernel.time_ns += 12345
    assert net.enter().now_ns == kernel.time_ns


def test_a_stack_with_nothing_to_do_has_no_turn(kernel: FakeKernel, net: NetNamespace) -> None:
    kernel.advance(3600 * 1_000_000_000)
    assert not kernel.deferred


def test_timers_run_when_they_are_due(kernel: FakeKernel, net: NetNamespace) -> None:
    ran: list[int] = []
    stack = net.enter()
    for delay in (5000, 1000, 3000):
        stack.timers.add(stack.now_ns + delay, lambda delay=delay: ran.append(delay))  # type: ignore[misc]
    kernel.run_deferred()
    kernel.advance(999)
    assert not ran
    kernel.advance(1)
    assert ran == [1000]
    kernel.advance(5000)
    assert ran == [1000, 3000, 5000]


def test_an_earlier_deadline_moves_the_timer(kernel: FakeKernel, net: NetNamespace) -> None:
    ran: list[int] = []
    stack = net.enter()
    stack.timers.add(stack.now_ns + 5000, lambda: ran.append(5000))
    kernel.run_deferred()
    stack.timers.add(stack.now_ns + 100, lambda: ran.append(100))
    kernel.run_deferred()
    kernel.advance(100)
    assert ran == [100]


def test_wakeups_are_one_turn(kernel: FakeKernel, net: NetNamespace) -> None:
    for _ in range(5):
        net.driver.wakeup()
    assert len(kernel.deferred) == 1
