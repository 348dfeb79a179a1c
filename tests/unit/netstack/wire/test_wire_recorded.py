"""netstack.wire on frames that Linux has sent: read, and packed again to the same bytes."""

from __future__ import annotations

import pytest

from netstack.errors import BadPacket
from netstack.wire import arp, checksum, ether, icmp, icmp6, igmp, ipv4, ipv6, mld, ndp, tcp, udp
from tests.unit.netstack.wire.everything import read
from tests.unit.netstack.wire.recorded import ALL, FINISHED

A4, B4 = bytes((10, 9, 0, 1)), bytes((10, 9, 0, 2))
A6, B6 = bytes.fromhex("fd09" + "00" * 13 + "01"), bytes.fromhex("fd09" + "00" * 13 + "02")
A_MAC, B_MAC = bytes.fromhex("2641b1ffd95a"), bytes.fromhex("0a2a7e8fdcc0")


def ip4(name: str) -> ipv4.Ipv4:
    return ipv4.parse(ether.parse(memoryview(FINISHED[name])).payload)


def ip6(name: str) -> ipv6.Ipv6:
    return ipv6.parse(ether.parse(memoryview(FINISHED[name])).payload)


def pseudo6(packet: ipv6.Ipv6, proto: int = ipv6.ICMPV6) -> int:
    return checksum.pseudo6(packet.src, packet.dst, proto, 0)


def icmp6_of(name: str) -> icmp6.Icmp6:
    packet = ip6(name)
    return icmp6.parse(ipv6.walk(packet).payload, pseudo6(packet))


def repacked(packet: ipv6.Ipv6, message: tuple[int, int, bytes]) -> bytes:
    kind, rest, payload = message
    return icmp6.pack(kind, 0, rest, payload, packet.src, packet.dst)


def test_ether_and_arp() -> None:
    frame = ether.parse(memoryview(FINISHED["ARP_REQUEST"]))
    assert (frame.dst, frame.src, frame.kind, frame.vlan) == (ether.BROADCAST, A_MAC, ether.ARP, -1)
    packet = arp.parse(frame.payload)
    assert packet == (arp.REQUEST, A_MAC, A4, bytes(6), B4) and not packet.is_probe
    header = ether.pack_header(frame.dst, frame.src, frame.kind)
    assert header + arp.pack(packet) == FINISHED["ARP_REQUEST"]


def test_vlan() -> None:
    frame = FINISHED["PING"]
    tagged = ether.parse(memoryview(frame[:12] + b"\x81\x00\x20\x05" + frame[12:]))
    assert (tagged.vlan, tagged.kind) == (0x2005, ether.IP4) and ipv4.parse(tagged.payload) == ip4("PING")
    for bad in (frame[:13], frame[:12] + b"\x00\x40" + frame[14:], frame[:12] + b"\x81\x00\x20\x05\x81\x00" + frame):
        with pytest.raises(BadPacket):
            ether.parse(memoryview(bad))


def test_multicast_macs() -> None:
    assert ether.multicast_mac(bytes((239, 129, 2, 3))) == bytes.fromhex("01005e010203")
    assert ether.multicast_mac(ipv6.solicited_node(B6)) == FINISHED["NEIGHBOR_SOLICITATION"][:6]
    assert ether.is_multicast(ether.BROADCAST) and not ether.is_multicast(A_MAC)


def test_ping() -> None:
    packet = ip4("PING")
    assert (packet.src, packet.dst, packet.ttl, packet.dont_fragment, packet.proto) == (A4, B4, 64, True, ipv4.ICMP)
    message = icmp.parse(packet.payload)
    assert (message.kind, message.ident, message.sequence, len(message.payload)) == (icmp.ECHO, 0x235B, 1, 30)
    data = icmp.pack(icmp.ECHO, 0, message.rest, message.payload)
    header = ipv4.pack_header(A4, B4, ipv4.ICMP, len(data), ident=packet.ident, flags=ipv4.DF)
    assert header + data == FINISHED["PING"][14:]


def test_ping6() -> None:
    packet = ip6("PING6")
    message = icmp6_of("PING6")
    assert (message.kind, message.ident, message.sequence, len(message.payload)) == (icmp6.ECHO, 0x235C, 1, 56)
    data = icmp6.pack(icmp6.ECHO, 0, message.rest, message.payload, A6, B6)
    assert ipv6.pack_header(A6, B6, ipv6.ICMPV6, len(data), flow=packet.flow) + data == FINISHED["PING6"][14:]


def test_syn() -> None:
    packet = ip4("SYN")
    pseudo = checksum.pseudo4(A4, B4, ipv4.TCP, 0)
    segment = tcp.parse(packet.payload, pseudo)
    assert (segment.sport, segment.dport, segment.seq, segment.flags) == (60146, 8000, 3821730673, tcp.SYN)
    assert segment.options == tcp.Options(1460, 10, True, (), (1895745270, 0), None)
    options = tcp.pack_options(segment.options)
    head = tcp.pack_header(60146, 8000, segment.seq, 0, tcp.SYN, 64240, checksum.add(pseudo, 40), options)
    assert head == ALL["SYN"][34:], "with the sum of the pseudo-header, as Linux leaves it to the device"
    assert tcp.pack(60146, 8000, segment.seq, 0, tcp.SYN, 64240, pseudo, options) == FINISHED["SYN"][34:]


def test_ack_over_ipv6() -> None:
    packet = ip6("ACK6")
    segment = tcp.parse(packet.payload, pseudo6(packet, ipv6.TCP))
    assert segment.flags == tcp.ACK and segment.options.timestamps == (0xD81FE376, 0xD2883065)
    pseudo = checksum.pseudo6(A6, B6, ipv6.TCP, 32)
    head = tcp.pack_header_timestamps(
        segment.sport, segment.dport, segment.seq, segment.ack, tcp.ACK, 64, pseudo, 0xD81FE376, 0xD2883065
    )
    assert head == ALL["ACK6"][54:]


def test_udp() -> None:
    packet = ip4("UDP")
    pseudo = checksum.pseudo4(A4, B4, ipv4.UDP, 0)
    datagram = udp.parse(packet.payload, pseudo)
    assert (datagram.dport, bytes(datagram.payload)) == (9, b"hello")
    assert udp.pack_header(datagram.sport, 9, 5, pseudo) + b"hello" == ALL["UDP"][34:]
    assert udp.pack(datagram.sport, 9, b"hello", pseudo) == FINISHED["UDP"][34:]


def test_port_unreachable() -> None:
    message = icmp.parse(ip4("PORT_UNREACHABLE").payload)
    assert (message.kind, message.code, message.info) == (icmp.UNREACHABLE, icmp.PORT, 0)
    quote = icmp.quoted(message.payload)
    assert (quote.src, quote.dst, quote.proto, quote.offset) == (A4, B4, ipv4.UDP, 0)
    assert quote.payload == ALL["UDP"][34:]


def test_fragments() -> None:
    packet = ip4("LAST_FRAGMENT")
    assert packet.is_fragment and (packet.offset, packet.more, len(packet.payload)) == (2960, False, 48)
    chain = ipv6.walk(ip6("LAST_FRAGMENT6"))
    assert chain.fragment is not None and chain.fragment[:6] == (ipv6.UDP, 2896, False, 0x7F1F5D3D, 40, 6)
    assert chain.payload == b"y" * 112
    assert ipv6.pack_fragment(ipv6.UDP, 2896, False, 0x7F1F5D3D) == FINISHED["LAST_FRAGMENT6"][54:62]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NEIGHBOR_SOLICITATION", ndp.NeighborSolicitation(B6, A_MAC)),
        (
            "DUPLICATE_CHECK",
            ndp.NeighborSolicitation(
                bytes.fromhex("fe800000000000002441b1fffeffd95a"), nonce=bytes.fromhex("518927949867")
            ),
        ),
        ("NEIGHBOR_ADVERTISEMENT", ndp.NeighborAdvertisement(B6, False, True, True, B_MAC)),
        ("ROUTER_SOLICITATION", ndp.RouterSolicitation(A_MAC)),
    ],
)
def test_neighbor_discovery(name: str, said: ndp.Message) -> None:
    packet = ip6(name)
    assert packet.hop_limit == ndp.HOP_LIMIT
    assert ndp.parse(icmp6_of(name)) == said
    assert repacked(packet, ndp.pack(said)) == packet.payload


def test_multicast_listener_report() -> None:
    packet = ip6("MLD2_REPORT")
    chain = ipv6.walk(packet)
    assert chain.router_alert and chain.proto == ipv6.ICMPV6 and chain.extensions == bytes(packet.payload[:8])
    assert ipv6.pack_options(ipv6.ICMPV6, ipv6.ROUTER_ALERT_MLD) == bytes.fromhex("3a00050200000100"), "PadN in 2 bytes"
    group = bytes.fromhex("ff05" + "00" * 12 + "0123")
    said = mld.parse(icmp6_of("MLD2_REPORT"))
    assert said == igmp.Report3((igmp.Record(igmp.TO_EXCLUDE, group),))
    assert repacked(packet, mld.pack_report2(said.records)) == chain.payload


def test_igmp_report() -> None:
    packet = ip4("IGMP3_REPORT")
    assert packet.options == igmp.ROUTER_ALERT and packet.dst == igmp.ALL_REPORTS3
    assert list(ipv4.split_options(packet.options)) == [(ipv4.OPT_RA, b"\0\0")]
    said = igmp.parse(packet.payload)
    assert said == igmp.Report3((igmp.Record(igmp.TO_EXCLUDE, bytes((239, 1, 2, 3))),))
    assert igmp.pack_report3(said.records) == packet.payload
    header = ipv4.pack_header(
        A4, igmp.ALL_REPORTS3, ipv4.IGMP, 16, ttl=1, tos=0xC0, flags=ipv4.DF, options=igmp.ROUTER_ALERT
    )
    assert header + bytes(packet.payload) == FINISHED["IGMP3_REPORT"][14:]


@pytest.mark.parametrize("name", [name for name in FINISHED if name not in ("ARP_REQUEST", "LAST_FRAGMENT6")])
def test_one_wrong_bit_is_found(name: str) -> None:
    """Every bit behind the Ethernet header that a checksum covers: IPv4's header, and the transport's."""

    frame = FINISHED[name]
    read(frame)
    v6 = frame[12:14] == b"\x86\xdd"
    end = 34 if "FRAGMENT" in name else len(frame)
    for at in range(14 if not v6 else 54 + 8 * (name == "MLD2_REPORT"), end):
        damaged = bytearray(frame)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(BadPacket):
            read(bytes(damaged))
