"""Builds the measuring programs, static, and lays out the smallest root that can hold them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

GUEST = Path(__file__).resolve().parent / "guest"
BUILT = GUEST / "build"
PROGRAMS = ("calls", "timed", "true", "sleeper")


def programs() -> Path:
    """The directory with the programs and the job scripts."""
    BUILT.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source, target = GUEST / f"{name}.c", BUILT / name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-static", "-o", target, source], check=True)
    for script in (GUEST / "jobs").glob("*.sh"):
        shutil.copy(script, BUILT / script.name)
    return BUILT


def empty_root(at: Path) -> Path:
    """A root with mount points and nothing else."""
    for name in ("dev", "proc", "sys", "tmp"):
        (at / name).mkdir(parents=True, exist_ok=True)
    (at / "dev" / "null").touch()
    return at
