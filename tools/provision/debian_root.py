"""Debian root file systems in a cache outside the tree, each made once by debootstrap(8); for benchmarks and tests.

They are treated as read-only by those who use them, who put a tmpfs on /tmp or an overlay on the whole.
`tools/debian-root` prints the path of the benchmarks' root, `tools/debian-root jobs` that of the jobs in tests/jobs,
`tools/debian-root net` that of the programs in tests/net.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .progress import StepFailed, fail, run, say
from .stamp import digest

CACHE = Path(os.environ.get("RUNSC_PY_CACHE", "/var/cache/runsc-py"))
MIRROR = "http://deb.debian.org/debian"
INCLUDED = ["bash", "ca-certificates", "gcc", "libc6-dev", "git", "make", "procps", "python3", "sqlite3", "xz-utils"]
# a root of its own: the benchmarks' find job walks /usr, and Go's library would make another job of it
SERVERS = ["postgresql", "redis-server"]
INTERACTIVE = ["htop", "less", "lsof", "tmux", "vim"]
FILES = ["attr", "cpio", "rsync"]
LANGUAGES = ["default-jdk-headless", "golang-go", "nodejs", "python3-pip", "python3-venv"]
FOR_JOBS = [*INCLUDED, "patch", *SERVERS, *INTERACTIVE, *FILES, *LANGUAGES]
# what tests/net runs with --full, on both sides of a wire
NETWORK = ["bash", "curl", "git", "iperf3", "iproute2", "iputils-ping", "netcat-openbsd", "nginx-light",
           "openssh-server", "procps", "python3", "redis-server", "socat", "traceroute", "wrk"]
PURPOSES = {"bench": INCLUDED, "jobs": FOR_JOBS, "net": NETWORK}


def suite() -> str:
    """This machine's own release, so that its debootstrap, keys and kernel fit."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return "bookworm"


def path(packages: Sequence[str] = INCLUDED) -> Path:
    return CACHE / f"rootfs-{suite()}-{digest([suite(), *packages])[:8]}"


def ensure(packages: Sequence[str] = INCLUDED) -> Path:
    """The root with these packages, built if it is not there yet; two callers at once share one build."""
    target = path(packages)
    if target.is_dir():
        return target
    if os.geteuid() != 0:
        raise StepFailed(f"{target} is not there, and only root can build it (debootstrap)")
    if shutil.which("debootstrap") is None:
        raise StepFailed("debootstrap is not installed: run tools/setup test")
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _build(target, packages)
    return target


def _build(target: Path, packages: Sequence[str]) -> None:
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    say(f"debootstrap of {suite()} into {target} (once, half a minute and more)")
    run(["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite(), str(fresh), MIRROR],
        show=lambda line: line.startswith(("I: Retrieving Packages", "I: Extracting dpkg", "I: Base system installed",
                                           "I: Installing core", "I: Configuring git.", "I: Configuring gcc.")))
    for spent in (fresh / "var/cache/apt/archives", fresh / "var/lib/apt/lists"):
        shutil.rmtree(spent, ignore_errors=True)
        spent.mkdir(parents=True)
    fresh.rename(target)


def main() -> int:
    """Print the path alone on standard output; progress goes to standard error."""
    purpose = sys.argv[1] if len(sys.argv) > 1 else "bench"
    if purpose not in PURPOSES:
        return fail(f"no root is made for {purpose!r}: {', '.join(PURPOSES)}")
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        target = ensure(PURPOSES[purpose])
    except StepFailed as error:
        return fail(str(error))
    sys.stdout.flush()
    os.write(answer, bytes(target) + b"\n")
    return 0
