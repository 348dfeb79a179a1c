"""Neighbours: the state machine (RFC 4861 section 7.3) under a clock that jumps, ARP (RFC 826, 5227) and NDP."""

from __future__ import annotations

import pytest

from netstack import neighbor
from netstack.errors import ENOENT
from netstack.neighbor import DELAY, FAILED, INCOMPLETE, PERMANENT, PROBE, REACHABLE, STALE, Neighbor
from netstack.packet import IcmpError
from netstack.wire import arp, ether, icmp6, ipv6, ndp
from tests.unit.netstack.two_hosts import IP, IP6, MACS, SECOND_NS, Host, Wire

NOBODY = {4: b"\x0a\0\0\x63", 6: b"\xfd" + bytes(14) + b"\x63"}


def entry(host: Host, address: bytes) -> Neighbor:
    found = host.stack.neighbors.find(host.iface, address)
    assert found is not None
    return found


def questions(host: Host, target: bytes) -> list[bytes]:
    """The MACs that solicitations for `target` went to."""
    sent = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.ARP:
            said = arp.parse(parsed.payload)
            if said.operation == arp.REQUEST and said.target == target:
                sent.append(parsed.dst)
        elif parsed.kind == ether.IP6:
            packet = ipv6.parse(parsed.payload)
            if packet.next_header == ipv6.ICMPV6 and packet.payload[0] == icmp6.NEIGHBOR_SOLICITATION:
                message = ndp.parse(icmp6.parse(packet.payload))
                if isinstance(message, ndp.NeighborSolicitation) and message.target == target:
                    sent.append(parsed.dst)
    return sent


@pytest.mark.parametrize("addresses", [IP, IP6])
def test_asked_once_then_reachable(addresses: tuple[bytes, bytes]) -> None:
    wire = Wire()
    got = wire.b.listen(200)
    flow = wire.a.stack.flow(addresses[1])
    for _ in range(3):
        wire.a.stack.send(flow, 200, b"hello")
    assert entry(wire.a, addresses[1]).state == INCOMPLETE
    wire.settle()
    assert [bytes(packet.payload) for packet in got] == [b"hello"] * 3
    assert len(questions(wire.a, addresses[1])) == 1
    assert entry(wire.a, addresses[1]).state == REACHABLE and entry(wire.a, addresses[1]).mac == MACS[1]
    assert entry(wire.b, addresses[0]).state == STALE  # it has asked, so it is known


@pytest.mark.parametrize("addresses", [IP, IP6])
def test_stale_delay_probe_and_confirmation(addresses: tuple[bytes, bytes]) -> None:
    wire = Wire()
    wire.b.listen(200)
    flow = wire.a.stack.flow(addresses[1])
    wire.a.stack.send(flow, 200, b"x")
    wire.settle()
    wire.run(50)  # longer than 1.5 times 30 s
    assert entry(wire.a, addresses[1]).current_state == STALE
    asked = len(questions(wire.a, addresses[1]))
    wire.a.stack.send(flow, 200, b"x")
    wire.settle()
    assert entry(wire.a, addresses[1]).state == DELAY
    wire.run(4.9)
    assert len(questions(wire.a, addresses[1])) == asked
    wire.run(0.2)  # a probe, to the one MAC, and an answer
    assert questions(wire.a, addresses[1])[asked:] == [MACS[1]]
    assert entry(wire.a, addresses[1]).state == REACHABLE

    wire.run(50)
    wire.a.stack.send(flow, 200, b"x")
    flow.confirm()  # whoever is above knows that it got through
    wire.run(10)
    assert entry(wire.a, addresses[1]).state == REACHABLE and len(questions(wire.a, addresses[1])) == asked + 1


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_answers(version: int) -> None:
    wire = Wire()
    heard: list[IcmpError] = []
    wire.a.stack.register_error(200, heard.append)
    dst = NOBODY[version]
    flow = wire.a.stack.flow(dst)
    wire.a.stack.send(flow, 200, b"first 8 bytes and more")
    wire.run(2.9)
    assert not heard and entry(wire.a, dst).state == INCOMPLETE
    wire.run(0.2)
    assert len(questions(wire.a, dst)) == 3 and entry(wire.a, dst).state == FAILED
    error = heard[0]
    assert (error.version, error.kind, error.code) == ((4, 3, 1) if version == 4 else (6, 1, 3))
    assert (error.src, error.dst, error.payload) == (flow.src, dst, b"first 8 bytes and more")
    wire.a.stack.send(flow, 200, b"again")
    assert entry(wire.a, dst).state == INCOMPLETE and wire.a.iface.counters.tx_errors == 1


def test_a_peer_that_falls_silent() -> None:
    wire = Wire()
    flow = wire.a.stack.flow(IP[1])
    wire.a.stack.send(flow, 200, b"x")
    wire.settle()
    wire.b.end.receive = None  # pulled out
    wire.run(50)
    wire.a.stack.send(flow, 200, b"x")
    wire.run(5.5)
    assert entry(wire.a, IP[1]).state == PROBE
    wire.run(3)
    assert entry(wire.a, IP[1]).state == FAILED
    assert questions(wire.a, IP[1])[1:] == [MACS[1]] * 3


def test_the_queue_keeps_the_newest() -> None:
    wire = Wire()
    wire.b.stack.settings.arp_ignore = 8  # it answers nothing
    flow = wire.a.stack.flow(IP[1])
    wire.a.stack.settings.neigh_unres_qlen_bytes = 1000
    lost = wire.a.iface.counters.tx_dropped
    for number in range(20):
        wire.a.stack.send(flow, 200, bytes([number]) * 80)
    held = entry(wire.a, IP[1])
    assert held.queued_bytes <= 1000 and [head[-1] for head, _, _ in held.queue] == list(range(10, 20))
    assert wire.a.iface.counters.tx_dropped - lost == 10


def test_the_table_is_bounded_and_what_is_set_stays() -> None:
    wire = Wire()
    stack = wire.a.stack
    stack.settings.neigh_gc_thresh3 = 64
    stack.neighbors.add(wire.a.iface, b"\x0a\0\0\x09", MACS[1])
    for number in range(300):
        stack.neighbors.update(wire.a.iface, b"\x0a\0\x01" + bytes([number % 256]), MACS[1])
        stack.neighbors.update(wire.a.iface, b"\x0a\0\x02" + bytes([number % 256]), MACS[1])
    assert len(list(stack.neighbors)) <= 64
    assert entry(wire.a, b"\x0a\0\0\x09").state == PERMANENT


def test_a_flow_survives_the_end_of_its_entry() -> None:
    wire = Wire()
    got = wire.b.listen(200)
    flow = wire.a.stack.flow(IP[1])
    wire.a.stack.send(flow, 200, b"1")
    wire.settle()
    wire.a.stack.neighbors.remove(wire.a.iface, IP[1])
    with pytest.raises(ENOENT):
        wire.a.stack.neighbors.remove(wire.a.iface, IP[1])
    wire.a.stack.send(flow, 200, b"2")
    wire.settle()
    assert len(got) == 2 and entry(wire.a, IP[1]).state == REACHABLE


def test_of_two_that_claim_an_address_the_first_wins_for_a_second() -> None:
    wire = Wire()
    stack, eth = wire.a.stack, wire.a.iface
    stack.neighbors.update(eth, IP[1], MACS[1])
    other = b"\x02\0\0\0\0\x63"
    stack.neighbors.update(eth, IP[1], other)
    assert entry(wire.a, IP[1]).mac == MACS[1]
    stack.now_ns += 2 * SECOND_NS
    stack.neighbors.update(eth, IP[1], other)
    assert entry(wire.a, IP[1]).mac == other and entry(wire.a, IP[1]).header[:6] == other


def test_without_override_another_mac_only_casts_doubt() -> None:
    wire = Wire()
    stack, eth = wire.a.stack, wire.a.iface
    stack.neighbors.add(eth, IP6[1], MACS[1], REACHABLE)
    stack.neighbors.update(eth, IP6[1], b"\x02\0\0\0\0\x63", override=False, solicited=True)
    assert (entry(wire.a, IP6[1]).mac, entry(wire.a, IP6[1]).state) == (MACS[1], STALE)


def said_by(mac: bytes, operation: int, sender: bytes, target: bytes, to: bytes = MACS[0]) -> bytes:
    return ether.pack_header(to, mac, ether.ARP) + arp.pack(arp.Arp(operation, mac, sender, bytes(6), target))


def test_arp_that_is_believed_and_arp_that_is_not() -> None:
    wire = Wire()
    a = wire.a
    stranger = b"\x02\0\0\0\0\x63"
    table = a.stack.neighbors
    for frame in (
        said_by(stranger, arp.REPLY, NOBODY[4], IP[0]),  # nobody has asked
        said_by(stranger, arp.REQUEST, NOBODY[4], NOBODY[4], ether.BROADCAST),  # gratuitous
        said_by(stranger, arp.REQUEST, IP[0], IP[0], ether.BROADCAST),  # from our own address
        said_by(stranger, arp.REQUEST, b"\x7f\0\0\x01", IP[0]),
        said_by(b"\x03\0\0\0\0\x63", arp.REQUEST, NOBODY[4], IP[0]),  # a group cannot ask
    ):
        a.frames.clear()
        a.stack.receive(a.iface, frame)
        assert not list(table) and not a.frames
    a.stack.receive(a.iface, said_by(stranger, arp.REQUEST, NOBODY[4], IP[0], ether.BROADCAST))
    assert entry(a, NOBODY[4]).state == STALE
    answer = arp.parse(ether.parse(memoryview(a.frames[-1])).payload)
    assert answer == arp.Arp(arp.REPLY, MACS[0], IP[0], stranger, NOBODY[4])


def test_an_arp_probe_is_answered_and_teaches_nothing() -> None:
    wire = Wire()
    a = wire.a
    a.stack.receive(a.iface, said_by(b"\x02\0\0\0\0\x63", arp.REQUEST, bytes(4), IP[0], ether.BROADCAST))
    assert arp.parse(ether.parse(memoryview(a.frames[-1])).payload).target == bytes(4)
    assert not list(a.stack.neighbors)


def test_ndp_from_beyond_the_link_is_refused() -> None:
    wire = Wire()
    a = wire.a
    said = ndp.pack(ndp.NeighborSolicitation(IP6[0], MACS[1]))
    for hop_limit, entries in ((254, 0), (255, 1)):
        body = icmp6.pack(said[0], 0, said[1], said[2], IP6[1], IP6[0])
        frame = ether.pack_header(MACS[0], MACS[1], ether.IP6)
        frame += ipv6.pack_header(IP6[1], IP6[0], ipv6.ICMPV6, len(body), hop_limit) + body
        a.stack.receive(a.iface, frame)
        assert len(list(a.stack.neighbors)) == entries


def test_names_of_states() -> None:
    assert set(neighbor.NAMES) == {0, 1, 2, 4, 8, 16, 32, 64, 128}
