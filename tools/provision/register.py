"""Registration with podman by a drop-in file; containers.conf(5), podman 4.3 and later read containers.conf.d.

A drop-in replaces a list of the main file as a whole, so the two lists of features are written in full: what podman
has by default, or what the machine's own containers.conf names, and ours.  (The man page of podman 4.3 spells the
second list `runtime_supports_nocgroups`; the program reads it without the last letter.)
"""

import shutil
import subprocess
import tomllib
from pathlib import Path

from . import launcher
from .progress import StepFailed, fail, say

ENTRY = Path("/usr/local/bin/runsc-py")
MAIN_FILE = Path("/etc/containers/containers.conf")
DROP_IN = Path("/etc/containers/containers.conf.d/runsc-py.conf")
NAME = "runsc-py"
FEATURES = {
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "krun"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}


def main(argv: list[str]) -> int:
    action = {"install": install, "uninstall": uninstall}.get(argv[0] if len(argv) == 1 else "")
    if action is None:
        return fail("usage: tools/register install|uninstall")
    try:
        action()
    except PermissionError as error:
        return fail(f"{error.filename}: not allowed; become root")
    except StepFailed as error:
        return fail(str(error))
    return 0


def drop_in() -> str:
    engine = _engine_table()
    lines = ["# written by `make install` of runsc-py; `make uninstall` removes it", "[engine]"]
    for key, default in FEATURES.items():
        stated = engine.get(key, default)
        names = dict.fromkeys([*(stated if isinstance(stated, list) else default), NAME])
        lines.append(_list(key, list(names)))
    lines += ["", "[engine.runtimes]", _list(NAME, [str(ENTRY)]), ""]
    return "\n".join(lines)


def _list(key: str, values: list[str]) -> str:
    return f"{key} = [" + ", ".join(f'"{value}"' for value in values) + "]"


def _engine_table() -> dict[str, object]:
    try:
        table = tomllib.loads(MAIN_FILE.read_text()).get("engine", {})
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return table if isinstance(table, dict) else {}


def install() -> None:
    launcher.write(ENTRY)
    say(f"{ENTRY} starts this checkout")
    if shutil.which("podman") is None:
        say("no podman here: nothing to register with")
        return
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(drop_in())
    say(f"{DROP_IN} registers it with podman")
    asked = subprocess.run(
        ["podman", "--runtime", NAME, "info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}"],
        capture_output=True, text=True, check=False,
    )
    if asked.stdout.split() != [NAME, str(ENTRY)]:
        raise StepFailed(f"podman does not take it: {asked.stdout.strip()} {asked.stderr.strip()[-400:]}")
    say(f"podman confirms:  podman --runtime {NAME} run ...")


def uninstall() -> None:
    for path in (DROP_IN, ENTRY):
        if path.exists():
            path.unlink()
            say(f"removed {path}")
