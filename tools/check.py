"""`make check`: lint, types, import contracts, freshness of generated files, lengths; all are run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MAX_LINES = 500
BANNER = " ╔╗╚╝═║╠╣╦╩─▶◀┐┘└│▲╬"   # what import-linter draws above its findings
COUNTED = (".py", ".c", ".h", ".S", ".ld", ".sh", ".md", ".toml", "")


def command(*argv: str) -> list[str]:
    """Output lines of a tool that failed; nothing when it was content."""
    done = subprocess.run(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        return []
    return [*(line for line in done.stdout.splitlines() if line.strip(BANNER)), f"(status {done.returncode})"]


def tracked() -> list[Path]:
    """Files that are or would be in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, check=True,
    ).stdout
    return [PROJECT / name.decode() for name in sorted(set(listed.split(b"\0"))) if name]


def lengths() -> list[str]:
    problems = []
    for path in tracked():
        if path.suffix not in COUNTED or not path.is_file():
            continue
        count = path.read_bytes().count(b"\n")
        if count > MAX_LINES:
            problems.append(f"{path.relative_to(PROJECT)}: {count} lines, the ceiling is {MAX_LINES}")
    return problems


def generated() -> list[str]:
    tool = PROJECT / "tools" / "gen_abi.py"
    return command(sys.executable, str(tool), "--check") if tool.is_file() else ["tools/gen_abi.py is missing"]


def docs() -> list[str]:
    return command(sys.executable, "-m", "syscalls.table", "--check")


CHECKS: list[tuple[str, Callable[[], list[str]]]] = [
    ("ruff", lambda: command(str(BIN / "ruff"), "check", "--quiet", "--output-format=concise", ".")),
    ("mypy --strict", lambda: command(str(BIN / "mypy"))),
    ("lint-imports", lambda: command(str(BIN / "lint-imports"))),
    ("sentry/abi is what tools/gen_abi.py generates", generated),
    ("docs/syscalls.md is what the call table prints", docs),
    (f"no file over {MAX_LINES} lines", lengths),
]


def main() -> int:
    bad = []
    for name, check in CHECKS:
        began_s = time.monotonic()
        problems = check()
        print(f"{'FAIL' if problems else 'ok  '}  {name}  ({time.monotonic() - began_s:.1f} s)", flush=True)
        for line in problems:
            print(f"      {line}")
        if problems:
            bad.append(name)
    print(f"== check: {'clean' if not bad else 'failed: ' + ', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
