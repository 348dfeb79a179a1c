"""pause (runc(8)): no process of the container runs until `resume`; signals wait, but SIGKILL ends it."""

from __future__ import annotations

from runsc_py.errors import Failure
from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    request(settings, arguments, "pause", "container not running")
    return 0


def request(settings: Settings, arguments: list[str], command: str, otherwise: str) -> None:
    """One of the Sentry's requests without arguments; `otherwise` is what to say of a container that is gone."""
    container = Container.open(settings.root, one_id(parse(arguments, {}, {}, command), command))
    what = f"{command} {container.directory.id}"
    if not container.is_alive():
        raise Failure(what, otherwise)
    try:
        container.ask({"op": command})
    except OSError:
        raise Failure(what, "the sandbox does not answer")
