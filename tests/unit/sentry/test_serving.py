"""What a handler may not do to the loop (sentry/platform/serving.py, sentry/kernel/parking.py)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sentry.kernel import parking
from sentry.platform.serving import Served
from sentry.verdict import CONTINUE, RESULT_MAX
from sentry.wait import Park

EIO = 5


@pytest.fixture
def kernel() -> Any:
    answers: list[int] = []
    platform = SimpleNamespace(answer=lambda t, value: answers.append(value))
    return SimpleNamespace(platform=platform, answers=answers, handler_failed=lambda t, nr: -EIO)


def served(kernel: Any, handler: Callable[..., int]) -> int:
    platform: Any = SimpleNamespace(table=[handler], continued=frozenset(), trace=None)
    return Served.server(platform, kernel)(SimpleNamespace(clone_pending=None), 0, (0,) * 6)  # type: ignore[arg-type]


@pytest.mark.parametrize(("result", "answer"), [
    (RESULT_MAX, RESULT_MAX), (RESULT_MAX + 1, -EIO), (1 << 80, -EIO), (CONTINUE, -EIO),
])  # fmt: skip
def test_a_result_that_no_register_holds(kernel: Any, result: int, answer: int) -> None:
    assert served(kernel, lambda t, a: result) == answer


def test_any_exception(kernel: Any) -> None:
    def handler(t: Any, a: Any) -> int:
        raise ZeroDivisionError

    assert served(kernel, handler) == -EIO


@pytest.mark.parametrize(("result", "answer"), [(7, 7), (RESULT_MAX + 1, -EIO)])
def test_results_of_parked_calls(kernel: Any, result: int, answer: int) -> None:
    t = SimpleNamespace(kernel=kernel, parked=None)
    for end in (parking._again, parking._expire):
        t.parked = parking.Parked(t, Park(lambda: result, [], expired=lambda: result), 0)  # type: ignore[arg-type]
        end(kernel, t.parked)
    assert kernel.answers == [answer, answer]
