"""Initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323, 5.4) and SYN cookies: keyed hashes of a four-tuple.

A SYN cookie is an initial sequence number that holds what a listener would have to remember of a SYN: which of a few
MSS values the peer gave, and when. What else was agreed on stands in the low bits of the timestamp that the peer
echoes; a peer without timestamps gets neither window scaling nor SACK.
"""

from __future__ import annotations

from _blake2 import blake2s  # `hashlib` loads OpenSSL, which takes milliseconds
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from netstack.stack import Stack

MASK: Final = 0xFFFFFFFF
COOKIE_MSS: Final = {4: (536, 1300, 1440, 1460), 16: (1220, 1280, 1420, 1440)}  # by the length of an address
PERIOD_NS: Final = 64_000_000_000
PERIODS: Final = 2  # how old a cookie may be
BITS: Final = 6  # of a timestamp that hold options: window scale, SACK, ECN
NO_SCALE: Final = 15


class Sequences:
    """With the keys of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._key = stack.random(32)
        self._stamp_key = stack.random(32)
        self._cookie_key = stack.random(32)

    def initial(self, tuple_key: bytes) -> int:
        """A clock that ticks every 64 ns, from a point that nobody else can know."""
        start = int.from_bytes(blake2s(tuple_key, digest_size=4, key=self._key).digest(), "big")
        return start + (self._stack.now_ns >> 6) & MASK

    def stamp_offset(self, tuple_key: bytes) -> int:
        """What is added to the clock of milliseconds that timestamps show."""
        return int.from_bytes(blake2s(tuple_key, digest_size=4, key=self._stamp_key).digest(), "big")

    # Cookies.

    def _cookie_hash(self, tuple_key: bytes, period: int, rest: int) -> int:
        data = tuple_key + period.to_bytes(8, "big") + rest.to_bytes(5, "big")
        return int.from_bytes(blake2s(data, digest_size=4, key=self._cookie_key).digest(), "big") >> 5

    def cookie(self, tuple_key: bytes, irs: int, mss: int, address_len: int) -> int:
        """An initial sequence number: 3 bits of the period, 2 of the MSS, 27 of a hash."""
        choice = max((at for at, known in enumerate(COOKIE_MSS[address_len]) if known <= mss), default=0)
        period = self._stack.now_ns // PERIOD_NS
        return (period & 7) << 29 | choice << 27 | self._cookie_hash(tuple_key, period, irs << 2 | choice)

    def check_cookie(self, tuple_key: bytes, irs: int, cookie: int, address_len: int) -> int:
        """The MSS in it; 0 when it is none of ours, or too old."""
        now = self._stack.now_ns // PERIOD_NS
        period = now - ((now - (cookie >> 29)) & 7)
        choice = cookie >> 27 & 3
        if now - period > PERIODS or period < 0:
            return 0
        if cookie & 0x7FFFFFF != self._cookie_hash(tuple_key, period, irs << 2 | choice):
            return 0
        return COOKIE_MSS[address_len][choice]


def cookie_stamp(stamp: int, scale: int | None, sack: bool, ecn: bool) -> int:
    """A timestamp not later than `stamp` that holds the options."""
    bits = (NO_SCALE if scale is None else scale) | sack << 4 | ecn << 5
    marked = stamp & ~((1 << BITS) - 1) | bits
    return (marked if marked <= stamp else marked - (1 << BITS)) & MASK


def cookie_options(stamp: int) -> tuple[int | None, bool, bool]:
    """Window scale, SACK and ECN as a timestamp that came back holds them."""
    scale = stamp & 15
    return None if scale == NO_SCALE else scale, bool(stamp & 16), bool(stamp & 32)
