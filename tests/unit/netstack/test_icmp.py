"""ICMP: echoes, errors that go out (and those that must not), errors that come in, path MTUs, redirects, routers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netstack.icmp import PLATEAUS
from netstack.iface import Address
from netstack.packet import IcmpError, Offload, Packet
from netstack.route import PROHIBIT, UNREACHABLE, Route
from netstack.wire import checksum, ether, icmp, ipv4
from tests.unit.netstack.two_hosts import IP, MACS, SECOND_NS, Host, Wire, frame4

ROUTER = b"\x0a\0\0\x4d"


def sent(host: Host, kind: int = -1) -> list[tuple[ipv4.Ipv4, icmp.Icmp]]:
    """The ICMP messages that a host has sent."""
    found = []
    for frame in host.frames:
        parsed = ether.parse(memoryview(frame))
        if parsed.kind == ether.IP4:
            packet = ipv4.parse(parsed.payload)
            if packet.proto == ipv4.ICMP and not packet.is_fragment:
                message = icmp.parse(packet.payload)
                if kind in (-1, message.kind):
                    found.append((packet, message))
    return found


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.a.stack.neighbors.add(wire.a.iface, IP[1], MACS[1])
    wire.b.stack.neighbors.add(wire.b.iface, IP[0], MACS[0])
    wire.a.frames.clear()
    return wire


@pytest.mark.parametrize("size", [0, 56, 1472, 8000, 60000])
def test_echo(wire: Wire, size: int) -> None:
    got: list[Packet] = []
    wire.a.stack.echo_reply = got.append
    body = icmp.pack(icmp.ECHO, 0, 0x12340001, bytes(range(250)) * (size // 250) + bytes(size % 250))
    wire.a.stack.send(wire.a.stack.flow(IP[1]), ipv4.ICMP, body, tos=0x28)
    wire.settle()
    (reply,) = got
    message = icmp.parse(reply.payload)
    assert (message.kind, message.ident, message.sequence, bytes(message.payload)) == (0, 0x1234, 1, body[8:])
    assert (reply.src, reply.tos, reply.ttl) == (IP[1], 0x28, 64)
    counters = wire.b.stack.counters.icmp
    assert (counters["InEchos"], counters["OutEchoReps"], counters["OutMsgs"]) == (1, 1, 1)


def test_echoes_that_are_not_answered(wire: Wire) -> None:
    body = icmp.pack(icmp.ECHO, 0, 1, b"ping")
    for dst, mac in ((b"\x0a\0\0\xff", ether.BROADCAST), (b"\xe0\0\0\x01", b"\x01\x00\x5e\0\0\x01")):
        wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], dst, 1, body, mac=mac))
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], IP[0], 1, body[:-1] + b"?"))  # damaged
    assert not sent(wire.a) and wire.a.stack.counters.icmp["InCsumErrors"] == 1
    wire.a.stack.settings.icmp_echo_ignore_broadcasts = 0
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], b"\x0a\0\0\xff", 1, body, mac=ether.BROADCAST))
    assert sent(wire.a)[0][0].src == IP[0]
    wire.a.stack.settings.icmp_echo_ignore_all = 1
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], IP[0], 1, body))
    assert len(sent(wire.a)) == 1


def test_timestamp(wire: Wire) -> None:
    body = icmp.pack(icmp.TIMESTAMP, 0, 7, b"orig" + bytes(8))
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, IP[1], IP[0], 1, body))
    _, message = sent(wire.a, icmp.TIMESTAMP_REPLY)[0]
    assert bytes(message.payload[:4]) == b"orig" and message.payload[4] & 0x80 and message.rest == 7


def test_an_unknown_protocol_is_refused_with_the_packet_quoted(wire: Wire) -> None:
    heard: list[IcmpError] = []
    wire.a.stack.register_error(201, heard.append)
    wire.a.stack.send(wire.a.stack.flow(IP[1]), 201, b"x" * 700, tos=4)
    wire.settle()
    (error,) = heard
    assert (error.kind, error.code, error.offender, error.src, error.dst) == (3, 2, IP[1], IP[0], IP[1])
    packet, message = sent(wire.b)[0]
    assert packet.length <= 576 and packet.tos == 0xC4 and len(message.payload) == 548
    assert error.payload == b"x" * 528


NEVER = {
    "an error": frame4(Wire().a, IP[1], IP[0], 1, icmp.pack(3, 3, 0, bytes(28))),
    "a fragment": frame4(Wire().a, IP[1], IP[0], 201, bytes(8), offset=8),
    "a broadcast": frame4(Wire().a, IP[1], b"\x0a\0\0\xff", 201, b"x", mac=ether.BROADCAST),
    "a group": frame4(Wire().a, IP[1], b"\xe0\0\0\x01", 201, b"x", mac=b"\x01\x00\x5e\0\0\x01"),
    "everybody": frame4(Wire().a, bytes(4), b"\xff\xff\xff\xff", 201, b"x", mac=ether.BROADCAST),
}


@pytest.mark.parametrize("what", NEVER)
def test_about_some_things_nothing_is_said(wire: Wire, what: str) -> None:
    wire.a.stack.receive(wire.a.iface, NEVER[what])
    wire.run(40)
    assert not sent(wire.a)
    about = NEVER[what][14:]
    wire.a.stack.icmp.error(wire.a.iface, memoryview(about), icmp.UNREACHABLE, icmp.PORT)
    wire.settle()
    assert not sent(wire.a)


def test_errors_are_limited(wire: Wire) -> None:
    frame = frame4(wire.a, IP[1], IP[0], 201, b"x")

    def burst(count: int) -> int:
        before = len(sent(wire.a))
        for _ in range(count):
            wire.a.stack.receive(wire.a.iface, frame)
        return len(sent(wire.a)) - before

    assert burst(100) == 6  # to one peer
    assert wire.a.stack.counters.icmp["OutRateLimitHost"] > 0
    wire.run(2)
    assert burst(10) == 2
    wire.a.stack.settings.icmp_ratelimit = 0
    wire.run(1)
    assert burst(100) == 50  # to all
    wire.a.stack.settings.icmp_msgs_burst = 0
    wire.run(1)
    assert burst(5) == 0 and wire.a.stack.counters.icmp["OutRateLimitGlobal"] > 0


def about(payload: bytes, src: bytes = IP[0], dst: bytes = IP[1], **head: int) -> bytes:
    return ipv4.pack_header(src, dst, 200, len(payload), **head) + payload  # type: ignore[arg-type]


def test_errors_about_what_we_never_sent(wire: Wire) -> None:
    heard: list[IcmpError] = []
    wire.a.stack.register_error(200, heard.append)
    wire.a.stack.register_error(-1, heard.append)
    for quote in (about(bytes(8), src=IP[1]), about(bytes(8), offset=8), about(bytes(7)), bytes(40), b""):
        wire.a.stack.receive(wire.a.iface, frame4(wire.a, ROUTER, IP[0], 1, icmp.pack(3, 1, 0, quote)))
    assert not heard
    wire.a.stack.receive(wire.a.iface, frame4(wire.a, ROUTER, IP[0], 1, icmp.pack(3, 1, 0, about(b"12345678"))))
    assert len(heard) == 2 and heard[0] == heard[1] and heard[0].offender == ROUTER


def narrow(mtu: int, quote: bytes = about(bytes(1400))) -> bytes:
    return frame4(Wire().a, ROUTER, IP[0], 1, icmp.pack(3, 4, mtu, quote[:100]))


def test_path_mtu(wire: Wire) -> None:
    heard: list[IcmpError] = []
    mine = [True]

    def error(error: IcmpError) -> bool:
        heard.append(error)
        return mine[0]

    stack = wire.a.stack
    stack.register_error(200, error)
    flow = stack.flow(IP[1])
    stack.receive(wire.a.iface, narrow(1000))
    assert not flow.fresh() and stack.flow(IP[1]).mtu == 1000 and heard[-1].info == 1000
    assert stack.flow(ROUTER).mtu == 1500
    stack.receive(wire.a.iface, narrow(1200))  # it never gets wider
    assert stack.flow(IP[1]).mtu == 1000
    stack.receive(wire.a.iface, narrow(100))  # and not absurdly narrow
    assert stack.flow(IP[1]).mtu == 552
    mine[0] = False
    stack.flows.path_mtus.clear()
    stack.receive(wire.a.iface, narrow(1000))  # nobody has sent that: RFC 5927
    assert stack.flow(IP[1]).mtu == 1500
    mine[0] = True
    stack.receive(wire.a.iface, narrow(0))  # a router from before RFC 1191
    assert stack.flow(IP[1]).mtu == max(plateau for plateau in PLATEAUS if plateau < 1420)
    flow = stack.flow(IP[1])
    wire.run(601)
    assert not flow.fresh() and stack.flow(IP[1]).mtu == 1500
    stack.settings.ip_no_pmtu_disc = 1
    stack.receive(wire.a.iface, narrow(1000))
    assert stack.flow(IP[1]).mtu == 1500


def test_the_table_of_path_mtus_is_bounded(wire: Wire) -> None:
    for number in range(5000):
        wire.a.stack.flows.try_mtu(number.to_bytes(4), 600, SECOND_NS, lambda: True)
    assert len(wire.a.stack.flows.path_mtus) == 4096


def test_redirects() -> None:
    wire = Wire()
    stack, eth = wire.a.stack, wire.a.iface
    gateway, better, far = IP[1], b"\x0a\0\0\x05", b"\x08\x08\x08\x08"
    stack.routes.add(Route(bytes(4), 0, eth.index, gateway))

    def redirect(source: bytes, to: bytes, dst: bytes = far) -> None:
        quote = ipv4.pack_header(IP[0], dst, 200, 8) + bytes(8)
        stack.receive(eth, frame4(wire.a, source, IP[0], 1, icmp.pack(5, 1, int.from_bytes(to), quote)))

    redirect(ROUTER, better)
    redirect(gateway, b"\x0b\0\0\x05")
    redirect(gateway, better)  # no default gateway: secure_redirects
    assert stack.flow(far).next_hop == gateway
    stack.settings.secure_redirects = 0
    redirect(gateway, better)
    assert stack.flow(far).next_hop == better and stack.flow(b"\x08\x08\x04\x04").next_hop == gateway
    wire.run(301)
    assert stack.flow(far).next_hop == gateway
    stack.settings.accept_redirects = 0
    redirect(gateway, better)
    assert stack.flow(far).next_hop == gateway


class Routed:
    """Two networks with `wire.b` between them: 10.0.0.0/24, where `wire.a` is, and 11.0.0.0/24 behind it."""

    def __init__(self, mtu: int = 1500) -> None:
        self.wire = Wire()
        router = self.wire.b.stack
        self.out: list[bytes] = []
        self.offloads: list[Offload] = []
        self.far = router.add_interface(b"eth1", self, b"\x02\0\0\0\0\x09", mtu)
        router.add_address(self.far, Address(b"\x0b\0\0\x01", 24))
        router.set_up(self.far, True)
        router.settings.ip_forward = 1
        router.neighbors.add(self.far, b"\x0b\0\0\x02", MACS[0])
        self.wire.a.stack.routes.add(Route(bytes(4), 0, self.wire.a.iface.index, IP[1]))
        self.heard: list[IcmpError] = []
        self.wire.a.stack.register_error(200, self.heard.append)
        self.wire.settle()
        self.out.clear()

    gso = checksum = False

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        self.out.append(b"".join(parts))
        self.offloads.append(offload)
        return True

    def packets(self) -> list[ipv4.Ipv4]:
        parsed = [ether.parse(memoryview(frame)) for frame in self.out]
        return [ipv4.parse(entry.payload) for entry in parsed if entry.kind == ether.IP4]

    def give(self, dst: bytes, size: int, **how: object) -> list[ipv4.Ipv4]:
        self.out.clear()
        self.heard.clear()
        self.wire.a.stack.send(self.wire.a.stack.flow(dst), 200, bytes(size), **how)  # type: ignore[arg-type]
        self.wire.run(0.1)
        return self.packets()


def test_a_router_forwards() -> None:
    net = Routed()
    (packet,) = net.give(b"\x0b\0\0\x02", 100)
    assert (packet.src, packet.ttl, packet.length) == (IP[0], 63, 120)
    assert not net.give(b"\x0b\0\0\x02", 100, ttl=1)
    assert (net.heard[0].kind, net.heard[0].code) == (icmp.TIME_EXCEEDED, 0)
    assert not net.give(b"\x0c\0\0\x02", 100)
    assert (net.heard[0].kind, net.heard[0].code) == (icmp.UNREACHABLE, icmp.NET)
    net.wire.b.stack.routes.add(Route(b"\x0c\0\0\0", 8, kind=PROHIBIT))
    net.wire.b.stack.routes.add(Route(b"\x0d\0\0\0", 8, kind=UNREACHABLE))
    assert not net.give(b"\x0c\0\0\x02", 100) and net.heard[0].code == icmp.PROHIBITED
    assert not net.give(b"\x0d\0\0\x02", 100) and net.heard[0].code == icmp.HOST
    net.wire.b.stack.settings.ip_forward = 0
    assert not net.give(b"\x0b\0\0\x02", 100) and not net.heard


@pytest.mark.parametrize("offload", [True, False])
def test_a_router_passes_on_what_a_device_left_undone(offload: bool) -> None:
    """Large segments without a checksum, from one device to another that may or may not do the same."""
    net = Routed()
    net.gso = net.checksum = offload
    net.far.attach(net)
    header = bytearray(20)
    header[12] = 5 << 4
    dst, size = b"\x0b\0\0\x02", 5000
    header[16:18] = checksum.pseudo(IP[0], dst, ipv4.TCP, 20 + size).to_bytes(2)
    a = net.wire.a.stack
    a.send(a.flow(dst), ipv4.TCP, bytes(header), bytes(size), csum_offset=16, gso_size=1400, dont_fragment=True)
    net.wire.settle()
    packets = net.packets()
    if offload:
        assert [(len(packet.payload), packet.ttl) for packet in packets] == [(5020, 63)]
        assert net.offloads[-1] == Offload(34, 16, 1400, False, 54)
        assert bytes(packets[0].payload[16:18]) == bytes(header[16:18])
    else:
        assert [len(packet.payload) for packet in packets] == [1420, 1420, 1420, 820]
        for packet in packets:
            assert checksum.partial(packet.payload, checksum.pseudo(IP[0], dst, 6, len(packet.payload))) == 0xFFFF
    net.far.mtu = 1000
    net.wire.b.stack.generation += 1
    net.out.clear()
    a.send(a.flow(dst), ipv4.TCP, bytes(header), bytes(size), csum_offset=16, gso_size=1400, dont_fragment=True)
    net.wire.settle()
    assert not net.packets() and a.flow(dst).mtu == 1500  # nobody here has sent a TCP segment


def test_a_router_finishes_a_checksum_before_it_cuts() -> None:
    net = Routed(mtu=600)
    dst, size = b"\x0b\0\0\x02", 1400
    start = checksum.pseudo(IP[0], dst, ipv4.UDP, 8 + size)
    header = bytes(4) + (8 + size).to_bytes(2) + start.to_bytes(2)
    a = net.wire.a.stack
    a.send(a.flow(dst), ipv4.UDP, header, bytes(range(200)) * 7, csum_offset=6)
    net.wire.settle()
    whole = b"".join(bytes(packet.payload) for packet in net.packets())
    assert len(whole) == 1408 and checksum.partial(whole, start) == 0xFFFF


def test_a_router_with_a_narrow_link() -> None:
    net = Routed(mtu=600)
    parts = net.give(b"\x0b\0\0\x02", 1400)
    assert [(part.offset, part.more) for part in parts] == [(0, True), (576, True), (1152, False)]
    assert sum(len(part.payload) for part in parts) == 1400 and {part.ttl for part in parts} == {63}
    assert not net.give(b"\x0b\0\0\x02", 1400, dont_fragment=True)
    assert (net.heard[0].code, net.heard[0].info) == (icmp.FRAGMENTATION_NEEDED, 600)
    assert net.wire.a.stack.flow(b"\x0b\0\0\x02").mtu == 600


def test_a_router_finds_nobody_there() -> None:
    net = Routed()
    net.give(b"\x0b\0\0\x63", 100)
    net.wire.run(4)
    assert (net.heard[0].kind, net.heard[0].code, net.heard[0].offender) == (3, icmp.HOST, IP[1])


def test_a_router_knows_a_shorter_way() -> None:
    wire = Wire()
    wire.b.stack.settings.ip_forward = 1
    wire.b.stack.routes.add(Route(b"\x0b\0\0\0", 8, wire.b.iface.index, ROUTER))
    wire.a.stack.routes.add(Route(bytes(4), 0, wire.a.iface.index, IP[1]))
    wire.a.stack.settings.secure_redirects = 0
    wire.a.stack.send(wire.a.stack.flow(b"\x0b\0\0\x02"), 200, b"12345678")
    wire.settle()
    assert sent(wire.b, icmp.REDIRECT)[0][1].rest.to_bytes(4) == ROUTER
    assert wire.a.stack.flow(b"\x0b\0\0\x02").next_hop == ROUTER
