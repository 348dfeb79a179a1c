"""start (OCI runtime-spec runtime.md): let the created container's program run."""

from __future__ import annotations

from runsc_py import json_text
from runsc_py.errors import Failure
from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    start(Container.open(settings.root, one_id(parse(arguments, {}, {}, "start"), "start")))
    return 0


def start(container: Container) -> None:
    what = f"start {container.directory.id}"
    if not container.directory.lock(10.0):
        raise Failure(what, "the container was deleted meanwhile")
    container.record = container.directory.read()
    try:
        if not container.is_alive():
            raise Failure(what, "the container is stopped", "delete it and create it again")
        try:
            container.ask({"op": "start"})
        except OSError:
            raise Failure(what, "the sandbox does not answer")
        _poststart(container)
    finally:
        container.directory.unlock()


def _poststart(container: Container) -> None:
    """Their failure does not undo the start (runtime.md, "Lifecycle", step 9)."""
    raw = container.record.get("hooks")
    if not raw:
        return
    import sys

    from runsc_py.oci import hooks
    from runsc_py.oci.reader import Reader

    try:
        wanted = hooks.read_hooks(Reader(raw, "hooks")).get("poststart", [])
        if wanted:
            hooks.run_hooks(wanted, json_text.dumps(container.state()).encode())
    except hooks.HookFailed as err:
        sys.stderr.write(f"runsc-py: start: {err}\n")
