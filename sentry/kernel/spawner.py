"""clone(2) for those guests that have no parent in the container: pid 1, and the process of each `exec`.

The Sentry makes no process once it is confined. The spawner (engine/spawner.c) does it: a process of ours under the
guests' own filter, so each of its calls comes to the Sentry, and what it may do is what is answered here. Its call
SPAWNER_MAGIC stays open until somebody asks for a program; the answer tells where argv and envp lie, its clone is let
through, and its next SPAWNER_MAGIC brings the child's number. The child's first call is its execveat of the loader,
which may come before that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sentry.abi.errno import BY_CODE, E2BIG, EAGAIN, ENOSYS, EPERM, ESRCH, Errno
from sentry.kernel.exec import NR_EXECVEAT, allow_injected
from sentry.kernel.exit import remove_group
from sentry.mm.user import UserMemory
from sentry.verdict import CONTINUE

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

    Reply = Callable[[int], None]  # a result, -errno or CONTINUE
    Born = Callable[[int], Task]
    Failed = Callable[[Errno], None]
    Ended = Callable[[int], None]
    Registers = tuple[int, ...]

SPAWNER_MAGIC = 1001
NR_CLOSE, NR_CLONE = 3, 56
CLONE_FLAGS = 0x8000 | 17  # CLONE_PARENT, SIGCHLD
LISTENER, LINK = 0, 3  # its descriptors
MAX_ARGUMENT = 1 << 17  # of one string, as in execve(2)
MAX_ARGUMENTS = 2 << 20  # a quarter of the usual stack limit
MAX_WAITING = 64
WORD = struct.Struct("<Q")


class Birth:
    """A process that is asked for: `born(host number)` makes its Task, `ended(wait status)` hears of its end. With
    `held` it stands before its program until `release` is called."""

    __slots__ = ("argv", "born", "ended", "env", "failed", "held", "release")

    def __init__(
        self, argv: list[bytes], env: list[bytes], born: Born, ended: Ended, failed: Failed, held: bool = False
    ) -> None:
        self.argv = argv
        self.env = env
        self.born = born
        self.ended = ended
        self.failed = failed
        self.held = held
        self.release: Callable[[], None] | None = None


class Spawner:
    """The one of a sandbox; `pid` is its number in the Sentry's namespace. One birth at a time is under way."""

    def __init__(self, kernel: Kernel, pid: int) -> None:
        self.kernel = kernel
        self.pid = pid
        self.mem = UserMemory(pid)
        self.alive = True
        self._waiting: list[Birth] = []
        self._current: Birth | None = None
        self._child = 0  # its number, once it is told
        self._reply: Reply | None = None  # the spawner's open SPAWNER_MAGIC
        self._room = (0, 0)
        self._early: dict[int, tuple[Registers, Reply]] = {}  # execveat of a child, which waits for its Task
        self._lost: set[int] = set()  # children that ended before their number was told
        self._ends: dict[int, Ended] = {}  # of the living ones

    def ask(self, birth: Birth) -> None:
        """Errno when it cannot be; `failed` is for what goes wrong later."""
        if not self.alive:
            raise ESRCH
        if len(self._waiting) >= MAX_WAITING:
            raise EAGAIN
        check_size(birth.argv, birth.env)
        self._waiting.append(birth)
        self._go_on()

    # its calls ---------------------------------------------------------------------------------------
    def heard(self, host_tid: int, nr: int, a: Registers, reply: Reply) -> bool:
        """A call of a task that is none of `kernel.tasks`. False: it is not ours either."""
        if host_tid == self.pid:
            self._serve(nr, a, reply)
            return True
        if self._current is None or nr != NR_EXECVEAT or self._child not in (0, host_tid):
            return False
        self._early[host_tid] = a, reply
        self._complete()
        return True

    def _serve(self, nr: int, a: Registers, reply: Reply) -> None:
        if nr == SPAWNER_MAGIC:
            self._room = a[0], a[1]
            self._reply = reply
            self._told(a[2] - (1 << 64) if a[2] >> 63 else a[2])
            self._go_on()
        else:
            making = nr == NR_CLONE and self._current is not None and a[0] == CLONE_FLAGS and a[1] == 0
            closing = nr == NR_CLOSE and a[0] in (LISTENER, LINK)
            reply(CONTINUE if making or closing else -ENOSYS.code)

    def _go_on(self) -> None:
        reply = self._reply
        if reply is None or self._current is not None or not self._waiting:
            return
        self._current = self._waiting.pop(0)
        data = layout(self._current.argv, self._current.env, self._room[0])
        try:
            if len(data) > self._room[1]:
                raise E2BIG
            self.mem.write(self._room[0], data)
        except Errno as err:
            self._fail(err)
            return
        self._reply = None
        reply(len(data))

    def _told(self, child: int) -> None:
        """The number of the child that was made, or why there is none."""
        if self._current is None:
            return
        if child <= 0:
            self._fail(BY_CODE.get(-child, EAGAIN)())
        elif child in self._lost:
            self._fail(ESRCH())
        else:
            self._child = child
            self._complete()

    def _complete(self) -> None:
        """Its number is known and it stands before its exec, in a session of its own: now it is a Task."""
        birth, child = self._current, self._child
        if birth is None or child not in self._early:
            return
        a, reply = self._early.pop(child)
        self._over()
        self._ends[child] = birth.ended
        task = birth.born(child)

        def release() -> None:
            birth.release = None
            if not task.dead and allow_injected(task, a[0] & 0xFFFF_FFFF, a[4]):
                task.continued_nr = NR_EXECVEAT
                reply(CONTINUE)
            else:
                reply(-EPERM.code)

        if birth.held:
            birth.release = release
        else:
            release()
        self._go_on()

    def _over(self) -> None:
        """No birth is under way any more; nobody else stands in an exec that nobody has decided."""
        early, self._early = self._early, {}
        self._current = None
        self._child = 0
        self._lost.clear()
        for _, reply in early.values():
            reply(-EPERM.code)

    def _fail(self, err: Errno) -> None:
        birth = self._current
        self._over()
        if birth is not None:
            birth.failed(err)
        self._go_on()

    # ends --------------------------------------------------------------------------------------------
    def reaped(self, host_pid: int, status: int) -> None:
        """The host says that a child of the Sentry has ended."""
        if host_pid == self.pid:
            self.died()
            return
        ended = self._ends.pop(host_pid, None)
        if ended is not None:
            group = self.kernel.groups.get(host_pid)
            if group is not None and group.dead:  # this is called by group_died, which has not let go of its tasks yet
                self.kernel.defer(partial(self._gone, group, ended, status))
            else:
                self._gone(group, ended, status)
        elif self._child == host_pid:
            self._fail(ESRCH())
        elif self._current is not None and not self._child:
            self._lost.add(host_pid)

    def _gone(self, group: ThreadGroup | None, ended: Ended, status: int) -> None:
        if group is not None:
            remove_group(self.kernel, group)
        ended(status)

    def died(self) -> None:
        """The guests live on; there can be no further `exec`."""
        if not self.alive:
            return
        self.alive = False
        self.kernel.log("the spawner has ended")
        failed, self._waiting = self._waiting, []
        self._reply = None
        self._fail(ESRCH())
        for birth in failed:
            birth.failed(ESRCH())


def check_size(argv: list[bytes], env: list[bytes]) -> None:
    """E2BIG as execve(2) has it."""
    total = 0
    for text in (*argv, *env):
        if len(text) >= MAX_ARGUMENT:
            raise E2BIG
        total += len(text) + 9
    if total > MAX_ARGUMENTS - 4096:
        raise E2BIG


def layout(argv: list[bytes], env: list[bytes], base: int) -> bytes:
    """What the spawner expects at `base`: addresses of argv and of envp, these arrays, their strings."""
    at = base + 8 * (2 + len(argv) + 1 + len(env) + 1)
    words = [base + 16, base + 16 + 8 * (len(argv) + 1)]
    for strings in (argv, env):
        for text in strings:
            words.append(at)
            at += len(text) + 1
        words.append(0)
    return b"".join(map(WORD.pack, words)) + b"".join(text + b"\0" for text in (*argv, *env))
