"""`create`: from a decided plan to a Sentry with a parked guest and a stub, all or nothing.

Until "commit" everything hangs on this process: it dies, and the Sentry (end of file on its link) and the stub (end of
file on its own) follow. What outlives processes, cgroups and the state directory, is in the record before it is made.
"""

from __future__ import annotations

import json
import os
import signal
import struct
from typing import TYPE_CHECKING

from runsc_py.errors import Failure, failure_of
from runsc_py.host import cgroups, network, trees
from runsc_py.host import flags as f
from sentry.boot import CONSOLE

from . import process, sentry, stub
from .directory import Directory, Record
from .links import ATTACHED, COMMIT
from .stub import ENGINE

if TYPE_CHECKING:
    from _socket import socket

    from runsc_py.host.protocol import Host
    from runsc_py.oci.spec import Spec
    from sentry.boot import BootConfig

BOOT_PATIENCE_S = 60.0


class Launch:
    """One creation under way. `stub_pid` is the container's pid once `create` has returned."""

    def __init__(self, host: Host, directory: Directory, spec: Spec, config: BootConfig, record: Record) -> None:
        self.host = host
        self.directory = directory
        self.spec = spec
        self.config = config
        self.record = record
        self.cgroups: cgroups.Cgroups | None = None
        self.netns_fd = -1
        self.terminal_fd = -1  # becomes the stub's controlling terminal
        self.stub_pid = 0
        self.sentry_pid = 0
        self.creator: socket | None = None
        self.notes: list[str] = []

    def create(self) -> None:
        """Make the processes, up to but not including the commit. On failure nothing is left but the directory."""
        import _socket

        try:
            self._make_cgroups()
            pair = _socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
            self.creator, sentry_creator = _socket.socketpair(*pair)
            sentry_stub, stub_sentry = _socket.socketpair(*pair)
            self.config.creator_fd, self.config.stub_fd = sentry_creator.fileno(), sentry_stub.fileno()
            self.config.control_fd = self._listen()
            self.config.exit_fd = self._open(f"{self.directory.path}/exit", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            self.config.loader_fd = self._open_program("loader")
            self.config.spawner_fd = self._open_program("spawner")
            procs_fds = self.cgroups.open_procs() if self.cgroups else []
            self._fork_sentry(procs_fds)
            for fd in (self.config.control_fd, self.config.exit_fd, self.config.loader_fd, self.config.spawner_fd):
                os.close(fd)
            sentry_creator.close()
            sentry_stub.close()
            parent = self._fork_stub(procs_fds, stub_sentry.fileno())
            stub_sentry.close()
            for fd in procs_fds:
                os.close(fd)
            init_pidfd = self._await_ready()
            self._finish_stub(parent, init_pidfd)
        except BaseException:
            self.undo()
            raise

    def commit(self, attached: bool = False) -> None:
        """From here on the container lives without us; or, `attached`, still ends with us."""
        assert self.creator is not None
        try:
            self.creator.send(ATTACHED if attached else COMMIT)
        except OSError as err:
            raise failure_of(err, "create", "the sandbox ended")
        if not attached:
            self.creator.close()

    def reap_sentry(self) -> None:
        """After the stub's end, which the Sentry told it as its last act."""
        os.kill(self.sentry_pid, signal.SIGKILL)
        os.waitpid(self.sentry_pid, 0)

    def undo(self) -> None:
        if self.creator is not None:
            self.creator.close()
        for pid in (self.sentry_pid, self.stub_pid):
            if pid > 0:
                try:
                    os.kill(pid, signal.SIGKILL)  # our own children, not yet waited for: the numbers are still theirs
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
        if self.cgroups is not None:
            cgroups.remove(self.cgroups.directories)
            cgroups.remove_empty(self.cgroups.parents)

    # steps ------------------------------------------------------------------------------------------------------------
    def _open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def _open_program(self, name: str) -> int:
        """On a read-only mount of its own: who holds the descriptor, even as root, cannot change the host's file."""
        mount = trees.clone(self.host, os.fsencode(f"{ENGINE}/{name}"), False, f.MS_RDONLY | f.MS_NOSUID | f.MS_NODEV)
        try:
            return self._open(f"/proc/self/fd/{mount}", os.O_RDONLY)
        finally:
            os.close(mount)

    def _make_cgroups(self) -> None:
        if self.cgroups is None:
            return
        self.record["cgroups"], self.record["cgroupParents"] = self.cgroups.directories, self.cgroups.parents
        self.directory.write(self.record)
        self.cgroups.create()
        self.notes += self.cgroups.limit(self.spec.resources)

    def _listen(self) -> int:
        import _socket

        link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        at = os.open(self.directory.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        link.bind(f"/proc/self/fd/{at}/control")
        os.close(at)
        link.listen(16)
        return link.detach()

    def _fork_sentry(self, procs_fds: list[int]) -> None:
        """As pid 1 of a new pid namespace: its death, whatever the cause, takes every guest with it."""
        own = network.open_namespace("/proc/self/ns/pid")
        self.host.unshare(f.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                around = sentry.Surroundings(self.directory.path, procs_fds, self.netns_fd)
                sentry.run(self.host, self.config, around)
        finally:
            self.host.setns(own, f.CLONE_NEWPID)
            os.close(own)
        self.sentry_pid = pid
        self.record["sentryPid"], self.record["sentryStart"] = pid, process.start_time(pid)

    def _fork_stub(self, procs_fds: list[int], sentry_fd: int) -> socket:
        """It builds its mount namespace while the Sentry boots, and waits for the guests' /proc."""
        import _socket

        plan = stub.StubPlan(self.directory.id, self.spec.root, self.directory.path)
        plan.root_readonly = self.config.root_readonly or self.config.overlay
        plan.mounts = self.spec.mounts
        plan.procs_fds, plan.netns_fd = procs_fds, self.netns_fd
        plan.sentry_fd, plan.terminal_fd = sentry_fd, self.terminal_fd
        plan.exec_fd = self._open(f"{ENGINE}/stub", os.O_RDONLY)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            ours.close()
            assert self.creator is not None
            self.creator.close()  # else the Sentry would not see our end
            stub.run(self.host, plan, theirs)
        theirs.close()
        os.close(plan.exec_fd)
        self.stub_pid = pid
        self.record["pid"], self.record["stubStart"] = pid, process.start_time(pid)
        self.directory.write(self.record)
        return ours

    def _await_ready(self) -> int:
        """A pidfd of the guest's first task, parked in its loader."""
        import _socket

        assert self.creator is not None
        self.creator.settimeout(BOOT_PATIENCE_S)
        try:
            text, rights, _, _ = self.creator.recvmsg(16384, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise Failure("create", f"the sandbox did not start within {BOOT_PATIENCE_S:.0f} s")
        if rights:
            return int(struct.unpack("i", rights[0][2])[0])
        if not text:
            raise Failure("create", "the sandbox died while it started", "run with --debug --debug-log=FILE")
        answer = json.loads(text)
        raise Failure("create", str(answer["error"]), code=int(answer["code"]))

    def _finish_stub(self, parent: socket, init_pidfd: int) -> None:
        import _socket

        from runsc_py.host.guest_proc import guest_proc

        try:
            proc = guest_proc(self.host, init_pidfd)
        except OSError as err:
            raise failure_of(err, "create", "the container's first task ended before it started")
        finally:
            os.close(init_pidfd)
        parent.sendmsg([b"p"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", proc))])
        os.close(proc)
        trouble = parent.recv(4096)
        parent.close()
        if trouble:
            raise Failure("create: stub", trouble.decode(errors="replace"))


def guest_stdio(console: bool, only_terminals: bool) -> tuple[int, int, int]:
    """Our own 0, 1 and 2 for the guest. `only_terminals`: of these only terminals become its console (`do`)."""
    from runsc_py.host.tty import own_description

    if console and not only_terminals:
        return CONSOLE, CONSOLE, CONSOLE
    first, second, third = (
        CONSOLE if console and os.isatty(number) else own_description(number) for number in (0, 1, 2)
    )
    return first, second, third
