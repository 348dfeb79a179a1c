"""resume (runc(8)): a paused container goes on."""

from __future__ import annotations

from .pause import request
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> int:
    request(settings, arguments, "resume", "container not paused")
    return 0
