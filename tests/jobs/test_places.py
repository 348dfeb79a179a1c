"""Everyday work in a Debian root: through `run`, and through podman, as below chroot(2) on the host's own kernel.

Quick jobs by default; with --full every job of *.toml in its full size, and all of job control at a terminal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.jobs import places, test_terminal
from tests.jobs.terminal import Terminal
from tests.jobs.test_jobs import JOBS, command, missing, same

QUICK = ("dash-basics", "traps", "background", "permissions", "files", "python-subprocess")
QUICK_SESSIONS = (test_terminal.test_stop_and_go_on, test_terminal.test_dash_job_control)
SESSIONS = (
    *QUICK_SESSIONS, test_terminal.test_stopped_pipeline, test_terminal.test_interrupt_and_quit,
    test_terminal.test_background_read_stops, test_terminal.test_background_write_stops_when_asked,
    test_terminal.test_window_size, test_terminal.test_line_discipline, test_terminal.test_terminal_files,
    test_terminal.test_end_of_input_ends_the_shell,
)
SETTINGS = ["PATH=/usr/bin:/bin", "LC_ALL=C", "TERM=dumb", "PS1=$ ", "HISTFILE="]
PATIENCE = 4        # times a job's own limit: a container's start and a loaded machine are in it

pytestmark = pytest.mark.timeout(0)
Expect = Callable[[str], Result]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = metafunc.config.getoption("--full")
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", JOBS if full else QUICK)
    if "session" in metafunc.fixturenames:
        metafunc.parametrize("session", SESSIONS if full else QUICK_SESSIONS, ids=lambda session: session.__name__)
    if "at" in metafunc.fixturenames:
        metafunc.parametrize("at", places.PLACES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest, full: bool) -> Path:
    """Built with its progress on the terminal: it takes minutes on a slow line, once."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return places.ensure_root(full)


@pytest.fixture(scope="session")
def at(request: pytest.FixtureRequest, root: Path) -> Iterator[places.Place]:
    if request.config.getoption("--on") == "host":
        pytest.skip("not on the host")
    if request.param == "podman" and not shutil.which("podman"):
        pytest.skip("not installed: podman")
    with ExitStack() as stack:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            place = stack.enter_context(places.PLACES[request.param](root))
        yield place


@pytest.fixture(scope="session")
def expected(root: Path, full: bool) -> Iterator[Expect]:
    """What each job does on the host's kernel, asked once."""
    known: dict[str, Result] = {}
    with places.chroot(root) as native:
        def ask(name: str) -> Result:
            if name not in known:
                known[name] = native.job(command(name, full), limit_s(name))
            return known[name]

        yield ask


def limit_s(name: str) -> float:
    return float(JOBS[name].get("limit_s", 60)) * PATIENCE


def test_job(name: str, at: places.Place, root: Path, expected: Expect, full: bool) -> None:
    assert not missing(name, str(root)), "the root was made without them"
    same(expected(name), at.job(command(name, full), limit_s(name)))


def test_at_a_terminal(session: Callable[[Terminal], None], at: places.Place) -> None:
    """Job control of a shell that is the container's pid 1: what it must do is told in test_terminal.py."""
    shell = test_terminal.DASH if session is test_terminal.test_dash_job_control else test_terminal.BASH
    try:
        with Terminal(at.begin(["/usr/bin/env", "-i", *SETTINGS, *shell], terminal=True)) as t:
            t.prompt()
            session(t)
            if session in QUICK_SESSIONS:       # these end at a prompt; dash as pid 1 outlives its terminal
                t.line("exit 7")
                assert t.exit_status() == 7
    finally:
        at.tidy()
