"""state (OCI runtime-spec runtime.md, "Query State")."""

from __future__ import annotations

from runsc_py import json_text
from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    container = Container.open(settings.root, one_id(parse(arguments, {}, {}, "state"), "state"))
    print(json_text.lines(container.state()))
    return 0
