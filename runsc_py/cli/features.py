"""features (OCI runtime-spec features.md, runc(8)): what of config.json is acted on, as JSON."""

from __future__ import annotations

import json

from runsc_py.errors import Failure

from .options import parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    from runsc_py.oci.features import features

    options = parse(arguments, {}, {}, "features")
    if options.rest:
        raise Failure("features", f"unexpected argument {options.rest[0]!r}")
    print(json.dumps(features(), indent=4))
    return 0
