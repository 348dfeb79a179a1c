"""sentry.bundle: modules come from the file as long as their sources are as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
# Imports a package of the test's own by way of a bundle; prints where its modules came from and what they say.
PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from sentry.bundle import Bundle
bundle = Bundle(sys.argv[3])
bundle.use()
import netstack, netstack.inner
loaders = [type(module.__spec__.loader).__name__ for module in (netstack, netstack.inner)]
print(json.dumps([loaders, netstack.WORD, netstack.inner.WORD, netstack.inner.__file__, bundle in sys.meta_path]))
bundle.end()
assert bundle not in sys.meta_path and not bundle.entries
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a name that bundles take."""
    (tmp_path / "netstack").mkdir()
    (tmp_path / "netstack" / "__init__.py").write_text("WORD = 'outer'\n")
    (tmp_path / "netstack" / "inner.py").write_text("WORD = 'one'\n")
    return tmp_path


def imported(package: Path) -> tuple[list[str], str, str, str, bool]:
    argv = [sys.executable, "-B", "-c", PROGRAM, str(package), str(PROJECT), str(package / "modules.bin")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    loaders, outer, inner, file, found = json.loads(done.stdout)
    return loaders, outer, inner, file, found


def test_made_at_the_first_start_and_used_at_the_next(package: Path) -> None:
    inner = str(package / "netstack" / "inner.py")
    assert imported(package) == (["SourceFileLoader"] * 2, "outer", "one", inner, False)
    assert imported(package) == (["Bundle"] * 2, "outer", "one", inner, True)
    assert sorted(os.listdir(package)) == ["modules.bin", "netstack"]


def test_a_source_that_has_changed_is_seen(package: Path) -> None:
    imported(package)
    (package / "netstack" / "inner.py").write_text("WORD = 'two'\n")
    os.utime(package / "netstack" / "inner.py", ns=(1, 1))
    assert imported(package)[0] == ["SourceFileLoader"] * 2
    assert imported(package)[:3] == (["Bundle"] * 2, "outer", "two")


def test_a_source_that_is_gone_is_seen(package: Path) -> None:
    (package / "netstack" / "more.py").write_text("")
    (package / "netstack" / "inner.py").write_text("import netstack.more\nWORD = 'one'\n")
    imported(package)
    (package / "netstack" / "inner.py").write_text("WORD = 'two'\n")
    (package / "netstack" / "more.py").unlink()
    assert imported(package)[:3] == (["SourceFileLoader"] * 2, "outer", "two")


@pytest.mark.parametrize("text", [b"", b"garbage", b"\xe9\x00\x00\x00\x00", b"i\x01\x00\x00\x00"])
def test_a_file_that_is_no_bundle_is_done_without(package: Path, text: bytes) -> None:
    (package / "modules.bin").write_bytes(text)
    assert imported(package)[0] == ["SourceFileLoader"] * 2
    assert imported(package)[0] == ["Bundle"] * 2


def test_where_nothing_can_be_written_it_is_done_without(package: Path) -> None:
    (package / "modules.bin").mkdir()
    assert imported(package)[0] == ["SourceFileLoader"] * 2
