"""ICMPv6 (RFC 4443): echoes, errors in and out, path MTUs (RFC 8201), redirects (RFC 4861 section 8), routers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netstack.iface import Address
from netstack.packet import IcmpError, Offload, Packet
from netstack.route import Route
from netstack.wire import ether, icmp6, ipv6, ndp
from tests.unit.netstack.two_hosts import IP6, MACS, Host, Wire, frame6

FAR = b"\x20\x01" + bytes(13) + b"\x99"
ROUTER = b"\xfe\x80" + bytes(13) + b"\x77"


def sent(host: Host, kind: int = -1) -> list[tuple[ipv6.Ipv6, icmp6.Icmp6]]:
    """The ICMPv6 messages that a host has sent; neighbour and listener discovery only when asked for."""
    found = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP6:
            packet = ipv6.parse(parsed.payload)
            if packet.next_header == ipv6.ICMPV6:
                message = icmp6.parse(packet.payload)
                if kind == message.kind or kind < 0 and not 130 <= message.kind <= 143:
                    found.append((packet, message))
    return found


def message6(
    host: Host, src: bytes, dst: bytes, kind: int, code: int, rest: int, payload: bytes, hops: int = 64
) -> bytes:
    return frame6(host, src, dst, ipv6.ICMPV6, icmp6.pack(kind, code, rest, payload, src, dst), hop_limit=hops)


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.a.stack.neighbors.add(wire.a.iface, IP6[1], MACS[1])
    wire.b.stack.neighbors.add(wire.b.iface, IP6[0], MACS[0])
    wire.a.frames.clear()
    return wire


@pytest.mark.parametrize("size", [0, 56, 8000, 60000])
def test_echo(wire: Wire, size: int) -> None:
    got: list[Packet] = []
    wire.a.stack.echo_reply = got.append
    flow = wire.a.stack.flow(IP6[1])
    body = icmp6.pack(icmp6.ECHO, 0, 0x12340001, bytes(size), flow.src, flow.dst)
    wire.a.stack.send(flow, ipv6.ICMPV6, body)
    wire.settle()
    (reply,) = got
    message = icmp6.parse(reply.payload)
    assert (message.kind, message.rest, len(message.payload), reply.src) == (129, 0x12340001, size, IP6[1])


def test_echo_to_a_group_and_with_a_wrong_checksum(wire: Wire) -> None:
    stack, eth = wire.a.stack, wire.a.iface
    stack.receive(eth, message6(wire.a, IP6[1], ipv6.ALL_NODES, icmp6.ECHO, 0, 1, b""))
    assert sent(wire.a)[0][0].src in {entry.local for entry in eth.addresses}
    bad = message6(wire.a, IP6[1], IP6[0], icmp6.ECHO, 0, 1, b"ping")
    stack.receive(eth, bad[:-1] + b"?")
    assert len(sent(wire.a)) == 1 and stack.counters.icmp6["InCsumErrors"] == 1


def test_a_refused_port_comes_back_to_the_sender(wire: Wire) -> None:
    heard: list[IcmpError] = []
    wire.a.stack.register_error(200, heard.append)
    wire.b.stack.register(200, lambda packet: wire.b.stack.reject(packet, "port"))
    wire.a.stack.send(wire.a.stack.flow(IP6[1]), 200, b"y" * 1440)
    wire.settle()
    (error,) = heard
    assert (error.version, error.kind, error.code, error.src, error.dst) == (6, 1, 4, IP6[0], IP6[1])
    packet, _ = sent(wire.b)[0]
    assert packet.length + 40 == 1280 and error.payload == b"y" * (1280 - 88)


def test_about_some_things_nothing_is_said(wire: Wire) -> None:
    def tell(src: bytes, dst: bytes, proto: int, payload: bytes) -> None:
        packet = ipv6.pack_header(src, dst, proto, len(payload)) + payload
        wire.a.stack.icmp6.error(wire.a.iface, memoryview(packet), icmp6.UNREACHABLE, icmp6.PORT)

    tell(ipv6.ANY, IP6[0], 200, b"x")
    tell(b"\xff" + IP6[1][1:], IP6[0], 200, b"x")
    tell(IP6[1], ipv6.ALL_NODES, 200, b"x")
    tell(IP6[1], IP6[0], ipv6.ICMPV6, icmp6.pack(1, 4, 0, bytes(48), IP6[1], IP6[0]))
    tell(IP6[1], IP6[0], ipv6.FRAGMENTS, ipv6.pack_fragment(200, 800, False, 1) + b"x")
    assert not sent(wire.a)
    for _ in range(50):
        tell(IP6[1], IP6[0], 200, b"x")
    assert len(sent(wire.a)) == 6


def test_path_mtu(wire: Wire) -> None:
    heard: list[IcmpError] = []
    stack = wire.a.stack
    stack.register_error(200, heard.append)
    quote = ipv6.pack_header(IP6[0], IP6[1], 200, 1400) + bytes(200)

    def narrow(mtu: int, quote: bytes = quote) -> int:
        stack.receive(wire.a.iface, message6(wire.a, IP6[1], IP6[0], icmp6.TOO_BIG, 0, mtu, quote))
        return stack.flow(IP6[1]).mtu

    assert narrow(1279) == 1500 and not heard
    assert narrow(1400) == 1400 and heard[0].info == 1400
    assert narrow(1450) == 1400
    foreign = ipv6.pack_header(IP6[1], IP6[1], 200, 8) + bytes(8)
    assert narrow(1300, foreign) == 1400
    wire.run(601)
    assert stack.flow(IP6[1]).mtu == 1500


def test_redirects(wire: Wire) -> None:
    stack, eth = wire.a.stack, wire.a.iface
    better = b"\xfe\x80" + bytes(13) + b"\x78"
    stack.routes.add(Route(bytes(16), 0, eth.index, ROUTER))
    assert stack.flow(FAR).next_hop == ROUTER

    def redirect(src: bytes, target: bytes, dst: bytes = FAR, hops: int = 255) -> bytes:
        kind, rest, payload = ndp.pack(ndp.Redirect(target, dst, b"\x02\0\0\0\0\x78"))
        own = next(entry.local for entry in eth.addresses if entry.local[0] == 0xFE)
        stack.receive(eth, message6(wire.a, src, own, kind, 0, rest, payload, hops))
        return stack.flow(FAR).next_hop

    assert redirect(b"\xfe\x80" + bytes(13) + b"\x01", better) == ROUTER  # not the router in use
    assert redirect(ROUTER, better, hops=254) == ROUTER
    assert redirect(ROUTER, IP6[1]) == ROUTER  # a router has a link-local address
    assert redirect(ROUTER, better) == better
    assert stack.neighbors.find(eth, better).is_router  # type: ignore[union-attr]
    wire.run(301)
    assert stack.flow(FAR).next_hop == ROUTER
    assert redirect(ROUTER, FAR) == FAR  # it is on the link itself


def test_a_router_forwards() -> None:
    wire = Wire()
    router = wire.b.stack
    out: list[bytes] = []

    class Link:
        gso = checksum = False

        def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
            out.append(b"".join(parts))
            return True

    far = router.add_interface(b"eth1", Link(), b"\x02\0\0\0\0\x09", 1400)
    router.set_up(far, True)
    router.add_address(far, Address(FAR[:15] + b"\x01", 64))
    router.settings.ipv6_forwarding = 1
    router.neighbors.add(far, FAR, MACS[0])
    wire.a.stack.routes.add(Route(bytes(16), 0, wire.a.iface.index, IP6[1]))
    heard: list[IcmpError] = []
    wire.a.stack.register_error(200, heard.append)

    def give(dst: bytes, size: int, **how: int) -> list[ipv6.Ipv6]:
        out.clear()
        heard.clear()
        wire.a.stack.send(wire.a.stack.flow(dst), 200, bytes(size), **how)  # type: ignore[arg-type]
        wire.settle()
        return [ipv6.parse(memoryview(frame)[14:]) for frame in out]

    (packet,) = give(FAR, 100)
    assert (packet.src, packet.hop_limit, packet.length) == (IP6[0], 63, 100)
    assert not give(FAR, 100, ttl=1) and (heard[0].kind, heard[0].code) == (icmp6.TIME_EXCEEDED, 0)
    assert not give(FAR, 1450) and (heard[0].kind, heard[0].info) == (icmp6.TOO_BIG, 1400)
    assert len(give(FAR, 1450)) == 2  # now it is cut at the source
    assert not give(b"\x30" + FAR[1:], 100) and (heard[0].kind, heard[0].code) == (icmp6.UNREACHABLE, icmp6.NO_ROUTE)
