"""A whole stack under frames that are wrong: nothing may be raised, no table may grow without bounds, and afterwards
it works as before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from netstack.errors import NetError
from netstack.poll import IN, OUT
from netstack.socket.packet import PacketSocket
from netstack.socket.ping import PingSocket
from netstack.socket.raw import RawSocket
from netstack.socket.udp import UdpSocket
from netstack.tcp.socket import TcpSocket
from tests.fuzz.mutate import mutants, with_sums
from tests.fuzz.two_stacks import MS, Box, Pair
from tests.unit.netstack.wire.recorded import FINISHED

FRAMES = sorted(FINISHED.values())
COUNT = 20_000
FULL_S = 180
PORT = 8000  # where the recorded SYN goes


class Service:
    """What listens on a box: UDP, TCP, raw, ping and packet sockets; `serve` reads and answers."""

    def __init__(self, box: Box) -> None:
        stack = box.stack
        self.listeners = []
        self.datagrams: list[UdpSocket | RawSocket | PingSocket | PacketSocket] = []
        for family in (4, 6):
            listener = TcpSocket(stack, family)
            listener.v6only = family == 6
            listener.bind(bytes(4 if family == 4 else 16), PORT)
            listener.listen(16)
            self.listeners.append(listener)
            udp = UdpSocket(stack, family)
            udp.v6only = family == 6
            udp.bind(bytes(4 if family == 4 else 16), 9)
            ping = PingSocket(stack, family)
            ping.bind(bytes(4 if family == 4 else 16), 0x235B)
            self.datagrams += [udp, ping, RawSocket(stack, family, 255 if family == 4 else 58)]
        self.datagrams.append(PacketSocket(stack, False, 3))
        self.connections: list[TcpSocket] = []

    def serve(self) -> None:
        for listener in self.listeners:
            while listener.poll() & IN:
                self.connections.append(listener.accept())
        for connection in list(self.connections):
            self._answer(connection)
        for sock in self.datagrams:
            sock.take_error()
            try:
                for _ in range(100):
                    sock.receive()
            except NetError:  # nothing more
                pass

    def _answer(self, connection: TcpSocket) -> None:
        try:
            data = connection.peek(65536)
            if not data:
                raise NetError  # the end of the stream
            answer = bytes(data)
            connection.consume(connection.send(answer[: 1 + len(answer) // 2]))
        except NetError as error:
            if error.code != 11:
                self.connections.remove(connection)
                connection.close()


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except NetError:
        pass


def _size(box: Box) -> int:
    """How much the stack holds: every container that can be reached from it."""
    seen: set[int] = set()
    total = 0
    todo: list[Any] = [box.stack]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | int | float | type | None.__class__):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            total += len(thing)
            todo += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset) or type(thing).__name__ == "deque":
            total += len(thing)
            todo += list(thing)
        elif type(thing).__module__.startswith("netstack"):
            names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
            todo += [getattr(thing, name) for name in names if hasattr(thing, name)]
            todo += getattr(thing, "__dict__", {}).values()
    return total


def _end(full: bool) -> float:
    return time.monotonic() + (FULL_S if full else 0)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_frames_from_nowhere(seed: int, full: bool) -> None:
    box = Box(1)
    service = Service(box)
    now_ns, end_s = 1000 * MS, _end(full)
    for count, frame in enumerate(mutants(FRAMES, seed), 1):
        now_ns += MS
        try:
            box.receive(frame)
            if not count % 10:
                box.advance(now_ns)
                service.serve()
        except Exception as problem:
            raise AssertionError(f"{frame.hex()}: {problem!r}") from problem
        box.wire.sent.clear()
        if not count % 3000:
            now_ns += 1000 * MS
            assert _size(box) < 60_000
            if count >= COUNT and time.monotonic() >= end_s:
                break
    assert box.stack.counters.ip["InReceives"] > 1000


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_conversation_that_is_tampered_with(seed: int, full: bool) -> None:
    """Mutants of the very frames that are exchanged, with right sums: they come as far as a frame can."""
    count, end_s, run = 0, _end(full), 0
    while count < COUNT // 2 or time.monotonic() < end_s:
        run += 1
        count += _tampered(seed * 1000 + run)
        assert run < 20 or full, "the conversations have no frames"


def _tampered(seed: int) -> int:
    rng = random.Random(seed)
    pair = Pair(seed)
    service = Service(pair.boxes[1])
    history: list[bytes] = list(FRAMES)
    source: Iterator[bytes] = mutants(history, seed)
    count = 0

    def change(frame: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        if len(history) < 400:
            history.append(frame)
        what = rng.random()
        if what < 0.75:
            return [frame]
        if what < 0.80:
            return []
        if what < 0.85:
            return [frame, frame]
        if what < 0.95:  # the frame itself, one thing in it wrong
            return [next(mutants([frame], rng.randrange(1 << 30)))]
        return [*islice(source, 3), frame]

    pair.change = change
    clients = [_client(pair.boxes[0], family, pair.boxes[1]) for family in (4, 6, 4, 6)]
    try:
        for _ in range(400):
            pair.step(rng.choice((MS, MS, 10 * MS, 300 * MS)), at_most=rng.choice((1, 5, 200)))
            service.serve()
            for client in clients:
                _talk(client, rng)
    except Exception as problem:
        raise AssertionError(f"seed {seed}, frame {count}: {problem!r}") from problem
    assert _size(pair.boxes[0]) + _size(pair.boxes[1]) < 60_000
    pair.change = lambda frame: (frame,)
    for client in clients:
        client.close()
    _still_works(pair, service)
    return count


def _client(box: Box, family: int, to: Box) -> TcpSocket:
    client = TcpSocket(box.stack, family)
    _quietly(lambda: client.connect(to.address4 if family == 4 else to.address6, PORT))
    return client


def _talk(client: TcpSocket, rng: random.Random) -> None:
    _quietly(lambda: client.send(bytes(rng.choice((1, 100, 5000))), oob=rng.random() < 0.02))
    _quietly(lambda: client.consume(len(client.peek(rng.choice((10, 100_000))))))
    if rng.random() < 0.005:
        _quietly(lambda: client.shutdown(2))


def _still_works(pair: Pair, service: Service) -> None:
    """A connection and an answer, at the third attempt: a forged ARP answer may stand for as long as a SYN is tried."""
    assert any(_works(pair, service) for _ in range(3)), "no connection afterwards"


def _works(pair: Pair, service: Service) -> bool:
    client = _client(pair.boxes[0], 4, pair.boxes[1])

    def answered() -> bool:
        service.serve()
        return bool(client.poll() & IN)

    try:
        if not pair.until(lambda: client.poll() & OUT):
            return False
        client.send(b"hello there")
        return pair.until(answered) and client.peek(100)[:6] == b"hello "
    except NetError:
        return False
    finally:
        client.close()


def test_sums_of_a_conversation_are_right() -> None:
    """What puts sums right agrees with what the stack sends."""
    pair = Pair()
    service = Service(pair.boxes[1])
    seen: list[bytes] = []

    def change(frame: bytes) -> list[bytes]:
        seen.append(frame)
        assert with_sums(frame) == frame
        return [frame]

    pair.change = change
    assert _works(pair, service)
    assert len(seen) >= 6
