"""CPython's own tests give the same results in a sandbox as on the host (cpython.py; `--full` for all of them)."""

from __future__ import annotations

import pytest

from tests.suites import cpython

QUICK = {name: entry["quick"] for name, entry in cpython.MODULES.items() if "quick" in entry}


@pytest.mark.timeout(0)     # the runner has limits of its own, which also end the sandbox
@pytest.mark.parametrize("module", cpython.MODULES)
def test_module(module: str, full: bool, request: pytest.FixtureRequest) -> None:
    if not cpython.SUITE.exists():
        pytest.skip(f"not installed: {cpython.SUITE} (Debian's libpython3.11-testsuite)")
    if request.config.getoption("--on") != "both":
        pytest.skip("compares host and sandbox")
    if not full and module not in QUICK:
        pytest.skip("takes long: only with --full")
    match = [] if full or QUICK[module] is True else QUICK[module]
    unexpected = cpython.compare(module, match=match)
    assert not unexpected, "\n".join(unexpected)


def test_lists_are_sound() -> None:
    for entry in cpython.LISTED["expected"]:
        assert set(entry) <= {"why", "cases", "error", "skip"}
        assert entry["why"] and entry["cases"]
    for entry in cpython.MODULES.values():
        assert set(entry) <= {"limit_s", "quick", "ignore"}
