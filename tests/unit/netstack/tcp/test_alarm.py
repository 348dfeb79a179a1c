"""A deadline that moves costs no timer each time, and is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netstack.tcp.alarm import Alarm
from netstack.timers import Timers


@given(st.lists(st.tuples(st.integers(-1, 50), st.integers(0, 20)), max_size=30))
def test_rings_when_it_is_set_to(steps: list[tuple[int, int]]) -> None:
    timers = Timers(lambda: None)
    rung: list[int] = []
    now = 0
    alarm = Alarm(timers, lambda: rung.append(now))
    wanted = -1
    for delay, passes in steps:
        wanted = -1 if delay < 0 else now + delay
        alarm.set(wanted)
        for _ in range(passes):
            now += 1
            timers.run(now)
            timers.run(now)
            if 0 <= wanted <= now:
                assert rung.pop() == now and not rung
                assert now == max(wanted, now)
                wanted = -1
            assert not rung
    alarm.stop()
    timers.run(10_000)
    assert not rung and timers.next_ns() == -1


def test_moving_on_leaves_the_timer_alone() -> None:
    timers = Timers(lambda: None)
    alarm = Alarm(timers, lambda: None)
    for deadline in range(1000):
        alarm.set(deadline)
    assert len(timers._heap) == 1
