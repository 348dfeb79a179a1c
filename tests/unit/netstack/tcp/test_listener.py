"""Listeners and what is half open, over packets: queues, cookies, TCP_DEFER_ACCEPT, who listens best; TIME_WAIT."""

from __future__ import annotations

import pytest

from netstack.errors import EADDRNOTAVAIL, ECONNABORTED, ECONNRESET, EINVAL, EISCONN, ETIMEDOUT, WouldBlock
from netstack.poll import ERR, HUP, IN, OUT, PRI, RDHUP, RDNORM, WRNORM
from netstack.tcp.socket import TcpSocket
from netstack.tcp.state import CLOSE, ESTABLISHED, FIN_WAIT2, LISTEN, SYN_RECV, SYN_SENT, TIME_WAIT
from tests.packet.script import OUR_PORT, PEER, PEER_PORT, Script
from tests.unit.netstack.two_hosts import Wire

R, W = IN | RDNORM, OUT | WRNORM
STAMPS = "mss 1400,sackOK,TS 1000 0,wscale 5"


def syn(s: Script, port: int, options: str = "mss 1000,sackOK,wscale 2") -> int:
    """A client's SYN from `port` that is answered; returns our initial sequence number."""
    s.ports = (OUR_PORT, port)
    s.our_clock = -1
    s.inject(f"S 0:0(0) <{options}>")
    return s.expect("S. 0:0(0) ack 1").segment.seq


def ack(s: Script, port: int, iss: int, data: int = 0, options: str = "") -> None:
    s.ports = (OUR_PORT, port)
    s.our_iss = iss
    s.inject(f". 1:{1 + data}({data}) ack 1 <{options}>")


def count(s: Script, name: str) -> int:
    return s.stack.counters.tcp_ext.get(name, 0)


def test_full_accept_queue_drops() -> None:
    s = Script()
    listener = s.listen(backlog=1)
    late = syn(s, 5000)
    for port in (5001, 5002):
        ack(s, port, syn(s, port))
    s.ports = (OUR_PORT, 5003)
    s.inject("S 0:0(0) <mss 1000>")  # a SYN is lost, and so is the last step of a handshake
    ack(s, 5000, late)
    s.quiet()
    assert listener.info().unacked == 2 and count(s, "ListenOverflows") == 2
    listener.accept()
    s.ports, s.our_iss = (OUR_PORT, 5000), late
    s.expect("S. 0:0(0) ack 1")  # after its time the answer goes again
    ack(s, 5000, late)
    assert listener.info().unacked == 2


def test_abort_on_overflow() -> None:
    s = Script(tcp_abort_on_overflow=1)
    listener = s.listen(backlog=0)
    late = syn(s, 5000)
    ack(s, 5001, syn(s, 5001))
    ack(s, 5000, late)
    s.expect("R 1:1(0)")
    assert listener.info().unacked == 1


def test_many_half_open_get_cookies() -> None:
    s = Script()
    listener = s.listen(backlog=3)
    for port in range(5000, 5004):
        syn(s, port)
    assert len(listener.listener.requests) == 4  # type: ignore[union-attr]
    iss = syn(s, 6000, STAMPS)
    assert len(listener.listener.requests) == 4 and count(s, "TCPReqQFullDoCookies") == 1  # type: ignore[union-attr]
    s.wait(20)
    s.sent.clear()
    ack(s, 6000, iss, 10, "TS 3000 0")
    sock = listener.accept()
    assert s.read(sock) == b"." * 10
    info = sock.info()
    assert info.snd_wscale == 5 and info.options & 7 == 7 and info.snd_mss == 1300 - 12


def test_cookie_without_timestamps_has_no_options() -> None:
    s = Script(tcp_syncookies=2)
    listener = s.listen()
    iss = syn(s, 6000, "mss 1460,sackOK,wscale 5")
    assert not listener.listener.requests  # type: ignore[union-attr]
    ack(s, 6000, iss)
    info = listener.accept().info()
    assert info.snd_wscale == 0 and info.options == 0 and info.snd_mss == 1460


def test_wrong_cookies_are_reset() -> None:
    s = Script(tcp_syncookies=2)
    listener = s.listen()
    iss = syn(s, 6000)
    ack(s, 6000, iss + 1)
    s.expect("R 1:1(0)")
    ack(s, 6001, iss)
    s.expect("R 1:1(0)")
    s.wait(300)
    ack(s, 6000, iss)
    s.expect("R 1:1(0)")
    assert not listener.listener.queue  # type: ignore[union-attr]


def test_without_cookies_a_flood_is_dropped() -> None:
    s = Script(tcp_syncookies=0)
    listener = s.listen(backlog=3)
    for port in range(5000, 5100):
        s.ports = (OUR_PORT, port)
        s.inject("S 0:0(0) <mss 1000>")
    assert len(listener.listener.requests) == 4  # type: ignore[union-attr]
    s.wait(100)
    assert not listener.listener.requests  # type: ignore[union-attr]


def test_half_open_ends_after_its_retries_or_a_reset() -> None:
    s = Script(tcp_synack_retries=2)
    listener = s.listen()
    syn(s, 5000)
    s.expect("S. 0:0(0) ack 1", after=1)
    s.expect("S. 0:0(0) ack 1", after=2)
    s.quiet(20)
    assert not listener.listener.requests and not s.stack.tcp.connections  # type: ignore[union-attr]
    syn(s, 5000)
    s.inject("R 1:1(0)")
    assert not listener.listener.requests and not s.stack.tcp.connections  # type: ignore[union-attr]
    s.quiet(20)


def test_same_syn_again_is_answered_again() -> None:
    s = Script()
    s.listen()
    syn(s, 5000)
    s.inject("S 0:0(0) <mss 1000,sackOK,wscale 2>")
    s.expect("S. 0:0(0) ack 1", after=0)


def test_defer_accept_waits_for_data() -> None:
    s = Script()
    listener = s.listen()
    listener.options.defer_accept_s = 3
    iss = syn(s, 5000)
    ack(s, 5000, iss)
    s.quiet()
    assert listener.poll() == 0
    ack(s, 5000, iss, 5)
    assert listener.poll() == R and s.read(listener.accept()) == b"....."


def test_defer_accept_does_not_wait_for_ever() -> None:
    s = Script()
    listener = s.listen()
    listener.options.defer_accept_s = 3
    iss = syn(s, 5000)
    ack(s, 5000, iss)
    s.expect("S. 0:0(0) ack 1", after=1)
    ack(s, 5000, iss)
    s.expect("S. 0:0(0) ack 1", after=2)
    ack(s, 5000, iss)
    assert listener.poll() == R


def test_listener_that_closes_forgets_and_resets() -> None:
    s = Script()
    listener = s.listen()
    half = syn(s, 5000)
    ack(s, 5001, syn(s, 5001))
    s.call("close", listener)
    s.expect("R. 1:1(0) ack 1")
    assert not s.stack.tcp.connections and not s.stack.tcp.listeners
    ack(s, 5000, half)
    s.expect("R 1:1(0)")


def test_reset_before_accept_is_seen_by_whoever_accepts() -> None:
    s = Script()
    listener = s.listen()
    ack(s, 5000, syn(s, 5000))
    s.inject("R 1:1(0)")
    sock = listener.accept()
    assert sock.poll() == R | W | RDHUP | HUP | ERR
    with pytest.raises(Exception) as caught:
        s.read(sock)
    assert caught.type is ECONNRESET


def test_most_particular_listener_gets_the_connection() -> None:
    wire = Wire()
    stack = wire.b.stack
    listeners = {}
    for name, family, address, iface in (
        ("any6", 6, bytes(16), 0),
        ("address", 4, wire.b.ip, 0),
        ("address6", 6, wire.b.ip6, 0),
        ("device", 4, bytes(4), wire.b.iface.index),
    ):
        listeners[name] = one = TcpSocket(stack, family)
        one.options.reuse_address = one.options.reuse_port = True
        one.options.bound_iface = iface
        one.bind(address, 80)
        one.listen(9)

    def who(address: bytes) -> str:
        client = TcpSocket(wire.a.stack, 4 if len(address) == 4 else 6)
        with pytest.raises(WouldBlock):
            client.connect(address, 80)
        wire.settle()
        (name,) = [name for name, one in listeners.items() if one.listener is not None and one.listener.queue]
        listeners[name].accept().abort()
        return name

    assert who(wire.b.ip) == "device"
    listeners["device"].close()
    assert who(wire.b.ip) == "address"
    listeners["address"].close()
    assert who(wire.b.ip) == "any6"
    assert who(wire.b.ip6) == "address6"
    listeners["address6"].close()
    assert who(wire.b.ip6) == "any6"


def test_only_device_of_its_own() -> None:
    s = Script()
    listener = s.socket()
    listener.options.bound_iface = 1
    s.listen(sock=listener)
    s.our_iss = 0
    s.inject("S 0:0(0) <mss 1000>")
    s.expect("R. 0:0(0) ack 1")


# --- poll, names and errors over packets


def test_poll_bits_from_connect_to_the_end() -> None:
    s = Script()
    sock = s.socket()
    assert sock.poll() == W | HUP
    events: list[int] = []
    sock.notify = events.append
    s.connect(sock)
    assert sock.poll() == 0 and sock.state == SYN_SENT
    s.expect("S 0:0(0)")
    s.inject("S. 0:0(0) ack 1 <mss 1000>")
    assert sock.poll() == W and events == [W]
    s.inject("P. 1:11(10) ack 1")
    assert sock.poll() == R | W
    sock.options.low_water = 11
    assert sock.poll() == W
    s.inject("PU. 11:12(1) ack 1 urg 1")
    assert sock.poll() == R | W | PRI
    s.read(sock)
    s.inject("F. 12:12(0) ack 1")
    assert sock.poll() == R | W | RDHUP | PRI
    s.call("shutdown", sock, 2)
    assert sock.poll() == R | W | RDHUP | HUP | PRI
    assert sock.peer[1] == PEER_PORT
    s.inject(". 13:13(0) ack 2")
    assert sock.state == CLOSE and sock.peer[1] == 0 and events[-1] & HUP


def test_connect_tells_each_result_once() -> None:
    s = Script(tcp_syn_retries=1)
    sock = s.connect()
    s.wait(10)
    assert sock.poll() == R | W | RDHUP | HUP | ERR
    with pytest.raises(ETIMEDOUT):
        sock.connect(PEER, PEER_PORT)
    s.sent.clear()
    s.connect(sock)
    s.expect("S 0:0(0)")
    s.inject("S. 0:0(0) ack 1")
    s.expect(". 1:1(0) ack 1")
    sock.connect(PEER, PEER_PORT)
    with pytest.raises(EISCONN):
        sock.connect(PEER, PEER_PORT)
    other = s.connect()
    s.expect("S 0:0(0)")
    s.inject("R. 0:0(0) ack 1")
    assert other.take_error() and not other.take_error()
    with pytest.raises(ECONNABORTED):
        other.connect(PEER, PEER_PORT)


def test_four_tuple_that_is_taken() -> None:
    s = Script()
    first = s.socket()
    for sock in (first, second := s.socket()):
        sock.options.reuse_address = True
        sock.bind(bytes(4), 1234)
    s.connect(first)
    with pytest.raises(EADDRNOTAVAIL):
        second.connect(PEER, PEER_PORT)
    with pytest.raises(WouldBlock):
        second.connect(PEER, PEER_PORT + 1)
    with pytest.raises(EINVAL):
        second.listen(1)


# --- TIME_WAIT and orphans


def finish(s: Script, port: int, stamped: bool = True) -> TcpSocket:
    """A connection that we end first."""
    options = f"mss 1000,TS {s.now_ns // 1_000_000} 0" if stamped else "mss 1000"
    listener = s.socket()
    listener.options.reuse_address = True
    s.listen(sock=listener)
    iss = syn(s, port, options)
    stamp = f"TS {s.now_ns // 1_000_000} 0" if stamped else ""
    ack(s, port, iss, options=stamp)
    sock = listener.accept()
    listener.close()
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject(f"F. 1:1(0) ack 2 <{stamp}>")
    s.expect(". 2:2(0) ack 2")
    return sock


def states(s: Script) -> list[int]:
    return [entry.state for entry in s.stack.tcp.connections.values()]  # type: ignore[attr-defined]


def test_time_wait_lasts_a_minute_after_the_last_fin() -> None:
    s = Script()
    finish(s, 5000, stamped=False)
    s.wait(40)
    s.inject("F. 1:1(0) ack 2")
    s.expect(". 2:2(0) ack 2", after=0)
    s.wait(40)
    assert states(s) == [TIME_WAIT]
    s.wait(21)
    assert states(s) == [] and not s.stack.tcp.ports.taken(OUR_PORT) and s.stack.timers.next_ns() == -1


def test_reset_ends_time_wait_unless_rfc_1337_is_wanted() -> None:
    for wanted in (0, 1):
        s = Script(tcp_rfc1337=wanted)
        finish(s, 5000, stamped=False)
        s.inject("R 2:2(0)")
        assert states(s) == [TIME_WAIT] * wanted


def test_new_syn_in_time_wait_begins_beyond_the_old_numbers() -> None:
    s = Script()
    finish(s, 5000)
    old = s.our_iss
    s.wait(1)
    listener = s.socket()
    listener.options.reuse_address = True
    s.listen(sock=listener)
    s.inject(f"S 5000:5000(0) <mss 1000,TS {s.now_ns // 1_000_000} 0>")
    new = s.expect("S. 0:0(0) ack 5001").segment.seq
    assert 60_000 < (new - old) & 0xFFFFFFFF < 70_000
    assert states(s) == [SYN_RECV]


def test_old_syn_in_time_wait_is_no_new_connection() -> None:
    s = Script()
    finish(s, 5000)
    listener = s.socket()
    listener.options.reuse_address = True
    s.listen(sock=listener)
    s.inject("S 0:0(0) <mss 1000,TS 5 0>")
    s.expect(". 2:2(0) ack 2")
    assert states(s) == [TIME_WAIT]


def test_client_takes_over_its_own_time_wait() -> None:
    """tcp_tw_reuse: a second later, with timestamps."""
    s = Script(tcp_tw_reuse=1)
    sock = s.socket()
    sock.bind(bytes(4), 1234)
    s.connect(sock)
    s.expect("S 0:0(0)")
    s.inject("S. 0:0(0) ack 1 <mss 1000,TS 7 0>")
    s.expect(". 1:1(0) ack 1")
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject("F. 1:1(0) ack 2 <TS 8 0>")
    s.expect(". 2:2(0) ack 2")
    again = s.socket()
    again.options.reuse_address = True
    for entry in s.stack.tcp.connections.values():
        entry.binding.options.reuse_address = True  # type: ignore[attr-defined]
    again.bind(bytes(4), 1234)
    with pytest.raises(EADDRNOTAVAIL):
        again.connect(PEER, PEER_PORT)
    old = s.our_iss
    s.wait(1)
    s.connect(again)
    assert 60_000 < (s.expect("S 0:0(0)").segment.seq - old) & 0xFFFFFFFF < 70_000


def test_time_waits_are_bounded() -> None:
    s = Script(tcp_max_tw_buckets=10)
    for port in range(5000, 5030):
        finish(s, port, stamped=False)
    assert len(states(s)) == 10
    s.wait(61)
    assert not states(s) and s.stack.timers.next_ns() == -1


def test_orphans_are_bounded() -> None:
    s = Script(tcp_max_orphans=2)
    listener = s.listen()
    for port in range(5000, 5004):
        ack(s, port, syn(s, port))
        sock = listener.accept()
        s.call("close", sock)
        s.expect("F. 1:1(0) ack 1")
        if port >= 5002:
            s.expect("R. 2:2(0) ack 1")
    assert s.stack.tcp.orphans == 2 == len(states(s))
    s.sent.clear()
    s.wait(200)
    assert not states(s) and not s.stack.tcp.orphans


def test_orphan_lingers_as_its_options_say() -> None:
    for seconds, lasts in ((0, 60), (7, 7)):
        s = Script()
        sock = s.connected(linger2_s=seconds)
        s.call("close", sock)
        s.expect("F. 1:1(0) ack 1")
        s.inject(". 1:1(0) ack 2")
        assert states(s) == [FIN_WAIT2]
        s.wait(lasts - 1)
        assert states(s) == [FIN_WAIT2]
        s.wait(2)
        assert states(s) == []
    s = Script()
    sock = s.connected(linger2_s=-1)
    s.call("close", sock)
    s.expect("F. 1:1(0) ack 1")
    s.inject(". 1:1(0) ack 2")
    s.expect("R. 2:2(0) ack 1")
    assert states(s) == []


def test_close_that_lingers_tells_when_all_has_arrived() -> None:
    s = Script()
    sock = s.connected(linger_s=5)
    events: list[int] = []
    sock.notify = events.append
    s.write(sock, 10)
    assert s.call("close", sock) is True
    s.sent.clear()
    events.clear()
    s.inject(". 1:1(0) ack 12")
    assert events and not sock.unacknowledged()


def test_a_listener_is_no_connection() -> None:
    s = Script()
    listener = s.listen()
    assert listener.state == LISTEN and listener.poll() == 0
    with pytest.raises(EISCONN):
        listener.connect(PEER, 1)
    with pytest.raises(EINVAL):
        listener.unread()
    with pytest.raises(WouldBlock):
        listener.accept()
    sock = s.socket()
    with pytest.raises(EINVAL):
        sock.accept()
    assert ESTABLISHED not in states(s)


def test_segments_from_too_far_away_do_not_count() -> None:
    """IP_MINTTL (ip(7))."""
    s = Script()
    sock = s.connected()
    sock.options.minimum_ttl = 255
    s.inject("P. 1:11(10) ack 1")  # the script's packets have a TTL of 64
    s.quiet()
    with pytest.raises(WouldBlock):
        s.read(sock)
    assert count(s, "TCPMinTTLDrop") == 1
