"""The network table: what the loopback costs two processes in one sandbox, in us."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import build
from .columns import Column, Unmeasured
from .table import Bound, Table

# A MiB in 8 389 us is 1 Gbit/s, in 883 us 9.5 Gbit/s.
ROWS = {
    "tcp_round_trip": Bound(100),
    "tcp6_round_trip": Bound(100),
    "tcp_connect": Bound(None),
    "tcp_mib_64k": Bound(8_389, "883"),
    "tcp_mib_1k": Bound(None),
    "udp_round_trip": Bound(100),
    "udp_1k": Bound(None),
}


def measure(columns: Sequence[Column], scratch: Path, rounds: int, note: Callable[[str], None]) -> Table:
    """A sandbox per row and round, columns in turn, as the calls."""
    root = build.empty_root(scratch / "network-root")
    table = Table("network", "us", [column.name for column in columns])
    for name, bound in ROWS.items():
        table.row(name, bound)
    for turn in range(rounds):
        for name in ROWS:
            note(f"network, round {turn + 1} of {rounds}: {name}")
            for column in columns:
                cell = table.cells[name, column.name]
                if cell.reason:
                    continue
                try:
                    out = column.run(root, ["/bench/net", name], timeout_s=30)
                    cell.samples.append(float(json.loads(out)["us"]))
                except Unmeasured as error:
                    cell.reason = str(error)
                except (ValueError, KeyError, TypeError):
                    cell.reason = f"odd output: {out[:80]!r}"
    return table
