"""Two stacks with a simulated path between them, and programs that talk over it, on a clock that jumps from event to
event. Everything comes from seeds: a run is the same each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

from netstack.errors import NetError, WouldBlock
from netstack.iface import Address
from netstack.link.fault import Faults, Faulty
from netstack.link.segment import frames
from netstack.packet import Offload
from netstack.stack import Stack
from netstack.tcp.socket import TcpSocket
from netstack.tcp.state import OPENING
from netstack.timers import Timers
from tests.unit.netstack.two_hosts import IP, IP6, MACS, chance

MS = 1_000_000
SECOND = 1000 * MS
BLOCK = 65_521


class Path(NamedTuple):
    """One direction: bytes per second (0: without limit), one-way delay, room in the bottleneck's queue in bytes (0:
    without limit), and what goes wrong by chance. `mark_bytes`: a queue this long sets CE in packets that allow it."""

    rate: int = 0
    delay_ns: int = 0
    queue: int = 0
    mark_bytes: int = 0
    faults: Faults = Faults()


CLEAN = Path()


class Pipe:
    """A link's end: what is sent arrives at the other stack, in its time or never."""

    checksum = True

    def __init__(self, world: World, path: Path, gso: bool) -> None:
        self.world = world
        self.path = path
        self.gso = gso
        self.free_ns = 0
        self.receive: Callable[[bytes, bool, int], None] = lambda frame, checked, gso_size: None
        self.deliver = self._one
        self.cut = False  # nothing passes
        self.sent_bytes = 0
        self.frames = 0
        self.dropped = 0
        self.marked = 0
        self.most_queued = 0

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        if self.path.queue or self.path.mark_bytes or not self.gso:
            for frame in frames(parts, offload):
                self.deliver(frame, False, 0)
        else:
            self.deliver(b"".join(parts), bool(offload.csum_start), offload.gso_size)
        return True

    def _one(self, frame: bytes, checked: bool, gso_size: int) -> None:
        world, path = self.world, self.path
        now_ns = world.now_ns
        self.frames += 1
        self.sent_bytes += len(frame)
        if self.cut:
            return
        if path.rate:
            queued = max(self.free_ns - now_ns, 0) * path.rate // SECOND
            self.most_queued = max(self.most_queued, queued)
            if path.queue and queued + len(frame) > path.queue:
                self.dropped += 1
                return
            if path.mark_bytes and queued > path.mark_bytes and frame[12:14] == b"\x08\0" and frame[15] & 3:
                frame = _marked(frame)
                self.marked += 1
            self.free_ns = max(self.free_ns, now_ns) + len(frame) * SECOND // path.rate
            arrives_ns = self.free_ns + path.delay_ns
        else:
            arrives_ns = now_ns + path.delay_ns
        world.timers.add(arrives_ns, partial(self.receive, frame, checked, gso_size))


def _marked(frame: bytes) -> bytes:
    """With CE in the IPv4 header, and its checksum as it must be (RFC 1624)."""
    before = int.from_bytes(frame[14:16], "big")
    after = before | 3
    total = (~int.from_bytes(frame[24:26], "big") & 0xFFFF) + (~before & 0xFFFF) + after
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return frame[:14] + after.to_bytes(2, "big") + frame[16:24] + (~total & 0xFFFF).to_bytes(2, "big") + frame[26:]


class World:
    """`stacks` two of them; `run` lets time pass until `done()` or until nothing is left to happen."""

    def __init__(
        self, out: Path = CLEAN, back: Path | None = None, *, seed: int = 1, gso: bool = True, mtu: int = 1500
    ) -> None:
        self.now_ns = 1000 * SECOND
        self.timers = Timers(lambda: None)
        self.pipes: list[Pipe] = []
        self.stacks: list[Stack] = []
        self.wanted: list[bool] = [False, False]
        self.steps = 0
        for number, path in enumerate((out, out if back is None else back)):
            pipe = Pipe(self, path, gso and path.faults == Faults())
            faulty = Faulty(pipe, path.faults, seed * 2 + number, self.timers, lambda: self.now_ns)
            stack = Stack(chance(seed * 2 + number), partial(self._want, number))
            iface = stack.add_interface(b"eth0", pipe if path.faults == Faults() else faulty, MACS[number], mtu)
            stack.settings.ipv6_dad_transmits = 0
            stack.settings.ipv6_router_solicitations = 0
            stack.now_ns = self.now_ns
            stack.add_address(iface, Address(IP[number], 24))
            stack.set_up(iface, True)
            stack.add_address(iface, Address(IP6[number], 64))
            for address in (IP[1 - number], IP6[1 - number]):
                stack.neighbors.add(iface, address, MACS[1 - number])
            self.stacks.append(stack)
            self.pipes.append(pipe)
        for number in (0, 1):
            other = 1 - number
            stack = self.stacks[other]
            self.pipes[number].receive = partial(self._arrive, other, stack, stack.interfaces[2])
        self.programs: list[Program] = []
        self.run(1 * SECOND)

    def _want(self, number: int) -> None:
        self.wanted[number] = True

    def _arrive(self, number: int, stack: Stack, iface: object, frame: bytes, checked: bool, gso_size: int) -> None:
        stack.now_ns = self.now_ns
        stack.receive(iface, frame, checked, gso_size)  # type: ignore[arg-type]

    def run(self, for_ns: int, done: Callable[[], bool] | None = None) -> bool:
        """At most `for_ns` of simulated time; True when `done` said so."""
        end_ns = self.now_ns + for_ns
        while True:
            self._settle()
            if done is not None and done():
                return True
            times = [at for at in (self.timers.next_ns(), *(stack.next_ns() for stack in self.stacks)) if at >= 0]
            next_ns = min(times, default=end_ns + 1)
            if next_ns > end_ns:
                self.now_ns = end_ns
                for stack in self.stacks:
                    stack.now_ns = end_ns
                return False
            self.steps += 1
            self.now_ns = max(self.now_ns, next_ns)
            for stack in self.stacks:
                stack.now_ns = self.now_ns
            self.timers.run(self.now_ns)
            for number, stack in enumerate(self.stacks):
                at = stack.next_ns()
                if 0 <= at <= self.now_ns or self.wanted[number]:
                    self.wanted[number] = False
                    stack.advance(self.now_ns)

    def _settle(self) -> None:
        """Programs run as long as they are woken; a stack that asks for it advances."""
        for _ in range(10_000):
            busy = False
            for number, stack in enumerate(self.stacks):
                if self.wanted[number] or stack.waiting:
                    self.wanted[number] = False
                    stack.advance(self.now_ns)
                    busy = busy or bool(stack.waiting)
            for program in self.programs:
                if program.woken:
                    program.woken = False
                    program.run()
                    busy = True
            if not busy:
                return
        raise AssertionError("a livelock")

    def start(self, program: Program) -> None:
        self.programs.append(program)
        program.woken = True


class Program:
    """Something that reads and writes sockets, run when one of them has news, and may be told to run later."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.woken = False

    def run(self) -> None:
        raise NotImplementedError

    def hear(self, bits: int) -> None:
        self.woken = True

    def again(self, after_ns: int) -> None:
        self.world.timers.add(self.world.now_ns + after_ns, partial(self.hear, 0))


def pattern(seed: int, start: int, size: int) -> bytes:
    """Bytes `start` to `start + size` of a stream that is the same for the same seed and has no period of a segment."""
    base = _block(seed)
    first = start % BLOCK
    return (base * ((first + size) // BLOCK + 1))[first : first + size]


@cache
def _block(seed: int) -> bytes:
    return chance(seed)(BLOCK)


class Talker(Program):
    """One end of a connection: writes `size` bytes in pieces as `writes` says, reads in pieces as `reads` says, checks
    what comes, half-closes after the last byte, and closes when the peer has done so, too."""

    def __init__(
        self,
        world: World,
        seed: int,
        size: int,
        peer_size: int,
        writes: Sequence[int] = (65536,),
        reads: Sequence[int] = (65536,),
        pause_ns: int = 0,
    ) -> None:
        super().__init__(world)
        self.socket: TcpSocket | None = None
        self.seed = seed
        self.size = size
        self.peer_size = peer_size
        self.writes = writes
        self.reads = reads
        self.pause_ns = pause_ns  # between two reads
        self.written = self.read = self.turns = 0
        self.read_at_ns = 0
        self.shut = self.ended = self.closed = False
        self.error: NetError | None = None
        self.most_unread = 0
        self._text = pattern(seed, 0, size)
        self._expected = pattern(seed + 1 if seed % 2 == 0 else seed - 1, 0, peer_size)

    def attach(self, socket: TcpSocket) -> None:
        self.socket = socket
        socket.notify = self.hear
        self.woken = True

    def run(self) -> None:
        socket = self.socket
        if socket is None or self.closed or socket.state in OPENING:
            return
        try:
            self._write(socket)
            self._read(socket)
        except WouldBlock:
            pass
        except NetError as error:
            self.error = error
            self.closed = True
            socket.close()
            return
        if self.ended and self.shut:
            self.closed = True
            socket.close()

    def _write(self, socket: TcpSocket) -> None:
        while self.written < self.size:
            piece = self.writes[self.turns % len(self.writes)]
            self.turns += 1
            try:
                self.written += socket.send(self._text[self.written : self.written + piece])
            except WouldBlock:
                return
        if not self.shut:
            self.shut = True
            socket.shutdown(2)

    def _read(self, socket: TcpSocket) -> None:
        while not self.ended:
            if self.pause_ns and self.world.now_ns < self.read_at_ns:
                return
            self.most_unread = max(self.most_unread, socket.unread())
            data = socket.peek(self.reads[(self.read + self.turns) % len(self.reads)])
            if not data:
                self.ended = True
                assert self.read == self.peer_size, f"{self.read} of {self.peer_size} bytes"
                return
            assert data == self._expected[self.read : self.read + len(data)], f"wrong bytes at {self.read}"
            self.read += len(data)
            socket.consume(len(data))
            if self.pause_ns:
                self.read_at_ns = self.world.now_ns + self.pause_ns
                self.again(self.pause_ns)


class Server(Program):
    """Accepts connections and gives each to a Talker that `make` returns."""

    def __init__(
        self, world: World, port: int, make: Callable[[], Talker], backlog: int = 128, family: int = 4
    ) -> None:
        super().__init__(world)
        self.listener = TcpSocket(world.stacks[1], family)
        self.listener.notify = self.hear
        self.listener.bind(bytes(4 if family == 4 else 16), port)
        self.listener.listen(backlog)
        self.make = make
        self.talkers: list[Talker] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self.listener.close()

    def run(self) -> None:
        while not self.closed:
            try:
                socket = self.listener.accept()
            except WouldBlock:
                return
            talker = self.make()
            self.talkers.append(talker)
            self.world.start(talker)
            talker.attach(socket)


def connect(world: World, talker: Talker, port: int, family: int = 4) -> TcpSocket:
    """A socket of the first stack on its way to the second; `talker` talks once it is there."""
    socket = TcpSocket(world.stacks[0], family)
    world.start(talker)
    talker.attach(socket)
    try:
        socket.connect((IP if family == 4 else IP6)[1], port)
    except WouldBlock:
        pass
    return socket
