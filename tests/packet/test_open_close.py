"""How connections begin and end (RFC 9293, 3.5 and 3.6)."""

from __future__ import annotations

import pytest

from netstack.errors import ECONNRESET, EPIPE, ETIMEDOUT, WouldBlock
from netstack.poll import HUP, IN, OUT, RDHUP
from netstack.tcp.state import (
    CLOSE,
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from netstack.tcp.timewait import TimeWait
from tests.packet.script import Script


def states(s: Script) -> list[int]:
    assert s.stack.tcp is not None
    found = []
    for entry in s.stack.tcp.connections.values():
        socket = getattr(entry, "socket", None)
        found.append(entry.state if isinstance(entry, TimeWait) else SYN_RECV if socket is None else socket.state)
    return found


def test_active_open() -> None:
    s = Script()
    sock = s.connect()
    assert sock.state == SYN_SENT and sock.poll() & OUT == 0
    s.expect("S 0:0(0) <mss 1460,sackOK,TS 0 0,wscale 7>")
    s.inject("S. 0:0(0) ack 1 win 5792 <mss 1000,sackOK,TS 700 0,wscale 6>")
    s.expect(". 1:1(0) ack 1 <TS 0 700>")
    assert sock.state == ESTABLISHED and sock.poll() & OUT
    s.connect(sock)
    s.quiet(1000)


def test_syn_is_sent_again() -> None:
    s = Script(tcp_syn_retries=3)
    sock = s.connect()
    s.expect("S 0:0(0)")
    for wait in (1, 2, 4):
        s.expect("S 0:0(0)", after=wait)
    s.quiet(7.9)
    assert sock.error == 0
    s.quiet(0.3)
    assert sock.take_error() == ETIMEDOUT.code


def test_syn_count_option() -> None:
    s = Script()
    sock = s.socket()
    sock.options.syn_count = 1
    s.connect(sock)
    s.expect("S 0:0(0)")
    s.expect("S 0:0(0)", after=1)
    s.quiet(2.2)
    assert sock.take_error() == ETIMEDOUT.code


def test_passive_open() -> None:
    s = Script()
    listener = s.listen()
    s.inject("S 0:0(0) win 1000 <mss 1000,sackOK,TS 5000 0,wscale 3>")
    s.expect("S. 0:0(0) ack 1 <mss 1460,sackOK,TS 0 5000,wscale 7>")
    with pytest.raises(WouldBlock):
        listener.accept()
    s.inject(". 1:1(0) ack 1 win 1000 <TS 5001 0>")
    sock = listener.accept()
    assert sock.state == ESTABLISHED
    s.quiet()


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("", "mss 1460"),
        ("mss 500", "mss 1460"),
        ("mss 1000,sackOK", "mss 1460,sackOK"),
        ("mss 1000,wscale 14", "mss 1460,wscale 7"),
        ("mss 1000,TS 9 0", "mss 1460,TS 0 9"),
    ],
)
def test_answer_offers_what_was_offered(offered: str, answered: str) -> None:
    s = Script()
    s.listen()
    s.inject(f"S 0:0(0) win 1000 <{offered}>")
    s.expect(f"S. 0:0(0) ack 1 <{answered}>")


@pytest.mark.parametrize(
    ("setting", "syn"),
    [
        ("tcp_timestamps", "mss 1460,sackOK,wscale 7"),
        ("tcp_sack", "mss 1460,TS 0 0,wscale 7"),
        ("tcp_window_scaling", "mss 1460,sackOK,TS 0 0"),
    ],
)
def test_options_that_are_switched_off(setting: str, syn: str) -> None:
    s = Script()
    setattr(s.stack.settings, setting, 0)
    s.connect()
    s.expect(f"S 0:0(0) <{syn}>")


def test_answer_is_sent_again() -> None:
    s = Script(tcp_synack_retries=2)
    listener = s.listen()
    s.inject("S 0:0(0) win 1000 <mss 1000>")
    s.expect("S. 0:0(0) ack 1")
    s.inject("S 0:0(0) win 1000 <mss 1000>")  # ours was lost
    s.expect("S. 0:0(0) ack 1", after=0)
    s.expect("S. 0:0(0) ack 1")
    s.expect("S. 0:0(0) ack 1")
    s.quiet(100)
    assert states(s) == []
    s.inject(". 1:1(0) ack 1 win 1000")
    s.expect("R 1:1(0)")
    with pytest.raises(WouldBlock):
        listener.accept()


def test_data_with_the_last_acknowledgement_of_the_handshake() -> None:
    s = Script()
    listener = s.listen()
    s.inject("S 0:0(0) win 1000 <mss 1000>")
    s.expect("S. 0:0(0) ack 1")
    s.inject("P. 1:101(100) ack 1 win 1000")
    sock = listener.accept()
    assert len(s.read(sock)) == 100
    s.expect(". 1:1(0) ack 101")


def test_simultaneous_open() -> None:
    s = Script()
    sock = s.connect()
    s.expect("S 0:0(0)")
    s.inject("S 0:0(0) win 1000 <mss 1000,sackOK>")
    s.expect("S. 0:0(0) ack 1")
    assert sock.state == SYN_RECV
    s.inject("S. 0:0(0) ack 1 win 1000 <mss 1000,sackOK>")
    assert sock.state == ESTABLISHED
    s.sent.clear()
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1")


def test_active_close() -> None:
    s = Script()
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    assert states(s) == [FIN_WAIT1]
    s.inject(". 1:1(0) ack 2")
    assert states(s) == [FIN_WAIT2]
    s.inject("F. 1:1(0) ack 2")
    s.expect(". 2:2(0) ack 2")
    assert states(s) == [TIME_WAIT]
    s.inject("F. 1:1(0) ack 2")  # the last acknowledgement was lost
    s.expect(". 2:2(0) ack 2")
    s.quiet(59)
    assert states(s) == [TIME_WAIT]
    s.quiet(61)
    assert states(s) == [] and s.stack.timers.next_ns() == -1


def test_passive_close() -> None:
    s = Script()
    sock = s.connected()
    s.inject("F. 1:1(0) ack 1")
    s.expect(". 1:1(0) ack 2")
    assert sock.state == CLOSE_WAIT and s.read(sock) == b""
    assert sock.poll() & (IN | RDHUP | HUP) == IN | RDHUP
    s.write(sock, 100)
    s.expect("P. 1:101(100) ack 2")
    s.call("close", sock)
    s.expect("F. 101:101(0) ack 2")
    assert states(s) == [LAST_ACK]
    s.inject(". 2:2(0) ack 102")
    assert states(s) == []
    s.quiet(100)


def test_simultaneous_close() -> None:
    s = Script()
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject("F. 1:1(0) ack 1")
    s.expect(". 2:2(0) ack 2")
    assert states(s) == [CLOSING]
    s.inject(". 2:2(0) ack 2")
    assert states(s) == [TIME_WAIT]


def test_fin_with_data_and_acknowledgement_of_ours() -> None:
    s = Script()
    sock = s.connected()
    s.call("shutdown", sock, 2)
    s.expect("F. 1:1(0) ack 1")
    s.inject("FP. 1:101(100) ack 2")
    s.expect(". 2:2(0) ack 102")
    assert len(s.read(sock)) == 100 and s.read(sock) == b""
    assert states(s) == [TIME_WAIT]


def test_fin_that_comes_too_early_waits() -> None:
    s = Script()
    sock = s.connected()
    s.inject("FP. 101:201(100) ack 1")
    s.expect(". 1:1(0) ack 1")
    assert sock.state == ESTABLISHED
    s.inject("P. 1:101(100) ack 1")
    s.expect(". 1:1(0) ack 202")
    assert sock.state == CLOSE_WAIT and len(s.read(sock)) == 200


def test_fin_is_sent_again() -> None:
    s = Script()
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.expect("F. 1:1(0) ack 1")
    s.expect("F. 1:1(0) ack 1")
    s.inject(". 1:1(0) ack 2")
    s.quiet(30)


def test_orphan_in_fin_wait2_ends() -> None:
    s = Script(tcp_fin_timeout=20)
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject(". 1:1(0) ack 2")
    s.quiet(19)
    assert states(s) != []
    s.quiet(3)
    assert states(s) == []


def test_close_with_unread_data_resets() -> None:
    """RFC 2525, 2.17."""
    s = Script()
    sock = s.connected()
    s.inject("P. 1:101(100) ack 1")
    s.sent.clear()
    s.call("close", sock)
    s.expect("R. 1:1(0) ack 101")
    assert states(s) == []


def test_close_with_linger_of_nothing_resets() -> None:
    s = Script()
    sock = s.connected()
    s.call("close", sock, 0)
    s.expect("R. 1:1(0) ack 1")
    assert states(s) == []
    s.quiet(100)


def test_data_for_a_closed_socket_resets() -> None:
    s = Script()
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject("P. 1:101(100) ack 2")
    s.expect("R 2:2(0)")
    assert states(s) == []


def test_write_after_reset() -> None:
    s = Script()
    sock = s.connected()
    s.inject("R. 1:1(0) ack 1")
    assert sock.state == CLOSE and sock.poll() & HUP
    with pytest.raises(ECONNRESET):
        s.write(sock, 10)
    with pytest.raises(EPIPE):
        s.write(sock, 10)


def test_half_close() -> None:
    s = Script()
    sock = s.connected()
    s.write(sock, 10)
    s.expect("P. 1:11(10) ack 1")
    s.call("shutdown", sock, 2)
    s.expect("F. 11:11(0) ack 1")
    with pytest.raises(EPIPE):
        s.write(sock, 10)
    s.inject("P. 1:101(100) ack 12")
    assert len(s.read(sock)) == 100
    s.expect(". 12:12(0) ack 101")
    assert sock.state == FIN_WAIT2


def test_new_connection_in_time_wait() -> None:
    """A SYN with a higher sequence number begins anew (RFC 9293, 3.10.7.4; RFC 6191)."""
    s = Script()
    keeper = s.socket()
    keeper.options.reuse_address = True
    s.listen(sock=keeper)
    s.inject("S 0:0(0) win 1000 <mss 1000>")
    s.expect("S. 0:0(0) ack 1")
    s.inject(". 1:1(0) ack 1 win 1000")
    sock = keeper.accept()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject("F. 1:1(0) ack 2")
    s.expect(". 2:2(0) ack 2")
    assert states(s) == [TIME_WAIT]
    s.inject("S 100000:100000(0) win 1000 <mss 1000>")
    s.expect("S. 0:0(0) ack 100001")


def test_time_wait_answers_old_segments_and_ends_with_no_reset() -> None:
    """RFC 1337 is about resets that end TIME_WAIT; Linux lets them unless tcp_rfc1337 is set."""
    s = Script(tcp_rfc1337=1)
    sock = s.connected()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject("F. 1:1(0) ack 2")
    s.expect(". 2:2(0) ack 2")
    s.inject("P. 1:101(100) ack 2")
    s.expect(". 2:2(0) ack 2")
    s.inject("R 2:2(0)")
    assert states(s) == [TIME_WAIT]


def test_abort_of_a_connect_sends_nothing() -> None:
    s = Script()
    sock = s.connect()
    s.expect("S 0:0(0)")
    s.call("close", sock)
    s.quiet(100)
    assert states(s) == []
    assert s.stack.timers.next_ns() == -1


def test_syn_cookie() -> None:
    """With the queue full, what a SYN said is in the number of the answer (RFC 4987)."""
    s = Script(tcp_max_syn_backlog=4, somaxconn=4)
    listener = s.listen(backlog=4)
    for port in range(5000, 5040):
        s.ports = (80, port)
        s.inject("S 0:0(0) win 1000 <mss 1000>")
    assert len(s.sent) == 40
    last = s.sent[-1]
    s.sent.clear()
    s.our_iss = last.segment.seq
    s.inject("P. 1:11(10) ack 1 win 1000")
    sock = listener.accept()
    assert len(s.read(sock)) == 10
