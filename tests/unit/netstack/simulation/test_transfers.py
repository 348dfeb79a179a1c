"""Transfers over paths that lose, reorder, double, damage, delay and queue: every byte as it was sent, in time, and
nothing left over."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netstack.errors import ETIMEDOUT
from netstack.link.fault import Faults
from netstack.tcp.state import TIME_WAIT
from netstack.wire import icmp, ipv4
from tests.unit.netstack.simulation.world import CLEAN, MS, SECOND, Path, Pipe, Server, Talker, World, connect

PORT = 80


class Transfer:
    """One connection: the first stack's end sends `up` bytes, the other `down`."""

    def __init__(
        self, world: World, up: int, down: int, writes: tuple[int, ...] = (65536,), reads: tuple[int, ...] = (65536,),
        pause_ns: int = 0, family: int = 4,
    ) -> None:  # fmt: skip
        self.world = world
        self.server = Server(world, PORT, lambda: Talker(world, 1, down, up, writes, reads, pause_ns), family=family)
        world.start(self.server)
        self.client = Talker(world, 0, up, down, writes, reads)
        self.began_ns = world.now_ns
        self.socket = connect(world, self.client, PORT, family)

    def done(self) -> bool:
        talkers = self.server.talkers
        return self.client.closed and bool(talkers) and talkers[0].closed

    def finish(self, within_s: int = 3600) -> float:
        """To the last byte, how many seconds it took."""
        assert self.world.run(within_s * SECOND, self.done), self.state()
        assert self.client.error is None and self.server.talkers[0].error is None, self.state()
        return (self.world.now_ns - self.began_ns) / SECOND

    def state(self) -> str:
        peers = [(peer.written, peer.read, peer.error, peer.socket) for peer in self.server.talkers]
        client = self.client
        return f"client {client.written} {client.read} {client.error!r} {client.socket}; server {peers}"

    def nothing_left(self) -> None:
        """After TIME_WAIT no connection is in the tables, no port taken, no timer set."""
        self.server.close()
        self.world.run(200 * SECOND)
        for stack in self.world.stacks:
            assert stack.tcp is not None
            left = [entry for entry in stack.tcp.connections.values() if getattr(entry, "state", 0) != TIME_WAIT]
            assert not stack.tcp.connections, left
            assert not stack.tcp.orphans
            assert stack.timers.next_ns() == -1


def test_both_directions_at_once() -> None:
    world = World(Path(rate=1_000_000, delay_ns=10 * MS))
    transfer = Transfer(world, 300_000, 500_000)
    assert transfer.finish() < 1.2
    transfer.nothing_left()


def test_ipv6() -> None:
    world = World(Path(rate=1_000_000, delay_ns=10 * MS))
    transfer = Transfer(world, 200_000, 1, family=6)
    transfer.finish()
    transfer.nothing_left()


def test_nothing_at_all() -> None:
    transfer = Transfer(World(Path(delay_ns=10 * MS)), 0, 0)
    assert transfer.finish() < 0.1
    transfer.nothing_left()


def test_slow_reader_stops_the_sender_and_memory_is_bounded() -> None:
    world = World(Path(rate=10_000_000, delay_ns=5 * MS))
    transfer = Transfer(world, 3_000_000, 0, reads=(20_000,), pause_ns=10 * MS)
    seconds = transfer.finish()
    assert 1.4 < seconds < 2.5
    peer = transfer.server.talkers[0]
    assert peer.socket is not None
    assert 30_000 < peer.most_unread <= peer.socket.options.receive_buffer
    transfer.nothing_left()


def test_reader_that_takes_a_minute_off() -> None:
    """The window closes and is probed; once it is open all goes on at once."""
    world = World(Path(rate=10_000_000, delay_ns=5 * MS))
    transfer = Transfer(world, 2_000_000, 0)
    world.run(20 * MS)
    peer = transfer.server.talkers[0]
    peer.pause_ns = 60 * SECOND
    peer.read_at_ns = world.now_ns + 60 * SECOND
    world.run(59 * SECOND)
    sent = world.pipes[0].sent_bytes
    assert sent < 1_500_000
    assert peer.read < 500_000
    peer.pause_ns = 0
    peer.again(0)
    assert transfer.finish(5) < 64
    transfer.nothing_left()


def test_wire_that_is_cut_and_mended() -> None:
    """The timeouts double: after an outage it goes on within about as long again."""
    world = World(Path(rate=1_000_000, delay_ns=10 * MS))
    transfer = Transfer(world, 2_000_000, 2_000_000)
    world.run(500 * MS)
    for pipe in world.pipes:
        pipe.cut = True
    world.run(20 * SECOND)
    for pipe in world.pipes:
        pipe.cut = False
    assert transfer.finish() < 45
    transfer.nothing_left()


def test_wire_that_is_cut_for_good() -> None:
    """Both ends lose patience after a quarter of an hour (tcp_retries2), and nothing is left of them."""
    world = World(Path(rate=1_000_000, delay_ns=10 * MS))
    transfer = Transfer(world, 2_000_000, 2_000_000)
    world.run(500 * MS)
    for pipe in world.pipes:
        pipe.cut = True
    assert world.run(1200 * SECOND, transfer.done), transfer.state()
    for talker in (transfer.client, transfer.server.talkers[0]):
        assert isinstance(talker.error, ETIMEDOUT)
    assert world.pipes[0].frames + world.pipes[1].frames < 6000
    transfer.nothing_left()


def test_one_way_that_is_cut() -> None:
    """Data arrives and its acknowledgements do not: all is sent again, and delivered once."""
    world = World(Path(rate=1_000_000, delay_ns=10 * MS))
    transfer = Transfer(world, 1_000_000, 0)
    world.run(300 * MS)
    world.pipes[1].cut = True
    world.run(5 * SECOND)
    world.pipes[1].cut = False
    assert transfer.finish() < 12
    transfer.nothing_left()


def test_path_with_a_small_mtu_in_its_middle() -> None:
    """Both ends believe in 1500, the wire takes 1000 and says so (RFC 1191)."""
    world = World(Path(rate=2_000_000, delay_ns=5 * MS), gso=False)
    for number, pipe in enumerate(world.pipes):
        narrow(world, number, pipe, 1000)
    transfer = Transfer(world, 500_000, 100_000)
    assert transfer.finish() < 1
    transfer.nothing_left()


def narrow(world: World, number: int, pipe: Pipe, mtu: int) -> None:
    """Frames above `mtu` come back as ICMP errors."""
    stack, send = world.stacks[number], pipe.deliver

    def deliver(frame: bytes, checked: bool, gso_size: int) -> None:
        if len(frame) - 14 <= mtu:
            send(frame, checked, gso_size)
            return
        message = icmp.pack(icmp.UNREACHABLE, 4, mtu, frame[14:42])
        packet = ipv4.pack_header(frame[30:34], frame[26:30], ipv4.ICMP, len(message)) + message
        world.timers.add(
            world.now_ns, lambda: stack.receive(stack.interfaces[2], frame[6:12] + frame[:6] + frame[12:14] + packet)
        )

    pipe.deliver = deliver


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1 << 20),
    up=st.sampled_from([0, 1, 1000, 30_000, 120_000]),
    down=st.sampled_from([0, 1, 1459, 30_000, 120_000]),
    writes=st.lists(st.sampled_from([1, 7, 536, 1448, 5000, 65536, 200_000]), min_size=2, max_size=5),
    reads=st.lists(st.sampled_from([1, 100, 1448, 4096, 65536]), min_size=2, max_size=5),
    rate=st.sampled_from([0, 100_000, 2_000_000]),
    delay_ms=st.sampled_from([0, 1, 30, 300]),
    queue=st.sampled_from([0, 20_000]),
    loss=st.sampled_from([0.0, 0.01, 0.05, 0.1]),
    reorder=st.sampled_from([0.0, 0.05, 0.3]),
    duplicate=st.sampled_from([0.0, 0.1]),
    corrupt=st.sampled_from([0.0, 0.05]),
    switches=st.tuples(*[st.booleans()] * 5),
)
def test_every_byte_arrives(
    seed: int, up: int, down: int, writes: list[int], reads: list[int], rate: int, delay_ms: int, queue: int,
    loss: float, reorder: float, duplicate: float, corrupt: float, switches: tuple[bool, ...],
) -> None:  # fmt: skip
    faults = Faults(loss=loss, reorder=reorder, duplicate=duplicate, corrupt=corrupt, reorder_ns=10 * MS)
    if not any((loss, reorder, duplicate, corrupt)):
        faults = Faults()
    path = Path(rate=rate, delay_ns=delay_ms * MS, queue=queue if rate else 0, faults=faults)
    sack, timestamps, scaling, reno, nodelay = switches
    world = World(path, seed=seed)
    for stack in world.stacks:
        stack.settings.tcp_sack = int(sack)
        stack.settings.tcp_timestamps = int(timestamps)
        stack.settings.tcp_window_scaling = int(scaling)
        stack.settings.tcp_congestion_control = "reno" if reno else "cubic"
    if 1 in writes or 7 in writes:
        up, down = min(up, 30_000), min(down, 30_000)
    transfer = Transfer(world, up, down, tuple(writes), tuple(reads))
    transfer.client.socket.options.nodelay = nodelay  # type: ignore[union-attr]
    transfer.finish(within_s=3000)
    transfer.nothing_left()


def test_a_thousand_connections_one_after_the_other() -> None:
    world = World(CLEAN)
    server = Server(world, PORT, lambda: Talker(world, 1, 10, 10))
    world.start(server)
    for _ in range(1000):
        client = Talker(world, 0, 10, 10)
        connect(world, client, PORT)
        assert world.run(SECOND, lambda client=client: client.closed)  # type: ignore[misc]
        assert client.error is None
    world.programs.clear()
    server.close()
    world.run(100 * SECOND)
    for stack in world.stacks:
        assert stack.tcp is not None and not stack.tcp.connections and stack.timers.next_ns() == -1


def test_hundreds_at_once_over_a_narrow_path() -> None:
    world = World(Path(rate=500_000, delay_ns=20 * MS, queue=100_000))
    server = Server(world, PORT, lambda: Talker(world, 1, 3000, 100), backlog=1000)
    world.start(server)
    clients = [Talker(world, 0, 100, 3000) for _ in range(300)]
    for client in clients:
        connect(world, client, PORT)
    assert world.run(120 * SECOND, lambda: all(client.closed for client in clients))
    assert all(client.error is None for client in clients)
