"""What all tests share: where to run a program (on the host, in a sandbox), with what command, and how long at most.

Environment: RUNSC_PY, the runtime's command (default: .venv/bin/runsc-py of this tree); RUNSC_PLATFORM, passed on as
--platform; RUNSC_PY_GUEST_ON = host | sandbox | ptrace | both (the first two), where guest programs and jobs run;
"ptrace" is a sandbox with --platform=ptrace.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PLACES = ("host", "sandbox")
BY_PTRACE = "ptrace"
signal.pthread_sigmask(signal.SIG_SETMASK, [])      # what a caller blocked would be inherited by every program below
for _signo in (signal.SIGINT, signal.SIGQUIT):         # a shell's background jobs start with these ignored
    if signal.getsignal(_signo) is signal.SIG_IGN:
        signal.signal(_signo, signal.default_int_handler if _signo == signal.SIGINT else signal.SIG_DFL)
if str(PROJECT) not in sys.path:        # tests share modules as tests.NAME
    sys.path.insert(0, str(PROJECT))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="acceptance sizes instead of the quick ones")
    parser.addoption("--on", choices=(*PLACES, BY_PTRACE, "both"), default=os.environ.get("RUNSC_PY_GUEST_ON", "both"),
                     help="where guest programs and jobs run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        on = metafunc.config.getoption("--on")
        metafunc.parametrize("place", PLACES if on == "both" else [on])


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))


def runtime(platform: str | None = None) -> list[str]:
    """The runtime's command with its global flags."""
    command = shlex.split(os.environ.get("RUNSC_PY", str(PROJECT / ".venv" / "bin" / "runsc-py")))
    platform = platform or os.environ.get("RUNSC_PLATFORM")
    return [*command, *([f"--platform={platform}"] if platform else [])]


class Result(NamedTuple):
    status: int             # exit code, or minus the signal as subprocess has it
    output: bytes           # stdout and stderr in the order in which they came
    timed_out: bool


class Runner:
    """Runs a command on the host or in a sandbox of the host's own root."""

    def command(self, place: str, argv: Sequence[str]) -> list[str]:
        if place == "host":
            return list(argv)
        return [*runtime(BY_PTRACE if place == BY_PTRACE else None), "do", "--", *argv]

    def run(self, place: str, argv: Sequence[str], timeout_s: float, cwd: Path | None = None,
            env: dict[str, str] | None = None) -> Result:
        """One command in a session of its own, so that what it leaves behind can be ended with it."""
        process = subprocess.Popen(self.command(place, argv), cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        try:
            output, _ = process.communicate(timeout=timeout_s)
            return Result(process.returncode, output, False)
        except subprocess.TimeoutExpired:
            return Result(-1, self.end(process), True)
        finally:
            kill_group(process.pid, signal.SIGKILL)

    def end(self, process: subprocess.Popen[bytes]) -> bytes:
        """A runtime is first asked to end its sandbox, then made to."""
        for signo in (signal.SIGTERM, signal.SIGKILL):
            kill_group(process.pid, signo)
            try:
                return process.communicate(timeout=5)[0] or b""
            except subprocess.TimeoutExpired:
                continue
        return b""


def kill_group(pid: int, signo: int) -> None:
    try:
        os.killpg(pid, signo)
    except (ProcessLookupError, PermissionError):
        pass


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.config.getoption("--on") != "host" and shutil.which(runtime()[0]) is None:
        pytest.fail(f"no runtime: {runtime()[0]} (run make test, or set RUNSC_PY)")
    return Runner()
