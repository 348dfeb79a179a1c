"""The checksum in C is the one in Python (RFC 1071)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netstack.wire import checksum
from sentry.net.checksum import fast


@given(st.binary(max_size=3000), st.integers(0, 0xFFFF), st.integers(0, 7))
def test_same_sum(data: bytes, start: int, offset: int) -> None:
    part = memoryview(data)[offset:]
    assert fast(part, start) == checksum._partial(part, start)
    assert fast(bytes(part), start) == checksum._partial(part, start)


def test_edges() -> None:
    for data in (b"", b"\0", b"\xff", b"\xff\xff", bytes(65536), b"\xff" * 65535):
        for start in (0, 1, 0xFFFE, 0xFFFF, 0x1FFFE):
            assert fast(data, start) == checksum._partial(data, start), (data[:4], len(data), start)
