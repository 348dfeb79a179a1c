"""Where a job can run in a Debian root of its own: natively below chroot(2), through runsc-py's `run`, through podman.

The root is the cached one of tools/debian-root; nobody writes to it. Chroot and `run` get an overlay of it that is
thrown away, podman an image that was imported from it once, in a store beside it, which podman only reads.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT, Result, Runner, runtime
from tests.oci.container import config
from tests.podman.conftest import CONFIG, STORAGE, Podman, clean

sys.path.insert(0, str(PROJECT / "tools"))

from provision import debian_root
from provision.progress import say

IMAGE = "localhost/runsc-py-jobs:latest"
SHM = {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]}
# a pid namespace, as in a container: kill(1) and ps(1) of a job see the job alone
CHROOT = """
set -e
mount --rbind /dev "$0/dev"
mount --rbind /sys "$0/sys"
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""


class Place(Runner):
    """One way to run a command; the argument `place` of its base is of no use here."""

    def begin(self, argv: Sequence[str], terminal: bool = False) -> list[str]:
        """The command line of a fresh container, or of something like one."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Remove what a run that was cut short has left."""

    def command(self, place: str, argv: Sequence[str]) -> list[str]:
        return self.begin(argv)

    def end(self, process: subprocess.Popen[bytes]) -> bytes:
        self.tidy()         # the container first: it may outlive its client, and it holds our pipe
        return super().end(process)

    def job(self, argv: Sequence[str], timeout_s: float) -> Result:
        return self.run("", argv, timeout_s)


class Chroot(Place):
    """The host's own kernel on the same root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, argv: Sequence[str], terminal: bool = False) -> list[str]:
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CHROOT, str(self.root), *argv]


class Run(Place):
    """`runsc-py run` of a bundle as podman would make it."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self.scratch = root, scratch
        self.serial = itertools.count()
        self.last = ""      # one at a time; this one may still be there

    def begin(self, argv: Sequence[str], terminal: bool = False) -> list[str]:
        self.last = name = f"jobs-{os.getpid()}-{next(self.serial)}"
        bundle = self.scratch / name
        bundle.mkdir(parents=True)
        settings: dict[str, Any] = config(argv, terminal=terminal)
        settings["root"] = {"path": str(self.root)}
        settings["mounts"].append(SHM)
        settings["linux"]["cgroupsPath"] += f"-{name}"
        (bundle / "config.json").write_text(json.dumps(settings))
        return [*runtime(), f"--root={self.scratch / 'state'}", "run", "--bundle", str(bundle), name]

    def tidy(self) -> None:
        if self.last:
            subprocess.run([*runtime(), f"--root={self.scratch / 'state'}", "delete", "--force", self.last],
                           capture_output=True, timeout=60, check=False)


class InPodman(Place):
    """`podman run` on a store of its own."""

    def __init__(self, podman: Podman) -> None:
        self.podman = podman

    def command(self, place: str, argv: Sequence[str]) -> list[str]:
        """Standard error joins the output inside: conmon has a pipe for each, and two pipes keep no order."""
        return self.begin(["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *argv])

    def begin(self, argv: Sequence[str], terminal: bool = False) -> list[str]:
        options = ["-it" if terminal else "-i", "--network=none"]
        return ["env", *(f"{key}={value}" for key, value in self.podman.env.items() if os.environ.get(key) != value),
                *self.podman.argv("run", "--rm", *options, IMAGE, *argv)]

    def tidy(self) -> None:
        self.podman("rm", "--all", "--force", "--time=0")


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """On a disk, as containers' writable layers are; nothing below it stays mounted."""
    top = Path(tempfile.mkdtemp(prefix="runsc-py-jobs-", dir="/var/tmp"))
    try:
        yield top
    finally:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{top}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(top, ignore_errors=True)


@contextmanager
def copy_on_write(root: Path) -> Iterator[Path]:
    """mount(8), overlay: a root that can be written to and is gone afterwards."""
    with scratch_directory() as top:
        for name in ("upper", "work", "root"):
            (top / name).mkdir()
        options = f"lowerdir={root},upperdir={top / 'upper'},workdir={top / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", top / "root"], check=True)
        try:
            yield top / "root"
        finally:
            subprocess.run(["umount", top / "root"], check=False)


@contextmanager
def chroot(root: Path) -> Iterator[Place]:
    with copy_on_write(root) as own:
        yield Chroot(own)


@contextmanager
def run(root: Path) -> Iterator[Place]:
    with copy_on_write(root) as own, scratch_directory() as scratch:
        place = Run(own, scratch)
        try:
            yield place
        finally:
            place.tidy()


@contextmanager
def podman(root: Path) -> Iterator[Place]:
    store = ensure_store(root)
    with scratch_directory() as top:
        p = isolated(top, [f"additionalimagestores = [{json.dumps(str(store))}]"])
        try:
            yield InPodman(p)
        finally:
            clean(p)


PLACES: dict[str, Callable[[Path], Any]] = {"run": run, "podman": podman}


def ensure_root(full: bool) -> Path:
    """Quick jobs need little, so they take the smaller root, which benchmarks have too."""
    return debian_root.ensure(debian_root.FOR_JOBS if full else debian_root.INCLUDED)


def isolated(top: Path, storage_options: Sequence[str] = ()) -> Podman:
    """podman with all of its own below one directory."""
    p = Podman(top)
    more = ["[storage.options]", *storage_options] if storage_options else []
    (top / "storage.conf").write_text("\n".join([STORAGE.format(top=top), *more, ""]))
    # locks in files: those in shared memory belong to all of this machine's podmans together
    (top / "containers.conf").write_text(CONFIG.format(top=top).replace("[engine]", '[engine]\nlock_type = "file"'))
    launcher = top / "runsc-py"
    launcher.write_text("#!/bin/sh\nexec " + " ".join(runtime()) + ' "$@"\n')
    launcher.chmod(0o755)
    return p


def ensure_store(root: Path) -> Path:
    """containers-storage.conf(5), additionalimagestores: an image store that holds the root, made once."""
    target = root.with_name(f"images-{root.name}")
    if target.is_dir():
        return target
    with open(root.parent / "images-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _import(root, target)
    return target


def _import(root: Path, target: Path) -> None:
    """Import into a store elsewhere on the same file system, which gets its name when it is whole."""
    say(f"podman import of {root.name} into {target} (once, half a minute and more)")
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        p = isolated(fresh)
        tar = subprocess.Popen(["tar", "-C", root, "-c", "--exclude=./dev/*", "--exclude=./proc/*", "."],
                               stdout=subprocess.PIPE)
        assert tar.stdout is not None
        done = subprocess.run(p.argv("import", "--quiet", "-c", 'CMD ["/bin/bash"]', "-", IMAGE), stdin=tar.stdout,
                              stdout=subprocess.DEVNULL, env=p.env, check=False)
        tar.stdout.close()
        if tar.wait() or done.returncode:
            raise OSError(f"tar {tar.returncode}, podman import {done.returncode}")
        subprocess.run(["umount", "-l", fresh / "graph" / "overlay"], stderr=subprocess.DEVNULL, check=False)
        (fresh / "graph").rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
