"""A stack that is given its time, and what has arrived at a socket of it."""

from __future__ import annotations

from netstack.errors import WouldBlock
from netstack.socket.datagram import DatagramSocket
from netstack.stack import Stack
from tests.unit.netstack.two_hosts import SECOND_NS, chance


def new_stack() -> Stack:
    made = Stack(chance(1), lambda: None)
    made.now_ns = 5 * SECOND_NS
    return made


def run(stack: Stack) -> None:
    for _ in range(6):
        stack.advance(stack.now_ns)


def texts(one: DatagramSocket) -> list[bytes]:
    """All messages that wait, taken."""
    run(one.stack)
    found = []
    try:
        while True:
            found.append(one.receive().data)
    except WouldBlock:
        return found
