"""Where a program of a network test runs: on the host in one of the wire's namespaces, or in a sandbox that has taken
over the interface of "near". Both see the same root, a /tmp and a /run of their own, and a shared directory at /mnt."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import kill_group, runtime
from tests.oci.container import CAPS, config

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = [f"PATH={PATH}", "HOME=/tmp", "LC_ALL=C", "PYTHONUNBUFFERED=1"]
PEERS = Path(__file__).with_name("peers.py")
COUNT = itertools.count()
# /mnt is bound before /tmp is covered: the directory may lie below it
ENTER = """
set -e
root=$1 work=$2; shift 2
mount --bind "$work" "$root/mnt"
for at in dev sys; do [ "$root" = / ] || mount --rbind /$at "$root/$at"; done
mount -t proc proc "$root/proc"
for at in tmp run; do mount -t tmpfs -o mode=1777 tmpfs "$root/$at"; done
if [ "$root" = / ]; then exec "$@"; else exec chroot "$root" "$@"; fi
"""


class Done(NamedTuple):
    status: int
    output: str


class Program:
    """A program that runs; its output is kept in a file."""

    def __init__(self, argv: Sequence[str], log: Path, stop: Sequence[str] = ()) -> None:
        self.log = log
        self.stop = stop
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, words: str, patience_s: float = 20) -> None:
        end_s = time.monotonic() + patience_s
        while words not in self.output:
            assert self.process.poll() is None, f"it ended ({self.process.returncode}): {self.output}"
            assert time.monotonic() < end_s, f"no {words!r} in {self.output!r}"
            time.sleep(0.02)

    def wait(self, timeout_s: float) -> Done:
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"not done after {timeout_s} s; so far: {self.output[-2000:]}")
        return Done(self.process.returncode, self.output)

    def close(self) -> None:
        if self.stop:
            subprocess.run(self.stop, capture_output=True, timeout=60, check=False)
            self.stop = ()
        if self.process.poll() is None:
            kill_group(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class Side:
    """`begin` starts a program, `run` waits for its end; `work` is /mnt inside."""

    def __init__(self, namespace: str, root: Path, work: Path) -> None:
        self.namespace, self.root, self.work = namespace, root, work
        self.programs: list[Program] = []
        work.mkdir(parents=True)
        work.chmod(0o755)
        shutil.copy(PEERS, work / "peers.py")

    def begin(self, *argv: str) -> Program:
        program = self._begin(argv, self.work.parent / f"output-{next(COUNT)}")
        self.programs.append(program)
        return program

    def _begin(self, argv: Sequence[str], log: Path) -> Program:
        raise NotImplementedError

    def run(self, *argv: str, timeout_s: float = 60) -> Done:
        program = self.begin(*argv)
        done = program.wait(timeout_s)
        program.close()
        return done

    def peer(self, role: str, *arguments: str, ready: str = "listening\n") -> Program:
        """A role of tests/net/peers.py, when it is ready."""
        program = self.begin("python3", "/mnt/peers.py", role, *arguments)
        program.until(ready)
        return program

    def run_peer(self, role: str, *arguments: str, timeout_s: float = 60) -> Done:
        return self.run("python3", "/mnt/peers.py", role, *arguments, timeout_s=timeout_s)

    def has(self, *names: str) -> bool:
        return all(any((self.root / d.lstrip("/") / name).exists() for d in PATH.split(":")) for name in names)

    def close(self) -> None:
        for program in reversed(self.programs):
            program.close()


class Host(Side):
    """On the host's stack, in a mount namespace of its own."""

    def _begin(self, argv: Sequence[str], log: Path) -> Program:
        root = str(self.root)
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount", "--pid", "--fork",
                 "--kill-child", "sh", "-c", ENTER, "sh", root, str(self.work)]  # fmt: skip
        return Program([*enter, "env", "-i", *ENV, *argv], log)


class Sandbox(Side):
    """In a sandbox with the namespace in its bundle, as engines give it."""

    def _begin(self, argv: Sequence[str], log: Path) -> Program:
        name = f"net-{os.getpid()}-{next(COUNT)}"
        bundle = self.work.parent / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self._config(argv, name)))
        state = f"--root={bundle / 'state'}"
        command = [*runtime(), state, "run", "--bundle", str(bundle), name]
        return Program(command, log, [*runtime(), state, "delete", "--force", name])

    def _config(self, argv: Sequence[str], name: str) -> dict[str, Any]:
        settings = config(argv, env=ENV)
        settings["root"] = {"path": str(self.root), "readonly": True}
        caps = [*CAPS, "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_DAC_READ_SEARCH"]
        settings["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
        settings["mounts"] += [
            {"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]}
            for at in ("/tmp", "/run")
        ]
        settings["mounts"].append(
            {"destination": "/mnt", "type": "bind", "source": str(self.work), "options": ["bind", "rw"]}
        )
        settings["linux"]["cgroupsPath"] += f"-{name}"
        for namespace in settings["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/run/netns/{self.namespace}"
        return settings
