"""Connections that nobody uses cost no time and little memory."""

from __future__ import annotations

import gc
import tracemalloc

from netstack.tcp.state import ESTABLISHED
from tests.unit.netstack.simulation.world import MS, SECOND, Path, Server, Talker, World, connect

COUNT = 1000
PORT = 80


class Quiet(Talker):
    """Sends and gets a greeting, and then keeps silent."""

    def run(self) -> None:
        socket = self.socket
        if socket is None or socket.state != ESTABLISHED:
            return
        if not self.written:
            self.written = socket.send(b"hello")
        waiting = socket.unread()
        if waiting:
            socket.consume(waiting)
            self.read += waiting


def test_idle_connections() -> None:
    world = World(Path(delay_ns=1 * MS))
    server = Server(world, PORT, lambda: Quiet(world, 1, 5, 5), backlog=COUNT)
    world.start(server)
    first = Quiet(world, 0, 5, 5)
    connect(world, first, PORT)
    world.run(5 * SECOND)  # what is made once is made
    gc.collect()
    tracemalloc.start()
    clients = []
    for _ in range(COUNT):
        client = Quiet(world, 0, 5, 5)
        client._text = client._expected = b""
        clients.append(client)
        connect(world, client, PORT)
        world.run(2 * MS)
    world.run(10 * SECOND)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(client.read == 5 for client in clients)
    print(f"{used / 2 / COUNT:.0f} bytes a connection")
    assert used / 2 < 10_000_000  # both ends are here
    steps = world.steps
    world.run(7000 * SECOND)
    assert world.steps == steps
    for stack in world.stacks:
        assert stack.timers.next_ns() == -1
