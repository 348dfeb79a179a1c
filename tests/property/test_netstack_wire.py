"""netstack.wire for any values: what is packed is read again, sums are those of adding words, cuts are refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import BadPacket
from netstack.wire import arp, checksum, ether, icmp, icmp6, igmp, ipv4, ipv6, mld, ndp, tcp, udp, vnet
from tests.unit.netstack.wire.everything import read, transport
from tests.unit.netstack.wire.recorded import FINISHED

settings.register_profile("wire", deadline=None, max_examples=200, derandomize=True)
settings.load_profile("wire")


def size(n: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=n, max_size=n)


def number(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


mac, four, data = size(6), size(4), st.binary(max_size=200)
unicast6 = size(16).filter(lambda address: address[0] != 0xFF)
group4 = size(4).map(lambda address: bytes((0xE0 | address[0] & 15,)) + address[1:])
group6 = size(16).map(lambda address: b"\xff" + address[1:])
addresses = st.one_of(st.tuples(four, four), st.tuples(unicast6, unicast6))


def add_words(content: bytes, start: int) -> int:
    """RFC 1071, literally."""
    total = start
    for at in range(0, len(content), 2):
        word = content[at : at + 2].ljust(2, b"\0")
        total += word[0] << 8 | word[1]
        total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


@given(data, number(16))
def test_sums(content: bytes, start: int) -> None:
    assert checksum.partial(content, start) == add_words(content, start)
    assert checksum.partial(memoryview(content), start) == add_words(content, start)


@given(addresses, number(8), number(16), data)
def test_pseudo_headers(pair: tuple[bytes, bytes], proto: int, length: int, content: bytes) -> None:
    src, dst = pair
    if len(src) == 4:
        whole, made = src + dst + bytes((0, proto)) + length.to_bytes(2, "big"), checksum.pseudo4
    else:
        whole, made = src + dst + length.to_bytes(4, "big") + bytes((0, 0, 0, proto)), checksum.pseudo6
    assert made(src, dst, proto, length) % 0xFFFF == add_words(whole, 0) % 0xFFFF
    kept = made(src, dst, proto, 0)
    assert checksum.partial(content, kept + length) % 0xFFFF == add_words(whole + content, 0) % 0xFFFF
    assert checksum.pseudo(src, dst, proto, length) == made(src, dst, proto, length)


@given(mac, mac, st.integers(0x0600, 0xFFFF).filter(lambda kind: kind != ether.VLAN), data)
def test_ether(dst: bytes, src: bytes, kind: int, content: bytes) -> None:
    frame = ether.parse(memoryview(ether.pack_header(dst, src, kind) + content))
    assert frame == (dst, src, kind, memoryview(content), -1)


@given(st.sampled_from((1, 2)), mac, four, mac, four, data)
def test_arp(operation: int, sender_mac: bytes, sender: bytes, target_mac: bytes, target: bytes, pad: bytes) -> None:
    packet = arp.Arp(operation, sender_mac, sender, target_mac, target)
    assert arp.parse(memoryview(arp.pack(packet) + pad)) == packet


@given(
    four, four, number(8), data, number(8), number(8), number(16), st.booleans(),
    st.integers(0, 10).map(lambda words: b"\x01" * words * 4), data,
)  # fmt: skip
def test_ipv4(
    src: bytes, dst: bytes, proto: int, content: bytes, ttl: int, tos: int, ident: int, whole: bool, options: bytes,
    pad: bytes,
) -> None:  # fmt: skip
    header = ipv4.pack_header(src, dst, proto, len(content), ttl, tos, ident, whole * ipv4.DF, 0, options)
    assert checksum.checksum(header) == 0
    assert ipv4.parse(memoryview(header + content + pad)) == ipv4.Ipv4(
        tos, len(header + content), ident, whole, False, 0, ttl, proto, src, dst, options, memoryview(content)
    )


@given(unicast6, size(16), number(8), data, number(8), number(8), number(20), data)
def test_ipv6(
    src: bytes, dst: bytes, kind: int, content: bytes, hop_limit: int, tos: int, flow: int, pad: bytes
) -> None:
    packet = ipv6.pack_header(src, dst, kind, len(content), hop_limit, tos, flow) + content + pad
    assert ipv6.parse(memoryview(packet)) == ipv6.Ipv6(
        tos, flow, len(content), kind, hop_limit, src, dst, memoryview(content)
    )


@given(st.lists(st.binary(max_size=40), max_size=8), data)
def test_extension_headers(options: list[bytes], content: bytes) -> None:
    """Destination options of an unknown kind that is to be passed over, in any number of headers."""
    extensions = b""
    for at, option in enumerate(options):
        after = ipv6.UDP if at == len(options) - 1 else ipv6.DESTINATION
        extensions += ipv6.pack_options(after, bytes((0x1E, len(option))) + option)
    first = ipv6.DESTINATION if options else ipv6.UDP
    packet = ipv6.pack_header(bytes(16), bytes(16), first, len(extensions + content)) + extensions + content
    chain = ipv6.walk(ipv6.parse(memoryview(packet)))
    assert (chain.proto, bytes(chain.payload), chain.extensions) == (ipv6.UDP, content, extensions)
    assert packet[chain.last_at] == ipv6.UDP


@given(addresses, number(16), number(16), data)
def test_udp(pair: tuple[bytes, bytes], sport: int, dport: int, content: bytes) -> None:
    pseudo = checksum.pseudo(*pair, 17, 0)
    packed = udp.pack(sport, dport, content, pseudo)
    assert udp.parse(memoryview(packed + b"pad"), pseudo, len(pair[0]) == 16) == udp.Udp(
        sport, dport, memoryview(content)
    )
    open_sum = udp.pack_header(sport, dport, len(content), pseudo)
    finished = checksum.checksum(open_sum + content) or 0xFFFF
    assert open_sum[:6] + finished.to_bytes(2, "big") + content == packed


word = number(32)
syn_options = st.builds(
    tcp.Options, st.none() | number(16), st.none() | st.integers(0, 14), st.booleans(), st.just(()),
    st.none() | st.tuples(word, word), st.none() | st.sampled_from((0, 4, 8)).flatmap(size),
)  # fmt: skip
data_options = st.builds(
    lambda sack, timestamps: tcp.Options(sack=tuple(sack), timestamps=timestamps),
    st.lists(st.tuples(word, word), max_size=3), st.none() | st.tuples(word, word),
)  # fmt: skip


@given(
    addresses, number(16), number(16), word, word, number(8), number(16), syn_options | data_options, data, number(16)
)
def test_tcp(
    pair: tuple[bytes, bytes], sport: int, dport: int, seq: int, ack: int, flags: int, window: int,
    options: tcp.Options, content: bytes, urgent: int,
) -> None:  # fmt: skip
    packed_options = tcp.pack_options(options)
    if len(packed_options) > tcp.MAX_OPTIONS_LEN:
        return
    pseudo = checksum.pseudo(*pair, 6, 0)
    packed = tcp.pack(sport, dport, seq, ack, flags, window, pseudo, packed_options, content, urgent)
    segment = tcp.parse(memoryview(packed), pseudo)
    assert [getattr(segment, name) for name in ("sport", "dport", "seq", "ack", "flags", "window", "urgent")] == [
        sport, dport, seq, ack, flags, window, urgent,
    ]  # fmt: skip
    assert segment.options == options and segment.payload == content


@given(number(8), number(8), word, data, unicast6, size(16))
def test_icmp(kind: int, code: int, rest: int, content: bytes, src: bytes, dst: bytes) -> None:
    assert icmp.parse(memoryview(icmp.pack(kind, code, rest, content))) == icmp.Icmp(
        kind, code, rest, memoryview(content)
    )
    packed = icmp6.pack(kind, code, rest, content, src, dst)
    assert icmp6.parse(memoryview(packed), checksum.pseudo6(src, dst, 58, 0)) == icmp6.Icmp6(
        kind, code, rest, memoryview(content)
    )


link = st.none() | mac
prefix = st.builds(
    lambda address, length, on_link, autonomous, preferred, more: ndp.Prefix(
        address, length, on_link, autonomous, min(preferred + more, ndp.FOREVER_S), preferred
    ),
    size(16), st.integers(0, 128), st.booleans(), st.booleans(), word, word,
)  # fmt: skip
discovery = st.one_of(
    st.builds(ndp.NeighborSolicitation, unicast6, link, st.none() | size(6)),
    st.builds(ndp.NeighborAdvertisement, unicast6, st.booleans(), st.booleans(), st.booleans(), link),
    st.builds(ndp.RouterSolicitation, link),
    st.builds(
        ndp.RouterAdvertisement, number(8), st.booleans(), st.booleans(), number(16), word, word, link, word,
        st.lists(prefix, max_size=5).map(tuple),
    ),
    st.builds(ndp.Redirect, unicast6, unicast6, link, st.integers(0, 20).flatmap(lambda words: size(words * 8))),
)  # fmt: skip


@given(discovery)
def test_neighbor_discovery(said: ndp.Message) -> None:
    kind, rest, payload = ndp.pack(said)
    assert ndp.parse(icmp6.Icmp6(kind, 0, rest, memoryview(payload))) == said


def records(group: st.SearchStrategy[bytes], source: st.SearchStrategy[bytes]) -> Any:
    one = st.builds(igmp.Record, st.integers(1, 6), group, st.lists(source, max_size=4).map(tuple))
    return st.lists(one, max_size=6).map(tuple)


@given(records(group4, four))
def test_igmp_reports(said: tuple[igmp.Record, ...]) -> None:
    assert igmp.parse(memoryview(igmp.pack_report3(said))) == igmp.Report3(said)


@given(records(group6, size(16)))
def test_mld_reports(said: tuple[igmp.Record, ...]) -> None:
    kind, rest, payload = mld.pack_report2(said)
    assert mld.parse(icmp6.Icmp6(kind, 0, rest, memoryview(payload))) == igmp.Report3(said)


@given(st.sampled_from(sorted(FINISHED)), st.data())
def test_cut_frames(name: str, draw: st.DataObject) -> None:
    """A frame that ends early is never read as if it were whole."""
    frame = FINISHED[name]
    end = draw.draw(st.integers(0, len(frame) - 1))
    try:
        read(frame[:end])
    except BadPacket:
        return
    raise AssertionError(f"{name} cut to {end} of {len(frame)} bytes was read")


@given(st.binary(max_size=120))
def test_garbage(content: bytes) -> None:
    """Every parser, on its own, sums left unchecked so that it comes to the fields."""
    view = memoryview(content)
    for proto in (1, 2, 6, 17, 58):
        with suppress(BadPacket):
            transport(bytes(16), bytes(16), proto, view, checked=True)
    parsers: list[Callable[[memoryview], object]] = [
        ether.parse, ipv4.parse, ipv6.parse, arp.parse, icmp.quoted, icmp6.quoted,
    ]  # fmt: skip
    for parse in parsers:
        with suppress(BadPacket):
            parse(view)
    with suppress(BadPacket):
        tcp.parse_options(content)
    for kind in range(130, 144):
        with suppress(BadPacket):
            ndp.parse(icmp6.Icmp6(kind, 0, len(content), view))
        with suppress(BadPacket):
            mld.parse(icmp6.Icmp6(kind, 0, len(content), view))
    for first in (0, 43, 44, 60):
        with suppress(BadPacket):
            ipv6.walk(ipv6.Ipv6(0, 0, len(content), first, 64, bytes(16), bytes(16), view))
    with suppress(BadPacket):
        list(ipv4.split_options(content))
    with suppress(BadPacket):
        vnet.parse(content[:10].ljust(10, b"\0"), len(content))
