"""What a platform offers the kernel: answers to calls, descriptors for guests, waiting. There are two, `notify` and
`ptrace`; what they share is in serving.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.platform.serving import Call, Trace


class Platform(Protocol):
    """One instance per sandbox; everything runs in the kernel's only thread.

    table         by number, what serves a call; `continued`: numbers that the host may run after that (serving.py)
    trace         told of every call and its result, or None
    filter_flags  of seccomp(2), for the guests' filter
    channel       (a descriptor that every guest has, its number there), or (-1, -1)
    """

    table: list[Call]
    continued: frozenset[int]
    trace: Trace | None
    filter_flags: int
    channel: tuple[int, int]

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

    def spawner_unfiltered(self, pid: int) -> None:
        """The spawner waits for its filter: it has no guest yet."""

    def spawner_filtered(self, pid: int) -> bool:
        """Is the filter in force, so that its calls come here?"""

    def serve_spawner(self, kernel: Kernel, wait_ms: int) -> None:
        """Before `run`: what the spawner or its first child calls within that time."""

    def idle(self, kernel: Kernel, wait_ns: int) -> None:
        """After `run`: wait so long for a watched descriptor, and call whom it concerns."""

    def run(self, kernel: Kernel) -> None:
        """Serve calls until the kernel stops."""
