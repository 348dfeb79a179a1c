"""events (runc(8)): one JSON object a line: {"type": "stats" | "oom", "id": ..., "data": ...}."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from runsc_py.errors import Failure
from runsc_py.sandbox import process
from runsc_py.sandbox.container import Container

from .options import SWITCH, VALUE, one_id, parse
from .settings import Settings

if TYPE_CHECKING:
    from runsc_py.host.cgroup_stats import Cgroup

OPTIONS = {"stats": SWITCH, "interval": VALUE}
UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
LOOK_S = 1.0  # at most this late an OOM is told


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, OPTIONS, {}, "events")
    container = Container.open(settings.root, one_id(options, "events"))
    interval_s = duration_s(options.text("interval", "5s"))
    if not container.is_alive():
        raise Failure(f"events {container.directory.id}", "container not running")
    from runsc_py.host.cgroup_stats import Cgroup

    group = Cgroup(container.cgroups)
    if options.on("stats"):
        _print(container, "stats", stats(container, group))
    else:
        follow(container, group, interval_s)
    return 0


def duration_s(text: str) -> float:
    """Go's 1m30s, 500ms, 5s; a bare number is seconds, as in runsc."""
    import re

    if re.fullmatch(r"\d+", text):
        text += "s"
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)", text)
    if "".join(number + unit for number, unit in parts) != text:
        raise Failure("--interval", f"{text!r} is not a duration", "as in 5s or 500ms")
    total = sum(float(number) * UNITS_S[unit] for number, unit in parts)
    if total <= 0:
        raise Failure("--interval", "duration interval must be greater than 0")
    return total


def stats(container: Container, group: Cgroup) -> dict[str, object]:
    from runsc_py.host.cgroup_stats import of_processes
    from runsc_py.sandbox.guests import guests

    inside = guests(container)
    if group.directories:
        return group.stats(list(inside))
    return of_processes([container.sentry[0], *inside], len(inside))


def follow(container: Container, group: Cgroup, interval_s: float) -> None:
    """Until the container's end."""
    pidfd = process.open_pidfd(*container.stub)
    killed = group.oom_kills()
    due = time.monotonic() + interval_s
    while pidfd >= 0:
        ended = process.has_ended(pidfd, max(0.0, min(LOOK_S, due - time.monotonic())))
        kills = group.oom_kills()
        for _ in range(kills - killed):
            _print(container, "oom", None)
        killed = max(kills, killed)
        if ended:
            return
        if time.monotonic() >= due:
            due += interval_s
            try:
                _print(container, "stats", stats(container, group))
            except Failure:
                pass  # it ends just now


def _print(container: Container, kind: str, data: dict[str, object] | None) -> None:
    event: dict[str, object] = {"type": kind, "id": container.directory.id}
    if data is not None:
        event["data"] = data
    print(json.dumps(event), flush=True)
