"""Semaphores (semop(2)) against a plain model: lists of operations are done as a whole or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentry.abi.errno import Errno
from sentry.creds import ROOT
from sentry.ipc.sem import SEMAEM, Blocked, Op, SemSet, UndoList

COUNT = 3
SEM_UNDO, IPC_NOWAIT = 0x1000, 0x800
ops = st.lists(
    st.builds(Op, st.integers(0, COUNT - 1), st.integers(-4, 4), st.sampled_from([0, SEM_UNDO])), min_size=1, max_size=4
)


def model(values: list[int], wanted: list[Op]) -> list[int] | None:
    new = list(values)
    for op in wanted:
        if op.op == 0 and new[op.num] or new[op.num] + op.op < 0:
            return None
        new[op.num] += op.op
    return new


@given(st.lists(ops, max_size=20))
def test_all_or_nothing(calls: list[list[Op]]) -> None:
    sems, undo = SemSet(0, 0o600, ROOT, COUNT), UndoList()
    values = [0] * COUNT
    owed = [0] * COUNT
    for wanted in calls:
        expected = model(values, wanted)
        try:
            sems.operate(wanted, 7, undo)
        except Blocked:
            assert expected is None
        else:
            assert expected is not None
            values = expected
            for op in wanted:
                if op.flags & SEM_UNDO:
                    owed[op.num] -= op.op
        assert [sem.value for sem in sems.sems] == values
    undo.release(9)
    assert [sem.value for sem in sems.sems] == [max(v + o, 0) for v, o in zip(values, owed, strict=True)]
    assert not sems.undos


def test_the_sum_that_is_undone_is_bounded() -> None:
    sems, undo = SemSet(0, 0o600, ROOT, 1), UndoList()
    sems.operate([Op(0, SEMAEM, SEM_UNDO)], 1, undo)
    sems.operate([Op(0, -SEMAEM, 0)], 1, undo)
    try:
        sems.operate([Op(0, 2, SEM_UNDO)], 1, undo)
    except Errno as err:
        assert err.code == 34
    else:
        raise AssertionError("no ERANGE")
    assert sems.sems[0].value == 0


def test_blocked_at_the_semaphore_that_stops_it() -> None:
    sems = SemSet(0, 0o600, ROOT, 2)
    sems.operate([Op(0, 1, 0)], 1, None)
    for wanted, place in (
        ([Op(0, -1, 0), Op(1, -1, IPC_NOWAIT)], sems.sems[1].increase),
        ([Op(0, 0, 0)], sems.sems[0].zero),
    ):
        try:
            sems.operate(wanted, 1, None)
        except Blocked as wait:
            assert wait.place is place
            assert wait.nowait == bool(wanted[-1].flags)
        else:
            raise AssertionError("not blocked")
