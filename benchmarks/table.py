"""Tables of figures with their ratios to the first column; a cell without a figure says why below the table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


class Cell:
    """The samples of one row and column, or the reason why there are none."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self.reason = ""

    @property
    def value(self) -> float | None:
        return median(self.samples) if self.samples else None


class Table:
    """Rows by name, columns by name; `limits` holds a row's bounds as text and as a test of (value, host value)."""

    def __init__(self, title: str, unit: str, columns: Sequence[str]) -> None:
        self.title = title
        self.unit = unit
        self.columns = list(columns)
        self.rows: list[str] = []
        self.cells: dict[tuple[str, str], Cell] = {}
        self.bounds: dict[str, str] = {}

    def row(self, name: str, bound: str = "") -> None:
        self.rows.append(name)
        self.bounds[name] = bound
        for column in self.columns:
            self.cells[name, column] = Cell()

    def text(self) -> str:
        first = self.columns[0]
        ratios = [f"{c}/{first}" for c in self.columns[1:]]
        head = [self.title, *(f"{c} {self.unit}" for c in self.columns), *ratios, "target for ours"]
        body = [head]
        for name in self.rows:
            values = [self.cells[name, c].value for c in self.columns]
            base = values[0]
            shown = [ratio(value, base) for value in values[1:]]
            body.append([name, *(number(v) for v in values), *shown, self.bounds[name]])
        widths = [max(len(line[i]) for line in body) for i in range(len(head))]
        lines = []
        for index, line in enumerate(body):
            last = len(line) - 1
            padded = [cell.ljust(w) if i in (0, last) else cell.rjust(w)
                      for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
            lines.append("  ".join(padded).rstrip())
            if index == 0:
                lines.append("-" * len(lines[0]))
        return "\n".join([*lines, *self._reasons()])

    def _reasons(self) -> list[str]:
        """Each reason once per column, with the rows that it concerns."""
        found: dict[tuple[str, str], list[str]] = {}
        for (row, column), cell in self.cells.items():
            if cell.value is None and cell.reason:
                found.setdefault((column, cell.reason), []).append(row)
        return [f"  - {column}, {', '.join(rows) if len(rows) < len(self.rows) else 'all rows'}: {reason}"
                for (column, reason), rows in found.items()]


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}"


def ratio(value: float | None, base: float | None) -> str:
    if value is None or not base:
        return "-"
    return f"{value / base:.2f}" if value / base < 100 else f"{value / base:.0f}"
