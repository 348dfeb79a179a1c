"""IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810): what routers are told, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.errors import EADDRNOTAVAIL, EINVAL
from netstack.membership import ALL_SOURCES, NO_SOURCES, Filter, Group
from netstack.wire import ether, icmp6, igmp, ipv4, ipv6, mld
from tests.unit.netstack.two_hosts import IP, MACS, Host, Wire, frame4

G4, G6 = b"\xef\1\2\3", b"\xff\x15" + bytes(13) + b"\x09"
QUERIER6 = b"\xfe\x80" + bytes(13) + b"\x77"
S1, S2, S3 = b"\x0a\0\0\x11", b"\x0a\0\0\x12", b"\x0a\0\0\x13"


def told(host: Host) -> list[tuple[bytes, igmp.Message]]:
    """The IGMP messages that a host has sent, and where to; the frames are forgotten."""
    found = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP4:
            packet = ipv4.parse(parsed.payload)
            if packet.proto == ipv4.IGMP:
                assert (packet.ttl, packet.options, packet.tos) == (1, igmp.ROUTER_ALERT, 0xC0)
                assert parsed.dst == ether.multicast_mac(packet.dst)
                found.append((packet.dst, igmp.parse(packet.payload)))
    host.frames.clear()
    return found


def told6(host: Host) -> list[tuple[bytes, mld.Message]]:
    found: list[tuple[bytes, mld.Message]] = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP6:
            packet = ipv6.parse(parsed.payload)
            chain = ipv6.walk(packet)
            if chain.proto == ipv6.ICMPV6 and chain.payload[0] in (131, 132, 143):
                assert packet.hop_limit == 1 and chain.router_alert
                found.append((packet.dst, mld.parse(icmp6.parse(chain.payload, -1))))
    host.frames.clear()
    return found


def records(*wanted: tuple[int, bytes, tuple[bytes, ...]]) -> tuple[bytes, igmp.Message]:
    return igmp.ALL_REPORTS3, igmp.Report3(tuple(igmp.Record(*record) for record in wanted))


def ask(host: Host, query: igmp.Query) -> None:
    dst = query.group if any(query.group) else igmp.ALL_HOSTS
    frame = frame4(
        host, IP[1], dst, ipv4.IGMP, igmp.pack_query(query), mac=ether.multicast_mac(dst), ttl=1,
        options=igmp.ROUTER_ALERT,
    )  # fmt: skip
    host.stack.receive(host.iface, frame)


def ask6(host: Host, query: igmp.Query) -> None:
    dst = query.group if any(query.group) else ipv6.ALL_NODES
    kind, rest, payload = mld.pack_query(query)
    body = ipv6.pack_options(ipv6.ICMPV6, ipv6.ROUTER_ALERT_MLD)
    body += icmp6.pack(kind, 0, rest, payload, QUERIER6, dst)
    frame = ether.pack_header(ether.multicast_mac(dst), MACS[1], ether.IP6)
    frame += ipv6.pack_header(QUERIER6, dst, ipv6.HOP_BY_HOP, len(body), 1) + body
    host.stack.receive(host.iface, frame)


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.run(30)
    wire.a.frames.clear()
    return wire


def test_join_and_leave(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface
    memberships.join(eth, G4, "one")
    memberships.join(eth, G4, "two")
    assert told(wire.a) == [records((igmp.TO_EXCLUDE, G4, ()))]
    wire.run(2)
    assert told(wire.a) == [records((igmp.TO_EXCLUDE, G4, ()))]  # once more, the first may be lost
    wire.run(60)
    memberships.leave(eth, G4, "one")
    assert told(wire.a) == [] and G4 in eth.groups
    memberships.leave(eth, G4, "two")
    assert told(wire.a) == [records((igmp.TO_INCLUDE, G4, ()))] and G4 not in eth.groups
    wire.run(60)
    assert len(told(wire.a)) == 1
    with pytest.raises(EADDRNOTAVAIL):
        memberships.leave(eth, G4, "two")
    with pytest.raises(EINVAL):
        memberships.join(eth, IP[1], "one")


def test_join_and_leave_of_ipv6(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface
    memberships.join(eth, G6, "one")
    report = (mld.ALL_REPORTS2, igmp.Report3((igmp.Record(igmp.TO_EXCLUDE, G6),)))
    assert told6(wire.a) == [report]
    wire.run(60)
    assert told6(wire.a) == [report]
    memberships.leave(eth, G6, "one")
    wire.run(60)
    assert told6(wire.a) == [(mld.ALL_REPORTS2, igmp.Report3((igmp.Record(igmp.TO_INCLUDE, G6),)))] * 2


def test_groups_that_are_never_told(wire: Wire) -> None:
    memberships = wire.a.stack.memberships
    memberships.join(wire.a.iface, b"\xff\x01" + bytes(13) + b"\x09", "one")
    memberships.join(wire.a.stack.loopback, G4, "one")
    memberships.join(wire.a.stack.loopback, G6, "one")
    wire.run(60)
    assert told6(wire.a) == [] and told(wire.a) == []


def test_sources(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface

    def want(owner: str, exclude: bool, *sources: bytes) -> list[tuple[bytes, igmp.Message]]:
        memberships.join(eth, G4, owner, (exclude, frozenset(sources)))
        first = told(wire.a)
        wire.run(20)
        told(wire.a)
        return first

    assert want("one", False, S1) == [records((igmp.ALLOW, G4, (S1,)))]
    assert want("one", False, S2) == [records((igmp.ALLOW, G4, (S2,)), (igmp.BLOCK, G4, (S1,)))]
    assert want("two", True, S2, S3) == [records((igmp.TO_EXCLUDE, G4, (S3,)))]
    assert want("two", True, S3) == []
    assert want("two", True) == [records((igmp.ALLOW, G4, (S3,)))]


def test_queries(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface
    memberships.join(eth, G4, "one")
    memberships.join(eth, b"\xef\1\2\4", "one", (False, frozenset((S1,))))
    wire.run(60)
    told(wire.a)
    ask(wire.a, igmp.Query(3, bytes(4), 10_000, (), 2, 125))
    wire.run(10)
    assert told(wire.a) == [records((igmp.IS_EXCLUDE, G4, ()), (igmp.IS_INCLUDE, b"\xef\1\2\4", (S1,)))]
    ask(wire.a, igmp.Query(3, G4, 1000, (), 2, 125))
    wire.run(1)
    assert told(wire.a) == [records((igmp.IS_EXCLUDE, G4, ()))]
    ask(wire.a, igmp.Query(3, b"\xef\1\2\5", 1000, (), 2, 125))
    wire.run(10)
    assert told(wire.a) == []


def test_an_old_router(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface
    memberships.join(eth, G4, "one")
    wire.run(60)
    told(wire.a)
    ask(wire.a, igmp.Query(2, bytes(4), 10_000))
    wire.run(10)
    assert told(wire.a) == [(G4, igmp.Report(2, G4))]
    memberships.leave(eth, G4, "one")
    assert told(wire.a) == [(igmp.ALL_ROUTERS, igmp.Leave(G4))]
    ask(wire.a, igmp.Query(1, bytes(4), 10_000))
    memberships.join(eth, G4, "one")
    assert told(wire.a) == [(G4, igmp.Report(1, G4))]
    memberships.leave(eth, G4, "one")
    wire.run(300)  # the old router has gone
    told(wire.a)
    memberships.join(eth, G4, "one")
    assert told(wire.a) == [records((igmp.TO_EXCLUDE, G4, ()))]


def test_another_members_answer_is_enough_for_an_old_router(wire: Wire) -> None:
    wire.a.stack.memberships.join(wire.a.iface, G4, "one")
    wire.run(60)
    told(wire.a)
    ask(wire.a, igmp.Query(2, bytes(4), 10_000))
    report = igmp.pack_report(2, G4)
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], G4, ipv4.IGMP, report, mac=ether.multicast_mac(G4), ttl=1))
    wire.run(20)
    assert told(wire.a) == []


def test_queries_of_ipv6(wire: Wire) -> None:
    memberships, eth = wire.a.stack.memberships, wire.a.iface
    memberships.join(eth, G6, "one")
    wire.run(60)
    told6(wire.a)
    ask6(wire.a, igmp.Query(2, bytes(16), 10_000, (), 2, 125))
    wire.run(10)
    ((dst, report),) = told6(wire.a)
    assert isinstance(report, igmp.Report3) and dst == mld.ALL_REPORTS2
    groups = {record.group for record in report.records}
    assert G6 in groups and ipv6.ALL_NODES not in groups and len(groups) == 2
    ask6(wire.a, igmp.Query(1, bytes(16), 10_000))
    wire.run(10)
    assert (G6, mld.Report(G6)) in told6(wire.a)
    memberships.leave(eth, G6, "one")
    assert told6(wire.a) == [(ipv6.ALL_ROUTERS, mld.Done(G6))]


def test_groups_are_told_again_when_the_interface_comes_up(wire: Wire) -> None:
    wire.a.stack.memberships.join(wire.a.iface, G4, "one")
    wire.run(60)
    wire.a.stack.set_up(wire.a.iface, False)
    told(wire.a)
    wire.run(60)
    wire.a.stack.set_up(wire.a.iface, True)
    assert told(wire.a) == [records((igmp.TO_EXCLUDE, G4, ()))]


ADDRESSES = st.frozensets(st.sampled_from([S1, S2, S3]))


@given(st.lists(st.tuples(st.booleans(), ADDRESSES), max_size=5))
def test_all_filters_together(filters: list[Filter]) -> None:
    """An interface takes in what any of its members wants, and no more (RFC 3376 section 3.2)."""
    group = Group(G4)
    group.owners = dict(enumerate(filters))
    exclude, sources = group.wanted()
    for source in (S1, S2, S3, b"\x0a\0\0\x63"):
        anybody = any((source in wanted) != without for without, wanted in filters)
        assert ((source in sources) != exclude) == anybody
    assert (exclude, sources) != NO_SOURCES or not any(exclude or sources for exclude, sources in filters)
    assert ALL_SOURCES[0] and not NO_SOURCES[0]
