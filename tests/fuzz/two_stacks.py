"""Two stacks with a wire that somebody holds: every frame can be looked at, changed or replaced on its way."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from netstack.iface import Address, Interface
from netstack.link.segment import frames
from netstack.packet import Offload
from netstack.stack import Stack

MS = 1_000_000
MACS = bytes.fromhex("2641b1ffd95a"), bytes.fromhex("0a2a7e8fdcc0")  # those of the recorded frames
ADDRESSES4 = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
ADDRESSES6 = bytes.fromhex("fd09" + "00" * 13 + "01"), bytes.fromhex("fd09" + "00" * 13 + "02")
Change = Callable[[bytes], Sequence[bytes]]  # what arrives in place of a frame


class Wire:
    """A device whose frames wait in `sent`, segments cut and sums finished."""

    gso = checksum = True

    def __init__(self) -> None:
        self.sent: deque[bytes] = deque()

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        if len(self.sent) > 2000:
            return False
        self.sent.extend(frames(parts, offload))
        return True


class Box:
    """A stack with one interface; `number` 0 or 1 says which of the two it is."""

    def __init__(self, number: int, seed: int = 1) -> None:
        rng = random.Random(seed * 2 + number)
        self.wire = Wire()
        self.stack = Stack(rng.randbytes, lambda: None)
        self.stack.now_ns = 1000 * MS
        self.stack.settings.accept_dad = 0
        self.iface: Interface = self.stack.add_interface(b"eth0", self.wire, MACS[number], 1500)
        self.stack.set_up(self.iface, True)
        self.address4, self.address6 = ADDRESSES4[number], ADDRESSES6[number]
        self.stack.add_address(self.iface, Address(self.address4, 24))
        self.stack.add_address(self.iface, Address(self.address6, 64))

    def receive(self, frame: bytes) -> None:
        self.stack.receive(self.iface, frame)

    def advance(self, now_ns: int) -> None:
        self.stack.advance(now_ns)


class Pair:
    """Both, and their common clock."""

    def __init__(self, seed: int = 1) -> None:
        self.boxes = Box(0, seed), Box(1, seed)
        self.now_ns = 1000 * MS
        self.change: Change = lambda frame: (frame,)

    def step(self, duration_ns: int = MS, at_most: int = 200) -> None:
        """Time passes, and what has been sent arrives."""
        self.now_ns += duration_ns
        for box in self.boxes:
            box.advance(self.now_ns)
        for sender, receiver in (self.boxes, self.boxes[::-1]):
            for _ in range(min(len(sender.wire.sent), at_most)):
                for frame in self.change(sender.wire.sent.popleft()):
                    receiver.receive(frame)

    def until(self, condition: Callable[[], object], patience_ns: int = 300_000 * MS) -> bool:
        """Steps until it holds; when nothing is on the wire the clock jumps to the next deadline."""
        end_ns = self.now_ns + patience_ns
        while not condition():
            if self.now_ns > end_ns:
                return False
            ahead = [ns for ns in (box.stack.next_ns() for box in self.boxes) if ns >= 0]
            idle = not any(box.wire.sent for box in self.boxes)
            self.step(max(MS, min(ahead) - self.now_ns) if idle and ahead else MS)
        return True
