"""`make run` after the set-up: `runsc-py do`, then `podman --runtime runsc-py run`, both outputs shown and checked."""

import shlex
import subprocess
import time

from . import busybox
from .progress import StepFailed, fail, say
from .venv import VENV

ENTRY = str(VENV / "bin" / "runsc-py")
TIMEOUT_S = 60


def main() -> int:
    try:
        attempt("a sandbox of this machine's own root, read-only below a memory overlay",
                [ENTRY, "do", "--", "/bin/sh", "-c", "echo hi"])
        image = busybox.ensure()
        attempt("a container: podman with runsc-py as its OCI runtime",
                ["podman", "--runtime", ENTRY, "run", "--rm", image, "echo", "hi"])
    except StepFailed as error:
        return fail(str(error))
    say(f"both answered.  Go on with:  podman --runtime {ENTRY} run --rm -it {image}")
    return 0


def attempt(what: str, argv: list[str]) -> None:
    """Run one command, show what it printed, and insist on `hi`."""
    say(what)
    print(f"   $ {shlex.join(argv)}", flush=True)
    began_s = time.monotonic()
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise StepFailed(f"no end after {TIMEOUT_S} s")
    took_s = time.monotonic() - began_s
    for line in done.stdout.decode(errors="replace").splitlines():
        print(f"   {line}")
    print(f"   (status {done.returncode}, {took_s:.2f} s)", flush=True)
    if done.returncode != 0 or done.stdout != b"hi\n":
        raise StepFailed(f"`hi` and status 0 were expected from: {shlex.join(argv)}")
