"""A command that fails says one line: what, why, what to do (and one JSON object in the file of --log)."""

from __future__ import annotations

import os


class Failure(Exception):
    """Ends the command. Container engines look for texts of errno values in `why`, so keep strerror's words."""

    def __init__(self, what: str, why: str, hint: str = "", code: int = 1) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f"; {self.hint}" if self.hint else "")


def failure_of(err: OSError, what: str, hint: str = "") -> Failure:
    """`err` in the words of strerror(3), with the file if there is one."""
    reason = os.strerror(err.errno) if err.errno else str(err)
    name = err.filename
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    return Failure(what, f"{name}: {reason}" if name else reason, hint)
