"""Builds the C parts (sentry/engine) when a source has changed."""

import platform
from pathlib import Path

from .progress import StepFailed, run, say
from .stamp import PROJECT, digest, is_fresh, mark
from .venv import VENV, interpreter

ENGINE = PROJECT / "sentry" / "engine"
SUFFIXES = (".c", ".h", ".S", ".py", ".ld")
GENERATED = "_engine.c"


def sources() -> list[Path]:
    if not ENGINE.is_dir():
        return []
    return sorted(p for p in ENGINE.iterdir() if p.suffix in SUFFIXES and p.name != GENERATED)


def products() -> list[Path]:
    """What a build leaves behind; none may be missing."""
    module = next(iter(ENGINE.glob("_engine*.so")), ENGINE / "_engine.so")
    return [module, ENGINE / "loader", ENGINE / "spawner", ENGINE / "stub"]


def ensure() -> None:
    files = sources()
    if not (ENGINE / "build.py").is_file():
        raise StepFailed("sentry/engine/build.py is missing: this checkout has no engine")
    names = [p.name for p in files]
    key = digest([interpreter(), platform.machine(), str(PROJECT), *names, *files])
    if is_fresh("engine", key) and all(p.exists() for p in products()):
        return
    say(f"building the C parts: {' '.join(n for n in names if not n.endswith('.py'))}")
    run([str(VENV / "bin" / "python"), "-I", "-m", "sentry.engine.build"])
    absent = [p.name for p in products() if not p.exists()]
    if absent:
        raise StepFailed(f"the build of sentry/engine did not make {' '.join(absent)}")
    mark("engine", key)
