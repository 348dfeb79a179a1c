"""Prints docs/syscalls.md from the call table (`runsc-py help syscalls --format=json`); `--check` only compares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "syscalls.md"
ENTRY = PROJECT / ".venv" / "bin" / "runsc-py"

HEAD = """\
# System calls

Printed from the call table by `make docs`; do not edit.
`runsc-py help syscalls --format=table|json|csv` prints the same.
"""


def rows() -> list[dict[str, object]]:
    """The table as the program prints it."""
    done = subprocess.run([ENTRY, "help", "syscalls", "--format=json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"runsc-py help syscalls: {done.stderr.strip()[-500:]}")
    table = json.loads(done.stdout)
    if isinstance(table, dict):
        table = table["syscalls"]
    return list(table)


def page(table: list[dict[str, object]]) -> str:
    support = Counter(str(row["support"]) for row in table)
    counted = ", ".join(f"{count} {name}" for name, count in support.most_common())
    lines = [HEAD, f"{len(table)} calls: {counted}.\n", "| nr | name | support | note |", "|---:|---|---|---|"]
    for row in table:
        note = str(row.get("note") or "").replace("|", "\\|")
        lines.append(f"| {row['nr']} | {row['name']} | {row['support']} | {note} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    text = page(rows())
    if argv == ["--check"]:
        if PAGE.is_file() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.relative_to(PROJECT)} is stale: run `make docs`")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text)
    print(f"== {PAGE.relative_to(PROJECT)}: {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
