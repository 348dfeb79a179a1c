"""The calls table: what one system call costs the guest that makes it, in ns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import build
from .columns import Column, Unmeasured
from .table import Table

# row -> what is wanted of ours when every call comes by seccomp notification, and later with the shim
ROWS = {
    "getppid": "<= 250 (native)",
    "getuid": "<= 8 000, later 100",
    "lseek": "<= 8 000, later 1 000",
    "fstat": "<= 8 000, later 1 000",
    "umask": "<= 8 000, later 1 000",
    "pread": "<= 10 000, later 900",
    "pwrite": "<= 10 000, later 900",
    "stat": "<= 14 000, later 1 700",
    "open_close": "<= 22 000, later 5 000",
    "pipe": "<= 20 000, later 1 500",
    "ping_pong": "<= 40 000, later 15 000",
    "ping_pong_2cpu": "",
    "mmap_4k": "<= 8 000",
    "mmap_1m": "<= 400 000",
    "fork": "<= 250 000, later 200 000",
    "fork_exec": "<= 900 000, later 800 000",
}


def measure(columns: Sequence[Column], scratch: Path, rounds: int, note: Callable[[str], None]) -> Table:
    """A sandbox per call and round, columns in turn, so that a change of the machine's mood meets all of them."""
    root = build.empty_root(scratch / "empty-root")
    table = Table("call", "ns", [column.name for column in columns])
    for name, bound in ROWS.items():
        table.row(name, bound)
    for turn in range(rounds):
        for name in ROWS:
            note(f"calls, round {turn + 1} of {rounds}: {name}")
            for column in columns:
                cell = table.cells[name, column.name]
                if cell.reason:
                    continue
                try:
                    out = column.run(root, ["/bench/calls", "/tmp", name], timeout_s=30)
                    cell.samples.append(float(json.loads(out)["ns"]))
                except Unmeasured as error:
                    cell.reason = str(error)
                except (ValueError, KeyError, TypeError):
                    cell.reason = f"odd output: {out[:80]!r}"
    return table
