"""start (OCI runtime-spec runtime.md): let the created container's program run."""

from __future__ import annotations

from runsc_py import json_text
from runsc_py.errors import Failure
from runsc_py.sandbox import process
from runsc_py.sandbox.container import Container

from .options import one_id, parse
from .settings import Settings

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.oci.hooks import Hook


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
        _attach_network(container)
        _start_container(container)
        try:
            container.ask({"op": "start"})
        except OSError:
            raise Failure(what, "the sandbox does not answer")
        _poststart(container)
    finally:
        container.directory.unlock()


def _hooks(container: Container, point: str) -> list[Hook]:
    raw = container.record.get("hooks")
    if not isinstance(raw, dict) or point not in raw:
        return []
    from runsc_py.oci import hooks
    from runsc_py.oci.reader import Reader

    return hooks.read_hooks(Reader(raw, "hooks")).get(point, [])


def _attach_network(container: Container) -> None:
    """Only now: engines configure the namespace between `create` and `start`, too. Most have nothing in it."""
    pid, _ = container.stub
    if container.record.get("network") != "sandbox" or not process.has_interfaces(pid):
        return
    from runsc_py.host.linux import LinuxHost
    from runsc_py.sandbox import network

    if network.is_private(pid):
        network.attach(LinuxHost(), container)


def _start_container(container: Container) -> None:
    """One that fails is the container's end (runtime.md, "Lifecycle", step 7)."""
    wanted = _hooks(container, "startContainer")
    if not wanted:
        return
    from runsc_py.host.linux import LinuxHost
    from runsc_py.oci.hooks import HookFailed
    from runsc_py.sandbox.start_hooks import run_inside

    try:
        run_inside(LinuxHost(), container, wanted, json_text.dumps(container.state()).encode())
    except HookFailed as err:
        container.ask({"op": "kill", "signal": 9, "all": True})
        raise Failure(f"start {container.directory.id}", str(err))


def _poststart(container: Container) -> None:
    """Their failure does not undo the start (runtime.md, "Lifecycle", step 9)."""
    wanted = _hooks(container, "poststart")
    if not wanted:
        return
    import sys

    from runsc_py.oci import hooks

    try:
        hooks.run_hooks(wanted, json_text.dumps(container.state()).encode())
    except hooks.HookFailed as err:
        sys.stderr.write(f"runsc-py: start: {err}\n")
