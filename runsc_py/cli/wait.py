"""wait (runsc): until the container has ended; prints {"id": ..., "exitStatus": N}, 128 + N for a death by signal N."""

from __future__ import annotations

import os
import sys

from runsc_py import json_text
from runsc_py.errors import Failure
from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    container = Container.open(settings.root, one_id(parse(arguments, {}, {}, "wait"), "wait"))
    code = exit_code(wait(container))
    print(json_text.dumps({"id": container.directory.id, "exitStatus": code}))
    return 0


def wait(container: Container) -> int:
    """The wait status. A Sentry that was killed left none: then it is that of SIGKILL."""
    if container.is_alive():
        try:
            answer = container.ask({"op": "wait"}, timeout_s=None)
        except OSError:
            answer = {}
        status = answer.get("status")
        if isinstance(status, int):
            return status
    left = container.directory.exit_status()
    if left is not None:
        status, why = left
        if why:
            sys.stderr.write(f"runsc-py: wait: {why}\n")
        return status
    if container.status() == "stopped":
        return 9
    raise Failure(f"wait {container.directory.id}", "the sandbox does not answer")


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
