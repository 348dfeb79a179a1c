"""A connection within one stack must look like one over packets: the same calls on both, everything compared."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import NetError, WouldBlock
from netstack.tcp.socket import TcpSocket
from tests.unit.netstack.two_hosts import Wire

LO4 = b"\x7f\0\0\x01"
CALLS: dict[str, Callable[[TcpSocket], object]] = {
    "send": lambda one: one.send(b"abc"),
    "urgent": lambda one: one.send(b"dX", oob=True),
    "read": lambda one: _read(one, 100),
    "read one": lambda one: _read(one, 1),
    "peek": lambda one: bytes(one.peek(100)),
    "urgent read": lambda one: one.receive_oob(),
    "urgent peek": lambda one: one.receive_oob(peek=True),
    "mark": lambda one: one.at_mark(),
    "unread": lambda one: one.unread(),
    "unacknowledged": lambda one: one.unacknowledged(),
    "error": lambda one: one.take_error(),
    "no reading": lambda one: one.shutdown(1),
    "no writing": lambda one: one.shutdown(2),
    "neither": lambda one: one.shutdown(3),
    "close": lambda one: one.close(),
    "reset": lambda one: one.close(0),
    "inline": lambda one: setattr(one.options, "oob_inline", True),
    "listen": lambda one: one.listen(1),
    "disconnect": lambda one: one.disconnect(),
}


def _read(one: TcpSocket, size: int) -> bytes:
    data = bytes(one.peek(size))
    one.consume(len(data))
    return data


class Pair:
    """Both ends of a connection; `settle` lets time pass, as much as packets need."""

    def __init__(self, local: bool) -> None:
        self.wire = wire = Wire()
        stacks = (wire.a.stack, wire.a.stack if local else wire.b.stack)
        address = LO4 if local else wire.b.ip
        server = TcpSocket(stacks[1], 4)
        server.bind(address, 80)
        server.listen(1)
        client = TcpSocket(stacks[0], 4)
        try:
            client.connect(address, 80)
        except WouldBlock:
            self.settle()
            client.connect(address, 80)
        self.ends = (client, server.accept())
        server.close()
        self.stacks = stacks

    def settle(self) -> None:
        self.wire.run(0.05)

    def call(self, side: int, name: str) -> object:
        try:
            return CALLS[name](self.ends[side])
        except NetError as error:
            return type(error).__name__
        finally:
            self.settle()

    def look(self, side: int) -> tuple[object, ...]:
        one = self.ends[side]
        if one.closed:
            return ()
        return one.poll(), one.state, one.error, one.peer[1] != 0, one.unread() if one.state != 10 else 0


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(sorted(CALLS))), max_size=12))
@settings(max_examples=250, deadline=None)
def test_same_calls_same_answers(steps: list[tuple[int, str]]) -> None:
    within, over = Pair(True), Pair(False)
    done: list[str] = []
    for side, name in steps:
        if within.ends[side].closed:
            continue
        done.append(f"{'client' if side == 0 else 'server'} {name}")
        answers = within.call(side, name), over.call(side, name)
        assert answers[0] == answers[1], done
        for end in (0, 1):
            assert within.look(end) == over.look(end), (done, end)
    for pair in (within, over):
        for one in pair.ends:
            if not one.closed:
                one.close()
        pair.wire.run(200)
        for stack in pair.stacks:
            assert not stack.tcp.connections and not stack.tcp.orphans, done
            assert not stack.tcp.ports.taken(80)
