"""What comes in: whom it is for, martians, options, extension headers, damage (RFC 1122, RFC 1812, RFC 8200)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.iface import Address
from netstack.packet import Packet
from netstack.wire import ether, icmp6, ipv4, ipv6
from tests.unit.netstack.two_hosts import IP, IP6, MACS, Wire, frame4, frame6

GROUP4, GROUP6 = b"\xe0\0\0\xfb", b"\xff\x02" + bytes(13) + b"\xfb"
NEIGHBOR = b"\xfe\x80" + bytes(13) + b"\x05"
OWN = object()


def received(wire: Wire, frame: bytes) -> list[Packet]:
    got = wire.a.listen(200)
    got.clear()
    wire.a.stack.receive(wire.a.iface, frame)
    return got


@pytest.mark.parametrize("twice", [False, True])
def test_a_plain_packet_by_both_ways(twice: bool) -> None:
    """The first from a sender is looked at in full, the next ones take the short way: both come out the same."""
    wire = Wire()
    for _ in range(1 + twice):
        (packet,) = received(wire, frame4(wire.a, IP[1], IP[0], 200, b"payload", ttl=7, tos=0x28) + b"padding")
        assert (packet.src, packet.dst, packet.ttl, packet.tos, packet.version) == (IP[1], IP[0], 7, 0x28, 4)
        assert (bytes(packet.payload), bytes(packet.raw[20:]), packet.to_us) == (b"payload", b"payload", "unicast")
        (packet,) = received(wire, frame6(wire.a, IP6[1], IP6[0], 200, b"payload", hop_limit=9) + b"padding")
        assert (packet.src, packet.dst, packet.ttl, packet.version) == (IP6[1], IP6[0], 9, 6)
        assert (bytes(packet.payload), bytes(packet.raw[40:])) == (b"payload", b"payload")


def test_checksum_and_gso_of_the_device_are_handed_on() -> None:
    wire = Wire()
    got = wire.a.listen(200)
    for _ in range(2):
        wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], IP[0], 200, bytes(9000)), True, 1448)
        assert (got[-1].checked, got[-1].gso_size) == (True, 1448)


MARTIANS4 = [
    (b"\x7f\0\0\x01", IP[0]), (IP[0], IP[0]), (b"\xe0\0\0\x01", IP[0]), (b"\xff\xff\xff\xff", IP[0]),
    (b"\x0a\0\0\xff", IP[0]), (bytes(4), IP[0]), (b"\0\0\0\x09", IP[0]), (IP[1], b"\x7f\0\0\x01"), (IP[1], bytes(4)),
    (b"\xf0\0\0\x01", IP[0]), (IP[1], b"\x0a\0\0\x63"), (IP[1], b"\x08\x08\x08\x08"), (IP[1], b"\xe1\x02\x03\x04"),
]  # fmt: skip
MARTIANS6 = [
    (bytes(15) + b"\x01", IP6[0]), (IP6[0], IP6[0]), (b"\xff\x02" + bytes(13) + b"\x01", IP6[0]),
    (IP6[1], bytes(15) + b"\x01"), (bytes(10) + b"\xff\xff" + IP[1], IP6[0]),
    (IP6[1], b"\xff\x01" + bytes(13) + b"\x01"), (IP6[1], b"\xff\x00" + bytes(13) + b"\x01"),
    (IP6[1], b"\xfd" + bytes(14) + b"\x63"),
    (IP6[1], b"\xff\x02" + bytes(13) + b"\x77"),
]  # fmt: skip


@pytest.mark.parametrize(("src", "dst"), MARTIANS4)
def test_martians_do_not_get_in(src: bytes, dst: bytes) -> None:
    wire = Wire()
    for _ in range(2):
        assert not received(wire, frame4(wire.a, src, dst, 200, b"x"))
    assert wire.a.stack.counters.ip["InAddrErrors"] == (2 if dst[0] != 0xE1 else 0)
    assert received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x"))


@pytest.mark.parametrize(("src", "dst"), MARTIANS6)
def test_martians_of_ipv6_do_not_get_in(src: bytes, dst: bytes) -> None:
    wire = Wire()
    for _ in range(2):
        assert not received(wire, frame6(wire.a, src, dst, 200, b"x", mac=wire.a.iface.mac))
    assert received(wire, frame6(wire.a, IP6[1], IP6[0], 200, b"x"))


def test_an_address_that_becomes_ours_is_no_sender_any_more() -> None:
    wire = Wire()
    assert received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x"))
    assert received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x"))
    wire.a.stack.add_address(wire.a.stack.loopback, Address(IP[1], 32))
    assert not received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x"))


def test_reverse_path_filter() -> None:
    wire = Wire()
    wire.a.stack.settings.rp_filter = 1
    assert not received(wire, frame4(wire.a, b"\x08\x08\x08\x08", IP[0], 200, b"x"))  # no way back
    assert received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x"))


def test_broadcasts_and_groups() -> None:
    wire = Wire()
    for dst in (b"\xff\xff\xff\xff", b"\x0a\0\0\xff"):
        (packet,) = received(wire, frame4(wire.a, IP[1], dst, 200, b"x", mac=ether.BROADCAST))
        assert packet.to_us == "broadcast"
    (packet,) = received(wire, frame4(wire.a, bytes(4), b"\xff\xff\xff\xff", 200, b"x", mac=ether.BROADCAST))
    assert packet.src == bytes(4)
    for group, make in ((GROUP4, frame4), (GROUP6, frame6)):
        frame = make(wire.a, (IP if len(group) == 4 else IP6)[1], group, 200, b"x", mac=ether.multicast_mac(group))
        assert not received(wire, frame)
        wire.a.stack.memberships.join(wire.a.iface, group, OWN)
        assert received(wire, frame)[0].to_us == "multicast"
        wire.a.stack.memberships.leave(wire.a.iface, group, OWN)
        assert not received(wire, frame)


def test_frames_for_others() -> None:
    wire = Wire()
    assert not received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x", mac=b"\x02\0\0\0\0\x63"))
    tcp_in_a_broadcast = frame4(wire.a, IP[1], IP[0], ipv4.TCP, bytes(20), mac=ether.BROADCAST)
    got: list[Packet] = []
    wire.a.stack.register(ipv4.TCP, got.append)
    wire.a.stack.receive(wire.a.iface, tcp_in_a_broadcast)
    assert not got


def test_options() -> None:
    wire = Wire()
    record = b"\x07\x07\x04" + bytes(4) + b"\x00"
    (packet,) = received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x", options=record))
    assert packet.options == record and bytes(packet.payload) == b"x"
    for route in (b"\x83\x07\x04" + IP[1] + b"\x00", b"\x89\x07\x08" + IP[1] + b"\x00", b"\x07\x30\x04\x00"):
        assert not received(wire, frame4(wire.a, IP[1], IP[0], 200, b"x", options=route))
    assert wire.a.stack.counters.ip["InHdrErrors"] == 3


def test_damaged_packets_are_counted() -> None:
    wire = Wire()
    good = frame4(wire.a, IP[1], IP[0], 200, b"payload")
    received(wire, good)
    for at in range(14, 34):  # any flipped bit of the header
        bad = bytearray(good)
        bad[at] ^= 0x10
        assert not received(wire, bytes(bad)), at
    for size in range(len(good)):
        assert not received(wire, good[:size]), size
    assert wire.a.iface.counters.rx_errors


def test_extension_headers_are_walked() -> None:
    wire = Wire()
    options = ipv6.pack_options(ipv6.DESTINATION, b"\x05\x02\0\0") + ipv6.pack_options(200, b"\x01\x02\0\0")
    (packet,) = received(wire, frame6(wire.a, IP6[1], IP6[0], ipv6.HOP_BY_HOP, options + b"payload"))
    assert (packet.proto, bytes(packet.payload), packet.options) == (200, b"payload", options)
    assert not received(wire, frame6(wire.a, IP6[1], IP6[0], ipv6.NO_NEXT, b"payload"))


def problems(wire: Wire) -> list[tuple[int, int]]:
    """Code and pointer of the parameter problems that went out."""
    found = []
    for frame in wire.a.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP6:
            message = icmp6.parse(ipv6.parse(parsed.payload).payload)
            if message.kind == icmp6.PARAMETER_PROBLEM:
                found.append((message.code, message.rest))
    return found


def test_what_nobody_knows_is_answered_with_a_pointer() -> None:
    wire = Wire()
    wire.a.stack.neighbors.add(wire.a.iface, IP6[1], MACS[1])
    for kind, payload, answer in (
        (ipv6.HOP_BY_HOP, ipv6.pack_options(200, b"\x80\x02\0\0"), [(2, 42)]),
        (ipv6.DESTINATION, ipv6.pack_options(200, b"\x40\x02\0\0"), []),  # asks to be dropped without a word
        (ipv6.ROUTING, bytes((200, 0, 0, 1)) + bytes(4), [(0, 42)]),
        (77, b"", [(1, 6)]),
        (ipv6.DESTINATION, ipv6.pack_options(77, b"\x01\x02\0\0"), [(1, 40)]),
    ):
        wire.a.frames.clear()
        assert not received(wire, frame6(wire.a, IP6[1], IP6[0], kind, payload + b"x"))
        assert problems(wire) == answer


def test_a_link_local_address_is_of_its_link() -> None:
    wire = Wire()
    stack = wire.a.stack
    other = stack.add_interface(b"eth1", None, b"\x02\0\0\0\0\x09", 1500)
    stack.set_up(other, True)
    there = next(entry.local for entry in other.addresses if entry.local[0] == 0xFE)
    here = next(entry.local for entry in wire.a.iface.addresses if entry.local[0] == 0xFE)
    assert not received(wire, frame6(wire.a, IP6[1], there, 200, b"x"))
    assert received(wire, frame6(wire.a, IP6[1], here, 200, b"x"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(
    st.binary(max_size=120),
    st.builds(lambda data: b"\x45\0" + data, st.binary(max_size=100)),
    st.tuples(st.sampled_from([0, 1, 2, 6, 17, 43, 44, 58, 60, 200]), st.binary(max_size=100)),
), min_size=1, max_size=5))  # fmt: skip
def test_nothing_raises(items: list[bytes | tuple[int, bytes]]) -> None:
    wire = HOSTS[0]
    for item in items:
        if isinstance(item, bytes):
            frames = [item, ether.pack_header(MACS[0], MACS[1], ether.IP4) + item,
                      ether.pack_header(MACS[0], MACS[1], ether.IP6) + item,
                      ether.pack_header(ether.BROADCAST, MACS[1], ether.ARP) + item]  # fmt: skip
        else:
            proto, payload = item
            frames = [frame4(wire.a, IP[1], IP[0], proto, payload),
                      frame6(wire.a, IP6[1], IP6[0], proto, payload, hop_limit=255),
                      frame6(wire.a, NEIGHBOR, IP6[0], proto, payload, hop_limit=255)]  # fmt: skip
        for frame in frames:
            wire.a.stack.receive(wire.a.iface, frame)
    wire.run(1)


HOSTS = [Wire()]
