"""What a start may import: container engines run five commands for one container, and the Sentry's imports are half of
its start. A new name in these lists is a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
OWN = ("runsc_py", "sentry", "syscalls", "vfs", "netstack")

# Beyond the bare interpreter and our own packages; names that are part of the interpreter do not count.
# errno is built in, and what os.path of newer ones begins with.
COMMAND = {
    "__future__", "_collections_abc", "_json", "_stat", "errno", "fcntl", "genericpath", "os", "os.path",
    "posixpath", "select", "stat",
}  # fmt: skip
OWN_OF_A_COMMAND = {
    "runsc_py", "runsc_py.cli", "runsc_py.cli.main", "runsc_py.cli.options", "runsc_py.cli.settings", "runsc_py.errors",
    "runsc_py.json_text", "runsc_py.sandbox", "runsc_py.sandbox.client", "runsc_py.sandbox.container",
    "runsc_py.sandbox.directory", "runsc_py.sandbox.process",
}  # fmt: skip
# What costs milliseconds and has a few lines of ours in its place (or none: nothing may need it).
NEVER_IN_THE_SENTRY = {
    "argparse", "asyncio", "ctypes", "dataclasses", "hashlib", "inspect", "ipaddress", "logging", "pathlib", "random",
    "shutil", "socket", "ssl", "subprocess", "tempfile", "threading", "traceback", "urllib", "pyroute2", "pyseccomp",
    "cffi",
}  # fmt: skip


def imported(program: str) -> set[str]:
    """The modules that `program` adds to those of the bare interpreter."""
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    text = (
        f"import sys\nbefore = set(sys.modules)\nsys.path += [{str(PROJECT)!r}, {packages!r}]\n{program}\n"
        "print(*(set(sys.modules) - before), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", text], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["state", "start", "kill", "pause", "delete", "wait", "listing"])
def test_commands_that_only_talk_to_a_sandbox(command: str) -> None:
    found = imported(f"import runsc_py.cli.main, runsc_py.cli.{command}")
    own = {name for name in found if name.partition(".")[0] in OWN}
    assert own - OWN_OF_A_COMMAND == {f"runsc_py.cli.{command}"}
    assert found - own <= COMMAND


def test_exec_as_a_container_engine_calls_it() -> None:
    """Health checks do it all the time: from a process file, detached."""
    program = "import runsc_py.cli.main, runsc_py.cli.exec_command, runsc_py.oci.process, runsc_py.host.linux"
    found = imported(f"{program}, runsc_py.host.tty")
    assert not found & {"collections", "enum", "json", "re", "signal", "typing"}


def test_the_sentry() -> None:
    program = "from sentry import boot\nboot.load()"
    imported(program)  # the first time it compiles its filters
    found = imported(program)
    assert {"sentry.kernel.kernel", "syscalls.open"} <= found
    assert not {name.partition(".")[0] for name in found} & NEVER_IN_THE_SENTRY
