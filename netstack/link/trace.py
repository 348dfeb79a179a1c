"""Frames as lines of text, about as tcpdump(8) writes them, and a device that writes a line for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netstack.errors import BadPacket
from netstack.link.base import Link
from netstack.packet import Offload
from netstack.wire import arp, ether, icmp, icmp6, igmp, ipv4, ipv6, mld, ndp, tcp, udp

_FLAGS = "FSRP.UEW"


def address(value: bytes) -> str:
    """An IPv4 or IPv6 address as inet_ntop(3) writes it (RFC 5952), or a MAC."""
    if len(value) == 4:
        return ".".join(map(str, value))
    if len(value) != 16:
        return ":".join(f"{byte:02x}" for byte in value)
    groups = [value[at] << 8 | value[at + 1] for at in range(0, 16, 2)]
    best_at, best = 0, 1  # the longest run of zeros, and no run of one
    at = 0
    while at < 8:
        end = at
        while end < 8 and not groups[end]:
            end += 1
        if end - at > best:
            best_at, best = at, end - at
        at = end + 1
    if best == 1:
        return ":".join(f"{group:x}" for group in groups)
    head = ":".join(f"{group:x}" for group in groups[:best_at])
    return head + "::" + ":".join(f"{group:x}" for group in groups[best_at + best :])


def describe(frame: bytes | memoryview) -> str:
    """One line for an Ethernet frame; what cannot be read is said to be bad. Transport checksums are not looked at."""
    try:
        packet = ether.parse(memoryview(frame))
        if packet.kind == ether.IP4:
            return _ip4(packet.payload)
        if packet.kind == ether.IP6:
            return _ip6(packet.payload)
        if packet.kind == ether.ARP:
            return _arp(arp.parse(packet.payload))
    except BadPacket as bad:
        return f"bad frame of {len(frame)} bytes: {bad.what} {bad.value}"
    return f"{address(packet.src)} > {address(packet.dst)} type {packet.kind:#06x} length {len(packet.payload)}"


def _arp(packet: arp.Arp) -> str:
    if packet.operation == arp.REQUEST:
        return f"ARP who has {address(packet.target)} tell {address(packet.sender)}"
    return f"ARP {address(packet.sender)} is at {address(packet.sender_mac)}"


def _ip4(data: memoryview) -> str:
    packet = ipv4.parse(data)
    who = f"IP {address(packet.src)}", address(packet.dst)
    if packet.is_fragment:
        more = "+" if packet.more else ""
        what = f"proto {packet.proto} fragment {packet.ident}:{len(packet.payload)}@{packet.offset}{more}"
        return f"{who[0]} > {who[1]}: {what}"
    return _transport(who, packet.proto, packet.payload)


def _ip6(data: memoryview) -> str:
    packet = ipv6.parse(data)
    who = f"IP6 {address(packet.src)}", address(packet.dst)
    chain = ipv6.walk(packet)
    if chain.problem is not None:
        return f"{who[0]} > {who[1]}: problem {chain.problem.code} at {chain.problem.pointer}"
    if chain.fragment is not None:
        part = chain.fragment
        more = "+" if part.more else ""
        what = f"proto {part.next_header} fragment {part.ident}:{len(part.payload)}@{part.offset}{more}"
        return f"{who[0]} > {who[1]}: {what}"
    return _transport(who, chain.proto, chain.payload)


def _transport(who: tuple[str, str], proto: int, data: memoryview) -> str:
    src, dst = who
    if proto == ipv4.TCP:
        segment = tcp.parse(data)
        return f"{src}.{segment.sport} > {dst}.{segment.dport}: {_tcp(segment)}"
    if proto == ipv4.UDP:
        datagram = udp.parse(data)
        return f"{src}.{datagram.sport} > {dst}.{datagram.dport}: UDP length {len(datagram.payload)}"
    if proto == ipv4.ICMP:
        message = icmp.parse(data)
        return f"{src} > {dst}: {_icmp('ICMP', message, icmp.ECHO, icmp.ECHO_REPLY)}"
    if proto == ipv6.ICMPV6:
        return f"{src} > {dst}: {_icmp6(icmp6.parse(data))}"
    if proto == ipv4.IGMP:
        return f"{src} > {dst}: IGMP {igmp.parse(data)}"
    return f"{src} > {dst}: proto {proto} length {len(data)}"


def _icmp(name: str, message: icmp.Icmp | icmp6.Icmp6, echo: int, reply: int) -> str:
    if message.kind in (echo, reply):
        what = "echo request" if message.kind == echo else "echo reply"
        return f"{name} {what} id {message.ident} seq {message.sequence} length {len(message.payload)}"
    return f"{name} type {message.kind} code {message.code} length {len(message.payload)}"


def _icmp6(message: icmp6.Icmp6) -> str:
    if icmp6.ROUTER_SOLICITATION <= message.kind <= icmp6.REDIRECT:
        said = ndp.parse(message)
        target = (
            "" if isinstance(said, ndp.RouterSolicitation | ndp.RouterAdvertisement) else f" {address(said.target)}"
        )
        return f"ICMP6 {type(said).__name__}{target}"
    if message.kind in (icmp6.MLD_QUERY, icmp6.MLD_REPORT, icmp6.MLD_DONE, icmp6.MLD2_REPORT):
        return f"ICMP6 MLD {type(mld.parse(message)).__name__}"
    return _icmp("ICMP6", message, icmp6.ECHO, icmp6.ECHO_REPLY)


def _tcp(segment: tcp.Segment) -> str:
    flags = "".join(name for bit, name in enumerate(_FLAGS) if segment.flags >> bit & 1) or "none"
    length = len(segment.payload)
    seq = f"{segment.seq}:{segment.seq + length & 0xFFFFFFFF}" if length else str(segment.seq)
    words = [f"[{flags}] seq {seq}"]
    if segment.flags & tcp.ACK:
        words.append(f"ack {segment.ack}")
    words.append(f"win {segment.window}")
    options = segment.options
    if options.mss is not None:
        words.append(f"mss {options.mss}")
    if options.scale is not None:
        words.append(f"wscale {options.scale}")
    if options.sack_permitted:
        words.append("sackOK")
    words += [f"sack {left}:{right}" for left, right in options.sack]
    if options.timestamps is not None:
        words.append(f"ts {options.timestamps[0]}/{options.timestamps[1]}")
    return " ".join(words) + f" length {length}"


class Trace:
    """A wrapper around a device: a line for what is sent (>) and, led through `incoming`, for what arrives (<)."""

    def __init__(self, link: Link, write: Callable[[str], object], clock: Callable[[], int]) -> None:
        self.link = link
        self.write = write
        self.clock = clock
        self.gso = link.gso
        self.checksum = link.checksum

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        self.write(f"{self._time()} > {describe(b''.join(parts))}")
        return self.link.send(parts, offload)

    def incoming(self, frame: bytes | memoryview) -> None:
        self.write(f"{self._time()} < {describe(frame)}")

    def _time(self) -> str:
        now_us = self.clock() // 1000
        return f"{now_us // 1_000_000}.{now_us % 1_000_000:06d}"
