"""The calls table: what one system call costs the guest that makes it, in ns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import build
from .columns import Column, Unmeasured
from .table import Bound, Table

# row -> what is wanted of ours when every call comes by seccomp notification, and later with the shim
ROWS = {
    "getppid": Bound(250),
    "getuid": Bound(8_000, "100"),
    "lseek": Bound(8_000, "1 000"),
    "fstat": Bound(8_000, "1 000"),
    "umask": Bound(8_000, "1 000"),
    "pread": Bound(10_000, "900"),
    "pwrite": Bound(10_000, "900"),
    "stat": Bound(14_000, "1 700"),
    "open_close": Bound(22_000, "5 000"),
    "pipe": Bound(20_000, "1 500"),
    "ping_pong": Bound(40_000, "15 000"),
    "ping_pong_2cpu": Bound(None),
    "mmap_4k": Bound(8_000),
    "mmap_1m": Bound(400_000),
    "fork": Bound(250_000, "200 000"),
    "fork_exec": Bound(900_000, "800 000"),
}


def measure(columns: Sequence[Column], scratch: Path, rounds: int, note: Callable[[str], None]) -> Table:
    """A sandbox per call and round, columns in turn, so that a change of the machine's mood meets all of them."""
    root = build.empty_root(scratch / "empty-root")
    return sample(Table("call", "ns", [column.name for column in columns]), ROWS, ["/bench/calls", "/tmp"], columns,
                  root, rounds, note)  # fmt: skip


def sample(
    table: Table, rows: Mapping[str, Bound], program: list[str], columns: Sequence[Column], root: Path, rounds: int,
    note: Callable[[str], None],
) -> Table:  # fmt: skip
    """Fill `table`: the program is given a row's name and prints {UNIT: number}."""
    for name, bound in rows.items():
        table.row(name, bound)
    for turn in range(rounds):
        for name in rows:
            note(f"{table.title}, round {turn + 1} of {rounds}: {name}")
            for column in columns:
                cell = table.cells[name, column.name]
                if cell.reason:
                    continue
                try:
                    out = column.run(root, [*program, name], timeout_s=30)
                    cell.samples.append(float(json.loads(out)[table.unit]))
                except Unmeasured as error:
                    cell.reason = str(error)
                except (ValueError, KeyError, TypeError):
                    cell.reason = f"odd output: {out[:80]!r}"
    return table
