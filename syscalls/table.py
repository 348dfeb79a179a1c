"""The table of all system calls, and the page that describes it (syscalls(2)).

    python3 -m syscalls.table [table|json|csv|markdown] [--arch=x86_64|aarch64]
    python3 -m syscalls.table --write | --check       docs/syscalls.md, written or compared
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from syscalls import registry, unsupported
from syscalls.registry import ENTRIES, Call

# The modules beside this one that declare no calls.
FRAME = frozenset(("__init__", "args", "registers", "registry", "strace", "symbols", "table", "unsupported"))
PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "syscalls.md")
FORMATS = ("table", "json", "csv", "markdown")
ARCHES = ("x86_64", "aarch64")

ABSENT: dict[str, str] = {}  # modules whose imports are not there; a test wants this empty
_loaded = False


def load() -> None:
    """Import every module of handlers, then fill the gaps with rows that refuse."""
    global _loaded
    if _loaded:
        return
    for file in sorted(os.listdir(os.path.dirname(__file__))):
        name, dot, kind = file.partition(".")
        if dot and kind == "py" and name not in FRAME:
            try:
                import_module(f"syscalls.{name}")
            except ModuleNotFoundError as err:
                ABSENT[name] = str(err)
    unsupported.declare()
    _loaded = True


def table(arch: str) -> list[Call]:
    """`table(arch)[number](task, registers)` for numbers 0..registry.LAST."""
    load()
    return registry.table(arch)


class Row:
    """What the page says of one number."""

    __slots__ = ("name", "note", "nr", "support", "way")

    def __init__(self, nr: int, entry: registry.Entry) -> None:
        self.nr = nr
        self.name = entry.name
        self.support = entry.support
        self.way = entry.way
        notes = [entry.note, entry.native_note]
        if entry.reason:
            notes.append(f"native: {_short(entry.reason)}")
        if self.way == "error":
            notes.append(f"answers {entry.error.__name__}")
        self.note = "; ".join(n for n in notes if n)

    def cells(self) -> tuple[str, str, str, str, str]:
        return str(self.nr), self.name, self.support, self.way, self.note


def _short(reason: str) -> str:
    """The first reasons where each of many arguments has its own."""
    parts = reason.split("; ")
    return "; ".join(parts[:4]) + (f"; and {len(parts) - 4} more" if len(parts) > 4 else "")


def rows(arch: str = "x86_64") -> list[Row]:
    load()
    found = [Row(nr, ENTRIES[name]) for name, nr in registry.numbers(arch).items()]
    return sorted(found, key=lambda row: row.nr)


def counts(found: list[Row]) -> str:
    by_support = ", ".join(f"{sum(r.support == s for r in found)} {s}" for s in registry.SUPPORT)
    return f"{len(found)} calls: {by_support}"


def render(form: str, arch: str = "x86_64") -> str:
    """The whole table as text: 'table', 'json', 'csv' or 'markdown'; ValueError for another form."""
    if form not in FORMATS or arch not in ARCHES:
        raise ValueError(f"no such form: {form} {arch}")
    found = rows(arch)
    if form == "json":
        import json

        keys = ("number", "name", "support", "by", "note")
        return json.dumps([dict(zip(keys, (r.nr, *r.cells()[1:]), strict=True)) for r in found], indent=1) + "\n"
    if form == "csv":
        lines = ["number,name,support,by,note", *(_csv(r.cells()) for r in found)]
        return "\n".join(lines) + "\n"
    if form == "markdown":
        return _markdown(found, arch)
    head = ("nr", "name", "support", "by", "note")
    return "\n".join(_aligned(c) for c in (head, *(r.cells() for r in found))) + f"\n{counts(found)}\n"


def _aligned(c: tuple[str, ...]) -> str:
    return f"{c[0]:>4} {c[1]:<24} {c[2]:<8} {c[3]:<7} {c[4]}".rstrip()


def _csv(cells: tuple[str, ...]) -> str:
    """One record of RFC 4180."""
    return ",".join('"' + c.replace('"', '""') + '"' if set(c) & set(',"\n') else c for c in cells)


def _markdown(found: list[Row], arch: str) -> str:
    out = [
        f"# System calls ({arch})",
        "",
        "Printed by `python3 -m syscalls.table --write`; do not edit.",
        "",
        "*full*: as Linux; *partial*: what is left out stands in the note; *stub*: answers as a Linux that was built",
        "without it; *missing*: not done yet. *By* says who answers: the Sentry, the host's kernel (native, after the",
        "filter's checks), or both, divided by the arguments.",
        "",
        f"{counts(found)}.",
        "",
        "| nr | name | support | by | note |",
        "|---:|---|---|---|---|",
    ]
    out += ["| " + " | ".join(c.replace("|", "\\|") for c in r.cells()) + " |" for r in found]
    return "\n".join(out) + "\n"


def _written() -> str:
    try:
        with open(PAGE) as page:
            return page.read()
    except FileNotFoundError:
        return ""


def main(argv: list[str]) -> int:
    arch = next((a.partition("=")[2] for a in argv if a.startswith("--arch=")), "x86_64")
    words = [a for a in argv if not a.startswith("--arch=")] or ["table"]
    if words[0] == "--write":
        with open(PAGE, "w") as page:
            page.write(render("markdown"))
        return 0
    if words[0] == "--check":
        fresh = _written() == render("markdown")
        if not fresh:
            print("docs/syscalls.md is stale: python3 -m syscalls.table --write")
        return 0 if fresh else 1
    try:
        sys.stdout.write(render(words[0], arch))
    except ValueError as err:
        print(err, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
