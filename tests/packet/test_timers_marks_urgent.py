"""Keepalive, ECN, urgent data."""

from __future__ import annotations

import pytest

from netstack.errors import EINVAL, ETIMEDOUT, WouldBlock
from netstack.poll import PRI
from tests.packet.script import Script

# --- keepalive (RFC 9293, 3.8.4; tcp(7))


def test_keepalive() -> None:
    s = Script()
    sock = s.connected(keepalive=True, keep_idle_s=30, keep_interval_s=10, keep_count=3)
    s.expect(". 0:0(0) ack 1", after=30)
    s.inject(". 1:1(0) ack 1")
    s.expect(". 0:0(0) ack 1", after=30)
    s.expect(". 0:0(0) ack 1", after=10)
    s.expect(". 0:0(0) ack 1", after=10)
    s.wait(11)
    assert sock.take_error() == ETIMEDOUT.code


def test_keepalive_can_be_switched_on_later() -> None:
    s = Script()
    sock = s.connected()
    s.quiet(100)
    sock.options.keepalive = True
    sock.options.keep_idle_s = 200
    s.call("set_option", sock, "keepalive")
    s.call("set_option", sock, "keep_idle_s")
    s.quiet(90)
    s.expect(". 0:0(0) ack 1", within=120)
    sock.options.keepalive = False
    s.call("set_option", sock, "keepalive")
    s.quiet(1000)
    assert s.stack.timers.next_ns() == -1


def test_traffic_puts_keepalive_off() -> None:
    s = Script()
    sock = s.connected(keepalive=True, keep_idle_s=30)
    for at in range(10):
        s.wait(20)
        s.inject(f"P. {1 + at}:{2 + at}(1) ack 1")
        s.expect(f". 1:1(0) ack {2 + at}")
        s.read(sock)
    s.expect(". 0:0(0) ack 11", after=30)


def test_keepalive_is_answered() -> None:
    s = Script()
    s.connected()
    s.inject(". 0:0(0) ack 1")
    s.expect(". 1:1(0) ack 1", after=0)
    s.inject(". 0:1(1) ack 1")
    s.expect(". 1:1(0) ack 1", after=0)


# --- ECN (RFC 3168)


def with_ecn(s: Script):  # type: ignore[no-untyped-def]
    listener = s.listen()
    s.inject("SEW 0:0(0) win 32767 <mss 1000,sackOK>")
    s.expect("SE. 0:0(0) ack 1 ecn 0")
    s.inject(". 1:1(0) ack 1")
    return listener.accept()


def test_ecn_is_agreed_on_when_asked_for() -> None:
    s = Script()
    sock = with_ecn(s)
    s.write(sock, 100)
    s.expect("P. 1:101(100) ack 1 ecn 2")
    s.inject(". 1:1(0) ack 101")
    s.inject("P. 1:101(100) ack 101")
    s.expect(". 101:101(0) ack 101 ecn 0")  # plain acknowledgements are not marked


def test_ecn_is_asked_for_only_with_the_sysctl() -> None:
    s = Script()
    s.connect()
    s.expect("S 0:0(0) ecn 0")
    s = Script(tcp_ecn=1)
    sock = s.connect()
    s.expect("SEW 0:0(0) ecn 0")
    s.inject("SE. 0:0(0) ack 1 win 1000 <mss 1000>")
    s.expect(". 1:1(0) ack 1")
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1 ecn 2")


def test_ecn_that_the_peer_does_not_know() -> None:
    s = Script(tcp_ecn=1)
    sock = s.connect()
    s.expect("SEW 0:0(0)")
    s.inject("S. 0:0(0) ack 1 win 1000 <mss 1000>")
    s.expect(". 1:1(0) ack 1")
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1 ecn 0")


def test_mark_is_echoed_until_the_peer_has_reacted() -> None:
    s = Script()
    with_ecn(s)
    s.inject("P. 1:101(100) ack 1 ecn 3")
    s.expect("E. 1:1(0) ack 101")
    s.inject("P. 101:201(100) ack 1 ecn 2")
    s.expect("E. 1:1(0) ack 201")
    s.inject("PW. 201:301(100) ack 1 ecn 2")
    s.expect(". 1:1(0) ack 301")


def test_echo_halves_the_window_once_and_is_confirmed() -> None:
    s = Script()
    sock = with_ecn(s)
    s.write(sock, 30_000)
    for at in range(10):
        s.expect(f". {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1 ecn 2")
    s.inject("E. 1:1(0) ack 2001")
    assert sock.info().ca_state == 2
    s.inject("E. 1:1(0) ack 4001")
    flags = [sent.segment.flags for sent in s.sent]
    assert flags and flags[0] & 0x80  # CWR
    assert not any(flag & 0x80 for flag in flags[1:])
    s.sent.clear()
    s.inject(". 1:1(0) ack 10001")
    assert 6 <= sock.info().snd_ssthresh <= 8


def test_retransmissions_are_not_marked() -> None:
    s = Script()
    sock = with_ecn(s)
    s.write(sock, 100)
    s.expect("P. 1:101(100) ack 1 ecn 2")
    s.expect("P. 1:101(100) ack 1 ecn 0")


# --- urgent data (RFC 6093; tcp(7))


def test_urgent_byte_goes_out() -> None:
    s = Script()
    sock = s.connected()
    s.write(sock, 5, oob=True)
    s.expect("PU. 1:6(5) ack 1 urg 5")
    s.inject(". 1:1(0) ack 6")
    s.write(sock, 5)
    s.expect("P. 6:11(5) ack 1")


def test_urgent_byte_comes_in() -> None:
    s = Script()
    sock = s.connected()
    events: list[int] = []
    sock.notify = events.append
    s.inject("PU. 1:6(5) ack 1 urg 3", data=b"abXde")
    assert any(bits & PRI for bits in events) and sock.poll() & PRI
    assert s.read(sock) == b"ab"
    assert sock.at_mark()
    assert sock.receive_oob(False) == b"X"
    with pytest.raises(EINVAL):
        sock.receive_oob(False)
    assert s.read(sock) == b"de"
    assert not sock.at_mark()


def test_urgent_byte_announced_before_it_comes() -> None:
    s = Script()
    sock = s.connected()
    s.inject("PU. 1:3(2) ack 1 urg 4", data=b"ab")
    with pytest.raises(WouldBlock):
        sock.receive_oob(False)
    s.inject("PU. 3:6(3) ack 1 urg 2", data=b"cXe")
    assert sock.receive_oob(False) == b"X"
    assert s.read(sock) == b"abc"
    assert s.read(sock) == b"e"


def test_urgent_byte_in_line() -> None:
    s = Script()
    sock = s.connected(oob_inline=True)
    s.inject("PU. 1:6(5) ack 1 urg 3", data=b"abXde")
    assert s.read(sock) == b"ab"
    assert sock.at_mark()
    assert s.read(sock) == b"Xde"
    with pytest.raises(EINVAL):
        sock.receive_oob(False)
