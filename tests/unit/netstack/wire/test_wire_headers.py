"""netstack.wire where the RFCs give cases: checksums, options, extension headers, queries, virtio headers."""

from __future__ import annotations

import struct

import pytest

from netstack.errors import BadPacket
from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum, icmp, icmp6, igmp, ipv4, ipv6, mld, ndp, tcp, udp, vnet

A4, B4 = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
A6, B6 = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("20010db8" + "00" * 11 + "02")


def test_checksum_of_rfc_1071() -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert checksum.partial(data) == 0xDDF2 and checksum.checksum(data) == 0x220D
    assert checksum.partial(b"") == checksum.partial(bytes(100)) == 0
    assert checksum.partial(b"\xff\xff") == checksum.partial(b"\xff\xff" * 9) == 0xFFFF, "minus zero, as adding gives"
    assert checksum.partial(b"\x12") == 0x1200 and checksum.add(0xFFFF, 1) == 1 and checksum.add(0xFFFF, 0) == 0xFFFF


def test_another_checksum_can_be_installed() -> None:
    seen = []

    def fast(data: checksum.Buffer, start: int) -> int:
        seen.append((bytes(data), start))
        return 0x1234

    checksum.install(fast)
    try:
        assert checksum.partial(b"ab", 7) == 0x1234 and checksum.checksum(b"cd") == 0x1234 ^ 0xFFFF
        assert udp.pack(1, 2, b"x", 3)[6:8] == (0x1234 ^ 0xFFFF).to_bytes(2, "big")
    finally:
        checksum.install(None)
    assert seen[:2] == [(b"ab", 7), (b"cd", 0)] and checksum.partial(b"\0\1") == 1


def test_udp_without_checksum() -> None:
    bare = memoryview(udp.HEADER.pack(1, 2, 9, 0) + b"x")
    assert bytes(udp.parse(bare, 5).payload) == b"x"
    with pytest.raises(BadPacket):
        udp.parse(bare, 5, v6=True)
    assert bytes(udp.parse(bare, -1, v6=True).payload) == b"x", "the device says that it is right"


def test_udp_never_sends_zero_for_a_sum() -> None:
    pseudo = checksum.pseudo4(A4, B4, ipv4.UDP, 0)
    plain = udp.pack(1, 2, b"\0\0", pseudo)
    payload = plain[6:8]  # with its own complement in the data the sum is 0xffff, its complement 0
    sent = udp.pack(1, 2, payload, pseudo)
    assert sent[6:8] == b"\xff\xff" and udp.parse(memoryview(sent), pseudo).payload == payload


def test_udp_length_ends_the_datagram() -> None:
    data = udp.HEADER.pack(1, 2, 9, 0) + b"xyz"
    assert bytes(udp.parse(memoryview(data)).payload) == b"x"
    for length in (0, 7, 12):
        with pytest.raises(BadPacket):
            udp.parse(memoryview(udp.HEADER.pack(1, 2, length, 0) + b"xyz"))


def test_tcp_options() -> None:
    every = tcp.Options(1400, 7, True, (), (1, 2), b"cookie__")
    assert tcp.parse_options(tcp.pack_options(every)) == every and len(tcp.pack_options(every)) % 4 == 0
    blocks = tuple((n, n + 1) for n in range(1, 6))
    full = tcp.parse_options(tcp.pack_options(tcp.Options(sack=blocks, timestamps=(1, 2))))
    assert full.sack == blocks[:3], "beside timestamps three blocks fit"
    assert tcp.parse_options(tcp.pack_options(tcp.Options(sack=blocks))).sack == blocks[:4]
    assert tcp.pack_options(tcp.Options(timestamps=(1, 2))) == bytes.fromhex("0101080a0000000100000002")


def test_tcp_options_that_are_odd() -> None:
    assert tcp.parse_options(b"\x1e\x04ab\x02\x04\x05\xb4").mss == 1460, "unknown ones are passed over"
    assert tcp.parse_options(b"\x02\x05\x01\x01\x01").mss is None, "so is a known one of another length"
    assert tcp.parse_options(b"\x03\x03\x0f").scale == 14
    assert tcp.parse_options(b"\x00\x02\x04\x05\xb4").mss is None, "behind the end there is nothing"
    assert tcp.parse_options(b"\x22\x02").fast_open == b""
    for bad in (b"\x02", b"\x02\x00", b"\x02\x01", b"\x02\x04\x05", b"\x01\x08\x0a\x00"):
        with pytest.raises(BadPacket):
            tcp.parse_options(bad)


def test_tcp_header_lengths() -> None:
    for offset in (0, 0x40, 0x60, 0xF0):
        data = tcp.HEADER.pack(1, 2, 3, 4, offset, tcp.ACK, 5, 0, 0)
        with pytest.raises(BadPacket):
            tcp.parse(memoryview(data))
    segment = tcp.parse(memoryview(tcp.pack(1, 2, 3, 4, tcp.ACK | tcp.URG, 5, 0, b"", b"data", 4)))
    assert (segment.urgent, bytes(segment.payload), segment.options) == (4, b"data", tcp.NO_OPTIONS)
    assert repr(segment) == "Segment(1>2 AU seq 3 ack 4 win 5 len 4)"


def test_ipv4_lengths_and_padding() -> None:
    packet = ipv4.pack_header(A4, B4, 17, 4) + b"data"
    assert bytes(ipv4.parse(memoryview(packet + b"padding")).payload) == b"data"
    for bad in (packet[:-1], packet[:19], b"\x55" + packet[1:], b"\x44" + packet[1:], b"\x4f" + packet[1:]):
        with pytest.raises(BadPacket):
            ipv4.parse(memoryview(bad))


def test_ipv4_fragments() -> None:
    first = ipv4.parse(memoryview(ipv4.pack_header(A4, B4, 17, 8, ident=9, flags=ipv4.MF, offset=16) + bytes(8)))
    assert (first.offset, first.more, first.ident, first.dont_fragment) == (16, True, 9, False)
    for flags, offset, size in ((ipv4.MF, 0, 7), (ipv4.MF, 0, 0), (0, 0xFFF8, 8)):
        with pytest.raises(BadPacket):
            ipv4.parse(memoryview(ipv4.pack_header(A4, B4, 17, size, flags=flags, offset=offset) + bytes(size)))


def test_ipv4_options() -> None:
    route = bytes((ipv4.OPT_LSRR, 7, 4)) + A4
    record = bytes((ipv4.OPT_RR, 7, 4)) + bytes(4)
    options = ipv4.pad_options(b"\x01" + route + record)
    assert [kind for kind, _ in ipv4.split_options(options)] == [1, ipv4.OPT_LSRR, ipv4.OPT_RR]
    assert ipv4.fragment_options(options) == ipv4.pad_options(route)
    packet = ipv4.parse(memoryview(ipv4.pack_header(A4, B4, 17, 1, options=options) + b"x"))
    assert packet.options == options and bytes(packet.payload) == b"x"
    for bad in (b"\x07", b"\x07\x01\x00\x00", b"\x07\x05\x04\x00"):
        with pytest.raises(BadPacket):
            list(ipv4.split_options(bad))


def test_icmp_quotes() -> None:
    inner = ipv4.pack_header(A4, B4, ipv4.TCP, 1000) + bytes(range(8))
    message = icmp.parse(memoryview(icmp.pack(icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 1400, inner)))
    assert message.info == 1400 and icmp.quoted(message.payload).payload == bytes(range(8))
    with pytest.raises(BadPacket):
        icmp.quoted(message.payload[:-1])
    assert icmp.Icmp(icmp.PARAMETER_PROBLEM, 0, 20 << 24, memoryview(b"")).info == 20


def test_icmp6_quotes_behind_extension_headers() -> None:
    extensions = ipv6.pack_options(ipv6.FRAGMENTS, b"\x05\x02\0\0") + ipv6.pack_fragment(ipv6.UDP, 0, True, 1)
    inner = ipv6.pack_header(A6, B6, ipv6.HOP_BY_HOP, 1000) + extensions + b"12345678"
    message = icmp6.parse(memoryview(icmp6.pack(icmp6.TOO_BIG, 0, 1300, inner, A6, B6)), -1)
    quote = icmp6.quoted(message.payload)
    assert message.info == 1300 and message.is_error
    assert (quote.proto, quote.offset, bytes(quote.payload)) == (ipv6.UDP, 0, b"12345678")
    with pytest.raises(BadPacket):
        icmp6.quoted(message.payload[:50])


def packet6(next_header: int, payload: bytes) -> ipv6.Chain:
    return ipv6.walk(ipv6.parse(memoryview(ipv6.pack_header(A6, B6, next_header, len(payload)) + payload)))


def test_extension_headers() -> None:
    plain = packet6(ipv6.UDP, b"data")
    assert (plain.proto, bytes(plain.payload), plain.last_at, plain.extensions) == (ipv6.UDP, b"data", 6, b"")
    hop = ipv6.pack_options(ipv6.ROUTING, b"")
    route = bytes((ipv6.DESTINATION, 0, 0, 0)) + bytes(4)
    options = ipv6.pack_options(ipv6.UDP, b"\x1e\x0c" + bytes(12))  # unknown, to be passed over
    chain = packet6(ipv6.HOP_BY_HOP, hop + route + options + b"data")
    assert (chain.proto, bytes(chain.payload), chain.problem) == (ipv6.UDP, b"data", None)
    assert chain.extensions == hop + route + options and chain.last_at == 40 + 16


def test_extension_headers_that_are_answered() -> None:
    def problem(next_header: int, payload: bytes) -> ipv6.Problem | None:
        return packet6(next_header, payload).problem

    assert problem(ipv6.DESTINATION, ipv6.pack_options(17, b"\x80\0")) == (ipv6.UNKNOWN_OPTION, 42, True)
    assert problem(ipv6.DESTINATION, ipv6.pack_options(17, b"\0\xc0\0")) == (ipv6.UNKNOWN_OPTION, 43, False)
    with pytest.raises(BadPacket):
        packet6(ipv6.DESTINATION, ipv6.pack_options(17, b"\x40\0"))
    route = bytes((17, 0, 9, 1)) + bytes(4)
    assert problem(ipv6.ROUTING, route) == (ipv6.BAD_FIELD, 42, False)
    late = ipv6.pack_options(ipv6.HOP_BY_HOP, b"") + ipv6.pack_options(17, b"")
    assert problem(ipv6.DESTINATION, late) == (ipv6.UNKNOWN_NEXT, 40, False)


def test_fragments_of_ipv6() -> None:
    hop = ipv6.pack_options(ipv6.FRAGMENTS, b"")
    chain = packet6(ipv6.HOP_BY_HOP, hop + ipv6.pack_fragment(17, 8, True, 77) + bytes(8))
    assert chain.fragment is not None and chain.fragment[:6] == (17, 8, True, 77, 48, 40)
    atomic = packet6(ipv6.FRAGMENTS, ipv6.pack_fragment(17, 0, False, 77) + b"data")
    assert atomic.fragment is None and (atomic.proto, bytes(atomic.payload)) == (17, b"data")
    for bad in (
        ipv6.pack_fragment(17, 0, True, 1) + bytes(7),
        ipv6.pack_fragment(17, 0xFFF8, False, 1) + bytes(8),
        ipv6.pack_fragment(17, 8, True, 1),
        b"\x11\0\0",
    ):
        with pytest.raises(BadPacket):
            packet6(ipv6.FRAGMENTS, bad)


def test_extension_headers_are_bounded() -> None:
    one = ipv6.pack_options(ipv6.DESTINATION, b"")
    with pytest.raises(BadPacket):
        packet6(ipv6.DESTINATION, one * 100)
    with pytest.raises(BadPacket):
        packet6(ipv6.DESTINATION, ipv6.pack_options(17, b"\x1e\0" * 100))
    with pytest.raises(BadPacket):
        packet6(ipv6.DESTINATION, bytes((17, 1)) + bytes(6))


def test_ipv6_headers() -> None:
    header = ipv6.pack_header(A6, B6, 17, 4, 3, 0xAB, 0x12345)
    packet = ipv6.parse(memoryview(header + b"datamore"))
    assert packet == (0xAB, 0x12345, 4, 17, 3, A6, B6, memoryview(b"data"))
    group = ipv6.pack_header(ipv6.ALL_NODES, B6, 17, 0)
    for bad in (header, header[:39], b"\x40" + header[1:] + b"data", group):
        with pytest.raises(BadPacket):
            ipv6.parse(memoryview(bad))


def read6(message: tuple[int, int, bytes]) -> icmp6.Icmp6:
    kind, rest, payload = message
    return icmp6.Icmp6(kind, 0, rest, memoryview(payload))


def test_router_advertisement() -> None:
    prefixes = (
        ndp.Prefix(A6[:8] + bytes(8), 64, True, True, ndp.FOREVER_S, 600),
        ndp.Prefix(B6[:8] + bytes(8), 48, False, False, 10, 10),
    )
    said = ndp.RouterAdvertisement(64, True, False, 1800, 1000, 2000, b"router", 1400, prefixes)
    kind, rest, payload = ndp.pack(said)
    assert ndp.parse(read6((kind, rest, payload))) == said
    rdnss = struct.pack("!BBHI", 25, 3, 0, 600) + A6
    assert ndp.parse(read6((kind, rest, payload + rdnss))) == said, "other options are passed over"
    wrong = ndp.Prefix(A6, 129, True, True, 1, 1), ndp.Prefix(A6, 64, True, True, 1, 2)
    read = ndp.parse(read6(ndp.pack(said._replace(prefixes=wrong))))
    assert isinstance(read, ndp.RouterAdvertisement) and read.prefixes == ()
    read = ndp.parse(read6(ndp.pack(said._replace(prefixes=prefixes * 100))))
    assert isinstance(read, ndp.RouterAdvertisement) and len(read.prefixes) == ndp.MAX_PREFIXES
    with pytest.raises(BadPacket):
        ndp.parse(read6((kind, rest, payload + b"\x01\x00" + bytes(6))))


def test_redirect() -> None:
    said = ndp.Redirect(A6, B6, b"target", b"q" * 16)
    assert ndp.parse(read6(ndp.pack(said))) == said
    for bad in (A6, A6 + ipv6.ALL_NODES, ipv6.ALL_NODES + A6):
        with pytest.raises(BadPacket):
            ndp.parse(read6((icmp6.REDIRECT, 0, bad)))


def test_igmp() -> None:
    group = bytes((239, 0, 0, 1))
    assert igmp.parse(memoryview(igmp.pack_report(2, group))) == igmp.Report(2, group)
    assert igmp.parse(memoryview(igmp.pack_report(1, group))) == igmp.Report(1, group)
    assert igmp.parse(memoryview(igmp.pack_leave(group))) == igmp.Leave(group)
    for query in (
        igmp.Query(1, bytes(4), 10_000),
        igmp.Query(2, group, 500),
        igmp.Query(3, group, 1000, (A4, B4), 2, 125, True),
    ):
        assert igmp.parse(memoryview(igmp.pack_query(query))) == query
    records = (igmp.Record(igmp.TO_INCLUDE, group, (A4,)), igmp.Record(igmp.BLOCK, group, (A4, B4)))
    report = igmp.pack_report3(records)
    assert igmp.parse(memoryview(report)) == igmp.Report3(records)
    for bad in (igmp.pack_report(2, A4), igmp.pack_leave(bytes(4)), igmp.pack_query(igmp.Query(2, A4, 1)), report[:-1]):
        with pytest.raises(BadPacket):
            igmp.parse(memoryview(bad))


def test_times_of_queries() -> None:
    assert [igmp.expand(code) for code in (0, 127, 0x80, 0xFF)] == [0, 127, 128, 31 << 10]
    assert [igmp.expand(code, 16) for code in (0x7FFF, 0x8000, 0xFFFF)] == [0x7FFF, 0x8000, 0x1FFF << 10]


def test_mld() -> None:
    group = bytes.fromhex("ff05" + "00" * 12 + "0001")
    assert mld.parse(read6(mld.pack_report(group))) == mld.Report(group)
    assert mld.parse(read6(mld.pack_done(group))) == mld.Done(group)
    for query in (igmp.Query(1, bytes(16), 10_000), igmp.Query(2, group, 1000, (A6, B6), 2, 125, True)):
        assert mld.parse(read6(mld.pack_query(query))) == query
    records = (igmp.Record(igmp.TO_INCLUDE, group, (A6,)), igmp.Record(igmp.BLOCK, group))
    kind, rest, payload = mld.pack_report2(records)
    assert mld.parse(read6((kind, rest, payload))) == igmp.Report3(records)
    for bad in ((kind, rest + 1, payload), (kind, rest, payload[:-1]), mld.pack_report(A6), (kind, 0xFFFF, payload)):
        with pytest.raises(BadPacket):
            mld.parse(read6(bad))


def test_virtio_headers() -> None:
    tcp4 = Offload(34, 16, 1448, False, 66)
    for offload in (tcp4, tcp4._replace(gso_v6=True), Offload(34, 16)):
        assert vnet.parse(vnet.pack(offload), 3000) == (offload, True)
    assert vnet.pack(NO_OFFLOAD) == bytes(10) and vnet.parse(bytes(10), 60) == (NO_OFFLOAD, False)
    assert vnet.parse(vnet.HEADER.pack(vnet.DATA_VALID, 0, 0, 0, 0, 0), 60) == (NO_OFFLOAD, True)
    assert vnet.parse(vnet.HEADER.pack(1, vnet.GSO_TCPV4 | vnet.GSO_ECN, 66, 1448, 34, 16), 3000) == (tcp4, True)
    for fields in (
        (1, 0, 0, 0, 34, 30),  # beyond a frame of 60 bytes
        (1, 0, 0, 0, 4, 0),  # within the Ethernet header
        (1, vnet.GSO_UDP, 42, 1448, 34, 6),
        (1, vnet.GSO_TCPV4, 54, 0, 34, 16),
        (1, vnet.GSO_TCPV4, 61, 100, 34, 16),
    ):
        with pytest.raises(BadPacket):
            vnet.parse(vnet.HEADER.pack(*fields), 60)
