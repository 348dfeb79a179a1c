"""Runs CPython's own tests (regrtest) on the host and in a sandbox and compares them case by case.

usage: python -m tests.suites.cpython [--on=host|sandbox|both] [--user=NAME] [--match=PATTERN] [--keep=DIR] MODULE...

The suite is the one of the machine's /usr/bin/python3.11 (Debian: libpython3.11-testsuite, which leaves out some
modules), or of the interpreter that the environment's CPYTHON names. A case is named as
unittest does, "test.test_os.FileTests.test_access"; its outcome is ok, skipped, FAIL, ERROR or none (it was not run).
What differs and why is listed in cpython.toml; a difference that is not there is printed and fails.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shlex
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import PLACES, Runner, runtime

HERE = Path(__file__).resolve().parent
PYTHON = os.environ.get("CPYTHON", "/usr/bin/python3.11")     # any whose own tests are installed
SUITE = Path("/usr/lib/python3.11/test/test_os.py")
LISTED: dict[str, Any] = tomllib.loads((HERE / "cpython.toml").read_text())
MODULES: dict[str, dict[str, Any]] = LISTED["modules"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REPORT = "=== report ==="

SCRIPT = """
d=$(mktemp -d /tmp/cpython-XXXXXX) && chmod 755 "$d" && mkdir "$d/t" && chmod 1777 "$d/t" && cd "$d/t" || exit 99
export TMPDIR="$d/t" HOME="$d/t"
"$@"; s=$?
echo; echo '=== report ==='; cat "$d/t/report.xml" 2>/dev/null
cd /; rm -rf "$d"; exit $s
"""
START = re.compile(r"^(test\w+|setUpClass|setUpModule|tearDownClass|tearDownModule) \(([\w.]+)\)", re.M)
TROUBLE = re.compile(r"^=+\n(FAIL|ERROR): \w+ \(([\w.]+)\)(.*?)(?=^=+$|^Ran \d+ tests?|\Z)", re.M | re.S)
CRASHED = re.compile(r"^(test \w+ crashed|\w+ skipped) -- ", re.M)      # as a whole: there is no report
NOT_THERE = re.compile(r"^ModuleNotFoundError: No module named 'test\.", re.M)


class Outcome(NamedTuple):
    """What one run of a module gave."""

    cases: Mapping[str, str]
    traces: Mapping[str, str]   # what was printed of those that failed
    status: int | str
    text: str
    bugs: Sequence[str] = ()    # what the sandbox's kernel logged of its own failures
    unfinished: str = ""        # the case at which there was no report


class LoggingRunner(Runner):
    """A sandbox's kernel writes to `log`."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def command(self, place: str, argv: Sequence[str]) -> list[str]:
        return list(argv) if place == "host" else [*runtime(), f"--debug-log={self.log}", "do", "--", *argv]

    def bugs(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if "BUG:" in line]


def command(module: str, place: str, user: str, match: Sequence[str]) -> list[str]:
    """One module in an empty directory of its own, with a bare environment."""
    patterns = [*MODULES.get(module, {}).get("ignore", ())]
    if place != "host":
        patterns += [pattern for entry in LISTED["expected"] if entry.get("skip") for pattern in entry["cases"]]
    limit_s = MODULES.get(module, {}).get("limit_s", 120)
    become = ["/usr/bin/setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups"] if user != "root" else []
    chosen = [word for pattern in match for word in ("-m", pattern)]
    ignored = [word for pattern in patterns for word in ("-i", pattern)]
    tests = [*become, PYTHON, "-m", "test", "-v", "--fail-env-changed", f"--timeout={limit_s}",
             "--junit-xml=report.xml", *chosen, *ignored, module]
    if MODULES.get(module, {}).get("terminal"):
        tests = ["/usr/bin/script", "-qefc", shlex.join(tests), "/dev/null"]
    return ["/usr/bin/env", "-i", f"PATH={PATH}", "LC_ALL=C.UTF-8", "/bin/sh", "-c", SCRIPT, "sh", *tests]


def run(module: str, place: str, user: str = "root", match: Sequence[str] = ()) -> Outcome:
    limit_s = MODULES.get(module, {}).get("limit_s", 120)
    with tempfile.TemporaryDirectory() as directory:
        runner = LoggingRunner(Path(directory) / "log")
        result = runner.run(place, command(module, place, user, match), limit_s + 20)
        bugs = runner.bugs()
    text = result.output.decode(errors="replace").replace("\r\n", "\n")
    before, marker, after = text.rpartition(f"{REPORT}\n")
    output, report = (before, after) if marker else (text, "")
    status = "did not end" if result.timed_out else result.status
    traces: dict[str, str] = {}
    for trouble in TROUBLE.finditer(output):
        traces[trouble[2]] = traces.get(trouble[2], "") + trouble[3]
    begun = [start[2] for start in START.finditer(output)]
    unfinished = "" if report.strip() or CRASHED.search(output) else (begun or ["its start"])[-1]
    return Outcome(cases(output, report), traces, status, output, bugs, unfinished)


def cases(output: str, report: str) -> dict[str, str]:
    """The outcome of each case."""
    found: dict[str, str] = {}
    if report.strip():
        for case in ElementTree.fromstring(report).iter("testcase"):
            if name := case.get("name"):
                found[name] = _kind(case)
    for trouble in TROUBLE.finditer(output):    # subtests are only here
        found[trouble[2]] = trouble[1]
    return found


def _kind(case: ElementTree.Element) -> str:
    for tag, kind in (("failure", "FAIL"), ("error", "ERROR"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return kind
    return "unexpected success" if case.find("outcome") is not None else "ok"


def differences(host: Outcome, guest: Outcome) -> dict[str, tuple[str, str]]:
    """Case: (on the host, in the sandbox), of those that differ."""
    names = sorted(set(host.cases) | set(guest.cases))
    pairs = {name: (host.cases.get(name, "none"), guest.cases.get(name, "none")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def reason(case: str, trace: str) -> str | None:
    """Why this case is expected to differ. An entry with `error` is for those whose trace says that."""
    return next((entry["why"] for entry in LISTED.get("expected", ())
                 if any(fnmatch.fnmatchcase(case, pattern) for pattern in entry["cases"])
                 and re.search(entry.get("error", ""), trace)), None)


def compare(module: str, user: str = "root", match: Sequence[str] = (), keep: Path | None = None) -> list[str]:
    """Run on both, print what differs; the lines of what was not expected."""
    host, guest = outcomes = [run(module, place, user, match) for place in PLACES]
    if keep:
        for place, outcome in zip(PLACES, outcomes, strict=True):
            (keep / f"{module}.{place}.txt").write_text(outcome.text)
    if NOT_THERE.search(host.text):
        print(f"{module}: the suite has no such module", flush=True)
        return []
    lines, unexpected = list(guest.bugs), list(guest.bugs)
    for place, outcome in zip(PLACES, outcomes, strict=True):
        if outcome.unfinished:
            last = outcome.text.rstrip().rpartition("\n")[2]
            where = f"status {outcome.status}; at {outcome.unfinished}"
            lines.append(f"{module} did not end on the {place}, {where}: {last}")
            unexpected.append(lines[-1])
    found = {} if unexpected[len(guest.bugs):] else differences(host, guest)
    for case, (there, here) in found.items():
        known = reason(case, guest.traces.get(case, ""))
        line = f"{case}: host {there}, sandbox {here}"
        lines.append(f"{line} ({known})" if known else f"{line} (not expected)")
        if not known:
            unexpected.append(line)
    if host.status != guest.status and not lines:
        unexpected.append(f"{module}: status {host.status} on the host, {guest.status} in the sandbox")
        lines.append(unexpected[-1])
    print(f"{module}: {len(host.cases)} cases, {len(found)} differ, {len(unexpected)} not expected", flush=True)
    print("".join(f"    {line}\n" for line in lines), end="", flush=True)
    return unexpected


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--on", choices=(*PLACES, "both"), default="both")
    parser.add_argument("--user", default="root")
    parser.add_argument("--match", action="append", default=[])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("modules", nargs="*", default=list(MODULES))
    options = parser.parse_args(argv)
    bad = 0
    for module in options.modules:
        if options.on == "both":
            bad += len(compare(module, options.user, options.match, options.keep))
        else:
            outcome = run(module, options.on, options.user, options.match)
            print(outcome.text, *outcome.bugs, sep="\n")
            print(f"{module}: {len(outcome.cases)} cases, status {outcome.status}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
