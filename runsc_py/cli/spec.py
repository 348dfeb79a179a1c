"""spec (runc(8), runsc): a config.json to begin with, in the bundle's directory. An existing one is left alone."""

from __future__ import annotations

import json
import os

from runsc_py.errors import Failure, failure_of

from .options import SWITCH, VALUE, parse
from .settings import Settings

OPTIONS = {"bundle": VALUE, "rootless": SWITCH, "cwd": VALUE, "netns": VALUE}


def main(settings: Settings, arguments: list[str]) -> int:
    from runsc_py.oci.template import template

    options = parse(arguments, OPTIONS, {"b": "bundle"}, "spec")
    cwd = options.text("cwd", "/")
    if not cwd.startswith("/"):
        raise Failure("--cwd", f"{cwd!r} is not absolute")
    rootless = (os.geteuid(), os.getegid()) if options.on("rootless") else None
    document = template(options.rest or ["sh"], cwd, options.text("netns"), rootless)
    path = os.path.join(options.text("bundle", "."), "config.json")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Failure("spec", f"{path}: File exists", "remove it first")
    except OSError as err:
        raise failure_of(err, "spec")
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(json.dumps(document, indent="\t") + "\n")
    return 0
