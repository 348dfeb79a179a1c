"""Segments that somebody has made up, and old ones (RFC 5961, RFC 7323 section 5)."""

from __future__ import annotations

import pytest

from netstack.errors import ECONNREFUSED, ECONNRESET, WouldBlock
from tests.packet.script import Script

STAMPED = "mss 1000,sackOK,TS 1000 0,wscale 0"


def test_reset_must_hit_exactly() -> None:
    s = Script()
    sock = s.connected()
    s.inject("R 100000:100000(0) win 0")  # outside of the window
    s.quiet()
    s.inject("R 100:100(0) win 0")  # inside, not exactly
    s.expect(". 1:1(0) ack 1", after=0)
    assert sock.error == 0
    s.inject("R 1:1(0) win 0")
    s.quiet()
    assert sock.take_error() == ECONNRESET.code


def test_syn_in_a_connection() -> None:
    s = Script()
    sock = s.connected()
    s.inject("S 500:500(0) win 1000 <mss 1000>")
    s.expect(". 1:1(0) ack 1", after=0)
    assert sock.error == 0


def test_challenges_are_limited() -> None:
    s = Script()
    s.connected()
    for at in range(2, 50):
        s.inject(f"R {at}:{at}(0) win 0")
    assert 1 <= len(s.sent) <= 2  # tcp_invalid_ratelimit


def test_data_without_acknowledgement_is_dropped() -> None:
    s = Script()
    sock = s.connected()
    s.inject("P 1:101(100) win 1000")
    s.quiet(1)
    with pytest.raises(WouldBlock):
        s.read(sock)


def test_acknowledgement_of_what_was_not_sent() -> None:
    s = Script()
    sock = s.connected()
    s.inject("P. 1:101(100) ack 5000 win 1000")
    s.expect(". 1:1(0) ack 1", after=0)
    with pytest.raises(WouldBlock):
        s.read(sock)


def test_very_old_acknowledgement() -> None:
    """Older than the widest window there was (RFC 5961, 5.2)."""
    s = Script()
    sock = s.connected(window=1000)
    for turn in range(5):
        s.write(sock, 1000)
        s.sent.clear()
        s.inject(f". 1:1(0) ack {1001 + 1000 * turn} win 1000")
    s.inject("P. 1:101(100) ack 1 win 1000")
    s.expect(". 5001:5001(0) ack 1")  # a challenge
    with pytest.raises(WouldBlock):
        s.read(sock)


def test_data_outside_of_the_window_is_answered() -> None:
    s = Script()
    sock = s.connected()
    s.inject("P. 1000001:1000101(100) ack 1 win 1000")
    s.expect(". 1:1(0) ack 1", after=0)
    with pytest.raises(WouldBlock):
        s.read(sock)


def test_old_timestamps_are_old_segments() -> None:
    """PAWS (RFC 7323, 5.2)."""
    s = Script()
    sock = s.connected(options=STAMPED)
    s.inject("P. 1:101(100) ack 1 <TS 2000 0>")
    s.expect(". 1:1(0) ack 101")
    s.inject("P. 101:201(100) ack 1 <TS 1500 0>")
    s.expect(". 1:1(0) ack 101 <...>", after=0)
    assert len(s.read(sock)) == 100
    s.inject("P. 101:201(100) ack 1 <TS 2000 0>")
    assert len(s.read(sock)) == 100


def test_timestamp_that_wrapped_is_new() -> None:
    s = Script()
    sock = s.connected(options="mss 1000,sackOK,TS 4294967000 0,wscale 0")
    s.sent.clear()
    s.inject("P. 1:101(100) ack 1 <TS 4294967200 0>")
    s.inject("P. 101:201(100) ack 1 <TS 100 0>")
    assert len(s.read(sock)) == 200


def test_reset_with_old_timestamp_still_counts() -> None:
    s = Script()
    sock = s.connected(options=STAMPED)
    s.inject("P. 1:101(100) ack 1 <TS 2000 0>")
    s.sent.clear()
    s.inject("R. 101:101(0) ack 1 win 0")
    assert sock.take_error() == ECONNRESET.code


def test_segment_without_timestamp_is_taken_all_the_same() -> None:
    """RFC 7323, 3.2 would have it dropped; Linux does not, as there are boxes that strip options."""
    s = Script()
    sock = s.connected(options=STAMPED)
    s.inject("P. 1:101(100) ack 1")
    assert len(s.read(sock)) == 100


def test_reset_of_a_connect_must_acknowledge_it() -> None:
    s = Script()
    sock = s.connect()
    s.expect("S 0:0(0)")
    s.inject("R 0:0(0) win 0")
    s.inject("R. 0:0(0) ack 77 win 0")
    s.quiet()
    assert sock.error == 0
    s.inject("R. 0:0(0) ack 1 win 0")
    assert sock.take_error() == ECONNREFUSED.code


def test_wrong_acknowledgement_of_a_syn_is_reset() -> None:
    s = Script()
    s.connect()
    s.expect("S 0:0(0)")
    s.inject("S. 0:0(0) ack 500 win 1000 <mss 1000>")
    s.expect("R 500:500(0)", after=0)
    s.inject("S. 0:0(0) ack 1 win 1000 <mss 1000>")
    s.expect(". 1:1(0) ack 1")


def test_closed_port_resets() -> None:
    s = Script()
    s.call("close", s.listen())
    s.our_iss = 0
    s.inject("S 0:0(0) win 1000 <mss 1000>")
    s.expect("R. 0:0(0) ack 1")
    s.inject(". 5:5(0) ack 700 win 1000")
    s.expect("R 700:700(0)")
    s.inject("R 5:5(0) win 1000")
    s.quiet()


def test_icmp_errors_do_not_end_what_is_established() -> None:
    s = Script()
    sock = s.connected()
    s.write(sock, 100)
    one = s.expect("P. 1:101(100) ack 1")
    s.icmp(3, 3, one)
    assert sock.error == 0
    s.inject(". 1:1(0) ack 101")
    s.quiet(10)


def test_icmp_error_ends_a_connect() -> None:
    s = Script()
    sock = s.connect()
    one = s.expect("S 0:0(0)")
    s.icmp(3, 3, one)
    assert sock.take_error() == ECONNREFUSED.code
    s.quiet(10)
