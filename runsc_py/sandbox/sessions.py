"""The Sentry's side of `exec`: a request of the control socket becomes a guest process, tied to a stub of its own.

{"op": "exec", "process": {...}, "terminal": bool, "console": [bool of 0, 1, 2], "ignore_paused": bool}
comes with descriptors in this order: the link to the stub, the terminal, those of 0, 1 and 2 that are not the terminal,
the preserved ones. The answer is {"pid": number inside, "outer": number in the Sentry's namespace}. The process runs
from {"op": "go"} on, which comes on the same connection once the pid-file is written. If the connection ends before,
so does the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.abi.errno import Errno
from sentry.boot import CONSOLE, BootError, ProcessConfig
from sentry.failure import described
from sentry.joining import Joining
from sentry.socket import host

from .links import EXIT, IN, MESSAGE, SIGNAL, SIGWINCH, received

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.thread_group import ThreadGroup

    from .control import Answer, Connection

SESSION_LIMIT = 1024


class Sessions:
    """All that live."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.living: set[Session] = set()
        self._postponed: list[Session] = []  # `exec --ignore-paused`: until the container goes on

    def begin(self, request: Answer, fds: list[int], connection: Connection) -> Answer | None:
        paused = self.kernel.pause.wanted
        try:
            config, link = read_request(request, fds)
            if len(self.living) >= SESSION_LIMIT:
                raise BootError("too many processes of `exec`")
            if paused and not request.get("ignore_paused"):
                raise BootError("cannot exec in a paused container (use --ignore-paused to override)")
        except (BootError, KeyError, TypeError, ValueError, IndexError) as err:
            close_all(fds)
            return {"error": err.text if isinstance(err, BootError) else f"bad request: {err!r}", "code": 255}
        session = Session(self, config, link, connection)
        self.living.add(session)
        if paused:
            self._postponed.append(session)
            return None
        return session.start()

    def resumed(self) -> None:
        postponed, self._postponed = self._postponed, []
        for session in postponed:
            answer = session.start()
            if answer is not None:
                session.tell(answer)

    def of(self, connection: Connection) -> Session | None:
        return next((s for s in self.living if s.connection is connection), None)

    def closed(self, connection: Connection) -> None:
        """The command has gone; one whose process already runs is right to do so."""
        session = self.of(connection)
        if session is not None:
            session.abandoned()


class Session:
    """One process and its stub."""

    def __init__(self, sessions: Sessions, config: ProcessConfig, link: int, connection: Connection) -> None:
        self.sessions = sessions
        self.kernel = sessions.kernel
        self.link = link
        self.connection: Connection | None = connection
        self.joining = Joining(self.kernel, config, self)
        self.doomed = False
        self.kernel.watch(link, IN, self._heard)

    def start(self) -> Answer | None:
        if self.doomed:
            close_all(self.joining.config.descriptors())
            self._leave()
            return None
        try:
            self.joining.start()
        except BootError as err:
            close_all(self.joining.config.descriptors())
            self._leave()
            return {"error": err.text, "code": err.code}
        except (OSError, Errno) as err:  # descriptors have run out: those that came are partly ours, partly gone
            self._leave()
            return {"error": described(err), "code": 255}
        return None

    def go(self) -> Answer:
        self.connection = None
        self.joining.release()
        return {}

    def tell(self, answer: Answer) -> None:
        if self.connection is not None:
            self.connection.send(answer)

    def abandoned(self) -> None:
        """Nobody waits for it any more, and it has not run yet."""
        self.connection = None
        self.doomed = True
        self.joining.kill()

    # as the Watcher of its Joining
    def joined(self, group: ThreadGroup) -> None:
        if self.doomed:
            self.joining.kill()
        else:
            self.tell({"pid": group.pid, "outer": group.host_pid})

    def failed(self, text: str, code: int) -> None:
        self.tell({"error": text, "code": code})
        self._leave()

    def ended(self, status: int) -> None:
        if self.link >= 0:
            try:
                host.send(self.link, MESSAGE.pack(EXIT, status))
            except Errno:
                pass  # the stub is gone already
        self._leave()

    # the stub's side
    def _heard(self, events: int) -> None:
        text = received(self.link, MESSAGE.size)
        if text is None:
            return
        if len(text) != MESSAGE.size:  # somebody has killed it: that is the process's death
            self._close_link()
            self.doomed = True
            self.joining.kill()
            return
        kind, signo = MESSAGE.unpack(text)
        if kind != SIGNAL:
            return
        if signo == SIGWINCH and self.joining.console is not None:
            self.joining.window_changed()
        elif 0 < signo <= 64:
            self.joining.signal(signo)

    def _close_link(self) -> None:
        if self.link >= 0:
            self.kernel.unwatch(self.link)
            os.close(self.link)
            self.link = -1

    def _leave(self) -> None:
        self._close_link()
        self.joining.watcher = None
        self.sessions.living.discard(self)


def read_request(request: Answer, fds: list[int]) -> tuple[ProcessConfig, int]:
    """(the process, the link); the descriptors get their places."""
    config = ProcessConfig()
    raw = request["process"]
    if not isinstance(raw, dict) or not fds:
        raise ValueError("no process or no descriptors")
    config.args, config.env = [os.fsencode(text) for text in raw["args"]], [os.fsencode(text) for text in raw["env"]]
    config.cwd = os.fsencode(raw["cwd"])
    config.uid, config.gid, config.umask = int(raw["uid"]), int(raw["gid"]), int(raw["umask"])
    config.additional_gids = tuple(int(gid) for gid in raw["gids"])
    bounding, effective, inheritable, permitted, ambient = (int(bits) for bits in raw["caps"])
    config.caps = bounding, effective, inheritable, permitted, ambient
    config.rlimits = {int(number): (int(soft), int(hard)) for number, soft, hard in raw["rlimits"]}
    config.no_new_privs, config.oom_score_adj = bool(raw["no_new_privs"]), int(raw["oom_score_adj"])
    config.terminal = bool(request["terminal"])
    left = list(fds)
    link = left.pop(0)
    if config.terminal:
        config.console = left.pop(0)
    on_console = request["console"]
    if not isinstance(on_console, list) or not config.args:
        raise ValueError("no standard descriptors or no arguments")
    first, second, third = (CONSOLE if config.terminal and wanted else left.pop(0) for wanted in on_console)
    config.stdio = first, second, third
    config.preserved = dict(zip(range(3, 3 + len(left)), left, strict=True))
    return config, link


def close_all(fds: list[int]) -> None:
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
