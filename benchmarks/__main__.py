"""`make bench`: the tables of calls, network, jobs, start and memory; columns in turn, medians, ratios to the first."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import calls, jobs, network, processes, start
from .columns import PROJECT, Column, Host, Ours, Runsc

sys.path.insert(0, str(PROJECT / "tools"))

from provision import busybox, debian_root
from provision.progress import StepFailed

PARTS = ("calls", "network", "jobs", "start")
MINUTES = {"calls": 1, "network": 2, "jobs": 5, "start": 1}      # with three rounds on two cores
COLUMNS = {"host": Host, "runsc": Runsc, "ours": Ours}


def note(text: str) -> None:
    """What is being measured now, on the terminal's one line; into a log file only the tables go."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def names(text: str, known: tuple[str, ...]) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    for name in chosen:
        if name not in known:
            raise SystemExit(f"benchmarks: {name!r} is none of {', '.join(known)}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="columns of the calls and jobs tables")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts = names(options.only, PARTS)
    chosen = names(options.columns, tuple(COLUMNS))
    if os.geteuid() != 0:
        print("benchmarks: chroot and the runtimes need root", file=sys.stderr)
        return 1
    processes.become_subreaper()
    processes.leave_hybrid_cgroups()
    began_s = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="runsc-py-bench."))
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, CPython {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds", flush=True)
    try:
        columns: list[Column] = [COLUMNS[name](scratch) for name in chosen]
        for part in parts:
            print(f"\n== measuring {part}, {MINUTES[part]} minutes or so", flush=True)
            for text in _tables(part, columns, scratch, options.rounds):
                note("")
                print(f"\n{text}", flush=True)
    except StepFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"\n== measured in {time.monotonic() - began_s:.0f} s")
    return 0


def _tables(part: str, columns: list[Column], scratch: Path, rounds: int) -> list[str]:
    if part == "calls":
        return [calls.measure(columns, scratch, rounds, note).text()]
    if part == "network":
        return [network.measure(columns, scratch, rounds, note).text()]
    if part == "jobs":
        return [jobs.measure(columns, debian_root.ensure(), rounds, note).text()]
    return [
        start.start_table(scratch, rounds, note).text(),
        start.podman_table(busybox.ensure(), rounds, note).text(),
        start.idle_table(scratch, note).text(),
    ]


if __name__ == "__main__":
    sys.exit(main())
