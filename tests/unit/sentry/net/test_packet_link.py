"""The link on a packet socket, with a socket pair in its place that keeps messages apart as well (packet(7))."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from netstack.iface import Interface
from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum, ether, ipv4, ipv6, udp, vnet
from sentry.net import packet_link
from sentry.net.packet_link import PacketLink
from sentry.wait import IN, OUT


class Loop:
    """In place of the kernel: who watches what."""

    def __init__(self) -> None:
        self.watched: dict[int, tuple[int, Callable[[int], None]]] = {}
        self.said: list[str] = []
        self.late: list[Callable[[], None]] = []

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.watched[fd] = events, callback

    def unwatch(self, fd: int) -> None:
        del self.watched[fd]

    def when_quiet(self, callback: Callable[[], None]) -> None:
        self.late.append(callback)

    def log(self, text: str) -> None:
        self.said.append(text)


class Stack:
    """In place of namespace and stack: what was received."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, bool, int]] = []

    def enter(self) -> Stack:
        return self

    def receive(self, iface: Interface, frame: bytes | memoryview, checked: bool = False, gso_size: int = 0) -> None:
        self.received.append((bytes(frame), checked, gso_size))


class Bench:
    def __init__(self) -> None:
        self.far, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        self.far.setblocking(False)
        self.fd = near.detach()
        self.loop, self.stack = Loop(), Stack()
        self.link = PacketLink(cast("Any", self.loop), cast("Any", self.stack), self.fd)
        self.link.iface = Interface(2, b"eth0", "ether", self.link, b"\x02" + bytes(5), 1500, 0)
        self.link.open()

    def ready(self, events: int) -> None:
        self.loop.watched[self.fd][1](events)

    def arrives(self, header: bytes, frame: bytes) -> list[tuple[bytes, bool, int]]:
        self.far.send(header + frame)
        self.ready(IN)
        return self.stack.received


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.link.close()
    made.far.close()


FRAME = bytes(range(64))


def test_send_is_one_message_with_a_header(bench: Bench) -> None:
    assert bench.link.send((FRAME[:14], memoryview(FRAME)[14:]), NO_OFFLOAD)
    assert bench.far.recv(9999) == bytes(10) + FRAME
    assert bench.link.send((FRAME,), Offload(34, 16, 1448, True, 54))
    assert bench.far.recv(9999)[:10] == vnet.HEADER.pack(vnet.NEEDS_CSUM, vnet.GSO_TCPV6, 54, 1448, 34, 16)


def test_receive(bench: Bench) -> None:
    assert bench.arrives(vnet.PLAIN, FRAME) == [(FRAME, False, 0)]


@pytest.mark.parametrize("flags", [vnet.NEEDS_CSUM, vnet.DATA_VALID])
def test_a_checksum_that_is_known_to_be_right(bench: Bench, flags: int) -> None:
    assert bench.arrives(vnet.HEADER.pack(flags, 0, 0, 0, 34, 16), FRAME) == [(FRAME, True, 0)]


@pytest.mark.parametrize("kind", [vnet.GSO_TCPV4, vnet.GSO_TCPV6, vnet.GSO_TCPV4 | vnet.GSO_ECN])
def test_large_segments(bench: Bench, kind: int) -> None:
    frame = FRAME * 1000
    assert bench.arrives(vnet.HEADER.pack(1, kind, 54, 1448, 34, 16), frame) == [(frame, True, 1448)]


def test_a_round_is_bounded_and_the_rest_comes_later(bench: Bench) -> None:
    for number in range(packet_link.ROUND_FRAMES + 3):
        try:
            bench.far.send(vnet.PLAIN + bytes((number,)))
        except BlockingIOError:
            pytest.skip("short socket buffers")
    bench.ready(IN)
    assert len(bench.stack.received) == packet_link.ROUND_FRAMES
    assert bench.loop.watched[bench.fd][0] == 0  # guests' calls come first
    bench.loop.late.pop()()
    assert bench.loop.watched[bench.fd][0] == IN and not bench.loop.late
    assert [frame for frame, _, _ in bench.stack.received[-3:]] == [bytes((packet_link.ROUND_FRAMES + n,))
                                                                    for n in range(3)]  # fmt: skip


@pytest.mark.parametrize("text", [b"x", bytes(9), bytes(10), vnet.HEADER.pack(1, 1, 54, 1448, 65535, 65535),
                                  vnet.HEADER.pack(1, vnet.GSO_UDP_L4, 42, 0, 34, 6) + FRAME,
                                  vnet.HEADER.pack(1, vnet.GSO_UDP_L4, 42, 9, 65535, 6) + FRAME,
                                  vnet.HEADER.pack(255, 255, 0, 1, 0, 0) + FRAME])  # fmt: skip
def test_nonsense_raises_nothing(bench: Bench, text: bytes) -> None:
    bench.far.send(text)
    bench.ready(IN)


def test_full(bench: Bench) -> None:
    """What the host has no room for waits, in order, up to a bound; the loop asks for POLLOUT only meanwhile."""
    sent = 0
    while len(bench.link._queue) < 5:
        assert bench.link.send((sent.to_bytes(4, "big"), bytes(4000)), NO_OFFLOAD)
        sent += 1
    assert bench.loop.watched[bench.fd][0] == IN | OUT
    seen: list[int] = []
    while len(seen) < sent:
        try:
            seen.append(int.from_bytes(bench.far.recv(9999)[10:14], "big"))
        except BlockingIOError:
            bench.ready(OUT)
    bench.ready(OUT)
    assert seen == list(range(sent))
    assert bench.loop.watched[bench.fd][0] == IN
    assert not bench.link._queue and not bench.link._bytes


def test_the_queue_has_an_end(bench: Bench) -> None:
    big = bytes(60000)
    results = [bench.link.send((big,), NO_OFFLOAD) for _ in range(packet_link.QUEUE_BYTES // len(big) + 100)]
    assert results[0] and not results[-1]
    assert bench.link._bytes <= packet_link.QUEUE_BYTES


def test_gone(bench: Bench) -> None:
    bench.far.close()
    assert not bench.link.send((FRAME,), NO_OFFLOAD)
    bench.ready(IN)
    bench.link.close()
    assert bench.loop.watched == {}
    assert not bench.link.send((FRAME,), NO_OFFLOAD)


def udp_frame(version: int, data: bytes) -> bytes:
    length = 8 + len(data)
    head = (5353).to_bytes(2, "big") + (80).to_bytes(2, "big") + length.to_bytes(2, "big") + b"\xab\xcd"
    if version == 4:
        ip = bytes((0x45, 0)) + (20 + length).to_bytes(2, "big") + b"\xff\xff\x40\0\x40\x11\0\0" + bytes((10, 0, 0, 1))
        ip += bytes((10, 0, 0, 2))
        ip = ip[:10] + checksum.checksum(ip).to_bytes(2, "big") + ip[12:]
        return bytes(12) + b"\x08\0" + ip + head + data
    ip = b"\x60\0\0\0" + length.to_bytes(2, "big") + b"\x11\x40" + bytes(15) + b"\1" + bytes(15) + b"\2"
    return bytes(12) + b"\x86\xdd" + ip + head + data


@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_left_to_be_cut(bench: Bench, version: int) -> None:
    """UDP_SEGMENT on the other side: it arrives in one piece and is as many datagrams as were meant."""
    data = os.urandom(2500)
    start = 34 if version == 4 else 54
    header = vnet.HEADER.pack(vnet.NEEDS_CSUM, vnet.GSO_UDP_L4, start + 8, 1000, start, 6)
    received = bench.arrives(header, udp_frame(version, data))
    assert [(checked, size) for _, checked, size in received] == [(True, 0)] * 3
    found = []
    for frame, _, _ in received:
        payload = ether.parse(memoryview(frame)).payload
        if version == 4:
            packet = ipv4.parse(payload)
            assert checksum.checksum(payload[:20]) == 0
            found.append(udp.parse(packet.payload))
        else:
            found.append(udp.parse(ipv6.parse(payload).payload))
    assert [bytes(datagram.payload) for datagram in found] == [data[:1000], data[1000:2000], data[2000:]]
    assert {(datagram.sport, datagram.dport) for datagram in found} == {(5353, 80)}
