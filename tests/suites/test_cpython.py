"""CPython's own tests give the same results in a sandbox as on the host (cpython.py; `--full` for all of them)."""

from __future__ import annotations

import pytest

from tests.suites import cpython

QUICK = [name for name, entry in cpython.MODULES.items() if entry.get("quick")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "module" in metafunc.fixturenames:
        metafunc.parametrize("module", cpython.MODULES if metafunc.config.getoption("--full") else QUICK)


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> None:
    if not cpython.SUITE.exists():
        pytest.skip(f"not installed: {cpython.SUITE} (Debian's libpython3.11-testsuite)")
    if request.config.getoption("--on") != "both":
        pytest.skip("compares host and sandbox")


@pytest.mark.timeout(0)     # the runner has limits of its own, which also end the sandbox
@pytest.mark.usefixtures("suite")
def test_module(module: str) -> None:
    unexpected = cpython.compare(module)
    assert not unexpected, "\n".join(unexpected)


@pytest.mark.usefixtures("suite")
def test_all_modules(full: bool) -> None:
    """So that the quick run says what it left out."""
    if not full:
        pytest.skip(f"{len(cpython.MODULES) - len(QUICK)} modules take long: only with --full (make suites)")


def test_lists_are_sound() -> None:
    for entry in cpython.LISTED["expected"]:
        assert set(entry) <= {"why", "cases", "error", "skip"}
        assert entry["why"] and entry["cases"]
    for entry in cpython.MODULES.values():
        assert set(entry) <= {"limit_s", "quick", "terminal", "ignore"}
