"""A namespace as it is born, its interfaces and addresses, and packets to itself."""

from __future__ import annotations

import pytest

from netstack import route
from netstack.errors import EADDRNOTAVAIL, EBUSY, EEXIST, EINVAL, EMSGSIZE, ENETDOWN, ENETUNREACH, ENODEV
from netstack.iface import PERMANENT, SECONDARY, Address
from netstack.packet import Packet
from netstack.stack import Stack
from tests.unit.netstack.two_hosts import IP, IP6, MACS, Wire, chance

LO4, LO6 = b"\x7f\0\0\x01", bytes(15) + b"\x01"


def alone() -> tuple[Stack, list[bool]]:
    woken: list[bool] = []
    return Stack(chance(7), lambda: woken.append(True)), woken


def test_the_loopback_is_there() -> None:
    stack, _ = alone()
    lo = stack.interfaces[1]
    assert (lo.name, lo.up, lo.mtu, lo.kind) == (b"lo", True, 65536, "loopback")
    assert [(entry.local, entry.prefix) for entry in lo.addresses] == [(LO4, 8), (LO6, 128)]
    local = {(entry.dst, entry.prefix, entry.kind) for entry in stack.routes if entry.table == route.TABLE_LOCAL}
    assert local == {
        (LO4, 32, route.LOCAL), (b"\x7f\0\0\0", 8, route.LOCAL), (b"\x7f\xff\xff\xff", 32, route.BROADCAST),
        (LO6, 128, route.LOCAL),
    }  # fmt: skip
    main = [(entry.dst, entry.prefix) for entry in stack.routes if entry.table == route.TABLE_MAIN]
    assert main == [(LO6, 128)]  # as `ip -6 route` shows it


def test_what_goes_to_ourselves_comes_with_the_next_advance() -> None:
    stack, woken = alone()
    got: list[Packet] = []
    stack.register(200, got.append)
    for dst in (LO4, LO6, b"\x7f\x01\x02\x03", bytes(4), bytes(16)):
        got.clear()
        woken.clear()
        flow = stack.flow(dst)
        assert flow.local and flow.iface is stack.loopback
        assert flow.src == (LO4 if len(dst) == 4 else LO6)
        stack.send(flow, 200, b"head", b"data", csum_offset=2, ttl=9, tos=0x20)
        assert not got and woken and stack.next_ns() == stack.now_ns
        stack.advance(5)
        assert stack.next_ns() == -1
        packet = got[0]
        assert (packet.dst, bytes(packet.payload), packet.ttl, packet.tos, packet.checked, packet.to_us) == (
            flow.dst, b"headdata", 9, 0x20, True, "unicast",
        )  # fmt: skip
        assert bytes(packet.raw[-8:]) == b"headdata" and packet.raw[0] >> 4 == packet.version


def test_the_largest_and_too_large() -> None:
    stack, _ = alone()
    got: list[Packet] = []
    stack.register(200, got.append)
    for dst, most in ((LO4, 65535 - 20), (LO6, 65535)):
        flow = stack.flow(dst)
        stack.send(flow, 200, b"", bytes(most))
        stack.advance(1)
        assert len(got.pop().payload) == most
        with pytest.raises(EMSGSIZE):
            stack.send(flow, 200, b"", bytes(most + 1))


def test_the_queue_to_ourselves_is_bounded() -> None:
    stack, _ = alone()
    flow = stack.flow(LO4)
    for _ in range(5000):
        stack.send(flow, 200, b"x")
    assert len(stack.waiting) == 4096 and stack.loopback.counters.rx_dropped == 904


def test_nothing_else_is_reachable_without_routes() -> None:
    stack, _ = alone()
    for dst in (b"\x08\x08\x08\x08", b"\xe0\0\0\xfb", b"\xff\xff\xff\xff", IP6[0]):
        with pytest.raises(ENETUNREACH):
            stack.flow(dst)
    with pytest.raises(EINVAL):
        stack.flow(LO4, b"\x08\x08\x08\x08")
    with pytest.raises(ENODEV):
        stack.flow(LO4, oif=77)


def test_interfaces_come_and_go() -> None:
    stack, _ = alone()
    events: list[str] = []
    stack.observers.append(lambda event, thing: events.append(event))
    eth = stack.add_interface(b"eth0", None, MACS[0], 1500)
    with pytest.raises(EEXIST):
        stack.add_interface(b"eth0", None, MACS[0], 1500)
    for name in (b"", b"a/b", b"x" * 16, b"..", b"a b"):
        with pytest.raises(EINVAL):
            stack.rename(eth, name)
    stack.set_up(eth, True)
    stack.add_address(eth, Address(IP[0], 24))
    stack.rename(eth, b"wan")
    assert eth.addresses[1].label == b"wan" or eth.addresses[0].label == b"wan"
    assert stack.is_local(IP[0])
    with pytest.raises(EINVAL):
        stack.set_mtu(eth, 67)
    stack.remove_interface(eth)
    assert eth.index == 0 and not stack.is_local(IP[0])
    assert not [entry for entry in stack.routes if entry.oif not in (0, 1)]
    assert {"link", "address", "route"} <= set(events)
    with pytest.raises(EBUSY):
        stack.remove_interface(stack.loopback)
    with pytest.raises(ENODEV):
        stack.remove_interface(eth)


def test_the_routes_of_an_address() -> None:
    stack, _ = alone()
    eth = stack.add_interface(b"eth0", None, MACS[0], 1500)
    stack.add_address(eth, Address(IP[0], 24))
    mine = {(entry.dst, entry.prefix, entry.table, entry.kind) for entry in stack.routes if entry.oif == eth.index}
    assert mine == {(IP[0], 32, 255, route.LOCAL)}  # it is down
    stack.set_up(eth, True)
    mine = {
        (entry.dst, entry.prefix, entry.table, entry.kind)
        for entry in stack.routes
        if entry.oif == eth.index and len(entry.dst) == 4
    }
    assert mine == {
        (IP[0], 32, 255, route.LOCAL), (b"\x0a\0\0\xff", 32, 255, route.BROADCAST),
        (b"\x0a\0\0\0", 24, 254, route.UNICAST),
    }  # fmt: skip
    stack.set_up(eth, False)
    assert [entry.kind for entry in stack.routes if entry.oif == eth.index] == [route.LOCAL]
    assert eth.addresses and stack.is_local(IP[0])


def test_secondaries_go_with_their_primary() -> None:
    for promote in (0, 1):
        stack, _ = alone()
        stack.settings.promote_secondaries = promote
        eth = stack.add_interface(b"eth0", None, MACS[0], 1500)
        stack.set_up(eth, True)
        for address in (IP[0], IP[1], b"\x0a\0\0\x03"):
            stack.add_address(eth, Address(address, 24))
        with pytest.raises(EEXIST):
            stack.add_address(eth, Address(IP[1], 24))
        flags = [entry.flags for entry in eth.addresses if len(entry.local) == 4]
        assert flags == [PERMANENT, PERMANENT | SECONDARY, PERMANENT | SECONDARY]
        stack.remove_address(eth, Address(IP[0], 24))
        left = [(entry.local, entry.flags & SECONDARY) for entry in eth.addresses if len(entry.local) == 4]
        assert left == ([(IP[1], 0), (b"\x0a\0\0\x03", SECONDARY)] if promote else [])
        connected = [entry.source for entry in stack.routes if entry.dst == b"\x0a\0\0\0"]
        assert connected == ([IP[1]] if promote else [])
        with pytest.raises(EADDRNOTAVAIL):
            stack.remove_address(eth, Address(IP[0], 24))


def test_addresses_that_are_none() -> None:
    stack, _ = alone()
    for bad, error in (
        (Address(bytes(4), 8), EINVAL), (Address(b"\xe0\0\0\x01", 8), EADDRNOTAVAIL), (Address(b"123", 8), EINVAL),
        (Address(IP[0], 33), EINVAL), (Address(b"\xff" + bytes(15), 8), EADDRNOTAVAIL),
    ):  # fmt: skip
        with pytest.raises(error):
            stack.add_address(stack.loopback, bad)


def test_an_address_ends_with_its_lifetime() -> None:
    wire = Wire()
    stack = wire.a.stack
    end_ns = wire.now_ns + 10 * 10**9
    stack.add_address(wire.a.iface, Address(b"\x0a\x09\0\x01", 24, preferred_ns=end_ns - 5 * 10**9, valid_ns=end_ns))
    wire.run(6)
    assert wire.a.iface.find(b"\x0a\x09\0\x01").flags & 0x20  # type: ignore[union-attr]
    wire.run(5)
    assert wire.a.iface.find(b"\x0a\x09\0\x01") is None and not stack.is_local(b"\x0a\x09\0\x01")


def test_a_flow_is_stale_after_any_change() -> None:
    wire = Wire()
    stack = wire.a.stack
    flow = stack.flow(IP[1])
    assert flow.fresh() and stack.flow(IP[1]) is flow
    stack.routes.add(route.Route(b"\x0b\0\0\0", 8, wire.a.iface.index))
    assert not flow.fresh() and stack.flow(IP[1]) is not flow
    flow = stack.flow(IP[1])
    stack.settings.default_ttl = 9
    assert not flow.fresh() and stack.flow(IP[1]).ttl == 9


def test_an_interface_that_is_down_sends_nothing() -> None:
    wire = Wire()
    flow = wire.a.stack.flow(IP[1])
    wire.a.stack.set_up(wire.a.iface, False)
    with pytest.raises(ENETDOWN):
        wire.a.stack.send(flow, 200, b"x")
    with pytest.raises(ENETUNREACH):
        wire.a.stack.flow(IP[1])


def test_observers_may_be_told_of_anything_that_changes() -> None:
    wire = Wire()
    seen: list[str] = []
    wire.a.stack.observers.append(lambda event, thing: seen.append(event))
    wire.a.stack.send(wire.a.stack.flow(IP[1]), 200, b"x")
    wire.settle()
    assert "neighbor" in seen


def test_source_addresses_of_ipv6() -> None:
    """RFC 6724 section 5, by what is chosen for a few destinations."""
    wire = Wire()
    stack, eth = wire.a.stack, wire.a.iface
    link_local = next(entry.local for entry in eth.addresses if entry.local[0] == 0xFE)
    stack.add_address(eth, Address(bytes.fromhex("20010db8000000010000000000000001"), 64), check=False)
    stack.routes.add(route.Route(bytes(16), 0, eth.index))
    for dst, source in (
        ("20010db8000000010000000000000099", "20010db8000000010000000000000001"),  # the same
        ("26000000000000000000000000000001", "20010db8000000010000000000000001"),  # same label
        ("fd000000000000000000000000000077", "fd" + "0" * 29 + "1"),  # label 13, longest prefix
        ("fe800000000000000000000000000077", link_local.hex()),
        ("ff020000000000000000000000000001", link_local.hex()),
    ):
        assert stack.flow(bytes.fromhex(dst), oif=eth.index).src.hex() == source
