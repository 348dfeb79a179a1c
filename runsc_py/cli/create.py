"""create(OCI runtime-spec runtime.md): a container from a bundle, up to the point where its program could start."""

from __future__ import annotations

import os
import time

from runsc_py import json_text
from runsc_py.errors import Failure, failure_of

from .options import SWITCH, VALUE, Options, one_id, parse
from .settings import Settings

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.oci.spec import Spec
    from runsc_py.sandbox.launch import Launch

OPTIONS = {
    "bundle": VALUE,
    "console-socket": VALUE,
    "pid-file": VALUE,
    "preserve-fds": VALUE,
    "no-pivot": SWITCH,
    "no-new-keyring": SWITCH,
    "no-subreaper": SWITCH,
    "user-log": VALUE,
}
ALIASES = {"b": "bundle"}


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, OPTIONS, ALIASES, "create")
    container_id = one_id(options, "create")
    try:
        launch = prepare(settings, options, container_id)
    except Failure as failure:
        failure.code = 1  # as runc: container engines read the text, not the code
        raise
    finish(launch, options)
    return 0


def load_spec(options: Options) -> tuple[Spec, str]:
    from runsc_py.oci.reader import BadConfig
    from runsc_py.oci.spec import load

    bundle = os.path.abspath(options.text("bundle", "."))
    try:
        return load(bundle), bundle
    except BadConfig as err:
        raise Failure(f"{bundle}/config.json", str(err))
    except OSError as err:
        raise failure_of(err, "create", "give the bundle's directory with --bundle")


def prepare(settings: Settings, options: Options, container_id: str, tty_fd: int = -1) -> Launch:
    """Everything up to a running Sentry and stub. The lock is held. `tty_fd`: `run` on a terminal of its own."""
    preserved = check_preserved(options.number("preserve-fds", 0, high=1024))
    spec, bundle = load_spec(options)
    console_socket = options.text("console-socket")
    if spec.process.terminal and not console_socket and tty_fd < 0:
        raise Failure("create", "process.terminal is set, but there is no --console-socket")
    if console_socket and not spec.process.terminal:
        raise Failure("create", "--console-socket is given, but process.terminal is not set")
    from runsc_py.sandbox.assemble import assemble

    return assemble(
        settings,
        container_id,
        spec,
        bundle,
        preserved=preserved,
        console_socket=console_socket,
        overlay=settings.overlay,
        tty_fd=tty_fd if spec.process.terminal else -1,
    )


def check_preserved(count: int) -> int:
    """All of them must be open; to be asked before we open any ourselves."""
    for number in range(3, 3 + count):
        try:
            os.fstat(number)
        except OSError:
            raise Failure("--preserve-fds", f"descriptor {number} is not open")
    return count


def finish(launch: Launch, options: Options) -> None:
    """Hooks, pid-file and commit; then the lock goes."""
    from runsc_py.oci import hooks
    from runsc_py.sandbox.container import Container

    try:
        launch.record["hooks"] = hooks.to_json(launch.spec.hooks, ("startContainer", "poststart", "poststop"))
        launch.record["created"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}Z"
        launch.directory.write(launch.record)
        points = ("prestart", "createRuntime", "createContainer")
        wanted = [hook for point in points for hook in launch.spec.hooks.get(point, ())]
        if wanted:
            state = Container(launch.directory, launch.record).state()
            hooks.run_hooks(wanted, json_text.dumps({**state, "status": "creating"}).encode())
        pid_file = options.text("pid-file")
        if pid_file:
            write_pid_file(pid_file, launch.stub_pid)
        launch.commit()
    except hooks.HookFailed as err:
        _give_up(launch)
        raise Failure("create", str(err))
    except BaseException:
        _give_up(launch)
        raise
    launch.directory.unlock()


def _give_up(launch: Launch) -> None:
    launch.undo()
    launch.directory.remove()


def write_pid_file(path: str, pid: int) -> None:
    """By rename: a reader sees all of it or nothing."""
    fresh = f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}.new"
    with open(fresh, "w") as file:
        file.write(str(pid))
    os.rename(fresh, path)
