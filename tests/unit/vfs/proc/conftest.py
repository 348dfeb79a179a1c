from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.vfs.proc.box import Box
from vfs.proc.root import make


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box(make)
    yield made
    made.close()


@pytest.fixture
def t(box: Box) -> Any:
    """pid 1."""
    return box.process(1)
