"""The Sentry's side of the spawner: births in every order of events, refusals, and its end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sentry.abi.errno import E2BIG, EAGAIN, EPERM, ESRCH, Errno
from sentry.kernel import spawner as module
from sentry.kernel.exec import NR_EXECVEAT
from sentry.kernel.spawner import CLONE_FLAGS, NR_CLONE, NR_CLOSE, SPAWNER_MAGIC, Birth, Spawner, layout
from sentry.verdict import CONTINUE

SPAWNER, ROOM, SIZE = 2, 0x10000, 4 << 20
EXECVEAT = (63, 0, 0, 0, 0x1000, 0)


class Memory:
    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def write(self, addr: int, data: bytes) -> None:
        self.written.append((addr, data))


class Kernel:
    def __init__(self) -> None:
        self.groups: dict[int, object] = {}
        self.said: list[str] = []
        self.deferred: list[Callable[[], None]] = []

    def defer(self, callback: Callable[[], None]) -> None:
        self.deferred.append(callback)

    def log(self, text: str) -> None:
        self.said.append(text)


class Task:
    def __init__(self, host_pid: int) -> None:
        self.host_pid = host_pid
        self.dead = False
        self.continued_nr = -1


class Case:
    """A spawner whose calls the test makes; `answers` holds what each got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "allow_injected", lambda task, fd, flags: (fd, flags) == (63, 0x1000))
        self.kernel = Kernel()
        self.spawner = Spawner(self.kernel, SPAWNER)  # type: ignore[arg-type]
        self.memory = Memory()
        self.spawner.mem = self.memory  # type: ignore[assignment]
        self.events: list[tuple[str, Any]] = []

    def call(self, tid: int, nr: int, *a: int) -> list[int]:
        answers: list[int] = []
        registers = (*a, *(0 for _ in range(6 - len(a))))
        if not self.spawner.heard(tid, nr, registers, answers.append):
            answers.append(-999)
        return answers

    def waits(self, child: int = 0) -> list[int]:
        return self.call(SPAWNER, SPAWNER_MAGIC, ROOM, SIZE, child & (1 << 64) - 1)

    def birth(self, name: str = "a", held: bool = False) -> Birth:
        def born(host_pid: int) -> Any:
            self.events.append(("born", host_pid))
            return Task(host_pid)

        return Birth([name.encode()], [b"X=1"], born, lambda status: self.events.append(("ended", status)),
                     lambda err: self.events.append(("failed", type(err))), held)  # fmt: skip


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def test_layout() -> None:
    data = layout([b"prog", b""], [b"A=b"], 1000)
    argv, envp = struct.unpack_from("<QQ", data)
    first, second, end = struct.unpack_from("<3Q", data, argv - 1000)
    variable, last = struct.unpack_from("<2Q", data, envp - 1000)
    text = [data[at - 1000 : data.index(b"\0", at - 1000)] for at in (first, second, variable)]
    assert text == [b"prog", b"", b"A=b"] and end == last == 0


def test_a_birth_whose_number_comes_first(case: Case) -> None:
    opened = case.waits()
    assert opened == [], "it waits for work"
    case.spawner.ask(case.birth())
    assert opened == [len(case.memory.written[0][1])] and case.memory.written[0][0] == ROOM
    assert case.call(SPAWNER, NR_CLONE, CLONE_FLAGS) == [CONTINUE]
    assert case.waits(7) == [] and not case.events, "it has no session of its own yet"
    assert case.call(7, NR_EXECVEAT, *EXECVEAT) == [CONTINUE]
    assert case.events == [("born", 7)]
    case.spawner.reaped(7, 512)
    assert case.events[-1] == ("ended", 512)


def test_an_end_that_is_being_dealt_with_is_told_after_that(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """group_died collects the host's events before it lets go of its tasks: they must still be there."""
    removed: list[object] = []
    monkeypatch.setattr(module, "remove_group", lambda kernel, group: removed.append(group))
    case.spawner.ask(case.birth())
    case.waits()
    case.call(7, NR_EXECVEAT, *EXECVEAT)
    case.waits(7)
    case.kernel.groups[7] = SimpleNamespace(dead=True)
    case.spawner.reaped(7, 512)
    assert removed == [] and case.events == [("born", 7)]
    for callback in case.kernel.deferred:
        callback()
    assert removed == [case.kernel.groups[7]] and case.events[-1] == ("ended", 512)


def test_a_birth_whose_first_call_comes_first(case: Case) -> None:
    case.spawner.ask(case.birth())
    assert case.waits() != []
    early = case.call(7, NR_EXECVEAT, *EXECVEAT)
    assert early == [] and not case.events
    case.waits(7)
    assert early == [CONTINUE] and case.events == [("born", 7)]


def test_held_until_released(case: Case) -> None:
    birth = case.birth(held=True)
    case.spawner.ask(birth)
    case.waits()
    early = case.call(7, NR_EXECVEAT, *EXECVEAT)
    case.waits(7)
    assert case.events == [("born", 7)] and early == [] and birth.release is not None
    birth.release()
    assert early == [CONTINUE] and birth.release is None


def test_one_after_the_other(case: Case) -> None:
    case.waits()
    for name in "ab":
        case.spawner.ask(case.birth(name))
    assert len(case.memory.written) == 1
    case.waits(7)
    assert len(case.memory.written) == 1, "the first has not made its call"
    case.call(7, NR_EXECVEAT, *EXECVEAT)
    assert len(case.memory.written) == 2
    case.waits(8)
    case.call(8, NR_EXECVEAT, *EXECVEAT)
    assert case.events == [("born", 7), ("born", 8)]


def test_only_its_own_calls(case: Case) -> None:
    assert case.call(SPAWNER, NR_CLOSE, 0) == case.call(SPAWNER, NR_CLOSE, 3) == [CONTINUE]
    for nr, a in ((NR_CLOSE, (63,)), (NR_CLONE, (CLONE_FLAGS,)), (57, ()), (59, ()), (NR_EXECVEAT, EXECVEAT)):
        assert case.call(SPAWNER, nr, *a) == [-38], "nobody has asked for a child"
    assert case.call(99, NR_EXECVEAT, *EXECVEAT) == [-999], "an unknown task"
    case.waits()
    case.spawner.ask(case.birth())
    assert case.call(SPAWNER, NR_CLONE, 17) == case.call(SPAWNER, NR_CLONE, CLONE_FLAGS, 4096) == [-38]
    assert case.call(99, 1) == [-999]


def test_a_stranger_gets_nothing(case: Case) -> None:
    case.waits()
    case.spawner.ask(case.birth())
    stranger = case.call(99, NR_EXECVEAT, *EXECVEAT)
    case.waits(7)
    assert case.call(98, NR_EXECVEAT, *EXECVEAT) == [-999], "the child's number is known"
    case.call(7, NR_EXECVEAT, *EXECVEAT)
    assert stranger == [-EPERM.code] and case.events == [("born", 7)]


def test_a_clone_that_fails(case: Case) -> None:
    case.waits()
    case.spawner.ask(case.birth())
    case.spawner.ask(case.birth("b"))
    case.waits(-EAGAIN.code)
    assert case.events == [("failed", EAGAIN)]
    assert len(case.memory.written) == 2, "the next has its turn"


@pytest.mark.parametrize("told", [False, True])
def test_a_child_that_dies_before_it_is_a_task(case: Case, told: bool) -> None:
    case.waits()
    case.spawner.ask(case.birth())
    if told:
        case.waits(7)
        case.spawner.reaped(7, 9)
    else:
        case.spawner.reaped(7, 9)
        case.waits(7)
    assert case.events == [("failed", ESRCH)]


def test_its_end(case: Case) -> None:
    case.waits()
    for name in "ab":
        case.spawner.ask(case.birth(name))
    case.spawner.reaped(SPAWNER, 9)
    assert case.events == [("failed", ESRCH)] * 2 and case.kernel.said
    with pytest.raises(ESRCH):
        case.spawner.ask(case.birth())


def test_arguments_are_bounded(case: Case) -> None:
    for argv, env in (([b"x" * (1 << 17)], []), ([b"x"], [b"y" * 100000] * 22), ([b""] * 300000, [])):
        birth = case.birth()
        birth.argv, birth.env = argv, env
        with pytest.raises(E2BIG):
            case.spawner.ask(birth)
    refused: list[type[Errno]] = []
    for _ in range(module.MAX_WAITING + 1):
        try:
            case.spawner.ask(case.birth())
        except Errno as err:
            refused.append(type(err))
    assert refused == [EAGAIN]
