"""A further process in a running container (runc-exec(8)): as pid 1 it has no parent inside, but its end is not the
container's."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from sentry import process_setup as process
from sentry.abi.errno import ESRCH, Errno
from sentry.boot import ProcessConfig
from sentry.kernel.fs_context import FsContext
from sentry.kernel.spawner import Birth
from sentry.platform.launch import born
from vfs.core.fd_table import FdTable
from vfs.tty.devices import new_terminal
from vfs.tty.session import terminals

if TYPE_CHECKING:
    from sentry.kernel.exec import Exec
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.tty.console import Console

DRAIN_NS = 2_000_000_000  # how long the end of a terminal waits for what was written last to be read
LOOK_NS = 2_000_000


class Watcher(Protocol):
    """Who asked for the process."""

    def joined(self, group: ThreadGroup) -> None:
        """It is there, and waits for `Joining.release`."""

    def failed(self, text: str, code: int) -> None:
        """It cannot be; `code` as a shell's."""

    def ended(self, status: int) -> None:
        """Its wait status; what it wrote to its terminal has been passed on."""


class Joining:
    """One such process, from the wish to its end."""

    def __init__(self, kernel: Kernel, config: ProcessConfig, watcher: Watcher) -> None:
        self.kernel = kernel
        self.config = config
        self.watcher: Watcher | None = watcher  # until it has heard of the end: no cycle is left then
        self.console: Console | None = None
        self.group: ThreadGroup | None = None
        self._birth: Birth | None = None

    def start(self) -> None:
        """BootError when it cannot be; the descriptors of the config are then still the caller's."""
        kernel, config = self.kernel, self.config
        fds, fs = FdTable(), FsContext(kernel.root, kernel.root, config.umask)
        creds, limits = process.credentials(config), process.limits(config)
        fds.limit = limits.nofile
        candidate = cast("Task", process.Candidate(kernel, fds, fs, creds, limits))
        fs.cwd = process.working_directory(candidate, config.cwd)
        process.add_home(candidate, config)
        program = process.program(candidate, config)
        if config.console >= 0:
            self.console = new_terminal(kernel, config.console)
        process.open_stdio(kernel, config, fds, self.console, candidate)
        if config.console >= 0:
            os.close(config.console)  # the console has a description of its own

        def make(host_pid: int) -> Task:
            task = born(kernel, host_pid, program, fds, fs, creds, limits)
            self.group = task.group
            task.group.oom_score_adj = config.oom_score_adj
            if self.console is not None:
                terminals(kernel).take(self.console.tty, task.group)
            kernel.defer(self._joined)
            return task

        def failed(err: Errno) -> None:
            fds.release()
            _drop(program)
            if self.console is not None:
                self.console.close()
            watcher, self.watcher, self._birth = self.watcher, None, None
            if watcher is not None:
                watcher.failed(f"no process could be made: {os.strerror(err.code)}", 126)

        self._birth = Birth(config.args, config.env, make, self._ended, failed, held=True)
        try:
            if kernel.spawner is None:
                raise ESRCH
            kernel.spawner.ask(self._birth)
        except Errno as err:
            kernel.defer(partial(failed, err))

    def _joined(self) -> None:
        if self.watcher is not None and self.group is not None:
            self.watcher.joined(self.group)

    def release(self) -> None:
        """Let it run its program."""
        if self._birth is not None and self._birth.release is not None:
            self._birth.release()

    def signal(self, signo: int) -> None:
        group = self.group
        if group is not None and not group.dead:
            self.kernel.signals.send_group(group, signo)

    def kill(self) -> None:
        group = self.group
        if group is not None and not group.dead:
            self.kernel.stops.kill(group.host_pid, 9)

    def window_changed(self) -> None:
        if self.console is not None:
            self.console.resize()

    def _ended(self, status: int) -> None:
        self._birth = None
        self._drain(self.kernel.now_ns() + DRAIN_NS, status)

    def _drain(self, deadline_ns: int, status: int) -> None:
        """As the last slave of a pair does, the terminal goes when all is read, or nobody reads."""
        console, now_ns = self.console, self.kernel.now_ns()
        if console is not None:
            if console.output and now_ns < deadline_ns:
                self.kernel.timers.add(now_ns + LOOK_NS, lambda: self._drain(deadline_ns, status))
                return
            console.discard()
            console.close()
            self.console = None
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            watcher.ended(status)


def _drop(program: Exec) -> None:
    for held in (program.held, program.interp_held):
        if held is not None:
            held.drop()
