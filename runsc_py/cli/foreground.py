"""A container in the foreground (`run`, `do`): signals are passed on, a terminal is raw meanwhile."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from runsc_py.sandbox.launch import Launch

KEPT = frozenset((signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGURG, signal.SIGPIPE))


def forward_signals(pid: int) -> None:
    """Every signal that can be caught goes to the stub, which tells the Sentry."""

    def forward(signo: int, frame: FrameType | None) -> None:
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            pass

    for signo in signal.valid_signals() - KEPT:
        try:
            signal.signal(signo, forward)
        except (OSError, ValueError):
            pass  # reserved by the C library


class Terminal:
    """Our own terminal at descriptor 0, raw while the container has it: the Sentry's line discipline does the rest."""

    def __init__(self) -> None:
        self.before: list[Any] | None = None

    def take(self) -> None:
        from runsc_py.host import tty

        self.before = tty.make_raw(0)

    def give_back(self) -> None:
        if self.before is not None:
            from runsc_py.host import tty

            tty.restore(0, self.before)
            self.before = None


def attend(stub_pid: int, terminal: Terminal, use_terminal: bool, start: Callable[[], None]) -> int:
    """Until a stub of ours ends; its exit code as a shell counts it."""
    forward_signals(stub_pid)
    try:
        if use_terminal:
            terminal.take()
        start()
        status = os.waitpid(stub_pid, 0)[1]
    finally:
        terminal.give_back()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def serve(launch: Launch, terminal: Terminal, use_terminal: bool, start: Callable[[], None]) -> int:
    """From the commit to the end of the container."""
    code = attend(launch.stub_pid, terminal, use_terminal, start)
    launch.reap_sentry()
    return code
