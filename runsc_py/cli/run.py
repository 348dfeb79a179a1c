"""run (runc(8)): create, start, wait in the foreground (unless --detach), delete."""

from __future__ import annotations

import os

from runsc_py.errors import Failure

from . import create
from .delete import delete
from .foreground import Terminal, serve
from .options import SWITCH, one_id, parse
from .settings import Settings
from .start import start

OPTIONS = {**create.OPTIONS, "detach": SWITCH, "keep": SWITCH, "keyring": SWITCH}
ALIASES = {**create.ALIASES, "d": "detach"}


def main(settings: Settings, arguments: list[str]) -> int:
    from runsc_py.sandbox.container import Container

    options = parse(arguments, OPTIONS, ALIASES, "run")
    container_id = one_id(options, "run")
    detach = options.on("detach")
    on_terminal = not detach and not options.text("console-socket")
    tty_fd = -1
    if on_terminal and os.isatty(0):
        from runsc_py.host.tty import own_description

        tty_fd = own_description(0)
    try:
        launch = create.prepare(settings, options, container_id, tty_fd)
    except Failure as failure:
        failure.code = 1
        raise
    create.finish(launch, options)
    container = Container(launch.directory, launch.record)
    if detach:
        start(container)
        return 0
    try:
        return serve(launch, Terminal(), launch.config.console >= 0 and on_terminal, lambda: start(container))
    finally:
        if not options.on("keep"):
            delete(settings.root, container_id, force=True)
