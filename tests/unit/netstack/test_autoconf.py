"""SLAAC and DAD (RFC 4862), routers (RFC 4861 section 6.3), lifetimes."""

from __future__ import annotations

import pytest

from netstack.errors import EACCES, ENETUNREACH
from netstack.iface import DADFAILED, DEPRECATED, PERMANENT, TENTATIVE, Address
from netstack.wire import ether, icmp6, ipv6, ndp
from tests.unit.netstack.two_hosts import IP6, MACS, SECOND_NS, Host, Wire

ROUTER = b"\xfe\x80" + bytes(13) + b"\x77"
PREFIX = b"\x20\x01\x0d\xb8" + bytes(12)
LOCAL = (bytes.fromhex("fe80000000000000000000fffe000001"), bytes.fromhex("fe80000000000000000000fffe000002"))
GLOBAL = PREFIX[:8] + LOCAL[0][8:]
FAR = b"\x26\x00" + bytes(13) + b"\x01"


def said(host: Host, kind: type) -> list[tuple[ipv6.Ipv6, ndp.Message]]:
    """The neighbour discovery messages of one kind that a host has sent."""
    found = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind != ether.IP6:
            continue
        packet = ipv6.parse(parsed.payload)
        if packet.next_header == ipv6.ICMPV6 and 133 <= packet.payload[0] <= 137:
            message = ndp.parse(icmp6.parse(packet.payload))
            if isinstance(message, kind):
                found.append((packet, message))
    return found


def tell(host: Host, message: ndp.Message, src: bytes = ROUTER, dst: bytes = ipv6.ALL_NODES) -> None:
    kind, rest, payload = ndp.pack(message)
    body = icmp6.pack(kind, 0, rest, payload, src, dst)
    mac = ether.multicast_mac(dst) if dst[0] == 0xFF else host.iface.mac
    frame = ether.pack_header(mac, MACS[1], ether.IP6)
    frame += ipv6.pack_header(src, dst, ipv6.ICMPV6, len(body), 255) + body
    host.stack.receive(host.iface, frame)


def advertisement(
    lifetime_s: int = 1800, valid_s: int = 86400, preferred_s: int = 14400, mtu: int = 0, length: int = 64
) -> ndp.RouterAdvertisement:
    prefix = ndp.Prefix(PREFIX, length, True, True, valid_s, preferred_s)
    return ndp.RouterAdvertisement(63, False, False, lifetime_s, 0, 0, MACS[1], mtu, (prefix,))


@pytest.fixture
def wire() -> Wire:
    """Two interfaces that have just come up."""
    return Wire(addresses=False)


def test_a_link_local_address_after_the_check(wire: Wire) -> None:
    a = wire.a
    address = a.iface.find(LOCAL[0])
    assert address is not None and address.flags == PERMANENT | TENTATIVE
    assert not a.stack.is_local(LOCAL[0]) or LOCAL[0] not in a.stack.local
    wire.run(0.99 + 1)
    ((packet, question),) = said(a, ndp.NeighborSolicitation)
    assert (packet.src, packet.dst) == (ipv6.ANY, ipv6.solicited_node(LOCAL[0]))
    assert question.target == LOCAL[0] and question.source_link is None  # type: ignore[union-attr]
    wire.run(1)
    assert a.iface.find(LOCAL[0]).flags == PERMANENT  # type: ignore[union-attr]
    assert a.stack.local[LOCAL[0]] == a.iface.index


def test_a_duplicate_is_found_by_an_answer_and_by_a_question(wire: Wire) -> None:
    a = wire.a
    tell(a, ndp.NeighborAdvertisement(LOCAL[0], target_link=MACS[1]))
    assert a.iface.find(LOCAL[0]).flags & DADFAILED  # type: ignore[union-attr]
    wire.run(5)
    assert LOCAL[0] not in a.stack.local
    own = b"\xfd" + bytes(14) + b"\x10"
    a.stack.add_address(a.iface, Address(own, 64, valid_ns=wire.now_ns + 100 * SECOND_NS))
    wire.run(0.01)
    tell(a, ndp.NeighborSolicitation(own), src=ipv6.ANY, dst=ipv6.solicited_node(own))
    assert a.iface.find(own) is None  # it was not set for ever


def test_our_own_question_that_comes_back_is_no_duplicate(wire: Wire) -> None:
    wire.run(1)
    for packet, question in said(wire.a, ndp.NeighborSolicitation):
        tell(wire.a, question, src=ipv6.ANY, dst=packet.dst)
    wire.run(3)
    assert LOCAL[0] in wire.a.stack.local


def test_two_hosts_that_choose_the_same(wire: Wire) -> None:
    same = b"\xfd" + bytes(14) + b"\x10"
    wire.a.stack.add_address(wire.a.iface, Address(same, 64))
    wire.run(5)
    wire.b.stack.add_address(wire.b.iface, Address(same, 64))
    wire.run(5)
    assert same in wire.a.stack.local and same not in wire.b.stack.local
    assert wire.b.iface.find(same).flags & DADFAILED  # type: ignore[union-attr]


def test_an_address_that_needs_no_check(wire: Wire) -> None:
    wire.a.stack.add_address(wire.a.iface, Address(IP6[0], 64), check=False)
    assert IP6[0] in wire.a.stack.local


def test_without_ipv6_there_is_none() -> None:
    wire = Wire(addresses=False)
    a = wire.a
    a.stack.set_up(a.iface, False)
    assert not a.iface.addresses
    a.iface.ipv6 = False
    a.stack.set_up(a.iface, True)
    wire.run(5)
    assert not a.iface.addresses and not [group for group in a.iface.groups if len(group) == 16]
    with pytest.raises(EACCES):
        a.stack.add_address(a.iface, Address(IP6[0], 64))


def test_routers_are_asked_with_longer_and_longer_pauses(wire: Wire) -> None:
    wire.run(3)
    first = len(said(wire.a, ndp.RouterSolicitation))
    assert first == 1
    wire.run(5)
    assert len(said(wire.a, ndp.RouterSolicitation)) == 2
    wire.run(4 * 3600)
    assert 11 <= len(said(wire.a, ndp.RouterSolicitation)) <= 16
    tell(wire.a, advertisement())
    before = len(said(wire.a, ndp.RouterSolicitation))
    wire.run(2 * 3600)
    assert len(said(wire.a, ndp.RouterSolicitation)) == before


def test_an_advertisement_brings_an_address_a_prefix_and_a_router(wire: Wire) -> None:
    wire.run(3)
    stack = wire.a.stack
    tell(wire.a, advertisement(mtu=1400))
    wire.run(3)
    address = wire.a.iface.find(GLOBAL)
    assert address is not None and not address.flags & (PERMANENT | TENTATIVE)
    flow = stack.flow(FAR)
    assert (flow.next_hop, flow.src, flow.ttl, flow.mtu) == (ROUTER, GLOBAL, 63, 1400)
    assert stack.flow(PREFIX[:8] + b"somebody").next_hop == PREFIX[:8] + b"somebody"
    neighbor = stack.neighbors.find(wire.a.iface, ROUTER)
    assert neighbor is not None and neighbor.is_router and neighbor.mac == MACS[1]


def test_it_all_ends(wire: Wire) -> None:
    wire.run(3)
    tell(wire.a, advertisement(valid_s=10000, preferred_s=5000))
    wire.run(1801)
    with pytest.raises(ENETUNREACH):
        wire.a.stack.flow(FAR)
    wire.run(3300)
    assert wire.a.iface.find(GLOBAL).flags & DEPRECATED  # type: ignore[union-attr]
    wire.run(5000)
    assert wire.a.iface.find(GLOBAL) is None
    with pytest.raises(ENETUNREACH):
        wire.a.stack.flow(PREFIX[:8] + b"somebody")


def test_a_router_that_withdraws(wire: Wire) -> None:
    wire.run(3)
    tell(wire.a, advertisement())
    assert wire.a.stack.flow(FAR)
    tell(wire.a, advertisement(lifetime_s=0))
    with pytest.raises(ENETUNREACH):
        wire.a.stack.flow(FAR)
    tell(wire.a, advertisement())
    tell(wire.a, ndp.NeighborAdvertisement(ROUTER, router=False, override=True, target_link=MACS[1]))
    with pytest.raises(ENETUNREACH):
        wire.a.stack.flow(FAR)


def test_nobody_cuts_a_lifetime_short(wire: Wire) -> None:
    """RFC 4862 section 5.5.3 e: two hours remain whatever is said."""
    wire.run(3)

    def valid_s() -> int:
        address = wire.a.iface.find(GLOBAL)
        assert address is not None and address.valid_ns is not None
        return (address.valid_ns - wire.now_ns) // SECOND_NS

    tell(wire.a, advertisement(valid_s=86400))
    tell(wire.a, advertisement(valid_s=1, preferred_s=1))
    assert valid_s() == 7200
    wire.run(1000)
    tell(wire.a, advertisement(valid_s=1, preferred_s=0))
    assert valid_s() == 6200
    tell(wire.a, advertisement(valid_s=20000))
    assert valid_s() == 20000


def test_what_is_not_believed(wire: Wire) -> None:
    wire.run(3)
    stack = wire.a.stack
    tell(wire.a, advertisement(), src=IP6[1])  # no link-local address
    stack.settings.ipv6_accept_ra = 0
    tell(wire.a, advertisement())
    stack.settings.ipv6_accept_ra = 1
    stack.settings.ipv6_forwarding = 1
    tell(wire.a, advertisement())
    assert wire.a.iface.find(GLOBAL) is None
    with pytest.raises(ENETUNREACH):
        stack.flow(FAR)
    stack.settings.ipv6_forwarding = 0
    tell(wire.a, advertisement(length=48))
    assert wire.a.iface.find(GLOBAL) is None and stack.flow(FAR)


def test_what_a_link_may_bring_is_bounded(wire: Wire) -> None:
    wire.run(3)
    for number in range(500):
        prefix = ndp.Prefix(b"\x20\x01" + number.to_bytes(6) + bytes(8), 64, True, True, 90000, 90000)
        source = b"\xfe\x80" + bytes(12) + number.to_bytes(2)
        said = ndp.RouterAdvertisement(0, False, False, 1800, 0, 0, MACS[1], 0, (prefix,))
        tell(wire.a, said, src=source)
    assert len(wire.a.iface.addresses) <= 16
    assert sum(route.expires_ns is not None for route in wire.a.stack.routes) <= 64


def test_down_and_up_again(wire: Wire) -> None:
    wire.run(3)
    tell(wire.a, advertisement())
    wire.run(3)
    wire.a.stack.set_up(wire.a.iface, False)
    assert not wire.a.iface.addresses and not [
        route for route in wire.a.stack.routes if route.oif == wire.a.iface.index
    ]
    wire.run(10)
    wire.a.stack.set_up(wire.a.iface, True)
    wire.run(5)
    assert [address.local for address in wire.a.iface.addresses] == [LOCAL[0]]
