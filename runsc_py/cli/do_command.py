"""do (runsc): a command in a sandbox of this machine's own root: read-only below, whatever it writes stays in memory.

No image, no configuration. The network is the loopback, or, with --netns, that of a network namespace of its own
(ip-netns(8)), whose interfaces it takes over while it runs. The state lies in a directory that is gone afterwards.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runsc_py.errors import Failure

from .delete import delete
from .foreground import Terminal, serve
from .options import SWITCH, VALUE, Options, parse
from .settings import Settings

if TYPE_CHECKING:
    from runsc_py.oci.spec import Spec

OPTIONS = {
    "root": VALUE,
    "cwd": VALUE,
    "env": VALUE,
    "user": VALUE,
    "hostname": VALUE,
    "netns": VALUE,
    "quiet": SWITCH,
    "tty": SWITCH,
}
ALIASES = {"e": "env", "u": "user", "w": "cwd", "t": "tty"}
PREFIX = "do-"
UNLIMITED = (1 << 64) - 1


def main(settings: Settings, arguments: list[str]) -> int:
    from runsc_py.sandbox.assemble import assemble
    from runsc_py.sandbox.container import Container

    from .start import start

    options = parse(arguments, OPTIONS, ALIASES, "do", stop_at_first=True)
    if not options.rest:
        raise Failure("do", "needs a command", "`runsc-py do -- /bin/echo hi`")
    if os.geteuid() != 0:
        raise Failure("do", "Operation not permitted", "run it as root")
    _sweep(settings.root)
    container_id = f"{PREFIX}{os.getpid()}"
    spec = _spec(options)
    spec.namespaces = {"network": _netns(options.text("netns"))}
    spec.mortal_init = True  # ^C ends a command, also one without a handler
    tty_fd = -1
    if os.isatty(0):
        from runsc_py.host.tty import own_description

        tty_fd = own_description(0)
        spec.process.terminal = True
    launch = assemble(settings, container_id, spec, "/", overlay=True, tty_fd=tty_fd, mixed_stdio=True)
    try:
        launch.commit(attached=True)
        launch.directory.unlock()
        container = Container(launch.directory, launch.record)
        return serve(launch, Terminal(), tty_fd >= 0, lambda: start(container))
    finally:
        delete(settings.root, container_id, force=True)


def _netns(path: str) -> str:
    if path and os.path.exists(path) and os.path.samefile(path, "/proc/self/ns/net"):
        raise Failure("--netns", f"{path} is the one that we are in", "its interfaces would be lost to all else")
    return path


def _spec(options: Options) -> Spec:
    from runsc_py.oci.mounts import defaults
    from runsc_py.oci.process import ALL_CAPS, Process
    from runsc_py.oci.spec import Spec

    root = os.path.abspath(options.text("root", "/"))
    env = {**os.environ}
    for item in options.texts("env"):
        name, _, value = item.partition("=")
        env[name] = value
    process = Process(options.rest, [f"{name}={value}" for name, value in env.items()], _cwd(options, root))
    process.uid, process.gid = _user(options.text("user", "0"))
    process.umask = os.umask(0)
    os.umask(process.umask)
    if process.uid == 0:
        process.caps = (ALL_CAPS, ALL_CAPS, 0, ALL_CAPS, 0)
    else:
        process.caps = (ALL_CAPS, 0, 0, 0, 0)
    process.rlimits = _own_limits()
    spec = Spec(process, root)
    spec.hostname = options.text("hostname", "sandbox")
    spec.mounts = defaults()
    return spec


def _cwd(options: Options, root: str) -> str:
    """The one asked for, or ours where the sandbox has it."""
    if options.text("cwd"):
        return os.path.normpath(f"/{options.text('cwd')}")
    try:
        own = os.getcwd()
    except OSError:
        return "/"
    return own if os.path.isdir(root + own) else "/"


def _user(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or (gid and not gid.isdecimal()):
        raise Failure("--user", f"{text!r} is not UID or UID:GID in numbers")
    return int(uid), int(gid or uid)


def _own_limits() -> dict[int, tuple[int, int]]:
    import resource

    from runsc_py.oci.process import RLIMITS

    limits = {}
    for number in set(RLIMITS.values()):
        soft, hard = resource.getrlimit(number)
        limits[number] = (UNLIMITED if soft < 0 else soft), (UNLIMITED if hard < 0 else hard)
    return limits


def _sweep(root: str) -> None:
    """Remove what `do` commands left that were killed before they could."""
    from runsc_py.sandbox import process
    from runsc_py.sandbox.container import Container
    from runsc_py.sandbox.directory import listed

    for name in listed(root):
        if name.startswith(PREFIX):
            try:
                creator = Container.open(root, name).creator
                # Without a record it is being made just now, unless nobody of that number is there any more.
                alive = process.is_alive(*creator) if creator[0] else os.path.exists(f"/proc/{name[len(PREFIX) :]}")
                if not alive:
                    delete(root, name, force=True)
            except Failure:
                pass  # being made or removed by another
