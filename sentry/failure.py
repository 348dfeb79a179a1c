"""An exception in one line. `traceback` costs 2 ms to import, and reads source files that the Sentry cannot see."""

from __future__ import annotations

FRAMES = 10


def described(err: BaseException | None) -> str:
    """Its kind, its text, and where it came from: the innermost frames first."""
    if err is None:
        return "no exception"
    places = []
    frame = err.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{frame.tb_lineno} {code.co_name}")
        frame = frame.tb_next
    return f"{type(err).__name__}: {err} (at {' < '.join(reversed(places[-FRAMES:]))})"
