"""Stamp files: a step is skipped while the hash of everything that it depends on is the one of its last success."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
STAMPS = PROJECT / ".build"


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """One hash over texts and the contents of files; a missing file counts as empty."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            data = part.read_bytes() if part.is_file() else b""
        else:
            data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def is_fresh(name: str, key: str) -> bool:
    try:
        return (STAMPS / name).read_text() == key
    except OSError:
        return False


def forget(*names: str) -> None:
    """What the steps did is gone."""
    for name in names:
        (STAMPS / name).unlink(missing_ok=True)


def mark(name: str, key: str) -> None:
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / name).write_text(key)
