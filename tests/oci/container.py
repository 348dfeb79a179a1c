"""runtime-spec (config.md, runtime.md): a bundle made from busybox, and a container driven through the command line."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tests.conftest import runtime

BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "sleep", "cat", "echo", "ls", "id", "hostname", "stat", "touch", "mkdir", "rm", "kill", "ps", "env",
           "pwd", "stty", "true", "false", "head", "wc", "grep", "mount", "readlink", "test", "seq", "tty", "yes", "dd",
           "chmod", "chown", "cp", "mv", "ln", "find", "sed", "awk", "df", "umask", "uname", "printf")
PR_SET_CHILD_SUBREAPER = 36
CHANNEL = {16400} if os.environ.get("RUNSC_PLATFORM") == "ptrace" else set()  # of guests (sentry/platform/handover.py)
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_SETFCAP"]


def become_subreaper(on: bool) -> None:
    """As conmon does: what `create` leaves behind becomes a child of this process, with its exit status."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def make_root(at: Path) -> None:
    """A root file system of one static program and its names."""
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "home"):
        (at / name).mkdir(parents=True)
    (at / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, at / "bin" / "busybox")
    for applet in APPLETS:
        (at / "bin" / applet).symlink_to("busybox")
    (at / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")
    (at / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")


def config(args: Sequence[str], **process: Any) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(args), "cwd": "/", "env": ["PATH=/bin", "HOME=/"], "user": {"uid": 0, "gid": 0},
                    "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPS), **process},
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                   {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                   {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
                  "cgroupsPath": f"/runsc-py-tests/{os.getpid()}"},
    }


class Container:
    """One container and its bundle; `close` leaves nothing behind."""

    def __init__(self, bundle: Path, name: str, settings: dict[str, Any]) -> None:
        self.bundle, self.name = bundle, name
        self.state_root = bundle / "state"
        self.pid_file = bundle / "pid"
        self.output = bundle / "output"
        self.waited: int | None = None
        if not (bundle / "rootfs").exists():
            make_root(bundle / "rootfs")
        settings["linux"]["cgroupsPath"] += f"-{name}"
        (bundle / "config.json").write_text(json.dumps(settings))

    def call(self, *argv: str, timeout_s: float = 30, flags: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*runtime(), f"--root={self.state_root}", *flags, *argv], capture_output=True, text=True,
                              timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)

    def create(self, *options: str, stdin: int | IO[bytes] = subprocess.DEVNULL,
               flags: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        """The container's output goes to a file, as it goes to conmon's pipes."""
        with self.output.open("ab") as out:
            return subprocess.run([*runtime(), f"--root={self.state_root}", *flags, "create", "--bundle",
                                   str(self.bundle), "--pid-file", str(self.pid_file), *options, self.name],
                                  stdin=stdin, stdout=out, stderr=out, timeout=60, check=False)

    def start(self) -> None:
        done = self.call("start", self.name)
        assert done.returncode == 0, done.stderr

    def up(self, *options: str) -> None:
        done = self.create(*options)
        assert done.returncode == 0, self.text()
        self.start()

    def state(self) -> dict[str, Any]:
        done = self.call("state", self.name)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def status(self) -> str:
        return str(self.state()["status"])

    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def text(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def until(self, words: str, patience_s: float = 20) -> None:
        end = time.monotonic() + patience_s
        while words not in self.text():
            assert time.monotonic() < end, f"no {words!r} in {self.text()!r}"
            time.sleep(0.01)

    def wait(self, patience_s: float = 30) -> int:
        """The exit status as conmon tells it: the code, or 128 and the signal."""
        if self.waited is None:
            end, pid = time.monotonic() + patience_s, self.pid()
            while True:
                got, status = os.waitpid(pid, os.WNOHANG)
                if got:
                    break
                assert time.monotonic() < end, f"still running; output: {self.text()}"
                time.sleep(0.005)
            code = os.waitstatus_to_exitcode(status)
            self.waited = 128 - code if code < 0 else code
        return self.waited

    def close(self) -> None:
        self.call("delete", "--force", self.name)
        if self.pid_file.exists() and self.waited is None:
            try:
                os.kill(self.pid(), signal.SIGKILL)
                os.waitpid(self.pid(), 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def processes() -> dict[int, str]:
    """Every process of the host with its command line; zombies of this very process are left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if line and state != "Z":
                found[int(entry.name)] = line
    return found


def descendants(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found
