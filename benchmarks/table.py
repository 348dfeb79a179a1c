"""Tables of figures with their ratios to the first column; a cell without a figure says why below the table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


class Bound:
    """What is wanted at most: a figure, or a multiple of the first column; and what is wanted later."""

    def __init__(self, most: float | None, later: str = "", *, of_first: bool = False) -> None:
        self.most = most
        self.later = later
        self.of_first = of_first

    def limit(self, first: float | None) -> float | None:
        if self.most is None or not self.of_first:
            return self.most
        return None if first is None else self.most * first

    def text(self) -> str:
        if self.most is None:
            return ""
        shown = f"{self.most:,g}".replace(",", " ")
        return f"<= {shown}{'x' if self.of_first else ''}" + (f", later {self.later}" if self.later else "")


class Cell:
    """The samples of one row and column, or the reason why there are none."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self.reason = ""

    @property
    def value(self) -> float | None:
        return median(self.samples) if self.samples else None


class Table:
    """Rows by name, columns by name; a row can have a bound for the last column, which is ours."""

    def __init__(self, title: str, unit: str, columns: Sequence[str]) -> None:
        self.title = title
        self.unit = unit
        self.columns = list(columns)
        self.rows: list[str] = []
        self.cells: dict[tuple[str, str], Cell] = {}
        self.bounds: dict[str, Bound] = {}

    def row(self, name: str, bound: Bound | None = None) -> None:
        self.rows.append(name)
        self.bounds[name] = bound or Bound(None)
        for column in self.columns:
            self.cells[name, column] = Cell()

    def text(self) -> str:
        first = self.columns[0]
        ratios = [f"{c}/{first}" for c in self.columns[1:]]
        ratios.append(f"{self.columns[-1]}/target")
        head = [self.title, *(f"{c} {self.unit}" for c in self.columns), *ratios, "target"]
        body = [head]
        for name in self.rows:
            values = [self.cells[name, c].value for c in self.columns]
            base = values[0]
            shown = [ratio(value, base) for value in values[1:]]
            bound = self.bounds[name]
            shown.append(ratio(values[-1], bound.limit(base)))
            body.append([name, *(number(v) for v in values), *shown, bound.text()])
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
