"""netstack.socket: raw, ping and packet sockets (raw(7), icmp(7), packet(7), RFC 3542)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import (
    ECONNREFUSED,
    EDESTADDRREQ,
    EHOSTUNREACH,
    EINVAL,
    EMSGSIZE,
    ENETDOWN,
    ENETUNREACH,
    ENXIO,
    EPROTO,
    NetError,
)
from netstack.packet import IcmpError
from netstack.poll import IN
from netstack.socket.error_queue import meaning
from netstack.socket.packet import ALL, HOST, MULTICAST, OTHERHOST, OUTGOING, PacketSocket
from netstack.socket.ping import PingSocket
from netstack.socket.raw import RawSocket
from netstack.socket.udp import UdpSocket
from netstack.stack import Stack
from netstack.wire import checksum, ether, icmp, ipv4
from tests.unit.netstack.socket.doubles import new_stack, run, texts
from tests.unit.netstack.two_hosts import IP, IP6, MACS, Wire, chance, frame4

LO, LO6 = b"\x7f\0\0\1", bytes(15) + b"\1"
ECHO = icmp.pack(icmp.ECHO, 0, 0x12340001, b"payload")
ECHO6 = b"\x80\0\0\0\0\0\0\7payload"


@pytest.fixture
def stack() -> Stack:
    return new_stack()


# raw ------------------------------------------------------------------------------------------------------------------
def test_raw_icmp_sees_headers_and_filters(stack: Stack) -> None:
    a, b = RawSocket(stack, 4, 1), RawSocket(stack, 4, 1)
    b.icmp_filter = ~(1 << icmp.ECHO_REPLY) & 0xFFFFFFFF
    a.send(ECHO, (LO, 0))
    request, reply = texts(a)
    assert (request[20], reply[20]) == (icmp.ECHO, icmp.ECHO_REPLY)
    assert checksum.checksum(reply[:20]) == 0
    assert texts(b) == [reply]
    a.close()
    b.close()
    b.close()
    assert stack.raw_receive is None


def test_raw_matches_addresses(stack: Stack) -> None:
    a, bound, joined = (RawSocket(stack, 4, 99) for _ in range(3))
    bound.bind(b"\x7f\0\0\2", 0)
    joined.connect(b"\x7f\0\0\3", 0)
    assert bound.local == (b"\x7f\0\0\2", 99)
    a.send(b"x", (b"\x7f\0\0\2", 0))
    assert [text[20:] for text in texts(bound)] == [b"x"]
    assert texts(joined) == []
    with pytest.raises(EDESTADDRREQ):
        a.send(b"x")
    six = RawSocket(stack, 6, 99)
    with pytest.raises(ENETUNREACH):
        six.send(b"x", (LO, 0))


def test_raw_six_has_no_header_and_makes_checksums(stack: Stack) -> None:
    a = RawSocket(stack, 6, 58)
    a.send(ECHO6, (LO6, 0))
    request, reply = texts(a)
    assert (request[0], reply[0]) == (128, 129)
    assert checksum.partial(reply, checksum.pseudo(LO6, LO6, 58, len(reply))) == 0xFFFF
    b = RawSocket(stack, 6, 99)
    b.checksum_offset = 2
    with pytest.raises(EINVAL):
        b.send(b"abc", (LO6, 0))


def test_raw_checksum_over_a_wire() -> None:
    wire = Wire(offload=False)
    a, b = RawSocket(wire.a.stack, 6, 99), RawSocket(wire.b.stack, 6, 99)
    a.checksum_offset = b.checksum_offset = 2
    a.send(b"ab\0\0cd", (IP6[1], 0))
    wire.run(1)
    (got,) = texts(b)
    assert checksum.partial(got, checksum.pseudo(IP6[0], IP6[1], 99, 6)) == 0xFFFF
    a.checksum_offset = -1
    a.send(b"ab\0\0cd", (IP6[1], 0))
    wire.run(1)
    assert texts(b) == [], "a wrong one is dropped"


def test_raw_own_header() -> None:
    wire = Wire()
    a, b = RawSocket(wire.a.stack, 4, 255), UdpSocket(wire.b.stack, 4)
    b.bind(IP[1], 99)
    packet = ipv4.pack_header(b"\x0a\0\0\x63", IP[1], 17, 9, ttl=7) + b"\0\5\0\x63\0\x09\0\0x"
    a.send(packet, (IP[1], 0))
    wire.run(1)
    got = b.receive()
    assert (got.data, got.source, got.ttl) == (b"x", (b"\x0a\0\0\x63", 5), 7)
    with pytest.raises(EINVAL):
        a.send(packet[:19], (IP[1], 0))
    with pytest.raises(EMSGSIZE):
        a.send(packet + bytes(1500), (IP[1], 0))


def test_raw_hears_errors(stack: Stack) -> None:
    a = RawSocket(stack, 4, 17)
    a.options.receive_errors = True
    a.send(b"\0\5\0\x09\0\x08\0\0", (LO, 0))
    run(stack)
    with pytest.raises(ECONNREFUSED):
        a.receive()
    found = a.receive_error()
    assert (found.peer, found.payload) == ((LO, 0), b"\0\5\0\x09\0\x08\0\0")


def test_udp_is_seen_by_raw_sockets_of_udp_only(stack: Stack) -> None:
    a, b = UdpSocket(stack, 4), UdpSocket(stack, 4)
    b.bind(LO, 0)
    RawSocket(stack, 4, 1)
    assert stack.udp.direct()
    raw = RawSocket(stack, 4, 17)
    assert not stack.udp.direct()
    a.send(b"x", b.local)
    assert [text[28:] for text in texts(raw)] == [b"x"]
    assert texts(b) == [b"x"]


# ping -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("family", "host", "request_", "kind"), [(4, LO, ECHO, 0), (6, LO6, ECHO6, 129)])
def test_ping(stack: Stack, family: int, host: bytes, request_: bytes, kind: int) -> None:
    a, b = PingSocket(stack, family), PingSocket(stack, family)
    b.bind(host, 77)
    a.send(request_, (host, 0))
    b.connect(host, 0)
    b.send(request_)
    assert a.ident not in (0, 77)
    for one in (a, b):
        (got,) = texts(one)
        assert got[0] == kind
        assert int.from_bytes(got[4:6]) == one.ident == one.local[1]
        assert got[8:] == b"payload"
    for bad in (request_[:7], b"\x05" + request_[1:], request_[:1] + b"\x01" + request_[2:]):
        with pytest.raises(EINVAL):
            a.send(bad, (host, 0))
    with pytest.raises(EINVAL):
        b.bind(host, 78)
    a.close()
    b.close()
    assert stack.echo_reply is None


def test_ping_hears_who_cannot_be_reached() -> None:
    wire = Wire()
    a = PingSocket(wire.a.stack, 4)
    a.options.receive_errors = True
    a.send(ECHO, (b"\x0a\0\0\x63", 0))
    wire.run(10)
    with pytest.raises(EHOSTUNREACH):
        a.receive()
    assert a.receive_error().peer == (b"\x0a\0\0\x63", 0)


# errors ---------------------------------------------------------------------------------------------------------------
@given(st.sampled_from([4, 6]), st.integers(0, 255), st.integers(0, 255))
def test_every_icmp_error_means_something_or_nothing(version: int, kind: int, code: int) -> None:
    error = IcmpError(version, kind, code, 0, LO, LO, LO, 17, bytes(8))
    number, hard = meaning(error)
    assert number >= 0
    assert number or not hard
    if kind > 127 or (version == 4 and kind not in (3, 11, 12)):
        assert number == 0


def test_what_errors_mean() -> None:
    def of(version: int, kind: int, code: int) -> tuple[int, bool]:
        return meaning(IcmpError(version, kind, code, 0, LO, LO, LO, 17, bytes(8)))

    assert of(4, 3, 3) == of(6, 1, 4) == (ECONNREFUSED.code, True)
    assert of(4, 3, 1) == (EHOSTUNREACH.code, False)
    assert of(4, 11, 0) == of(6, 3, 0) == (EHOSTUNREACH.code, False)
    assert of(4, 12, 0) == of(6, 4, 1) == (EPROTO.code, True)
    assert of(4, 3, 4) == of(6, 2, 0) == (EMSGSIZE.code, False)


# packets --------------------------------------------------------------------------------------------------------------
def test_packets_on_the_loopback(stack: Stack) -> None:
    everything, ip, deaf = PacketSocket(stack, False, ALL), PacketSocket(stack, True, 0x0800), PacketSocket(stack, True)
    a, b = UdpSocket(stack, 4), UdpSocket(stack, 4)
    b.bind(LO, 0)
    a.send(b"x", b.local)
    run(stack)
    out, back = everything.receive(), everything.receive()
    assert out.link is not None
    assert back.link is not None
    assert (out.link.direction, back.link.direction, out.link.hardware) == (OUTGOING, HOST, 772)
    assert out.data == back.data
    assert out.data[12:14] == b"\x08\0"
    assert texts(ip) == [out.data[14:]]
    assert texts(deaf) == []
    assert everything.statistics() == (2, 0)
    assert everything.statistics() == (0, 0)
    deaf.bind(stack.loopback.index, ALL)
    a.send(b"y", b.local)
    assert len(texts(deaf)) == 2
    for one in (everything, ip, deaf):
        one.close()
        one.close()
    assert stack.taps == []
    assert stack.udp.direct()


def test_packets_on_a_wire() -> None:
    wire = Wire()
    a, b = PacketSocket(wire.a.stack, True, 0x88B5), PacketSocket(wire.b.stack, True, 0x88B5)
    index = wire.a.iface.index
    a.send(b"hello", index, 0x88B5, MACS[1])
    wire.run(0.1)
    got = b.receive()
    assert got.link is not None
    assert (got.data, got.link.address, got.link.protocol, got.link.direction) == (b"hello", MACS[0], 0x88B5, HOST)
    for mac, direction in ((b"\xff" * 6, 1), (b"\1\0\x5e\0\0\5", MULTICAST), (b"\2\0\0\0\0\x77", OTHERHOST)):
        a.send(b"x", index, 0, mac)
        wire.run(0.1)
        link = b.receive().link
        assert link is not None
        assert link.direction == direction
    with pytest.raises(EMSGSIZE):
        a.send(bytes(1501), index, 0, MACS[1])
    with pytest.raises(ENXIO):
        a.send(b"x")
    with pytest.raises(EINVAL):
        a.send(b"x", index)
    raw = PacketSocket(wire.a.stack, False)
    raw.bind(index, 0)
    with pytest.raises(EINVAL):
        raw.send(b"short")
    raw.send(ether.pack_header(MACS[1], MACS[0], 0x88B5) + b"whole")
    wire.run(0.1)
    assert b.receive().data == b"whole"
    wire.a.stack.set_up(wire.a.iface, False)
    with pytest.raises(ENETDOWN):
        raw.send(bytes(20))


def test_packets_only_of_the_bound_interface() -> None:
    wire = Wire()
    one = PacketSocket(wire.b.stack, False, ALL)
    one.bind(wire.b.stack.loopback.index, 0)
    wire.b.stack.receive(wire.b.iface, frame4(wire.b, IP[0], IP[1], 17, bytes(8)))
    assert texts(one) == []
    one.bind(wire.b.iface.index, 0)
    wire.b.stack.receive(wire.b.iface, frame4(wire.b, IP[0], IP[1], 17, bytes(8)))
    assert one.poll() & IN
    assert len(texts(one)) >= 1


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_junk_frames_raise_nothing(junk: bytes, cooked: bool) -> None:
    wire = Wire()
    sees, sends = PacketSocket(wire.b.stack, cooked, ALL), PacketSocket(wire.a.stack, cooked)
    wire.b.stack.receive(wire.b.iface, junk)
    for stack, index in ((wire.a.stack, wire.a.iface.index), (wire.a.stack, wire.a.stack.loopback.index)):
        try:
            sends.send(junk, index, 0x0800, MACS[1])
        except NetError:
            pass
        run(stack)
    wire.run(0.1)
    assert all(len(text) <= len(junk) for text in texts(sees)[:1])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([1, 17, 58, 99, 255]), st.sampled_from([4, 6]), st.booleans())
def test_junk_from_raw_sockets_raises_nothing_else(junk: bytes, proto: int, family: int, own: bool) -> None:
    stack = Stack(chance(3), lambda: None)
    a, b = RawSocket(stack, family, proto), UdpSocket(stack, family)
    b.bind(LO if family == 4 else LO6, 99)
    a.options.header_included = own
    a.options.receive_errors = a.options.receive_errors6 = True
    try:
        a.send(junk, b.local)
    except NetError:
        pass
    run(stack)
