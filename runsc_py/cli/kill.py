"""kill (OCI runtime-spec runtime.md): a signal, by number or name (signal(7)), to the container's first process."""

from __future__ import annotations

from runsc_py.errors import Failure
from runsc_py.sandbox import process
from runsc_py.sandbox.container import Container

from .options import SWITCH, parse
from .settings import Settings

OPTIONS = {"all": SWITCH, "pid": SWITCH}
ALIASES = {"a": "all"}
SIGKILL, SIGTERM = 9, 15
REALTIME_MIN, REALTIME_MAX = 34, 64  # as glibc counts them


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, OPTIONS, ALIASES, "kill")
    if not 1 <= len(options.rest) <= 2:
        raise Failure("kill", "needs a container id and a signal")
    signo = signal_number(options.rest[1]) if len(options.rest) == 2 else SIGTERM
    kill(Container.open(settings.root, options.rest[0]), signo, options.on("all"))
    return 0


def signal_number(text: str) -> int:
    """15, TERM, SIGTERM, RTMIN+3, SIGRTMAX-1."""
    if text.isdecimal() and 0 < int(text) <= REALTIME_MAX:
        return int(text)
    name = text.upper().removeprefix("SIG")
    for base, start, sign in (("RTMIN", REALTIME_MIN, "+"), ("RTMAX", REALTIME_MAX, "-")):
        if name.startswith(base):
            offset = name[len(base) :]
            if not offset:
                return start
            if offset[0] == sign and offset[1:].isdecimal() and int(offset[1:]) <= REALTIME_MAX - REALTIME_MIN:
                return start + int(sign + offset[1:])
    import signal

    found = signal.Signals.__members__.get(f"SIG{name}")
    if found is None:
        raise Failure("kill", f"unknown signal {text!r}")
    return int(found)


def kill(container: Container, signo: int, everybody: bool) -> None:
    """The Sentry delivers; should it not answer a SIGKILL, it is killed itself and all goes with it."""
    if not container.is_alive():
        raise Failure(f"kill {container.directory.id}", "container not running")
    try:
        container.ask({"op": "kill", "signal": signo, "all": everybody}, 2.0)
    except OSError:
        if signo != SIGKILL:
            if not container.is_alive():
                raise Failure(f"kill {container.directory.id}", "container not running")
            raise Failure(f"kill {container.directory.id}", "the sandbox does not answer", "signal 9 ends it")
        pidfd = process.open_pidfd(*container.sentry)
        if pidfd >= 0:
            process.send(pidfd, SIGKILL)
