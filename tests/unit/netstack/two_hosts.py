"""Two stacks on one wire, and a clock that jumps: what the tests of netstack put packets through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from netstack.iface import Address, Interface
from netstack.link import pair
from netstack.packet import Packet
from netstack.stack import Stack
from netstack.wire import ether, ipv4, ipv6

SECOND_NS = 10**9
MACS = (b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02")
IP = (b"\x0a\0\0\x01", b"\x0a\0\0\x02")
IP6 = (b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02")


def chance(seed: int) -> Callable[[int], bytes]:
    """Bytes that look random and are the same each time."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(b"%d.%d" % (seed, count)).digest(size)

    return random


class Host:
    """A stack with one interface, eth0, at an end of a wire; `frames` are those that it sent."""

    def __init__(self, number: int, end: pair.End, addresses: bool = True, mtu: int = 1500) -> None:
        self.stack = Stack(chance(number), lambda: None)
        self.end = end
        self.iface: Interface = self.stack.add_interface(b"eth0", end, MACS[number], mtu)
        self.ip, self.ip6 = IP[number], IP6[number]
        self.frames: list[bytes] = []
        self.got: list[Packet] = []
        end.receive = partial(self.stack.receive, self.iface)
        self.stack.taps.append(self._tap)
        if addresses:
            self.stack.settings.ipv6_dad_transmits = 0
            self.stack.settings.ipv6_router_solicitations = 0
            self.stack.add_address(self.iface, Address(self.ip, 24))
        self.stack.set_up(self.iface, True)
        if addresses:
            self.stack.add_address(self.iface, Address(self.ip6, 64))

    def _tap(self, iface: Interface, frame: bytes | memoryview, outgoing: bool) -> None:
        if outgoing and iface is self.iface:
            self.frames.append(bytes(frame))

    def listen(self, proto: int) -> list[Packet]:
        self.stack.register(proto, self.got.append)
        return self.got


class Wire:
    """Two hosts; `run` lets time pass and carries everything both ways."""

    def __init__(self, gso: bool = True, offload: bool = True, addresses: bool = True, mtu: int = 1500) -> None:
        ends = pair.pair(gso, offload)
        self.now_ns = 1000 * SECOND_NS
        self.a = Host(0, ends[0], addresses, mtu)
        self.b = Host(1, ends[1], addresses, mtu)
        self.hosts = (self.a, self.b)
        self.settle()

    def settle(self) -> None:
        """Carry what is under way, until nothing is; time stands still."""
        for _ in range(1000):
            for host in self.hosts:
                host.stack.now_ns = self.now_ns
                host.end.drain()
                host.stack.advance(self.now_ns)
            if not any(host.end.waiting or host.stack.waiting for host in self.hosts):
                return
        raise AssertionError("it never ends")

    def run(self, seconds: float) -> None:
        """Jump from deadline to deadline."""
        end_ns = self.now_ns + int(seconds * SECOND_NS)
        while True:
            self.settle()
            due = [host.stack.next_ns() for host in self.hosts if host.stack.next_ns() >= 0]
            if not due or min(due) > end_ns:
                break
            self.now_ns = max(min(due), self.now_ns)
        self.now_ns = end_ns
        self.settle()


def frame4(
    host: Host, src: bytes, dst: bytes, proto: int, payload: bytes, *, mac: bytes = b"", options: bytes = b"",
    **head: int,
) -> bytes:  # fmt: skip
    """An IPv4 packet in a frame to `host`, of anybody's making."""
    header = ipv4.pack_header(src, dst, proto, len(payload), options=options, **head)
    return ether.pack_header(mac or host.iface.mac, MACS[1], ether.IP4) + header + payload


def frame6(
    host: Host, src: bytes, dst: bytes, proto: int, payload: bytes, *, mac: bytes = b"", hop_limit: int = 64
) -> bytes:
    if not mac:
        mac = ether.multicast_mac(dst) if dst[0] == 0xFF else host.iface.mac
    header = ipv6.pack_header(src, dst, proto, len(payload), hop_limit)
    return ether.pack_header(mac, MACS[1], ether.IP6) + header + payload
