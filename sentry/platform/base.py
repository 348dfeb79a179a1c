"""What a platform offers the kernel: answers to calls, descriptors for guests, waiting. There are two, `notify` and
`ptrace`; what they share is in serving.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task


class Platform(Protocol):
    """One instance per sandbox; everything runs in the kernel's only thread."""

    def take(self, kernel: Kernel) -> None:
        """Before the first task: put those of the kernel's parts in place that differ."""

    def answer(self, t: Task, value: int) -> None:
        """End the open call of `t`: a result >= 0, or -errno (also the kernel's own -512 to -516)."""

    def answer_continue(self, t: Task) -> None:
        """Let the host run the open call of `t`."""

    def add_fd(self, t: Task, host_fd: int, at: int, cloexec: bool = True) -> None:
        """Put a copy of `host_fd` at number `at` of the real table of `t` before its open call ends. When that fails:
        Errno, or the call ends with one."""

    def watch(self, host_fd: int, events: int, callback: Callable[[int], None]) -> None: ...

    def unwatch(self, host_fd: int) -> None: ...

    def run(self, kernel: Kernel) -> None:
        """Serve calls until the kernel stops."""
