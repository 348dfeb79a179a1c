"""list (runc(8)): the containers of this state directory."""

from __future__ import annotations

from runsc_py import json_text
from runsc_py.errors import Failure
from runsc_py.sandbox.container import Container
from runsc_py.sandbox.directory import listed

from .options import SWITCH, VALUE, parse
from .settings import Settings

OPTIONS = {"format": VALUE, "quiet": SWITCH}
ALIASES = {"f": "format", "q": "quiet"}
COLUMNS = (("ID", "id"), ("PID", "pid"), ("STATUS", "status"), ("BUNDLE", "bundle"), ("CREATED", "created"),
           ("OWNER", "owner"))  # fmt: skip


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, OPTIONS, ALIASES, "list")
    names = listed(settings.root)
    if options.on("quiet"):
        print("".join(f"{name}\n" for name in names), end="")
        return 0
    states = []
    for name in names:
        try:
            states.append(Container.open(settings.root, name).state())
        except Failure:
            continue  # deleted meanwhile
    style = options.text("format", "table")
    if style == "json":
        print(json_text.dumps(states))
    elif style == "table":
        rows = [[title for title, _ in COLUMNS], *([str(state.get(key, "")) for _, key in COLUMNS] for state in states)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        raise Failure("list", f"--format {style!r} is neither table nor json")
    return 0
