"""state (OCI runtime-spec runtime.md, "Query State")."""

from __future__ import annotations

import json

from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    container = Container.open(settings.root, one_id(parse(arguments, {}, {}, "state"), "state"))
    print(json.dumps(container.state(), indent=2))
    return 0
