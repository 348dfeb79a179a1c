"""Message queues: System V (msgrcv(2)) and POSIX (mq_receive(3)) orders, and the table of identifiers."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry.abi.errno import EAGAIN, EEXIST, EINVAL, EMFILE, ENOENT, ENOMSG, ENOSPC
from sentry.creds import ROOT, Credentials
from sentry.ipc.mqueue import Attr, MqueueFs
from sentry.ipc.msg import Message, MsgQueue
from sentry.ipc.perm import INDEX_BITS, IpcObject, Table

IPC_CREAT, IPC_EXCL, IPC_NOWAIT = 0o1000, 0o2000, 0o4000
USER = Credentials(5, 5, 5, 5, 5, 5, 5, 5)


def take(queue: MsgQueue, wanted: int, flags: int = IPC_NOWAIT) -> Message | None:
    got: list[Message] = []
    try:
        queue.receive(wanted, 100, flags, 1, got.append)
    except ENOMSG:
        return None
    return got[0]


@given(st.lists(st.integers(1, 5), max_size=12), st.lists(st.integers(-5, 5), max_size=15))
def test_system_v_order(kinds: list[int], wanted: list[int]) -> None:
    queue = MsgQueue(0, 0o600, ROOT, 1000)
    held = [Message(kind, b"%d" % at) for at, kind in enumerate(kinds)]
    for message in held:
        queue.send(message, 1, True)
    for want in wanted:
        if want > 0:
            fitting = [m for m in held if m.kind == want]
        elif want < 0:
            below = [m.kind for m in held if m.kind <= -want]
            fitting = [m for m in held if below and m.kind == min(below)]
        else:
            fitting = held[:]
        expected = fitting[0] if fitting else None
        assert take(queue, want) == expected
        if expected is not None:
            held.remove(expected)
    assert queue.bytes == sum(len(m.text) for m in held)


def test_full() -> None:
    queue = MsgQueue(0, 0o600, ROOT, 4)
    queue.send(Message(1, b"abc"), 1, True)
    with pytest.raises(EAGAIN):
        queue.send(Message(1, b"de"), 1, True)
    for _ in range(3):
        queue.send(Message(1, b""), 1, True)
    with pytest.raises(EAGAIN):
        queue.send(Message(1, b""), 1, True)  # as many messages as bytes


@given(st.lists(st.integers(0, 3), max_size=20))
def test_posix_order(priorities: list[int]) -> None:
    fs = MqueueFs()
    inode = fs.top.make(b"q", 0o600, ROOT, Attr(20, 10), 1 << 30)
    sender = cast(Any, None)
    for at, priority in enumerate(priorities):
        inode.send(b"%d" % at, priority, sender)
    got: list[tuple[int, int]] = []
    for _ in priorities:
        inode.receive(lambda text, priority: got.append((priority, int(text))))
    assert got == sorted(((p, at) for at, p in enumerate(priorities)), key=lambda e: (-e[0], e[1]))
    assert inode.used == 0


def test_what_a_user_pays_for() -> None:
    fs = MqueueFs()
    with pytest.raises(EMFILE):
        fs.top.make(b"a", 0o600, USER, Attr(10, 100), 500)
    inode = fs.top.make(b"a", 0o600, USER, Attr(1, 100), 500)
    assert fs.charged == {5: inode.charged}
    inode.chown(7, 7)
    fs.top.unlink(b"a", inode)
    del inode
    assert not fs.charged
    for attr in (Attr(0, 1), Attr(1, 0), Attr(11, 1), Attr(1, 8193)):
        with pytest.raises(EINVAL):
            fs.top.make(b"a", 0o600, USER, attr, 1 << 30)


def test_identifiers() -> None:
    table: Table[IpcObject] = Table()

    def get(key: int, flags: int = IPC_CREAT, limit: int = 3) -> IpcObject:
        return table.get(key, flags, ROOT, limit, lambda: IpcObject(key, 0o600, ROOT), lambda found: True)

    first, second = get(1), get(0)
    assert get(1) is first and get(0) is not second
    with pytest.raises(ENOSPC):
        get(0)
    with pytest.raises(ENOENT):
        get(9, 0)
    with pytest.raises(EEXIST):
        get(1, IPC_CREAT | IPC_EXCL)
    table.remove(first)
    with pytest.raises(EINVAL):
        table.find(first.id)
    again = get(1)
    assert again.id != first.id and table.find(again.id) is again
    with pytest.raises(EINVAL):
        table.find(again.id + (1 << INDEX_BITS))
    with pytest.raises(EINVAL):
        table.find(-1)
