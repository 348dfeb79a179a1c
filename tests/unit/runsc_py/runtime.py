"""runsc-py run as a container engine runs it: a bundle, a state directory, and what may be left of them afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[3]
BUSYBOX = Path("/bin/busybox")
CGROUP = f"/runsc-py-test-{os.getpid()}/inner"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

NEEDS = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
    pytest.mark.skipif(not (PROJECT / "sentry/engine/stub").exists(), reason="the engine is not built"),
]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Runtime:
    """runsc-py with a state directory and a bundle of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "state"
        self.launcher = base / "runsc-py"
        packages = next(p for p in sys.path if p.endswith("site-packages"))
        self.launcher.write_text(
            f"import sys\nsys.path[:0] = [{str(PROJECT)!r}, {packages!r}]\n"
            "from runsc_py.cli.main import main\nsys.exit(main())\n"
        )
        rootfs = base / "bundle" / "rootfs"
        for name in ("bin", "tmp", "proc", "dev", "sys", "etc"):
            (rootfs / name).mkdir(parents=True)
        (rootfs / "bin" / "busybox").write_bytes(BUSYBOX.read_bytes())
        (rootfs / "bin" / "busybox").chmod(0o755)
        for name in ("sh", "sleep", "cat", "true", "ls", "kill", "id", "pwd"):
            (rootfs / "bin" / name).symlink_to("busybox")

    def bundle(self, *args: str, **changes: Any) -> None:
        caps = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
        config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            ],
            "linux": {"cgroupsPath": CGROUP, "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount"}]},
        }
        for key, value in changes.pop("process", {}).items():
            config["process"][key] = value
        config.update(changes)
        (self.base / "bundle" / "config.json").write_text(json.dumps(config))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-IS", str(self.launcher), "--root", str(self.root), *arguments]

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> Done:
        """Output goes to files: a container that was created keeps its stdout open."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with open(self.base / "out", "w+") as out, open(self.base / "err", "w+") as err:
            code = subprocess.run(
                self.command(*arguments),
                env=env or {"PATH": PATH},
                stdout=out,
                stderr=err,
                timeout=60,
                check=False,
                **options,
            ).returncode
        return Done(code, (self.base / "out").read_text(), (self.base / "err").read_text())

    def create(self, name: str = "c", *more: str) -> int:
        done = self("create", "--bundle", str(self.base / "bundle"), "--pid-file", str(self.base / "pid"), *more, name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return int((self.base / "pid").read_text())

    def state(self, name: str = "c") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("state", name).stdout)
        return found

    def until(self, status: str, name: str = "c", patience_s: float = 10.0) -> None:
        deadline = time.monotonic() + patience_s
        while self.state(name)["status"] != status:
            assert time.monotonic() < deadline, f"not {status} in time"
            time.sleep(0.02)

    def record(self, name: str = "c") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / name / "state.json").read_text())
        return found


def reap() -> list[tuple[int, int]]:
    """Orphans come to us as to a container engine's monitor."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, status))


def nothing_left(runtime: Runtime) -> None:
    """No process, mount, cgroup or state of the container is there any more."""
    reap()
    assert not runtime.root.exists() or os.listdir(runtime.root) == []
    groups = [str(p) for p in Path("/sys/fs/cgroup").glob("*" + CGROUP.rpartition("/")[0])]
    assert groups == []
    assert str(runtime.base) not in Path("/proc/self/mountinfo").read_text()
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    assert processes() == set()


def processes() -> set[str]:
    """Our descendants: orphans are handed to us, so that nothing of a sandbox can be anywhere else."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            pid = int(entry.name)
            names[pid] = text[text.index("(") + 1 : text.rindex(")")]
            parents[pid] = int(text[text.rindex(")") + 2 :].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {f"{pid} {names[pid]}" for pid in found - {os.getpid()}}
