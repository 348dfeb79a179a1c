"""Containers for the tests of this directory; the test process stands in for conmon."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.oci.container import BUSYBOX, Container, become_subreaper, config
from tests.oci.programs import Programs

COUNT = itertools.count()
Make = Callable[..., Container]


@pytest.fixture(scope="session", autouse=True)
def _as_conmon() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not BUSYBOX.exists():
        pytest.skip("not installed: busybox-static")
    if shutil.which(runtime()[0]) is None:
        pytest.fail(f"no runtime: {runtime()[0]}")
    become_subreaper(True)
    yield
    become_subreaper(False)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """make("sh text", key=value of process...) gives a container that is not yet created."""
    made: list[Container] = []

    def new(script: str | list[str], change: Callable[[dict[str, Any]], None] | None = None,
            **process: Any) -> Container:
        args = ["/bin/sh", "-c", script] if isinstance(script, str) else script
        settings = config(args, **process)
        if change:
            change(settings)
        number = next(COUNT)
        bundle = tmp_path / f"b{number}"
        bundle.mkdir()
        made.append(Container(bundle, f"oci-{os.getpid()}-{number}", settings))
        return made[-1]

    yield new
    for container in made:
        container.close()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))
