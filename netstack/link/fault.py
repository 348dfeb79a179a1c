"""A bad wire around a device: loss, delay, reordering, duplicates, flipped bits, all from a seed (like tc-netem(8))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netstack.link.base import Link
from netstack.link.segment import frames
from netstack.packet import NO_OFFLOAD, Offload
from netstack.timers import Timers

MAX_DELAYED = 10_000


class Random:
    """xorshift64*: the same faults for the same seed, on every machine (Marsaglia 2003, Vigna 2016)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = (seed * 0x9E3779B97F4A7C15 + 1) & 0xFFFFFFFFFFFFFFFF or 1

    def below(self, limit: int) -> int:
        state = self._state
        state ^= state >> 12
        state ^= state << 25 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 27
        self._state = state
        return (state * 0x2545F4914F6CDD1D & 0xFFFFFFFFFFFFFFFF) * limit >> 64

    def chance(self, share: float) -> bool:
        return share > 0 and self.below(1 << 32) < share * (1 << 32)


class Faults(NamedTuple):
    """What goes wrong; shares from 0 to 1. Reordered frames do not wait for the delay that all others have; without a
    delay they come `reorder_ns` late."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay_ns: int = 0
    jitter_ns: int = 0
    reorder_ns: int = 1_000_000


class Faulty:
    """A wrapper around a device; what is sent suffers, what arrives does when it is led through `incoming`.

    It takes complete frames only, so that each segment has its own fate. `timers` and `clock` are the stack's."""

    gso = False
    checksum = False

    def __init__(self, link: Link, faults: Faults, seed: int, timers: Timers, clock: Callable[[], int]) -> None:
        self.link = link
        self.faults = faults
        self.random = Random(seed)
        self.timers = timers
        self.clock = clock
        self.delayed = 0  # frames on their way
        self.lost = 0

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        for frame in frames(parts, offload):
            self._suffer(frame, self._put)
        return True

    def incoming(self, frame: bytes | memoryview, deliver: Callable[[bytes], object]) -> None:
        """Let a frame that arrived suffer on its way to `deliver`."""
        self._suffer(bytes(frame), deliver)

    def _put(self, frame: bytes) -> None:
        self.link.send((frame,), NO_OFFLOAD)

    def _suffer(self, frame: bytes, deliver: Callable[[bytes], object]) -> None:
        faults, random = self.faults, self.random
        if random.chance(faults.loss) or self.delayed >= MAX_DELAYED:
            self.lost += 1
            return
        if random.chance(faults.corrupt):
            frame = self._flip(frame)
        for _ in range(2 if random.chance(faults.duplicate) else 1):
            self._later(frame, deliver)

    def _flip(self, frame: bytes) -> bytes:
        """One bit behind the Ethernet header changed, which every checksum there is finds."""
        if len(frame) <= 14:
            return frame
        damaged = bytearray(frame)
        damaged[14 + self.random.below(len(frame) - 14)] ^= 1 << self.random.below(8)
        return bytes(damaged)

    def _later(self, frame: bytes, deliver: Callable[[bytes], object]) -> None:
        faults = self.faults
        delay_ns = faults.delay_ns + (self.random.below(faults.jitter_ns) if faults.jitter_ns else 0)
        if self.random.chance(faults.reorder):
            delay_ns = 0 if delay_ns else faults.reorder_ns
        if not delay_ns:
            deliver(frame)
            return

        def arrive() -> None:
            self.delayed -= 1
            deliver(frame)

        self.delayed += 1
        self.timers.add(self.clock() + delay_ns, arrive)
