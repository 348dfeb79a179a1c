"""One function that reads a frame with every parser that applies, checksums included."""

from __future__ import annotations

from netstack.errors import BadPacket
from netstack.wire import arp, checksum, ether, icmp, icmp6, igmp, ipv4, ipv6, mld, ndp, tcp, udp


def read(frame: bytes) -> object:
    """BadPacket for what is wrong anywhere."""
    link = ether.parse(memoryview(frame))
    if link.kind == ether.ARP:
        return arp.parse(link.payload)
    if link.kind == ether.IP4:
        packet = ipv4.parse(link.payload)
        list(ipv4.split_options(packet.options))
        if packet.is_fragment:
            return packet
        return transport(packet.src, packet.dst, packet.proto, packet.payload)
    if link.kind == ether.IP6:
        packet6 = ipv6.parse(link.payload)
        chain = ipv6.walk(packet6)
        if chain.fragment or chain.problem:
            return chain
        return transport(packet6.src, packet6.dst, chain.proto, chain.payload)
    raise BadPacket("ethernet type", link.kind)


def transport(src: bytes, dst: bytes, proto: int, data: memoryview, checked: bool = False) -> object:
    pseudo = -1 if checked else checksum.pseudo(src, dst, proto, 0)  # with -1 sums are taken as right
    if proto == ipv4.TCP:
        return tcp.parse(data, pseudo)
    if proto == ipv4.UDP:
        return udp.parse(data, pseudo, len(src) == 16)
    if proto == ipv4.IGMP:
        return igmp.parse(with_sum(data) if checked else data)
    if proto == ipv4.ICMP:
        message = icmp.parse(data, checked)
        return icmp.quoted(message.payload) if message.kind in icmp.ERRORS else message
    if proto == ipv6.ICMPV6:
        message6 = icmp6.parse(data, pseudo)
        if message6.is_error:
            return icmp6.quoted(message6.payload)
        if icmp6.ROUTER_SOLICITATION <= message6.kind <= icmp6.REDIRECT:
            return ndp.parse(message6)
        if message6.kind in (icmp6.MLD_QUERY, icmp6.MLD_REPORT, icmp6.MLD_DONE, icmp6.MLD2_REPORT):
            return mld.parse(message6)
        return message6
    raise BadPacket("protocol", proto)


def with_sum(data: memoryview) -> memoryview:
    """An IGMP message with its checksum put right."""
    if len(data) < 8:
        return data
    zeroed = bytes(data[:2]) + b"\0\0" + bytes(data[4:])
    return memoryview(zeroed[:2] + checksum.checksum(zeroed).to_bytes(2, "big") + zeroed[4:])
