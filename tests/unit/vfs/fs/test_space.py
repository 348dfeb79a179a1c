"""tmpfs(5), size=: a full file system still has the rest of every page that a file holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentry.abi.errno import ENOSPC
from vfs.fs.backing import Backing, Blob, Space

PAGE = 4096


@pytest.mark.parametrize("step", [1, 1000, 1024, 3072, 4096, 5000, 65536, 100_000])
@pytest.mark.parametrize("pages", [1, 3, 16])
def test_steps_fill_every_page(tmp_path: Path, step: int, pages: int) -> None:
    space = Space(pages * PAGE)
    blob = Blob(Backing(os.open(tmp_path, os.O_PATH)), space)
    with pytest.raises(ENOSPC):
        while True:
            assert blob.pwrite(bytes(step), blob.size) > 0
    assert (blob.size, space.used) == (pages * PAGE, pages * PAGE)
    assert blob.pwrite(b"in place", 0) == 8
    blob.truncate(PAGE // 2)
    assert blob.pwrite(bytes(PAGE), PAGE // 2) == (PAGE if pages > 1 else PAGE // 2)


def test_two_files_share_the_room(tmp_path: Path) -> None:
    space = Space(4 * PAGE)
    backing = Backing(os.open(tmp_path, os.O_PATH))
    first, second = Blob(backing, space), Blob(backing, space)
    assert first.pwrite(bytes(PAGE + 1), 0) == PAGE + 1
    assert second.pwrite(bytes(5 * PAGE), 0) == 2 * PAGE
    assert first.pwrite(bytes(PAGE), PAGE + 1) == PAGE - 1
    with pytest.raises(ENOSPC):
        first.pwrite(b"x", 2 * PAGE)
    with pytest.raises(ENOSPC):
        second.pwrite(b"x", 2 * PAGE)
    del second
    assert first.pwrite(b"x", 2 * PAGE) == 1
