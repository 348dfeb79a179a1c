"""startContainer hooks (OCI runtime-spec config.md, "POSIX-platform Hooks"): programs of the container, which run in it
before its own program does, as its root and with the state on standard input."""

from __future__ import annotations

import os

from runsc_py.errors import Failure
from runsc_py.oci.hooks import Hook, HookFailed, ended
from runsc_py.oci.spec import load

from .joining import Joining

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.host.protocol import Host

    from .container import Container


def run_inside(host: Host, container: Container, hooks: list[Hook], state: bytes) -> None:
    """HookFailed as for the other hooks."""
    for hook in hooks:
        process = load(str(container.record.get("bundle", ""))).process
        process.args, process.env, process.cwd = [hook.path, *hook.args[1:]], hook.env, "/"
        process.uid = process.gid = 0
        process.additional_gids = []
        process.terminal = False
        joining = Joining(host, container, process)
        with Input(state):
            try:
                joining.prepare()
            except Failure as failure:
                raise HookFailed(f"hook {hook.path}: {failure.why}")
        joining.go()
        ended(hook, joining.stub_pid)


class Input:
    """Descriptor 0 reads `text` meanwhile, as much of it as a pipe holds."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.before = -1

    def __enter__(self) -> None:
        try:
            self.before = os.dup(0)
        except OSError:
            pass  # there was none
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.write(writer, self.text)
        os.close(writer)
        if reader:
            os.dup2(reader, 0)
            os.close(reader)

    def __exit__(self, *_: object) -> None:
        if self.before >= 0:
            os.dup2(self.before, 0)
            os.close(self.before)
        else:
            os.close(0)
