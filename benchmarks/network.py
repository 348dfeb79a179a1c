"""The network table: what the loopback costs two processes in one sandbox, in us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from . import build
from .calls import sample
from .columns import Column
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
    return sample(table, ROWS, ["/bench/net"], columns, root, rounds, note)
