"""Progress lines, so that nobody wonders whether a step hangs, and commands that are run with one."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

HEARTBEAT_S = 10.0
TAIL_LINES = 25


class StepFailed(Exception):
    """A step of the set-up failed; the message is all that the user needs."""


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def run(argv: Sequence[str], *, env: dict[str, str] | None = None, show: Callable[[str], bool] | None = None) -> str:
    """Run a command to its end, print a line now and then, return its output; its tail is shown when it fails.

    `show` picks the output lines that are worth printing while the command runs.
    """
    began_s = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", env=env,
    ) as process:
        done = threading.Event()
        beat = threading.Thread(target=_heartbeat, args=(argv, lines, began_s, done), daemon=True)
        beat.start()
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if show is not None and show(line):
                print(f"     {line.rstrip()}", flush=True)
        status = process.wait()
        done.set()
        beat.join()
    if status != 0:
        tail = "\n".join(f"     {line}" for line in lines[-TAIL_LINES:])
        raise StepFailed(f"`{' '.join(argv[:6])}{' ...' if len(argv) > 6 else ''}` failed ({status}):\n{tail}")
    return "\n".join(lines)


def _heartbeat(argv: Sequence[str], lines: list[str], began_s: float, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_S):
        last = next((line for line in reversed(lines) if line.strip()), "")[:90]
        print(f"     ... {os.path.basename(argv[0])}, {time.monotonic() - began_s:.0f} s: {last}", flush=True)


def fail(text: str) -> int:
    print(f"setup: {text}", file=sys.stderr, flush=True)
    return 1
