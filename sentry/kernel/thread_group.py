"""A process of the guest: its threads, its signal dispositions, its limits and its place in the family (clone(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sentry.kernel.task import guest_number

if TYPE_CHECKING:
    from sentry.kernel.aio import Contexts
    from sentry.kernel.bracket import Bracket
    from sentry.kernel.exe import Program
    from sentry.kernel.interval import GroupTimers
    from sentry.kernel.limits import Limits
    from sentry.kernel.task import Task
    from sentry.wait import WaitQueue
    from vfs.core.file import File
    from vfs.core.walk import Path

SIG_DFL, SIG_IGN = 0, 1
SA_RESTART = 0x1000_0000


class SigAction(NamedTuple):
    """A disposition as rt_sigaction(2) set it; the host holds the real one."""

    handler: int
    flags: int
    mask: int

    @property
    def caught(self) -> bool:
        return self.handler not in (SIG_DFL, SIG_IGN)


DEFAULT = SigAction(SIG_DFL, 0, 0)


class SigHand:
    """Dispositions by signal number; shared with CLONE_SIGHAND, copied by fork, reset by exec."""

    __slots__ = ("actions",)

    def __init__(self, actions: dict[int, SigAction] | None = None) -> None:
        self.actions = actions if actions is not None else {}

    def copy(self) -> SigHand:
        return SigHand(dict(self.actions))

    def get(self, signo: int) -> SigAction:
        return self.actions.get(signo, DEFAULT)

    def reset_for_exec(self) -> None:
        """Handlers go back to the default, ignored stays ignored (execve(2))."""
        self.actions = {s: a for s, a in self.actions.items() if a.handler == SIG_IGN}

    def interrupts(self, signo: int) -> bool:
        """True when a handler without SA_RESTART takes `signo`: such a signal must be delivered between calls only."""
        action = self.actions.get(signo)
        return action is not None and action.handler > SIG_IGN and not action.flags & SA_RESTART


class AddressSpace:
    """Stands for one, to tell who shares it; `segments` says that it may have System V shared memory attached."""

    __slots__ = ("segments",)

    def __init__(self, segments: bool = False) -> None:
        self.segments = segments


class ThreadGroup:
    """One process. `host_pid` is the number of its leader in the Sentry's pid namespace."""

    __slots__ = (
        "host_pid", "tasks", "parent", "children", "sighand", "limits", "exe", "exe_file", "timers", "start_ns",
        "epoch", "exiting", "dead", "pidfd", "subreaper", "loader_range", "_pid", "oom_score_adj",
        "bracket", "personality", "dumpable",
        "vfork_parent", "exits_in_flight", "in_flight", "program", "death_queue", "reaped", "aio", "memory",
        "__weakref__",
    )  # fmt: skip

    def __init__(
        self, host_pid: int, parent: ThreadGroup | None, sighand: SigHand, limits: Limits, start_ns: int
    ) -> None:
        self.host_pid = host_pid
        self.tasks: dict[int, Task] = {}
        self.parent = parent
        self.children: set[ThreadGroup] = set()
        self.sighand = sighand
        self.limits = limits
        self.exe: Path | None = None
        self.exe_file: File | None = None
        self.program: Program | None = None  # the hold on exe_file
        self.timers: GroupTimers | None = None
        self.start_ns = start_ns  # CLOCK_BOOTTIME, for /proc/PID/stat
        self.epoch = 0  # counts events that may have brought a signal
        self.exiting = False
        self.dead = False  # all threads gone (a zombie until the parent waits)
        self.reaped = False  # its parent has waited for it, as far as was noticed
        self.pidfd = -1
        self.subreaper = False
        self.loader_range: tuple[int, int] = (0, 0)
        self._pid = 0
        self.oom_score_adj = 0
        self.bracket: Bracket | None = None
        self.exits_in_flight = 0  # children that may die without a bracket, and have not yet
        self.in_flight = False  # this one is such a child
        self.personality = 0
        self.dumpable = 1
        self.memory = AddressSpace()
        self.aio: Contexts | None = None  # of asynchronous I/O (aio.py)
        self.death_queue: WaitQueue | None = None  # who polls a pidfd of it
        self.vfork_parent: Task | None = None  # sleeps in vfork(2) until this process execs or exits
        if parent is not None:
            parent.children.add(self)

    @property
    def pid(self) -> int:
        """The number that getpid(2) gives the guest."""
        if not self._pid:
            self._pid = guest_number(self.host_pid, self.pidfd)
        return self._pid

    @property
    def leader(self) -> Task:
        """The thread whose number is the process's; any thread while the leader is gone."""
        task = self.tasks.get(self.host_pid)
        return task if task is not None else next(iter(self.tasks.values()))
