"""A runtime of its own for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.runsc_py.runtime import Runtime, reap


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    made = Runtime(tmp_path)
    made.bundle("sh", "-c", "exit 7")
    yield made
    for name in os.listdir(made.root) if made.root.exists() else []:
        made("delete", "--force", name)
    reap()
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
