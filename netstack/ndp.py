"""Neighbour solicitations and advertisements (RFC 4861 section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import BadPacket, NetError
from netstack.iface import DADFAILED, TENTATIVE, Interface
from netstack.neighbor import INCOMPLETE
from netstack.packet import Packet
from netstack.wire import ether, icmp6, ipv6, ndp

if TYPE_CHECKING:
    from netstack.stack import Stack

ANY6 = bytes(16)


class NdpProtocol:
    """What `arp.py` is for IPv4."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def solicit(self, iface: Interface, target: bytes, source: bytes, to: bytes = b"") -> None:
        """Ask who has `target`: its group, or (a probe of what is known) one MAC. The source is that of the packet
        which waits, if it is of this interface (RFC 4861 section 7.2.2)."""
        own = iface.find(source)
        if own is None or own.flags & (TENTATIVE | DADFAILED):
            try:
                source = self.stack.source6(iface, target)
            except NetError:
                return
        said = ndp.NeighborSolicitation(target, iface.mac)
        self.send(iface, source, target if to else ipv6.solicited_node(target), said, to)

    def advertise(self, iface: Interface, target: bytes, to: bytes, mac: bytes = b"") -> None:
        """Say that `target` is here; to ff02::1 it is unsolicited."""
        forwarding = bool(self.stack.settings.ipv6_forwarding)
        said = ndp.NeighborAdvertisement(target, forwarding, to != ipv6.ALL_NODES, True, iface.mac)
        self.send(iface, target, to, said, mac)

    def send(self, iface: Interface, source: bytes, dst: bytes, said: ndp.Message, mac: bytes = b"") -> None:
        """A message as it goes on the link: hop limit 255, no neighbour is asked for."""
        if dst[0] == 0xFF:
            mac = ether.multicast_mac(dst)
        kind, rest, payload = ndp.pack(said)
        body = icmp6.pack(kind, 0, rest, payload, source, dst)
        frame = ether.pack_header(mac, iface.mac, ether.IP6)
        frame += ipv6.pack_header(source, dst, ipv6.ICMPV6, len(body), ndp.HOP_LIMIT) + body
        self.stack.counters.ip6["OutRequests"] += 1
        self.stack.icmp6.count_out(kind)
        self.stack.output.transmit(iface, (frame,))

    def receive(self, packet: Packet, said: ndp.Message) -> None:
        """A neighbour's message, its hop limit found to be 255. Raises BadPacket."""
        if isinstance(said, ndp.NeighborSolicitation):
            self._asked(packet, said)
        elif isinstance(said, ndp.NeighborAdvertisement):
            self._told(packet, said)

    def _asked(self, packet: Packet, said: ndp.NeighborSolicitation) -> None:
        iface, stack = packet.iface, self.stack
        checks = packet.src == ANY6  # for a duplicate
        if checks and (said.source_link is not None or packet.dst != ipv6.solicited_node(said.target)):
            raise BadPacket("neighbour solicitation without a source", packet.dst)
        own = iface.find(said.target)
        if own is None:
            return
        if own.flags & TENTATIVE:
            if checks and not own.flags & DADFAILED and not stack.autoconf.is_ours(iface, said):
                stack.autoconf.conflict(iface, own)  # RFC 4862 section 5.4.3
            return
        if own.flags & DADFAILED:
            return
        if checks:
            self.advertise(iface, said.target, ipv6.ALL_NODES)
            return
        mac = said.source_link
        if mac is not None:
            if mac[0] & 1:
                raise BadPacket("neighbour solicitation from a group", mac)
            stack.neighbors.update(iface, packet.src, mac)
        else:
            entry = stack.neighbors.find(iface, packet.src)  # a unicast probe may leave it out
            mac = entry.mac if entry is not None else b""
        if mac:
            self.advertise(iface, said.target, packet.src, mac)

    def _told(self, packet: Packet, said: ndp.NeighborAdvertisement) -> None:
        iface, stack = packet.iface, self.stack
        if said.solicited and packet.dst[0] == 0xFF:
            raise BadPacket("neighbour advertisement, solicited and to a group", packet.dst)
        own = iface.find(said.target)
        if own is not None:
            if own.flags & TENTATIVE and not own.flags & DADFAILED:
                stack.autoconf.conflict(iface, own)  # RFC 4862 section 5.4.4
            return
        entry = stack.neighbors.find(iface, said.target)
        if entry is None:  # RFC 4861 section 7.2.5: nobody has asked
            return
        mac = said.target_link
        if mac is None:
            if entry.state == INCOMPLETE or not entry.mac:
                return
            mac = entry.mac
        if mac[0] & 1:
            raise BadPacket("neighbour advertisement of a group", mac)
        was_router = entry.is_router
        stack.neighbors.update(iface, said.target, mac, solicited=said.solicited, override=said.override, create=False)
        entry.is_router = said.router
        if was_router and not said.router:
            stack.autoconf.no_router(iface, said.target)
