"""exec (runc-exec(8)): a further process in a running container, from the command line or a process.json.

Its exit status is the command's, or 255 when it could not run; --detach ends as soon as it runs, and the pid-file names
a process that ends with it.
"""

from __future__ import annotations

import os

from runsc_py import json_text
from runsc_py.errors import Failure, failure_of
from runsc_py.sandbox.container import Container
from runsc_py.sandbox.joining import ERROR, Joining

from .create import check_preserved, write_pid_file
from .options import SWITCH, VALUE, Options, parse
from .settings import Settings

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.oci.process import Process

OPTIONS = {
    **dict.fromkeys(("console-socket", "cwd", "env", "user", "additional-gids", "process", "pid-file"), VALUE),
    **dict.fromkeys(("process-label", "apparmor", "cap", "preserve-fds", "cgroup"), VALUE),
    **dict.fromkeys(("tty", "detach", "no-new-privs", "ignore-paused", "no-subreaper"), SWITCH),
}
ALIASES = {"e": "env", "t": "tty", "u": "user", "g": "additional-gids", "p": "process", "d": "detach", "c": "cap"}
MAX_FDS = 240  # of --preserve-fds: one message carries all
MAX_SIZE = 16 << 20


def main(settings: Settings, arguments: list[str]) -> int:
    try:
        options = parse(arguments, OPTIONS, ALIASES, "exec", stop_at_first=True)
        if options.rest[1:2] == ["--"]:
            del options.rest[1]
        return _exec(settings, options)
    except Failure as failure:
        failure.code = ERROR
        raise
    except OSError as err:
        told = failure_of(err, "exec")
        told.code = ERROR
        raise told


def _exec(settings: Settings, options: Options) -> int:
    from runsc_py.host.linux import LinuxHost

    if not options.rest:
        raise Failure("exec", "needs a container id and a command")
    preserved = check_preserved(options.number("preserve-fds", 0, high=MAX_FDS) + _listen_fds())
    container = Container.open(settings.root, options.rest[0])
    process = read_process(options, container)
    detach, console_socket = options.on("detach"), options.text("console-socket")
    if console_socket and not (detach and process.terminal):
        raise Failure("exec", "--console-socket needs --detach and a terminal (--tty)")
    if process.terminal and detach and not console_socket:
        raise Failure("exec", "a terminal and --detach need a --console-socket")
    status = container.status()
    if status not in ("created", "running", "paused"):
        raise Failure("exec", f"cannot exec in a container that is {status}")
    joining = Joining(LinuxHost(), container, process)
    joining.preserved = preserved
    joining.ignore_paused = options.on("ignore-paused")
    joining.cgroups = sub_cgroups(container.cgroups, options.texts("cgroup"))
    if process.terminal:
        _give_terminal(joining, process, console_socket)
    joining.prepare()
    try:
        if options.text("pid-file"):
            write_pid_file(options.text("pid-file"), joining.stub_pid)
    except OSError:
        joining.undo()
        raise
    if detach:
        joining.go()
        return 0
    from .foreground import Terminal, attend

    return attend(joining.stub_pid, Terminal(), joining.own_terminal, joining.go)


def _listen_fds() -> int:
    """What systemd's socket activation adds (sd_listen_fds(3))."""
    text = os.environ.get("LISTEN_FDS", "")
    return int(text) if text.isdecimal() and int(text) <= MAX_FDS else 0


def _give_terminal(joining: Joining, process: Process, console_socket: str) -> None:
    from runsc_py.host import tty

    if not console_socket:
        if not os.isatty(0):
            raise Failure("exec", "--tty needs a terminal on standard input", "or --detach and --console-socket")
        joining.terminal_fd, joining.own_terminal, joining.mixed_stdio = tty.own_description(0), True, True
        return
    try:
        master, joining.terminal_fd = tty.new_pty(process.console_size)
        tty.send_master(console_socket, master)
    except OSError as err:
        raise failure_of(err, f"--console-socket {console_socket}")
    os.close(master)


def read_process(options: Options, container: Container) -> Process:
    """From --process alone, or the container's own with what the command line says."""
    from runsc_py.oci.process import Process
    from runsc_py.oci.reader import BadConfig, Reader

    path = options.text("process")
    try:
        if path:
            if len(options.rest) > 1:
                raise Failure("exec", "a command and --process exclude each other")
            with open(path, "rb") as file:
                return Process.read(Reader(json_text.loads(file.read(MAX_SIZE))))
        if len(options.rest) < 2:
            raise Failure("exec", "needs a command")
        from runsc_py.oci.spec import load

        process = load(str(container.record.get("bundle", ""))).process
    except BadConfig as err:
        raise Failure(path or "config.json", str(err))
    except (ValueError, RecursionError) as err:
        raise Failure(path, f"not JSON ({err})")
    except OSError as err:
        raise failure_of(err, "exec")
    change(process, options)
    return process


def change(process: Process, options: Options) -> None:
    """What the command line says instead of the container's own."""
    from runsc_py.oci.process import CAP_BITS

    process.args = options.rest[1:]
    process.terminal = options.on("tty")
    process.console_size = None
    if options.text("cwd"):
        process.cwd = options.text("cwd")
        if not process.cwd.startswith("/"):
            raise Failure("--cwd", f"{process.cwd!r} is not absolute")
    env: dict[str, str] = {}
    for item in (*process.env, *options.texts("env")):
        env[item.partition("=")[0]] = item
    process.env = list(env.values())
    if options.text("user"):
        uid, colon, gid = options.text("user").partition(":")
        process.uid = _id("--user", uid)
        if colon:
            process.gid = _id("--user", gid)
    process.additional_gids = [*process.additional_gids, *(_id("--additional-gids", text) for text in gids(options))]
    if "no-new-privs" in options.values:
        process.no_new_privs = options.on("no-new-privs")
    added = 0
    for name in options.texts("cap"):
        added |= CAP_BITS.get(f"CAP_{name.upper().removeprefix('CAP_')}", 0)  # an unknown one is left out, as runc does
    bounding, effective, inheritable, permitted, ambient = process.caps
    process.caps = bounding | added, effective | added, inheritable, permitted | added, ambient


def gids(options: Options) -> list[str]:
    return [text for item in options.texts("additional-gids") for text in item.split(",")]


def _id(what: str, text: str) -> int:
    from runsc_py.oci.process import MAX_ID

    if not text.isdecimal() or int(text) > MAX_ID:
        raise Failure(what, f"{text!r} is not a number")
    return int(text)


def sub_cgroups(directories: list[str], wanted: list[str]) -> list[str]:
    """--cgroup PATH, or CONTROLLER[,CONTROLLER...]:PATH: below the container's own, and there already."""
    found = list(directories)
    for item in wanted:
        names, colon, path = item.rpartition(":")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Failure("--cgroup", f"{path!r} leaves the container's cgroup")
        chosen = set(names.split(",")) if colon else set()
        for index, directory in enumerate(directories):
            if chosen and not chosen & set(_controllers(directory)):
                continue
            found[index] = "/".join((directory, *parts))
            if not os.path.isdir(found[index]):
                raise Failure("--cgroup", f"{found[index]}: No such file or directory")
    return found


def _controllers(directory: str) -> list[str]:
    """Of a hierarchy of version 1, from its mount point: .../memory/..., .../cpu,cpuacct/..."""
    return [name for part in directory.split("/") for name in part.split(",")]
