"""Runs pytest over the parts of tests/ with progress and an overall deadline; fails when no test ran.

usage: tools/run_tests.py [PATH...] [PYTEST OPTION...]     or     tools/run_tests.py --part NAME [PYTEST OPTION...]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TESTS = PROJECT / "tests"
REPORT = PROJECT / ".build" / "test-report.xml"
DEADLINE_S = 25 * 60
FULL_DEADLINE_S = 90 * 60       # with --full, acceptance sizes
GRACE_S = 15

# quick ones first, so that a plain mistake shows at once; a directory that is not named here runs at the end
ORDER = ("unit", "property", "golden", "packet", "fuzz", "guest", "oci", "net", "jobs", "suites", "security", "podman")


def parts() -> list[Path]:
    present = [p for p in TESTS.iterdir() if p.is_dir() and any(p.rglob("test_*.py"))] if TESTS.is_dir() else []
    return sorted(present, key=lambda p: (ORDER.index(p.name) if p.name in ORDER else len(ORDER), p.name))


def plan(argv: list[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """(paths, options for pytest, environment)."""
    env = dict(os.environ)
    if argv[:1] == ["--part"] and len(argv) > 1:
        name, rest = argv[1], argv[2:]
        where = {"guest": "sandbox", "guest-native": "host", "guest-ptrace": "ptrace"}.get(name)
        if where is not None:
            env["RUNSC_PY_GUEST_ON"] = where
            name = "guest"
        return [str(TESTS / name)], rest, env
    paths = [a for a in argv if not a.startswith("-") and Path(a.split("::")[0]).exists()]
    options = [a for a in argv if a not in paths]
    if not paths or [Path(p).resolve() for p in paths] == [TESTS]:
        paths = [str(p) for p in parts()]
    return paths, options, env


def run(paths: list[str], options: list[str], env: dict[str, str], report: Path) -> int:
    """One pytest in a process group of its own, so that what a stuck test left can be ended with it."""
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", f"--junit-xml={report}", *paths, *options]
    print(f"== pytest {' '.join(os.path.relpath(p, PROJECT) for p in paths)} {' '.join(options)}", flush=True)
    deadline_s = FULL_DEADLINE_S if "--full" in options else DEADLINE_S
    process = subprocess.Popen(command, cwd=PROJECT, env=env, start_new_session=True)
    try:
        return process.wait(deadline_s)
    except subprocess.TimeoutExpired:
        print(f"== the tests did not end within {deadline_s // 60} minutes: stopping them", file=sys.stderr, flush=True)
        return 1
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):   # at the first, pytest ends its tests' programs too
        if process.poll() is not None:
            return
        os.killpg(process.pid, signo)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            pass


def _stop(signo: int, frame: object) -> None:
    """Turned into an exception, so that pytest does not outlive us when someone ends `make test`."""
    raise SystemExit(128 + signo)


def counts(report: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit report; nothing when it was not written."""
    if not report.is_file():
        return 0, 0, 0
    total = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests", "0"))
        failed += int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
        skipped += int(suite.get("skipped", "0"))
    return total - failed - skipped, failed, skipped


def main(argv: list[str]) -> int:
    began_s = time.monotonic()
    for signo in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, _stop)
    paths, options, env = plan(argv)
    absent = [p for p in paths if not Path(p.split("::")[0]).exists()]
    if absent or not paths:
        print(f"== no such tests: {' '.join(absent) or 'tests/ is empty'}", file=sys.stderr)
        return 1
    status = run(paths, options, env, REPORT)
    passed, failed, skipped = counts(REPORT)
    print(f"== {passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - began_s:.0f} s", flush=True)
    if status == 0 and passed == 0:
        print("== no test ran to its end: that is a failure", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
