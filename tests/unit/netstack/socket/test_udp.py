"""netstack.socket: UDP sockets within one stack and over a wire (RFC 768, RFC 1122 section 4.1, udp(7), ip(7))."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    ECONNREFUSED,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    WouldBlock,
)
from netstack.iface import Interface
from netstack.poll import ERR, HUP, IN, OUT, RDHUP
from netstack.socket.base import PMTUDISC_DO
from netstack.socket.groups import Groups
from netstack.socket.ip_socket import Control
from netstack.socket.udp import UdpSocket
from netstack.stack import Stack
from netstack.wire import udp
from tests.unit.netstack.socket.doubles import new_stack, run, texts
from tests.unit.netstack.two_hosts import IP, IP6, Wire, chance, frame4, frame6

LO, LO2, LO6 = b"\x7f\0\0\1", b"\x7f\0\0\2", bytes(15) + b"\1"
ANY, ANY6 = bytes(4), bytes(16)
GROUP, GROUP6 = b"\xef\1\2\3", b"\xff\5" + bytes(13) + b"\7"


@pytest.fixture(params=["direct", "packets"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Datagrams to oneself take the short way, or are packets as soon as somebody looks."""
    made = new_stack()
    if request.param == "packets":
        made.taps.append(lambda iface, frame, outgoing: None)
    return made


def sock(stack: Stack, host: bytes = b"", port: int = 0, family: int = 0, **options: Any) -> UdpSocket:
    made = UdpSocket(stack, family or (4 if len(host) in (0, 4) else 6))
    for name, value in options.items():
        assert hasattr(made.options, name)
        setattr(made.options, name, value)
    if host:
        made.bind(host, port)
    return made


def test_there_and_back(stack: Stack) -> None:
    for host in (LO, LO2, LO6):
        a, b = sock(stack, host, ttl=9, hop_limit=9, tos=8, traffic_class=8), sock(stack, host)
        assert a.send(b"hello", b.local) == 5
        run(stack)
        assert b.next_size() == 5
        assert b.receive(peek=True).data == b"hello"
        got = b.receive()
        assert (got.data, got.source, got.destination) == (b"hello", a.local, b.local)
        assert (got.iface, got.ttl, got.tos, got.time_ns) == (stack.loopback.index, 9, 8, stack.now_ns)
        assert b.next_size() == 0
        with pytest.raises(WouldBlock):
            b.receive()


def test_an_unbound_sender_gets_a_port(stack: Stack) -> None:
    a, b = sock(stack), sock(stack, ANY)
    a.send(b"x", (LO, b.local[1]))
    run(stack)
    assert a.local == (ANY, b.receive().source[1])
    with pytest.raises(EINVAL):
        a.bind(LO, 0)
    with pytest.raises(EDESTADDRREQ):
        a.send(b"x")
    with pytest.raises(EINVAL):
        a.send(b"x", (LO, 0))


def test_connected_hears_its_peer_only(stack: Stack) -> None:
    a, b, stranger = sock(stack, LO), sock(stack, ANY), sock(stack, LO)
    b.connect(*a.local)
    assert b.local[0] == LO
    assert b.peer == a.local
    stranger.send(b"no", b.local)
    a.send(b"yes", b.local)
    assert texts(b) == [b"yes"]
    b.send(b"back")
    assert texts(a) == [b"back"]
    b.disconnect()
    assert b.local == (ANY, 0)
    bound = sock(stack, LO, 77)
    bound.connect(*a.local)
    bound.disconnect()
    assert bound.local == (LO, 77)
    bound.close()
    assert not stack.udp.ports.taken(77)
    assert stack.udp.find(LO, 77, LO, 1, 0) is None


def test_whom_a_datagram_is_for(stack: Stack) -> None:
    peer = sock(stack, LO)
    wild = sock(stack, ANY, 99, reuse_address=True)
    bound = sock(stack, LO, 99, reuse_address=True)
    joined = sock(stack, LO, 99, reuse_address=True)
    joined.connect(*peer.local)
    peer.send(b"1", (LO, 99))
    sock(stack, LO).send(b"2", (LO, 99))
    peer.send(b"3", (LO2, 99))
    assert (texts(joined), texts(bound), texts(wild)) == ([b"1"], [b"2"], [b"3"])
    later = sock(stack, LO, 99, reuse_address=True)
    sock(stack, LO).send(b"4", (LO, 99))
    assert (texts(later), texts(bound)) == ([b"4"], [])


def test_families_meet_on_a_dual_socket(stack: Stack) -> None:
    dual, four = sock(stack, ANY6), sock(stack, LO)
    four.send(b"four", (LO, dual.local[1]))
    run(stack)
    got = dual.receive()
    assert got.source == four.local
    dual.send(b"back", got.source)
    assert texts(four) == [b"back"]
    only = UdpSocket(stack, 6)
    only.v6only = True
    only.bind(ANY6, 0)
    with pytest.raises(ENETUNREACH):
        only.send(b"x", four.local)
    four.send(b"x", (LO, only.local[1]))
    assert texts(only) == []
    mapped = sock(stack, LO, family=6)
    with pytest.raises(EAFNOSUPPORT):
        mapped.send(b"x", (LO6, 1))
    with pytest.raises(ENETUNREACH):
        sock(stack, LO6).send(b"x", four.local)
    with pytest.raises(EADDRINUSE):
        sock(stack, ANY, dual.local[1])
    with pytest.raises(EADDRNOTAVAIL):
        sock(stack, b"\x0a\1\1\1")
    sock(stack, b"\x0a\1\1\1", free_bind=True)


def test_refused(stack: Stack) -> None:
    for host in (LO, LO6):
        heard: list[int] = []
        a = sock(stack, host)
        a.notify = heard.append
        a.send(b"x", (host, 9))
        run(stack)
        assert a.poll() & (IN | ERR) == 0, "who has no peer is not told"
        a.connect(host, 9)
        a.send(b"x")
        run(stack)
        assert a.poll() & ERR
        assert ERR in heard
        with pytest.raises(ECONNREFUSED):
            a.receive()
        a.send(b"x")
        run(stack)
        with pytest.raises(ECONNREFUSED):
            a.send(b"x")
        assert a.send(b"x") == 1
        run(stack)
        assert a.take_error() == ECONNREFUSED.code
        assert a.take_error() == 0


def test_extended_errors(stack: Stack) -> None:
    for host, origin, kind, code in ((LO, 2, 3, 3), (LO6, 3, 1, 4)):
        a = sock(stack, host, receive_errors=True, receive_errors6=True)
        for text in (b"first", b"second"):
            a.take_error()
            a.send(text, (host, 9))
            run(stack)
        found = a.receive_error(peek=True)
        assert found == a.receive_error()
        assert (found.errno, found.origin, found.kind, found.code) == (ECONNREFUSED.code, origin, kind, code)
        assert (found.offender, found.peer, found.payload) == (host, (host, 9), b"first")
        assert a.error == ECONNREFUSED.code, "of the next entry"
        assert a.receive_error().payload == b"second"
        assert a.error == 0
        with pytest.raises(WouldBlock):
            a.receive_error()


def test_extended_errors_are_bounded(stack: Stack) -> None:
    a = sock(stack, LO, receive_errors=True, receive_buffer=4000)
    for _ in range(100):
        a.take_error()
        a.send(bytes(100), (LO, 9))
        run(stack)
    count = 0
    while len(a.errors):
        a.receive_error()
        count += 1
    assert 1 <= count <= 5


def test_too_long(stack: Stack) -> None:
    a, b = sock(stack, LO), sock(stack, LO, receive_buffer=1 << 20)
    a.send(bytes(65507), b.local)
    with pytest.raises(EMSGSIZE):
        a.send(bytes(65508), b.local)
    six, other = sock(stack, LO6), sock(stack, LO6, receive_buffer=1 << 20)
    six.send(bytes(65527), other.local)
    with pytest.raises(EMSGSIZE):
        six.send(bytes(65528), other.local)
    assert [len(text) for text in texts(b) + texts(other)] == [65507, 65527]
    six.options.mtu_discover6 = PMTUDISC_DO
    six.options.receive_errors6 = True
    with pytest.raises(EMSGSIZE):
        six.send(bytes(65489), other.local)
    found = six.receive_error()
    assert (found.errno, found.origin, found.info, found.peer) == (EMSGSIZE.code, 1, 65536, other.local)


def test_the_buffer_is_bounded_and_drops_are_counted(stack: Stack) -> None:
    a, b = sock(stack, LO), sock(stack, LO, receive_buffer=10000)
    for _ in range(100):
        a.send(bytes(1000), b.local)
    run(stack)
    kept = len(texts(b))
    assert 5 <= kept <= 20
    assert stack.counters.udp["RcvbufErrors"] == b.drops == 100 - kept
    a.send(b"x", b.local)
    run(stack)
    assert b.receive().drops == 100 - kept
    assert b.queued == 0


def test_shutdown(stack: Stack) -> None:
    a, b = sock(stack, LO), sock(stack, LO)
    assert a.poll() & (IN | OUT | HUP | RDHUP) == OUT
    with pytest.raises(ENOTCONN):
        a.shutdown(1)
    assert a.poll() & (IN | OUT | HUP | RDHUP) == IN | OUT | RDHUP
    b.connect(*a.local)
    b.shutdown(3)
    assert b.poll() & (IN | OUT | HUP | RDHUP) == IN | OUT | HUP | RDHUP
    with pytest.raises(EPIPE):
        b.send(b"x")
    with pytest.raises(WouldBlock):
        b.receive()


def test_broadcasts_ask_first_and_reach_all(stack: Stack) -> None:
    everybody = b"\x7f\xff\xff\xff"
    a = sock(stack, LO)
    b, c = sock(stack, ANY, 99, reuse_address=True), sock(stack, everybody, 99, reuse_address=True)
    d = sock(stack, LO, 99, reuse_address=True)
    with pytest.raises(EACCES):
        a.send(b"x", (everybody, 99))
    with pytest.raises(EACCES):
        a.connect(everybody, 99)
    a.options.broadcast = True
    a.send(b"x", (everybody, 99))
    assert (texts(b), texts(c), texts(d)) == ([b"x"], [b"x"], [])


def join(one: UdpSocket, iface: Interface, group: bytes) -> Groups:
    one.groups = one.groups or Groups(one.stack)
    one.groups.join(iface, group)
    return one.groups


def test_multicast_is_for_members(stack: Stack) -> None:
    lo = stack.loopback
    a = sock(stack, LO, multicast_iface=lo.index)
    member = sock(stack, ANY, 99, reuse_address=True, multicast_all=False)
    careless = sock(stack, ANY, 99, reuse_address=True)
    outsider = sock(stack, ANY, 99, reuse_address=True, multicast_all=False)
    groups = join(member, lo, GROUP)
    a.send(b"1", (GROUP, 99))
    assert (texts(member), texts(careless), texts(outsider)) == ([b"1"], [b"1"], [])
    groups.block(lo, GROUP, LO)
    a.send(b"2", (GROUP, 99))
    assert (texts(member), texts(careless)) == ([], [b"2"])
    member.close()
    assert GROUP not in lo.groups
    a.send(b"3", (GROUP, 99))
    assert texts(careless) == [], "no socket is a member any more"


def test_one_message_may_differ(stack: Stack) -> None:
    a, b = sock(stack, ANY), sock(stack, ANY)
    a.send(b"x", (LO, b.local[1]), Control(source=LO2, ttl=3, tos=4))
    run(stack)
    got = b.receive()
    assert (got.source[0], got.ttl, got.tos) == (LO2, 3, 4)
    with pytest.raises(EINVAL):
        a.send(b"x", (LO, b.local[1]), Control(source=b"\x0a\1\1\1"))


def test_put_together_and_cut(stack: Stack) -> None:
    a, b = sock(stack, LO), sock(stack, LO)
    a.send(b"one", b.local, more=True)
    a.send(b"two", more=True)
    assert texts(b) == []
    a.send(b"three")
    assert texts(b) == [b"onetwothree"]
    a.corked = True
    a.send(b"x", b.local)
    a.send(b"y")
    a.corked = False
    a.push()
    a.push()
    assert texts(b) == [b"xy"]
    a.segment = 2
    a.send(b"abcde", b.local)
    assert texts(b) == [b"ab", b"cd", b"e"]
    with pytest.raises(EINVAL):
        a.send(bytes(257), b.local)


def test_reuse_port_spreads_senders_and_keeps_each(stack: Stack) -> None:
    socks = [sock(stack, LO, 99, reuse_port=True) for _ in range(4)]
    got = [0] * 4
    for _ in range(100):
        sender = sock(stack, LO)
        sender.send(b"1", (LO, 99))
        sender.send(b"2", (LO, 99))
        found = [texts(one) for one in socks]
        assert sorted(found) == [[], [], [], [b"1", b"2"]]
        got[[len(entry) for entry in found].index(2)] += 1
        sender.close()
    assert min(got) > 5


# over a wire ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("hosts", [IP, IP6])
@pytest.mark.parametrize("size", [0, 1, 1000, 1472, 1473, 9000, 65000])
def test_over_a_wire(hosts: tuple[bytes, bytes], size: int, offload: bool) -> None:
    wire = Wire(offload=offload)
    a, b = sock(wire.a.stack, hosts[0]), sock(wire.b.stack, hosts[1], receive_buffer=1 << 20)
    data = bytes(i * 7 & 255 for i in range(size))
    a.send(data, b.local)
    wire.run(1)
    got = b.receive()
    assert got.data == data
    assert got.source == a.local
    assert got.iface == wire.b.iface.index


@pytest.mark.parametrize("hosts", [IP, IP6])
def test_refused_over_a_wire(hosts: tuple[bytes, bytes]) -> None:
    wire = Wire()
    a = sock(wire.a.stack, hosts[0], receive_errors=True, receive_errors6=True)
    a.connect(hosts[1], 9)
    a.send(b"anybody?")
    wire.run(1)
    with pytest.raises(ECONNREFUSED):
        a.receive()
    found = a.receive_error()
    assert (found.offender, found.peer, found.payload) == (hosts[1], (hosts[1], 9), b"anybody?")


def test_checksums_are_looked_at() -> None:
    wire = Wire(offload=False)
    b, b6 = sock(wire.b.stack, IP[1], 99), sock(wire.b.stack, IP6[1], 99)
    counts = wire.b.stack.counters
    wire.b.stack.receive(wire.b.iface, frame4(wire.b, IP[0], IP[1], 17, udp.HEADER.pack(5, 99, 9, 0) + b"x"))
    assert b.receive().data == b"x", "0 is no checksum over IPv4"
    wire.b.stack.receive(wire.b.iface, frame4(wire.b, IP[0], IP[1], 17, udp.HEADER.pack(5, 99, 9, 77) + b"x"))
    wire.b.stack.receive(wire.b.iface, frame6(wire.b, IP6[0], IP6[1], 17, udp.HEADER.pack(5, 99, 9, 0) + b"x"))
    assert counts.udp["InCsumErrors"] == counts.udp6["InCsumErrors"] == 1
    assert texts(b) == texts(b6) == []


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.booleans(), st.booleans())
def test_nothing_that_comes_in_raises(junk: bytes, six: bool, checked: bool) -> None:
    wire = Wire()
    one = sock(wire.b.stack, IP6[1] if six else IP[1], 99)
    head = udp.HEADER.pack(5, 99, len(junk), 0)
    for payload in (junk, head + junk):
        frame = frame6(wire.b, IP6[0], IP6[1], 17, payload) if six else frame4(wire.b, IP[0], IP[1], 17, payload)
        wire.b.stack.receive(wire.b.iface, frame, checked)
    assert all(len(text) <= len(junk) for text in texts(one))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_find_picks_the_best(data: st.DataObject) -> None:
    """Against the rule written down plainly: nobody who does not match, and nobody better is passed over."""
    stack = Stack(chance(2), lambda: None)
    hosts = [ANY, LO, LO2, ANY6, LO6]
    socks = []
    for _ in range(data.draw(st.integers(1, 6))):
        one = sock(stack, data.draw(st.sampled_from(hosts)), 99, reuse_address=True,
                   bound_iface=data.draw(st.sampled_from([0, 0, 1, 2])))  # fmt: skip
        if data.draw(st.booleans()) and any(one.local[0]):
            one.has_peer = True
            one.peer = (one.local[0], data.draw(st.sampled_from([5, 6])))
        socks.append(one)
    dst = data.draw(st.sampled_from([LO, LO2, LO6]))
    src, sport, iface = dst, data.draw(st.sampled_from([5, 6])), 1

    def rank(one: UdpSocket) -> tuple[int, ...] | None:
        exact = one.local[0] == dst
        wild = not any(one.local[0]) and (len(one.local[0]) == len(dst) or len(dst) == 4)
        bound = one.options.bound_iface
        if not (exact or wild) or bound not in (0, iface) or (one.has_peer and one.peer != (src, sport)):
            return None
        return exact, one.has_peer, bool(bound), one.family == 4 and len(dst) == 4

    ranks = [entry for entry in map(rank, socks) if entry is not None]
    found = stack.udp.find(dst, 99, src, sport, iface)
    if found is None:
        assert not ranks
    else:
        assert rank(found) == max(ranks)
