"""delete (OCI runtime-spec runtime.md): the container's processes, cgroups and state directory go.

--force is idempotent: it takes away whatever a killed `create`, Sentry or stub left, and is content with an unknown id.
"""

from __future__ import annotations

import os

from runsc_py import json_text
from runsc_py.errors import Failure
from runsc_py.sandbox import process
from runsc_py.sandbox.container import Container
from runsc_py.sandbox.directory import Directory, check_id

from .options import SWITCH, parse
from .settings import Settings

LOCK_PATIENCE_S = 10.0
DEATH_PATIENCE_S = 5.0


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, {"force": SWITCH}, {"f": "force"}, "delete")
    if not options.rest:
        raise Failure("delete", "needs a container id")
    for container_id in options.rest:
        delete(settings.root, container_id, options.on("force"))
    return 0


def delete(root: str, container_id: str, force: bool) -> None:
    directory = Directory.find(root, check_id(container_id))
    if directory is None or not directory.lock(LOCK_PATIENCE_S):
        if force:
            return
        raise Failure(f"delete {container_id}", "container does not exist")
    try:
        try:
            record = directory.read()
        except Failure:
            if not force:
                raise
            record = {}
        container = Container(directory, record)
        if not force:
            status = container.status()
            if status not in ("stopped", "created"):
                raise Failure(f"delete {container_id}", f"the container is {status}", "stop it first, or use --force")
        if not process.kill_and_wait([container.sentry, container.stub], DEATH_PATIENCE_S):
            raise Failure(f"delete {container_id}", "its processes do not die", "look for ones in state D")
        left = _remove_cgroups(container)
        if left:
            raise Failure(f"delete {container_id}", f"{left[0]}: Device or resource busy", "another process is in it")
        _give_network_back(container)
        _poststop(container)
        directory.remove()
    finally:
        directory.unlock()


def _remove_cgroups(container: Container) -> list[str]:
    if not container.cgroups:
        return []
    from runsc_py.host import cgroups

    left = cgroups.remove(container.cgroups)
    cgroups.remove_empty(container.cgroup_parents)
    return left


def _give_network_back(container: Container) -> None:
    """A namespace that the engine has made may be used again, as by `podman restart`."""
    path = container.record.get("netns")
    if path and isinstance(path, str) and os.path.exists(f"{container.directory.path}/network"):
        from runsc_py.sandbox import network

        network.give_back(container.directory, path)


def _poststop(container: Container) -> None:
    """Their failure is told and does not keep the container (runtime.md, "Lifecycle", step 13)."""
    raw = container.record.get("hooks")
    if not raw:
        return
    import sys

    from runsc_py.oci import hooks
    from runsc_py.oci.reader import Reader

    try:
        wanted = hooks.read_hooks(Reader(raw, "hooks")).get("poststop", [])
        if wanted:
            hooks.run_hooks(wanted, json_text.dumps(container.state()).encode())
    except hooks.HookFailed as err:
        sys.stderr.write(f"runsc-py: delete: {err}\n")
