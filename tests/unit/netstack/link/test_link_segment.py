"""netstack.link.segment: large segments cut and sums finished, read back by netstack.wire."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netstack.link.segment import Segmenting, complete, frames
from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum, ether, ipv4, ipv6, tcp, udp
from tests.unit.netstack.wire.everything import read
from tests.unit.netstack.wire.recorded import ALL, FINISHED, OPEN_SUMS

A4, B4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
A6, B6 = bytes.fromhex("fd00" + "00" * 13 + "01"), bytes.fromhex("fd00" + "00" * 13 + "02")
DATA = bytes(range(256)) * 40
LINK = ether.pack_header(b"target", b"source", ether.IP4)
LINK6 = ether.pack_header(b"target", b"source", ether.IP6)
FLAGS = tcp.ACK | tcp.PSH | tcp.FIN | tcp.CWR


def large(v6: bool, options: bytes, link: bool = True) -> tuple[list[bytes], Offload]:
    length = 20 + len(options) + len(DATA)
    src, dst = (A6, B6) if v6 else (A4, B4)
    pseudo = checksum.pseudo(src, dst, 6, length)
    head = tcp.pack_header(1, 2, 0xFFFFF000, 7, FLAGS, 8, pseudo, options)
    if v6:
        ip, ethernet = ipv6.pack_header(src, dst, 6, length), LINK6
    else:
        ip, ethernet = ipv4.pack_header(src, dst, 6, length, ident=0xFFFE, flags=ipv4.DF), LINK
    first = (ethernet if link else b"") + ip
    return [first, head, DATA], Offload(len(first), 16, 1000, v6, len(first) + len(head))


@pytest.mark.parametrize("options", [b"", tcp.pack_options(tcp.Options(timestamps=(1, 2)))])
@pytest.mark.parametrize("v6", [False, True])
def test_segments(v6: bool, options: bytes) -> None:
    parts, offload = large(v6, options)
    cut = list(frames(parts, offload))
    assert len(cut) == -(-len(DATA) // 1000)
    seen = b""
    for at, frame in enumerate(cut):
        segment = read(frame)  # with all sums
        assert isinstance(segment, tcp.Segment)
        assert segment.seq == (0xFFFFF000 + len(seen)) & 0xFFFFFFFF and segment.ack == 7
        last = at == len(cut) - 1
        expected = tcp.ACK | (tcp.PSH | tcp.FIN if last else 0) | (0 if at else tcp.CWR)
        assert segment.flags == expected and segment.options == tcp.parse_options(options)
        assert len(segment.payload) == 1000 or last
        seen += segment.payload
        if not v6:
            packet = ipv4.parse(memoryview(frame)[14:])
            assert packet.ident == (0xFFFE + at) & 0xFFFF and packet.dont_fragment
    assert seen == DATA


def test_without_a_link_header() -> None:
    parts, offload = large(False, b"", link=False)
    with_link, _ = large(False, b"")
    plain = list(frames(parts, offload, link_len=0))
    assert [LINK + frame for frame in plain] == list(
        frames(with_link, offload._replace(csum_start=34, hdr_len=offload.hdr_len + 14))
    )


def test_a_segment_that_fits_is_left_whole() -> None:
    parts, offload = large(False, b"")
    whole = list(frames(parts, offload._replace(gso_size=len(DATA))))
    assert len(whole) == 1 and isinstance(read(whole[0]), tcp.Segment)
    assert whole == list(frames(parts, offload._replace(gso_size=0)))


def test_sums_of_linux_are_finished() -> None:
    for name, (start, offset) in OPEN_SUMS.items():
        assert complete(ALL[name], Offload(start, offset)) == FINISHED[name]
    assert complete(ALL["PING"], NO_OFFLOAD) is ALL["PING"]


def test_a_sum_of_zero_is_sent_as_its_other_form() -> None:
    pseudo = checksum.pseudo4(A4, B4, 17, 0)
    missing = udp.pack(1, 2, b"\0\0", pseudo)[6:8]
    data = udp.pack_header(1, 2, 2, pseudo) + missing
    assert complete(data, Offload(0, 6)) == data, "no checksum asked for"
    assert complete(b"\0\0" + data, Offload(2, 6))[8:10] == b"\xff\xff"


class Wire:
    gso = checksum = False

    def __init__(self, room: int) -> None:
        self.sent: list[bytes] = []
        self.room = room

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        assert offload == NO_OFFLOAD
        if len(self.sent) >= self.room:
            return False
        self.sent.append(b"".join(parts))
        return True


def test_wrapper() -> None:
    parts, offload = large(False, b"")
    wire = Wire(100)
    link = Segmenting(wire)
    assert link.gso and link.checksum
    assert link.send(parts, offload) and wire.sent == list(frames(parts, offload))
    assert link.send([b"plain", b" frame"], NO_OFFLOAD) and wire.sent[-1] == b"plain frame"
    assert not Segmenting(Wire(3)).send(parts, offload), "a part was dropped"
