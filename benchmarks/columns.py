"""The columns of the tables: ways to run one command in a root file system, each a runtime or the host itself."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

from . import bundle

PROJECT = Path(__file__).resolve().parents[1]
OURS = PROJECT / ".venv" / "bin" / "runsc-py"

HOST_SCRIPT = """
set -e
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount --bind /dev/null "$ROOT/dev/null"
exec chroot "$ROOT" "$@"
"""


class Unmeasured(Exception):
    """A column has no figure; the message is the reason, in one line."""


class Column:
    """One way to run things; `run` gives the command's output or raises Unmeasured."""

    name = ""
    errors = ""      # the last line that the last run wrote to standard error

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.serial = itertools.count(1)

    def argv(self, root: Path, args: list[str]) -> list[str]:
        raise NotImplementedError

    def unavailable(self) -> str | None:
        return None

    def tidy(self) -> None:
        """Remove what a run that was cut short has left."""

    def run(self, root: Path, args: list[str], timeout_s: float = 60) -> str:
        reason = self.unavailable()
        if reason is not None:
            raise Unmeasured(reason)
        process = subprocess.Popen(
            self.argv(root, args), env=self.environment(root), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.tidy()
            process.communicate()
            raise Unmeasured(f"no end after {timeout_s:.0f} s")
        self.errors = (err.strip().splitlines() or ["no message"])[-1][-120:]
        if process.returncode != 0:
            raise Unmeasured(f"status {process.returncode}: {self.errors}")
        return out

    def environment(self, root: Path) -> dict[str, str]:
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


class Host(Column):
    """The host's own kernel: chroot in a private mount namespace."""

    name = "host"

    def argv(self, root: Path, args: list[str]) -> list[str]:
        return ["unshare", "--mount", "--fork", "sh", "-c", HOST_SCRIPT, "sh", *args]

    def environment(self, root: Path) -> dict[str, str]:
        return super().environment(root) | {"ROOT": str(root), "LC_ALL": "C"}


class Runtime(Column):
    """An OCI runtime that is given a bundle."""

    program = ""
    flags: tuple[str, ...] = ()
    last = ""        # the container that was started last

    def prefix(self) -> list[str]:
        return [self.program, f"--root={self.scratch / 'state'}", *self.flags]

    def unavailable(self) -> str | None:
        return None if shutil.which(self.program) else f"{self.program} is not installed"

    def argv(self, root: Path, args: list[str]) -> list[str]:
        self.last = f"bench-{self.name}-{os.getpid()}-{next(self.serial)}"
        where = bundle.write(self.scratch / self.last, root, args)
        return [*self.prefix(), "run", "--bundle", str(where), self.last]

    def tidy(self) -> None:
        command = [*self.prefix(), "delete", "--force", self.last]
        try:
            subprocess.run(command, capture_output=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            pass


class Runsc(Runtime):
    """Debian's runsc of 2022; systrap did not exist then, and kvm needs hardware."""

    name = "runsc"
    program = "runsc"
    flags = ("--platform=ptrace", "--ignore-cgroups", "--network=none")


class Ours(Runtime):
    name = "ours"
    program = str(OURS)
    flags = ("--ignore-cgroups", "--network=none")


class Runc(Runtime):
    name = "runc"
    program = "runc"


class Crun(Runtime):
    name = "crun"
    program = "crun"
