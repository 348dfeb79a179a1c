"""Builds the measuring programs, static, puts them into a root, and lays out the smallest root that can hold them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

GUEST = Path(__file__).resolve().parent / "guest"
BUILT = GUEST / "build"
PROGRAMS = ("calls", "net", "timed", "true", "sleeper")


def programs() -> list[Path]:
    """The programs and the job scripts."""
    BUILT.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source, target = GUEST / f"{name}.c", BUILT / name
        newest = max(path.stat().st_mtime for path in (source, *GUEST.glob("*.h")))
        if not target.exists() or target.stat().st_mtime < newest:
            subprocess.run(["gcc", "-O2", "-static", "-o", target, source], check=True)
    return [*(BUILT / name for name in PROGRAMS), *sorted((GUEST / "jobs").glob("*.sh"))]


def install(root: Path) -> None:
    """Put them at /bench of a root, so that no runtime needs a mount to reach them."""
    (root / "bench").mkdir(exist_ok=True)
    for source in programs():
        shutil.copy2(source, root / "bench" / source.name)


def empty_root(at: Path) -> Path:
    """A root with mount points, /bench and nothing else."""
    for name in ("dev", "proc", "sys", "tmp"):
        (at / name).mkdir(parents=True, exist_ok=True)
    (at / "dev" / "null").touch()
    install(at)
    return at
