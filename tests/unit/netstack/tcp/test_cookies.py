"""Initial sequence numbers and SYN cookies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netstack.stack import Stack
from netstack.tcp.cookies import COOKIE_MSS, PERIOD_NS, Sequences, cookie_options, cookie_stamp
from tests.unit.netstack.two_hosts import SECOND_NS, chance

KEY = b"\x0a\0\0\x02\x0a\0\0\x01\x12\x34\0\x50"


def sequences(seed: int = 1) -> tuple[Stack, Sequences]:
    stack = Stack(chance(seed), lambda: None)
    stack.now_ns = 1000 * SECOND_NS
    return stack, Sequences(stack)


def test_initial_numbers_grow_with_time_and_differ_by_tuple_and_key() -> None:
    stack, one = sequences()
    first = one.initial(KEY)
    stack.now_ns += SECOND_NS
    assert (one.initial(KEY) - first) & 0xFFFFFFFF == SECOND_NS // 64
    assert len({one.initial(KEY[:-1] + bytes((port,))) for port in range(100)}) == 100
    assert sequences(2)[1].initial(KEY) != sequences(3)[1].initial(KEY)


@given(mss=st.integers(1, 65535), irs=st.integers(0, 0xFFFFFFFF), wait_s=st.integers(0, 600))
def test_cookie_holds_the_mss_for_two_minutes(mss: int, irs: int, wait_s: int) -> None:
    stack, one = sequences()
    cookie = one.cookie(KEY, irs, mss, 4)
    periods = (stack.now_ns + wait_s * SECOND_NS) // PERIOD_NS - stack.now_ns // PERIOD_NS
    stack.now_ns += wait_s * SECOND_NS
    answer = one.check_cookie(KEY, irs, cookie, 4)
    if periods > 2:
        assert answer == 0
    else:
        assert answer == max([known for known in COOKIE_MSS[4] if known <= mss], default=COOKIE_MSS[4][0])


@given(cookie=st.integers(0, 0xFFFFFFFF), irs=st.integers(0, 0xFFFFFFFF))
def test_guessed_cookie_is_none(cookie: int, irs: int) -> None:
    _, one = sequences()
    good = one.cookie(KEY, irs, 1460, 4)
    assert cookie == good or one.check_cookie(KEY, irs, cookie, 4) == 0 or cookie >> 27 & 3 != good >> 27 & 3
    assert one.check_cookie(KEY, irs + 1 & 0xFFFFFFFF, good, 4) == 0
    assert one.check_cookie(KEY[:-1] + b"x", irs, good, 4) == 0


@given(
    stamp=st.integers(0, 0xFFFFFFFF), scale=st.one_of(st.none(), st.integers(0, 14)), sack=st.booleans(),
    ecn=st.booleans(),
)  # fmt: skip
def test_stamp_of_a_cookie(stamp: int, scale: int | None, sack: bool, ecn: bool) -> None:
    marked = cookie_stamp(stamp, scale, sack, ecn)
    assert cookie_options(marked) == (scale, sack, ecn)
    assert (stamp - marked) & 0xFFFFFFFF < 128  # a little in the past, never in the future
