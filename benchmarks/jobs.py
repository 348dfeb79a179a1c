"""The jobs table: ordinary work in a Debian root file system, in ms, without the sandbox's start."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from . import build
from .columns import Column, Unmeasured
from .table import Bound, Table

# row -> (shell, script, what is wanted of ours)
ROWS = {
    "shell (dash)": ("/bin/dash", "shell.sh", Bound(4, "1.8x", of_first=True)),
    "shell (bash)": ("/bin/bash", "shell.sh", Bound(4, "1.8x", of_first=True)),
    "cc": ("/bin/sh", "cc.sh", Bound(3.5, "1.8x", of_first=True)),
    "py": ("/bin/sh", "py.sh", Bound(2.5, "1.5x", of_first=True)),
    "git": ("/bin/sh", "git.sh", Bound(8, "2.5x", of_first=True)),
    "find": ("/bin/sh", "find.sh", Bound(12, "3x", of_first=True)),
    "sql": ("/bin/sh", "sql.sh", Bound(6, "2x", of_first=True)),
}
REPEATS = 3      # in one sandbox; the first warms the caches of host and sandbox alike


def measure(columns: Sequence[Column], root: Path, rounds: int, note: Callable[[str], None]) -> Table:
    build.install(root)
    table = Table("job", "ms", [column.name for column in columns])
    for name, (_, _, bound) in ROWS.items():
        table.row(name, bound)
    for turn in range(rounds):
        for name, (shell, script, _) in ROWS.items():
            note(f"jobs, round {turn + 1} of {rounds}: {name}")
            for column in columns:
                cell = table.cells[name, column.name]
                if cell.reason:
                    continue
                args = ["/bench/timed", str(REPEATS), shell, f"/bench/{script}"]
                try:
                    answer = json.loads(column.run(root, args, timeout_s=120))
                    if answer["status"] != 0:
                        raise Unmeasured(f"the job's status is {answer['status']}: {column.errors}")
                    cell.samples.append(median(answer["ms"]))
                except Unmeasured as error:
                    cell.reason = str(error)
                except (ValueError, KeyError, TypeError):
                    cell.reason = "odd output"
    return table
