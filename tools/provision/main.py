"""The order of the set-up's steps."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import engine, launcher, packages, venv
from .progress import StepFailed, fail, say
from .stamp import STAMPS

USAGE = f"usage: tools/setup [{'|'.join(packages.GOALS)}]"


def main(argv: list[str]) -> int:
    goal = argv[0] if argv else "run"
    if len(argv) > 1 or goal not in packages.GOALS:
        return fail(USAGE)
    began_s = time.monotonic()
    try:
        with _alone():
            prepare(goal)
    except StepFailed as error:
        return fail(str(error))
    say(f"set-up for `{goal}` is ready ({time.monotonic() - began_s:.1f} s)")
    return 0


def prepare(goal: str) -> None:
    packages.ensure(goal)
    venv.ensure(goal)
    launcher.ensure()
    engine.ensure()


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time: two `make` in one checkout would build the same venv."""
    STAMPS.mkdir(exist_ok=True)
    with open(STAMPS / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
