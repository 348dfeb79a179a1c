"""What goes out: headers, fragments, the path's MTU, multicast copies, headers of the caller's making."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netstack.errors import EINVAL, EMSGSIZE
from netstack.packet import Offload, Packet
from netstack.route import Route
from netstack.wire import checksum, ether, ipv4, ipv6
from tests.unit.netstack.two_hosts import IP, IP6, SECOND_NS, Wire

GROUP4, GROUP6 = b"\xe0\0\0\xfb", b"\xff\x02" + bytes(13) + b"\xfb"
OWN = object()


@pytest.fixture(params=[(True, True), (False, False)], ids=["offload", "plain"])
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(*request.param)


def packets4(wire: Wire) -> list[ipv4.Ipv4]:
    parsed = [ether.parse(memoryview(frame)) for frame in wire.a.frames]
    return [ipv4.parse(entry.payload) for entry in parsed if entry.kind == ether.IP4]


def packets6(wire: Wire) -> list[ipv6.Ipv6]:
    parsed = [ether.parse(memoryview(frame)) for frame in wire.a.frames]
    return [ipv6.parse(entry.payload) for entry in parsed if entry.kind == ether.IP6]


def ready(wire: Wire) -> None:
    """Both know each other, nothing is under way."""
    for dst in (IP[1], IP6[1]):
        wire.a.stack.send(wire.a.stack.flow(dst), 253, b"")
    wire.run(3)
    wire.a.frames.clear()


def test_headers(wire: Wire) -> None:
    ready(wire)
    send = wire.a.stack.send
    send(wire.a.stack.flow(IP[1]), 200, b"head", b"data", ttl=5, tos=0x2E, dont_fragment=True)
    send(wire.a.stack.flow(IP[1]), 200, b"head", options=b"\x94\x04\0\0")
    send(wire.a.stack.flow(IP6[1]), 200, b"head", b"data", ttl=5, tos=0x2E, flow_label=0x12345)
    first, second = packets4(wire)
    assert (first.ttl, first.tos, first.dont_fragment, first.length) == (5, 0x2E, True, 28)
    assert bytes(first.payload) == b"headdata"
    assert (second.ttl, second.options, second.dont_fragment) == (64, b"\x94\x04\0\0", False)
    assert first.ident != second.ident
    (third,) = packets6(wire)
    assert (third.hop_limit, third.tos, third.flow, bytes(third.payload)) == (5, 0x2E, 0x12345, b"headdata")


@pytest.mark.parametrize("addresses", [IP, IP6])
@pytest.mark.parametrize("size", [0, 1, 1400, 3001, 65000])
def test_a_checksum_is_finished_somewhere(wire: Wire, addresses: tuple[bytes, bytes], size: int) -> None:
    ready(wire)
    got = wire.b.listen(17)
    data = bytes(range(256)) * 256
    start = checksum.pseudo(*addresses, 17, 8 + size)
    header = (b"\x12\x34\x56\x78" + (8 + size & 0xFFFF).to_bytes(2)) + start.to_bytes(2)
    wire.a.stack.send(wire.a.stack.flow(addresses[1]), 17, header, data[:size], csum_offset=6)
    wire.settle()
    (packet,) = got
    assert packet.payload[8:] == data[:size]
    if not packet.checked:
        assert checksum.partial(packet.payload, start) == 0xFFFF


@pytest.mark.parametrize("addresses", [IP, IP6])
def test_large_segments_are_cut_by_somebody(wire: Wire, addresses: tuple[bytes, bytes]) -> None:
    ready(wire)
    got = wire.b.listen(6)
    header = bytearray(20)
    header[12] = 5 << 4
    header[16:18] = checksum.pseudo(*addresses, 6, 20 + 30000).to_bytes(2)
    wire.a.stack.send(wire.a.stack.flow(addresses[1]), 6, bytes(header), bytes(30000), csum_offset=16, gso_size=1400)
    wire.settle()
    if wire.a.end.gso:
        assert [(len(packet.payload), packet.gso_size, packet.checked) for packet in got] == [(30020, 1400, True)]
    else:
        assert [len(packet.payload) for packet in got] == [1420] * 21 + [20 + 30000 % 1400]
        for packet in got:
            pseudo = checksum.pseudo(*addresses, 6, len(packet.payload))
            assert checksum.partial(packet.payload, pseudo) == 0xFFFF


def test_fragments_of_ipv4(wire: Wire) -> None:
    ready(wire)
    got = wire.b.listen(200)
    options = b"\x94\x04\0\0\x07\x07\x04\0\0\0\0\0"  # router alert is copied, record route is not
    wire.a.stack.send(wire.a.stack.flow(IP[1]), 200, b"head", bytes(4000), options=options)
    wire.settle()
    parts = packets4(wire)
    assert [(part.offset, part.more) for part in parts] == [(0, True), (1464, True), (2936, False)]
    assert [part.options for part in parts] == [options, b"\x94\x04\0\0", b"\x94\x04\0\0"]
    assert len({part.ident for part in parts}) == 1 and max(part.length for part in parts) <= 1500
    assert bytes(got[0].payload) == b"head" + bytes(4000) and got[0].options == options


def test_fragments_of_ipv6_keep_what_routers_read_in_front(wire: Wire) -> None:
    ready(wire)
    got = wire.b.listen(200)
    options = ipv6.pack_options(ipv6.DESTINATION, b"\x05\x02\0\0") + ipv6.pack_options(200, b"\x01\x02\0\0")
    wire.a.stack.send(wire.a.stack.flow(IP6[1]), 200, b"head", bytes(4000), options=options, first_option=0)
    wire.settle()
    parts = [ipv6.walk(packet) for packet in packets6(wire)]
    assert [part.fragment is not None and part.fragment.next_header for part in parts] == [ipv6.DESTINATION] * 3
    assert [packet.next_header for packet in packets6(wire)] == [ipv6.HOP_BY_HOP] * 3
    assert all(packet.length + 40 <= 1500 for packet in packets6(wire))
    assert bytes(got[0].payload) == b"head" + bytes(4000) and got[0].options == options


@pytest.mark.parametrize("addresses", [IP, IP6])
def test_too_large_with_and_without_dont_fragment(wire: Wire, addresses: tuple[bytes, bytes]) -> None:
    flow = wire.a.stack.flow(addresses[1])
    room = 1500 - (20 if len(flow.dst) == 4 else 40)
    wire.a.stack.send(flow, 200, b"", bytes(room), dont_fragment=True)
    with pytest.raises(EMSGSIZE):
        wire.a.stack.send(flow, 200, b"", bytes(room + 1), dont_fragment=True)
    with pytest.raises(EMSGSIZE):
        wire.a.stack.send(flow, 200, b"", bytes(65536))


def test_probe_goes_by_the_device() -> None:
    wire = Wire()
    wire.a.stack.flows.try_mtu(IP[1], 600, SECOND_NS, lambda: True)
    flow = wire.a.stack.flow(IP[1])
    with pytest.raises(EMSGSIZE):
        wire.a.stack.send(flow, 200, b"", bytes(1000), dont_fragment=True)
    wire.a.stack.send(flow, 200, b"", bytes(1000), dont_fragment=True, probe=True)
    with pytest.raises(EMSGSIZE):
        wire.a.stack.send(flow, 200, b"", bytes(1481), dont_fragment=True, probe=True)


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
def test_copies_of_multicast_for_ourselves(group: bytes) -> None:
    wire = Wire()
    got_a, got_b = wire.a.listen(200), wire.b.listen(200)
    flow = wire.a.stack.flow(group, oif=wire.a.iface.index)
    assert flow.multicast and flow.ttl == 1

    def send(size: int = 4, **how: object) -> tuple[int, int]:
        got_a.clear()
        got_b.clear()
        wire.a.stack.send(flow, 200, bytes(size), **how)  # type: ignore[arg-type]
        wire.settle()
        return len(got_a), len(got_b)

    assert send() == (0, 0)
    wire.b.stack.memberships.join(wire.b.iface, group, OWN)
    assert send() == (0, 1)
    wire.a.stack.memberships.join(wire.a.iface, group, OWN)
    assert send() == (1, 1)
    assert got_a[0].iface is wire.a.iface and got_a[0].to_us == "multicast"
    assert send(4000) == (1, 1)
    assert send(loop=False) == (0, 1)
    assert send(ttl=-1) == (1, 0)


def test_broadcasts_come_back() -> None:
    wire = Wire()
    got_a, got_b = wire.a.listen(200), wire.b.listen(200)
    for dst, oif in ((b"\x0a\0\0\xff", 0), (b"\xff\xff\xff\xff", wire.a.iface.index)):
        flow = wire.a.stack.flow(dst, oif=oif)
        assert flow.broadcast
        wire.a.stack.send(flow, 200, b"x")
        wire.settle()
        assert [packet.to_us for packet in (*got_a, *got_b)] == ["broadcast"] * 2
        got_a.clear()
        got_b.clear()


def test_a_header_of_the_callers_making() -> None:
    wire = Wire()
    got = wire.b.listen(200)
    flow = wire.a.stack.flow(IP[1], any_source=True)
    forged = b"\x0a\0\0\x4d"
    header = ipv4.pack_header(forged, IP[1], 200, 0, ttl=3, ident=77)
    wire.a.stack.output.send_raw(flow, header[:2] + b"\0\0" + header[4:10] + b"\xaa\xaa" + header[12:] + b"payload")
    nobody = ipv4.pack_header(bytes(4), IP[1], 200, 0)
    wire.a.stack.output.send_raw(flow, nobody + b"payload")
    wire.settle()
    assert [(packet.src, packet.ttl, bytes(packet.payload)) for packet in got] == [
        (forged, 3, b"payload"), (IP[0], 64, b"payload"),
    ]  # fmt: skip
    for bad in (b"", b"\x45" * 19, b"\x44" + bytes(19), b"\x4f" + bytes(30)):
        with pytest.raises(EINVAL):
            wire.a.stack.output.send_raw(flow, bad)
    with pytest.raises(EMSGSIZE):
        wire.a.stack.output.send_raw(flow, bytes(1501))


def test_a_header_of_the_callers_making_to_ourselves() -> None:
    wire = Wire()
    got: list[Packet] = []
    wire.a.stack.register(200, got.append)
    flow = wire.a.stack.flow(IP[0])
    wire.a.stack.output.send_raw(flow, ipv4.pack_header(IP[0], IP[0], 200, 1) + b"x")
    wire.a.stack.output.send_raw(flow, ipv4.pack_header(IP[0], IP[0], 200, 0, flags=ipv4.MF) + b"halfhalf")
    wire.a.stack.output.send_raw(wire.a.stack.flow(IP6[0]), ipv6.pack_header(IP6[0], IP6[0], 200, 1) + b"y")
    wire.a.stack.output.send_raw(wire.a.stack.flow(IP6[0]), bytes(40))
    wire.settle()
    assert [bytes(packet.payload) for packet in got] == [b"x", b"y"] and not got[0].checked


def test_sources_that_are_not_ours_need_leave() -> None:
    wire = Wire()
    for foreign in (b"\x0a\0\0\x4d", b"\xfd" + bytes(14) + b"\x4d"):
        dst = (IP if len(foreign) == 4 else IP6)[1]
        with pytest.raises(EINVAL):
            wire.a.stack.flow(dst, foreign)
        assert wire.a.stack.flow(dst, foreign, any_source=True).src == foreign
    with pytest.raises(EINVAL):  # never outside a host
        wire.a.stack.flow(IP[1], b"\x7f\0\0\x01")
    with pytest.raises(EINVAL):
        wire.a.stack.flow(IP6[1], bytes(15) + b"\x01")


def test_a_device_without_link_headers() -> None:
    wire = Wire()
    sent: list[bytes] = []

    class Tun:
        gso = False
        checksum = False

        def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
            sent.append(b"".join(parts))
            return True

    stack = wire.a.stack
    tun = stack.add_interface(b"tun0", Tun(), b"", 1400, kind="none")
    stack.set_up(tun, True)
    stack.routes.add(Route(b"\x0b\0\0\0", 8, tun.index))
    sent.clear()
    flow = stack.flow(b"\x0b\0\0\x01")
    start = checksum.pseudo(flow.src, flow.dst, 17, 12)
    stack.send(flow, 17, bytes(6) + start.to_bytes(2), b"data", csum_offset=6)
    packet = ipv4.parse(memoryview(sent[0]))
    assert (packet.src, bytes(packet.payload[8:])) == (IP[0], b"data")
    assert checksum.partial(packet.payload, start) == 0xFFFF
    got: list[Packet] = []
    stack.register(200, got.append)
    stack.receive(tun, ipv4.pack_header(b"\x0b\0\0\x01", IP[0], 200, 1) + b"z")
    stack.receive(tun, b"")
    stack.receive(tun, b"\x99")
    assert [bytes(packet.payload) for packet in got] == [b"z"]
