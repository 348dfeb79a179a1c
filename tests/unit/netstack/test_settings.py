"""Every setting is one: somebody reads it. What is only kept and shown stands in vfs/proc/net_sysctl_names.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netstack.settings import Settings

PROJECT = Path(__file__).resolve().parents[3]
NOT_READERS = ("netstack/settings.py", "vfs/proc/net_sysctl_names.py")
SOURCES = "".join(
    path.read_text()
    for package in ("netstack", "sentry", "vfs")
    for path in sorted((PROJECT / package).rglob("*.py"))
    if path.relative_to(PROJECT).as_posix() not in NOT_READERS
)


@pytest.mark.parametrize("name", sorted(set(vars(Settings())) - {"changed"}))
def test_somebody_reads_it(name: str) -> None:
    assert re.search(rf"\.{name}\b", SOURCES)
