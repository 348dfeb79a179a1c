"""The jobs table: ordinary work in a Debian root file system, in ms, without the sandbox's start."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from . import build
from .columns import Column, Unmeasured
from .table import Table

# row -> (shell, script, what is wanted of ours)
ROWS = {
    "shell (dash)": ("/bin/dash", "shell.sh", "<= 4x host, later 1.8x"),
    "shell (bash)": ("/bin/bash", "shell.sh", "<= 4x host, later 1.8x"),
    "cc": ("/bin/sh", "cc.sh", "<= 3.5x, later 1.8x"),
    "py": ("/bin/sh", "py.sh", "<= 2.5x, later 1.5x"),
    "git": ("/bin/sh", "git.sh", "<= 8x, later 2.5x"),
    "find": ("/bin/sh", "find.sh", "<= 12x, later 3x"),
    "sql": ("/bin/sh", "sql.sh", "<= 6x, later 2x"),
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
                        raise Unmeasured(f"the job ended with status {answer['status']}")
                    cell.samples.append(median(answer["ms"]))
                except Unmeasured as error:
                    cell.reason = str(error)
                except (ValueError, KeyError, TypeError):
                    cell.reason = "odd output"
    return table
