"""Every parser of the network stack over mutants of frames that Linux has sent: BadPacket is all that may be raised."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import islice

import pytest

from netstack.errors import BadPacket
from netstack.link.trace import describe
from netstack.packet import Offload
from netstack.wire import ether, ipv4, ipv6, mld, ndp, vnet
from netstack.wire.icmp6 import Icmp6
from tests.fuzz.mutate import mutants, with_sums
from tests.unit.netstack.wire.everything import read, transport
from tests.unit.netstack.wire.recorded import FINISHED

FRAMES = sorted(FINISHED.values())
COUNT = 15_000
FULL_S = 120


def test_sums_are_put_right() -> None:
    for frame in FRAMES:
        damaged = frame[:-1] + bytes((frame[-1] ^ 0x55,))
        read(with_sums(damaged))


@pytest.mark.parametrize("seed", [1, 2])
def test_parsers(seed: int, full: bool) -> None:
    outcomes: Counter[str] = Counter()
    end_s = time.monotonic() + FULL_S
    made = mutants(FRAMES, seed)
    while sum(outcomes.values()) < COUNT or full and time.monotonic() < end_s:
        for frame in islice(made, 1000):
            try:
                outcomes[type(read(frame)).__name__] += 1
            except BadPacket as bad:
                outcomes[bad.what] += 1
            except Exception as problem:
                raise AssertionError(f"{frame.hex()}: {problem!r}") from problem
            assert describe(frame)
            _one_by_one(frame)
    assert len(outcomes) > 25, f"the mutants do not come far: {outcomes}"


def _one_by_one(frame: bytes) -> None:
    """Parsers that a header in front would keep most mutants from."""
    view = memoryview(frame)
    for proto in (1, 2, 6, 17, 58):
        _tried(transport, bytes(16), bytes(16), proto, view[34:], True)
    for kind in range(130, 144):
        message = Icmp6(kind, 0, int.from_bytes(frame[58:62], "big"), view[62:])
        _tried(ndp.parse, message)
        _tried(mld.parse, message)
    for first in (0, 43, 44, 60):
        _tried(ipv6.walk, ipv6.Ipv6(0, 0, 0, first, 0, bytes(16), bytes(16), view[54:]))
    _tried(ipv4.fragment_options, frame[34:74])
    _tried(_vnet, frame)


def _tried(parse: Callable[..., object], *args: object) -> None:
    try:
        parse(*args)
    except BadPacket:
        pass


def _vnet(frame: bytes) -> None:
    offload, _ = vnet.parse(frame[14:24].ljust(10, b"\0"), len(frame))
    assert isinstance(offload, Offload) and offload.csum_start + offload.csum_offset + 2 <= max(len(frame), 2)


def test_ether_types_are_told_apart() -> None:
    """The mutants keep the Ethernet header more often than not: the rest is reached."""
    kinds = Counter(_kind(frame) for frame in islice(mutants(FRAMES, 3), 1000))
    assert kinds[ether.IP4] > 150 and kinds[ether.IP6] > 150


def _kind(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")
