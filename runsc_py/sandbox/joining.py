"""`exec`: a stub for a further process of a running container, and the request to its Sentry (sessions.py)."""

from __future__ import annotations

import os

from runsc_py.errors import Failure, failure_of
from runsc_py.host.network import open_namespace
from runsc_py.host.tty import own_description

from . import stub
from .client import Link
from .process import SIGKILL
from .stub import ENGINE

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.host.protocol import Host
    from runsc_py.oci.process import Process

    from .container import Container

PATIENCE_S = 60.0
ERROR = 255  # as runc: a command that could not run


class Joining:
    """One `exec` under way. The process runs from `go` on; until then our end is its end."""

    def __init__(self, host: Host, container: Container, process: Process) -> None:
        self.host = host
        self.container = container
        self.process = process
        self.terminal_fd = -1  # a host terminal, raw: the process's console
        self.own_terminal = False  # it is the caller's own, and not to be the stub's controlling one
        self.mixed_stdio = False  # of 0, 1 and 2 only terminals become the console
        self.preserved = 0
        self.cgroups = container.cgroups
        self.ignore_paused = False
        self.stub_pid = 0
        self._link: Link | None = None

    def prepare(self) -> None:
        """Stub and process, which does not run yet."""
        import _socket

        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            self._fork_stub(theirs.fileno())
            theirs.close()
            outer = self._ask(ours.fileno())
            if self.cgroups != self.container.cgroups:
                self._move(outer)
        except BaseException:
            ours.close()  # which the stub takes for the Sentry's end
            self.undo()
            raise
        ours.close()

    def go(self) -> None:
        assert self._link is not None
        try:
            self._link.ask({"op": "go"})
        except OSError:
            pass  # the sandbox has ended, which the stub tells
        self._link.close()

    def undo(self) -> None:
        if self._link is not None:
            self._link.close()
        if self.stub_pid > 0:
            try:
                os.kill(self.stub_pid, SIGKILL)
                os.waitpid(self.stub_pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass

    def _fork_stub(self, sentry_fd: int) -> None:
        """Beside the container's own stub, in its namespaces and cgroups."""
        import _socket

        pid, _ = self.container.stub
        plan = stub.StubPlan(self.container.directory.id, "", "")
        try:
            plan.mnt_fd, plan.netns_fd = open_namespace(f"/proc/{pid}/ns/mnt"), open_namespace(f"/proc/{pid}/ns/net")
        except OSError:
            raise Failure("exec", "the container has stopped", code=ERROR)
        plan.procs_fds = [fd for fd in map(_open_procs, self.cgroups) if fd >= 0]
        plan.sentry_fd = sentry_fd
        plan.terminal_fd = -1 if self.own_terminal else self.terminal_fd
        plan.exec_fd = os.open(f"{ENGINE}/stub", os.O_RDONLY | os.O_CLOEXEC)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self.stub_pid = os.fork()
        if self.stub_pid == 0:
            ours.close()
            stub.run(self.host, plan, theirs)
        theirs.close()
        for fd in (plan.mnt_fd, plan.netns_fd, plan.exec_fd, *plan.procs_fds):
            os.close(fd)
        trouble = ours.recv(4096)
        ours.close()
        if trouble:
            raise Failure("exec: stub", trouble.decode(errors="replace"), code=ERROR)

    def _move(self, outer: int) -> None:
        """--cgroup: the process, which hangs below the Sentry, goes where its stub is."""
        pid = process_of(self.container.sentry[0], outer)
        for directory in self.cgroups:
            fd = _open_procs(directory)
            if fd < 0:
                raise Failure("--cgroup", f"{directory} cannot be joined", code=ERROR)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)

    def _ask(self, link_fd: int) -> int:
        """The process's number in the Sentry's namespace."""
        process, console = self.process, self.terminal_fd >= 0
        on_console = [console and (not self.mixed_stdio or os.isatty(number)) for number in (0, 1, 2)]
        fds = [link_fd]
        if console:
            fds.append(self.terminal_fd)
        own = [own_description(number) for number in (0, 1, 2) if not on_console[number]]
        fds += [*own, *range(3, 3 + self.preserved)]
        request = {
            "op": "exec",
            "process": request_of(process),
            "terminal": console,
            "console": on_console,
            "ignore_paused": self.ignore_paused,
        }
        try:
            self._link = Link(f"{self.container.directory.path}/control", None if self.ignore_paused else PATIENCE_S)
            answer = self._link.ask(request, fds)
        except OSError as err:
            raise failure_of(err, "exec", "the sandbox does not answer")
        finally:
            for fd in own:
                os.close(fd)
        if "error" in answer:
            code = answer.get("code")
            raise Failure("exec", str(answer["error"]), code=code if isinstance(code, int) else ERROR)
        outer = answer.get("outer")
        return outer if isinstance(outer, int) else 0


def request_of(process: Process) -> dict[str, object]:
    return {
        "args": process.args,
        "env": process.env,
        "cwd": process.cwd,
        "uid": process.uid,
        "gid": process.gid,
        "gids": process.additional_gids,
        "umask": process.umask,
        "caps": list(process.caps),
        "rlimits": [[number, soft, hard] for number, (soft, hard) in process.rlimits.items()],
        "no_new_privs": process.no_new_privs,
        "oom_score_adj": process.oom_score_adj,
    }


def process_of(sentry_pid: int, outer: int) -> int:
    """Our number of a child of the Sentry (proc(5), children and NSpid)."""
    with open(f"/proc/{sentry_pid}/task/{sentry_pid}/children", encoding="ascii") as file:
        children = file.read().split()
    for child in children:
        try:
            with open(f"/proc/{child}/status", encoding="ascii", errors="replace") as file:
                numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
        except OSError:
            continue
        if len(numbers) > 2 and numbers[-2] == str(outer):
            return int(child)
    raise ProcessLookupError(3, "No such process", "exec")


def _open_procs(directory: str) -> int:
    try:
        return os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1
