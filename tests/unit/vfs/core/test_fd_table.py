"""FdTable (dup(2), getrlimit(2) RLIMIT_NOFILE)."""

from __future__ import annotations

import pytest

from sentry.abi.errno import EMFILE
from vfs.core.fd_table import FdTable
from vfs.core.file import File


class Counting(File):
    __slots__ = ("released",)

    def __init__(self) -> None:
        super().__init__()
        self.released = 0

    def release(self) -> None:
        self.released += 1


def test_what_finds_no_number_is_released() -> None:
    table = FdTable(2)
    held = Counting()
    assert table.install(held) == 0 and table.install(held) == 1
    fresh = Counting()
    with pytest.raises(EMFILE):
        table.install(fresh)
    assert fresh.released == 1
    with pytest.raises(EMFILE):
        table.install(held)  # dup: it has other holders
    assert held.released == 0
    table.close(0)
    assert table.install(Counting()) == 0 and held.released == 0
    table.close(1)
    assert held.released == 1
