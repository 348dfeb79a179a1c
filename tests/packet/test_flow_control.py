"""Windows, small segments, acknowledgements (RFC 9293, 3.8.6; RFC 1122, 4.2.3; RFC 5681, 4.2; RFC 7323, 2)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from netstack.errors import ETIMEDOUT, WouldBlock
from tests.packet.script import Script

# --- the peer's window


def test_sender_stops_at_the_window() -> None:
    s = Script()
    sock = s.connected(window=2500)
    s.write(sock, 5000)
    s.expect(". 1:1001(1000) ack 1")
    s.expect(". 1001:2001(1000) ack 1")
    s.quiet()
    s.inject(". 1:1(0) ack 2001 win 2500")
    s.expect(". 2001:3001(1000) ack 1")
    s.expect(". 3001:4001(1000) ack 1")
    s.quiet()


def test_zero_window_is_probed_with_longer_and_longer_waits() -> None:
    s = Script()
    sock = s.connected(window=1000, rtt=0.1)
    s.write(sock, 3000)
    s.expect(". 1:1001(1000) ack 1")
    s.inject(". 1:1(0) ack 1001 win 0")
    s.wait(0.01)
    waits = []
    for _ in range(5):
        before = s.now_ns
        s.expect(". 1000:1000(0) ack 1")
        waits.append((s.now_ns - before) / 1e9)
        s.inject(". 1:1(0) ack 1001 win 0")
    assert 0.19 < waits[0] < 0.5
    for first, second in pairwise(waits[1:]):
        assert second == pytest.approx(2 * first, rel=0.05)
    s.inject(". 1:1(0) ack 1001 win 5000")
    s.expect(". 1001:2001(1000) ack 1", after=0)
    s.expect("P. 2001:3001(1000) ack 1", after=0)


def test_zero_window_that_nobody_answers_ends_the_connection() -> None:
    s = Script(tcp_retries2=4)
    sock = s.connected(window=1000, rtt=0.1)
    s.write(sock, 3000)
    s.inject(". 1:1(0) ack 1001 win 0")
    s.wait(100)
    assert sock.take_error() == ETIMEDOUT.code
    assert 3 < len(s.sent) < 9


def test_zero_window_that_is_answered_lasts() -> None:
    s = Script(tcp_retries2=4)
    sock = s.connected(window=1000, rtt=0.1)
    s.write(sock, 3000)
    s.inject(". 1:1(0) ack 1001 win 0")
    s.sent.clear()
    for _ in range(12):
        s.expect(". 1000:1000(0) ack 1")
        s.inject(". 1:1(0) ack 1001 win 0")
    assert sock.error == 0


def test_window_that_shrinks() -> None:
    """It should not, but may (RFC 9293, 3.8.6): what is beyond it is not sent again before it opens."""
    s = Script()
    sock = s.connected(window=5000, rtt=0.1)
    s.write(sock, 5000)
    for at in range(5):
        s.expect(f". {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1")
    s.inject(". 1:1(0) ack 1001 win 1000")
    s.wait(0.2)
    s.inject(". 1:1(0) ack 5001 win 1000")
    s.sent.clear()
    s.quiet(10)
    assert sock.unacknowledged() == 0


def test_scaled_window() -> None:
    s = Script()
    sock = s.connected(options="mss 1000,wscale 4", window=200)
    s.write(sock, 10_000)
    for at in range(3):  # 200 << 4: 3200
        s.expect(f". {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1")
    s.quiet()


def test_window_of_a_syn_is_not_scaled() -> None:
    s = Script()
    sock = s.connect()
    s.expect("S 0:0(0)")
    s.inject("S. 0:0(0) ack 1 win 2000 <mss 1000,wscale 10>")
    s.expect(". 1:1(0) ack 1")
    s.write(sock, 10_000)
    s.expect(". 1:1001(1000) ack 1")
    s.expect(". 1001:2001(1000) ack 1")
    s.quiet()


def test_scale_of_more_than_fourteen_is_fourteen() -> None:
    s = Script()
    sock = s.connected(options="mss 1000,wscale 15", window=1)
    s.write(sock, 40_000)
    assert len(s.sent) == 10  # the congestion window, as 1 << 14 is more
    s.inject(". 1:1(0) ack 10001 win 0")
    s.sent.clear()
    s.inject(". 1:1(0) ack 10001 win 1")
    assert sum(len(sent.segment.payload) for sent in s.sent) == 16_000


def test_crumbs_of_window_are_not_used() -> None:
    """Silly window syndrome (RFC 9293, 3.8.6.2.1)."""
    s = Script()
    sock = s.connected(window=5000)
    s.write(sock, 10_000)
    for at in range(5):
        s.expect(f". {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1")
    s.inject(". 1:1(0) ack 5001 win 200")
    s.quiet(0.1)
    s.inject(". 1:1(0) ack 5001 win 1000")
    s.expect(". 5001:6001(1000) ack 1")


def test_window_of_an_older_segment_does_not_count() -> None:
    """RFC 9293, 3.10.7.4: SND.WL1."""
    s = Script()
    sock = s.connected(window=5000)
    s.inject("P. 101:201(100) ack 1 win 1000")
    s.inject("P. 1:101(100) ack 1 win 9000")  # sent before, overtaken
    s.sent.clear()
    s.write(sock, 5000)
    s.expect(". 1:1001(1000) ack 201")
    s.quiet()


# --- our window


def test_data_beyond_our_window_is_cut_off() -> None:
    s = Script()
    sock = s.connected(receive_buffer=8000, receive_locked=True)
    for at in range(10):
        s.inject(f". {1 + 1000 * at}:{1001 + 1000 * at}(1000) ack 1")
    s.sent.clear()
    assert len(s.read(sock)) == 4000
    assert not sock.unread()


def test_our_window_closes_and_opens_by_more_than_crumbs() -> None:
    s = Script()
    sock = s.connected(receive_buffer=8000, receive_locked=True)
    at = 1
    while True:
        s.inject(f"P. {at}:{at + 1000}(1000) ack 1")
        s.wait(0.2)
        at += 1000
        last = s.sent[-1]
        s.sent.clear()
        if not last.segment.window:
            break
        assert at < 20_000
    s.read(sock, 100)
    s.quiet(1)
    s.read(sock, 8000)
    assert len(s.sent) == 1
    assert s.expect(f". 1:1(0) ack {at}").segment.window >= 1000


def test_window_probe_is_answered() -> None:
    s = Script()
    sock = s.connected()
    s.inject(". 0:0(0) ack 1")
    s.expect(". 1:1(0) ack 1", after=0)
    s.inject("P. 1:2(1) ack 1")
    assert len(s.read(sock)) == 1


# --- acknowledgements


def established(s: Script):  # type: ignore[no-untyped-def]
    """A connection that is past its first, quickly acknowledged segments."""
    sock = s.connected()
    for at in range(20):
        s.inject(f"P. {1 + 100 * at}:{101 + 100 * at}(100) ack 1")
        s.wait(0.05)
    s.read(sock)
    s.wait(0.05)
    s.sent.clear()
    return sock


def test_first_segments_are_acknowledged_at_once() -> None:
    s = Script()
    s.connected()
    s.inject("P. 1:101(100) ack 1")
    s.expect(". 1:1(0) ack 101", after=0)


def test_acknowledgement_waits_for_an_answer() -> None:
    """A program that answers: the acknowledgement goes with the answer, or 40 ms later."""
    s = Script()
    sock = s.connected()
    for at in range(5):
        s.inject(f"P. {1 + 100 * at}:{101 + 100 * at}(100) ack {1 + 10 * at}")
        s.read(sock)
        s.write(sock, 10)
        s.wait(0.01)
    s.sent.clear()
    s.inject("P. 501:601(100) ack 51")
    s.wait(0.01)
    s.read(sock)
    s.quiet(0.02)
    s.expect(". 51:51(0) ack 601")
    s.inject("P. 601:701(100) ack 51")
    s.write(sock, 10)
    s.expect("P. 51:61(10) ack 701", after=0)
    s.quiet(0.1)


def test_second_full_segment_is_acknowledged_at_once() -> None:
    s = Script()
    sock = s.connected()
    sock.options.quick_ack = False
    s.call("set_option", sock, "quick_ack")
    for at in range(4):
        s.inject(f". {1 + 2000 * at}:{1001 + 2000 * at}(1000) ack 1")
        s.inject(f". {1001 + 2000 * at}:{2001 + 2000 * at}(1000) ack 1")
        assert s.sent and s.sent[-1].segment.ack - s.peer_iss & 0xFFFFFFFF == 2001 + 2000 * at
        s.sent.clear()


def test_hole_is_told_at_once_and_so_is_its_end() -> None:
    s = Script()
    sock = established(s)
    s.inject(". 3001:4001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 3001:4001>", after=0)
    s.inject(". 5001:6001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 5001:6001 3001:4001>", after=0)
    s.inject(". 4001:5001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 3001:6001>", after=0)
    s.inject(". 2001:3001(1000) ack 1")
    s.expect(". 1:1(0) ack 6001 <>", after=0)
    assert len(s.read(sock)) == 4000


def test_what_comes_twice_is_told() -> None:
    """DSACK (RFC 2883)."""
    s = Script()
    established(s)
    s.inject(". 1001:2001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 1001:2001>", after=0)
    s.inject(". 3001:4001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 3001:4001>", after=0)
    s.inject(". 3001:4001(1000) ack 1")
    s.expect(". 1:1(0) ack 2001 <sack 3001:4001 3001:4001>", after=0)


def test_no_sack_without_agreement() -> None:
    s = Script()
    s.connected(options="mss 1000")
    s.inject(". 1001:2001(1000) ack 1")
    s.expect(". 1:1(0) ack 1 <>", after=0)


def test_overlapping_data() -> None:
    s = Script()
    sock = s.connected()
    s.inject("P. 1:11(10) ack 1", data=b"abcdefghij")
    s.inject("P. 6:16(10) ack 1", data=b"fghijKLMNO")
    assert s.read(sock) == b"abcdefghijKLMNO"
    s.inject("P. 21:26(5) ack 1", data=b"uvwxy")
    s.inject("P. 14:24(10) ack 1", data=b"__PQRSTUVW")
    assert s.read(sock).upper() == b"PQRSTUVWXY"


# --- Nagle, cork


def test_nagle() -> None:
    """A small segment waits as long as a small one before it is not acknowledged (Minshall)."""
    s = Script()
    sock = s.connected()
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1")
    s.write(sock, 10)
    s.write(sock, 10)
    s.quiet(0.05)
    s.inject(". 1:1(0) ack 11")
    s.expect("P. 11:31(20) ack 1", after=0)
    s.write(sock, 1000)
    s.expect(". 31:1031(1000) ack 1")  # full ones do not wait


def test_nodelay() -> None:
    s = Script()
    sock = s.connected(nodelay=True)
    for at in range(5):
        s.write(sock, 10)
        s.expect(f"P. {1 + 10 * at}:{11 + 10 * at}(10) ack 1", after=0)


def test_cork() -> None:
    s = Script()
    sock = s.connected(cork=True)
    s.write(sock, 600)
    s.quiet(0.1)
    s.write(sock, 600)
    s.expect(". 1:1001(1000) ack 1")
    s.quiet(0.1)
    sock.options.cork = False
    s.call("set_option", sock, "cork")
    s.expect("P. 1001:1201(200) ack 1")


def test_cork_lasts_200_ms_at_most() -> None:
    s = Script()
    sock = s.connected(cork=True, rtt=0.01)
    s.quiet(1)
    before = s.now_ns
    s.write(sock, 600)
    s.expect("P. 1:601(600) ack 1")
    assert 0.2 <= (s.now_ns - before) / 1e9 < 0.25


def test_more() -> None:
    s = Script()
    sock = s.connected()
    s.write(sock, 10, more=True)
    s.quiet(0.05)
    s.write(sock, 10)
    s.expect("P. 1:21(20) ack 1")


def test_fin_takes_the_small_rest_with_it() -> None:
    s = Script()
    sock = s.connected()
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1")
    s.write(sock, 10)
    s.quiet()
    s.call("close", sock)
    s.expect("FP. 11:21(10) ack 1")


# --- sizes of segments


@pytest.mark.parametrize(("offered", "size"), [("mss 300", 300), ("", 536), ("mss 20", 48), ("mss 9000", 1460)])
def test_segment_size(offered: str, size: int) -> None:
    s = Script()
    sock = s.connected(options=offered, window=60_000)
    s.write(sock, 3000)
    s.expect(f". 1:{1 + size}({size}) ack 1")


def test_timestamps_take_their_place_in_a_segment() -> None:
    s = Script()
    sock = s.connected(options="mss 1000,TS 5 0")
    s.write(sock, 3000)
    s.expect(". 1:989(988) ack 1")


def test_maxseg_option() -> None:
    s = Script()
    sock = s.socket()
    sock.options.maxseg = 700
    s.connect(sock)
    s.expect("S 0:0(0) <mss 700,sackOK,TS 0 0,wscale 7>")


def test_full_send_buffer() -> None:
    s = Script()
    sock = s.connected(window=1000, send_buffer=20_000, send_locked=True)
    taken = 0
    with pytest.raises(WouldBlock):
        while True:
            taken += s.write(sock, 5000)
    assert 10_000 <= taken <= 40_000


def test_nodelay_pushes_what_a_cork_holds() -> None:
    s = Script()
    sock = s.connected()
    sock.options.cork = True
    s.write(sock, 40)
    s.write(sock, 40)
    s.quiet(0.05)
    sock.options.nodelay = True
    s.call("set_option", sock, "nodelay")
    s.expect("P. 1:81(80) ack 1")
    s.inject(". 1:1(0) ack 81")
    s.write(sock, 40)  # later data are held back as before
    s.quiet(0.05)
