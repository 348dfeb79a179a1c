"""Wait queues and `retry`: the one way in which a system call waits (poll(2) event bits).

Rules: files and queues never block and never run other people's handlers. `WaitQueue.notify` only marks sleepers as
ready (an `Entry.wake` must do no more than append to a list); the loop runs them afterwards. A call is parked by
`Park`, which `retry` raises, or a handler that has just tried `op` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sentry.abi.errno import WouldBlock

IN, PRI, OUT, ERR, HUP, NVAL = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
RDNORM, RDBAND, WRNORM, WRBAND, RDHUP = 0x40, 0x80, 0x100, 0x200, 0x2000
ALWAYS = ERR | HUP  # reported whether asked for or not

RESTARTSYS = 512  # restarted after a handler with SA_RESTART, else EINTR (read, write, accept, flock, wait ...)
RESTARTNOHAND = 514  # EINTR after any handler (poll, select, epoll_wait, pause, sem* ...); see signal(7)


class Entry:
    """One sleeper on a queue; `wake` is told which events became true and must only mark itself ready."""

    __slots__ = ("mask",)

    def __init__(self, mask: int) -> None:
        self.mask = mask

    def wake(self, events: int) -> None:
        raise NotImplementedError


class WaitQueue:
    """Sleepers in the order in which they came."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Entry, None] | None = None

    def add(self, entry: Entry) -> None:
        if self._entries is None:
            self._entries = {}
        self._entries[entry] = None

    def remove(self, entry: Entry) -> None:
        if self._entries is not None:
            self._entries.pop(entry, None)

    def notify(self, events: int = 0xFFFF_FFFF) -> None:
        """Wake every sleeper that waits for one of `events` (ERR and HUP wake all)."""
        if self._entries:
            for entry in tuple(self._entries):
                if (entry.mask | ALWAYS) & events:
                    entry.wake(events)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __len__(self) -> int:
        return len(self._entries) if self._entries else 0


class Pollable(Protocol):
    """Anything with a queue: an open file, a timer, a process."""

    @property
    def queue(self) -> WaitQueue: ...


class Park(Exception):
    """Raised by `retry` to the loop: run `op` again when something in `on` is ready, or at the deadline.

    op           called again after a wake-up; raises WouldBlock to go on sleeping
    on           (pollable, events) pairs
    deadline_ns  on the kernel's monotonic clock, None for ever; at the deadline `expired()` gives the result
    interrupted  asked when a signal ends the wait: an int is the call's result (partial progress), None means EINTR
    restart      RESTARTSYS or RESTARTNOHAND, what a signal does to the call (signal(7))
    sigmask      the 64-bit signal mask in force during the call only (ppoll, pselect6, epoll_pwait), or None
    """

    def __init__(
        self,
        op: Callable[[], int],
        on: Sequence[tuple[Pollable, int]],
        deadline_ns: int | None = None,
        expired: Callable[[], int] | None = None,
        interrupted: Callable[[], int | None] | None = None,
        restart: int = RESTARTSYS,
        sigmask: int | None = None,
        sigmask_addr: int = 0,
    ) -> None:
        self.op = op
        self.on = on
        self.deadline_ns = deadline_ns
        self.expired = expired
        self.interrupted = interrupted
        self.restart = restart
        self.sigmask = sigmask
        self.sigmask_addr = sigmask_addr


def retry(
    op: Callable[[], int],
    on: Sequence[tuple[Pollable, int]],
    *,
    nonblock: bool = False,
    deadline_ns: int | None = None,
    expired: Callable[[], int] | None = None,
    interrupted: Callable[[], int | None] | None = None,
    restart: int = RESTARTSYS,
    sigmask: int | None = None,
    sigmask_addr: int = 0,
) -> int:
    """Run `op` now; should it block, park the caller until something in `on` is ready (arguments as in `Park`).

    An `op` that makes progress in steps (a long write to a pipe) keeps it in its own object and reports it by
    `interrupted`; it must raise WouldBlock with its progress kept.
    """
    try:
        return op()
    except WouldBlock:
        if nonblock:
            raise
    raise Park(op, on, deadline_ns, expired, interrupted, restart, sigmask, sigmask_addr)
