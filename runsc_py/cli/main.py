"""`runsc-py [global options] COMMAND [options] [arguments]`: an OCI runtime's command line (runc(8), runsc)."""

from __future__ import annotations

import os
import sys

from runsc_py.errors import Failure, failure_of

from .settings import Settings

COMMANDS = {
    "create": "make a container from a bundle, ready to start",
    "start": "start a created container's program",
    "state": "print a container's state as JSON",
    "kill": "send a signal to a container",
    "delete": "remove a stopped container",
    "exec": "run a further process in a container",
    "pause": "stop all processes of a container, unseen by them",
    "resume": "let a paused container go on",
    "ps": "list the processes of a container, as ps(1) of this machine shows them",
    "events": "print a container's use of CPU, memory and processes, and when memory ran out",
    "run": "create, start and wait in one",
    "list": "list containers",
    "do": "run a command in a sandbox of this machine's own root, in memory",
    "spec": "write a config.json to begin with",
    "features": "print what of config.json is acted on",
    "wait": "wait for a container's end and print its exit status",
    "host-syscalls": "print what the sandbox's kernel may ask of the host",
    "help": "explain: help [COMMAND | syscalls [--format=table|json|csv]]",
}
# names that would be poor for a module, or none
MODULES = {
    "list": "listing",
    "help": "helping",
    "do": "do_command",
    "exec": "exec_command",
    "host-syscalls": "host_syscalls",
}


def main(arguments: list[str] | None = None) -> int:
    settings = Settings()
    try:
        settings.take(sys.argv[1:] if arguments is None else arguments)
        return _dispatch(settings)
    except Failure as failure:
        report(settings, failure)
        return failure.code
    except BrokenPipeError:
        return 1
    except OSError as err:
        if settings.debug:
            raise
        report(settings, failure_of(err, settings.rest[0] if settings.rest else "runsc-py"))
        return 1


def _dispatch(settings: Settings) -> int:
    if settings.wants_version:
        from runsc_py import SPEC_VERSION, VERSION

        print(f"runsc-py version {VERSION}\nspec: {SPEC_VERSION}")
        return 0
    name, *rest = settings.rest or ["help"]
    if settings.wants_help or "--help" in rest[:1] or "-h" in rest[:1]:
        rest, name = ([name] if settings.rest else []), "help"
    if name not in COMMANDS:
        raise Failure(name, "no such command", "`runsc-py help` lists them")
    module = __import__(f"runsc_py.cli.{MODULES.get(name, name)}", fromlist=["main"])
    code: int = module.main(settings, rest)
    return code


def report(settings: Settings, failure: Failure) -> None:
    """One line on stderr, and with --log one entry there: container engines parse that file as a single JSON object."""
    text = str(failure).replace("\n", " ")
    try:
        sys.stderr.write(f"runsc-py: {text}\n")
    except OSError:
        pass
    if not settings.log:
        return
    import time

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if settings.log_format == "json":
        from runsc_py import json_text

        line = json_text.dumps({"msg": text, "level": "error", "time": now})
    else:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        line = f'time="{now}" level=error msg="{quoted}"'
    try:
        fd = os.open(settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError:
        return  # stderr has it
    with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line + "\n")
