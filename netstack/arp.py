"""ARP in and out (RFC 826; RFC 5227 for probes, announcements and conflicts; arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import BadPacket
from netstack.wire import arp, ether
from netstack.wire.arp import Arp

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.stack import Stack

ANY4 = bytes(4)


class ArpProtocol:
    """Requests, replies, and what is learned from both."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def request(self, iface: Interface, target: bytes, source: bytes, to: bytes = b"") -> None:
        """Ask who has `target`, everybody or (a probe of what is known) one MAC. The source is that of the packet
        which waits, if it is ours (sysctl arp_announce 0)."""
        if source not in self.stack.local:
            source = self.stack.source4(iface, target)
        self._send(iface, to or ether.BROADCAST, Arp(arp.REQUEST, iface.mac, source, bytes(6), target))

    def announce(self, iface: Interface, address: bytes) -> None:
        """A gratuitous request: all who know the address learn this MAC (RFC 5227 section 2.3)."""
        self._send(iface, ether.BROADCAST, Arp(arp.REQUEST, iface.mac, address, bytes(6), address))

    def receive(self, iface: Interface, data: memoryview, to_us: bool) -> None:
        """A packet; `to_us` when the frame was to our own MAC. Raises BadPacket."""
        packet = arp.parse(data)
        operation, sender_mac, sender, _, target = packet
        if sender_mac[0] & 1 or sender_mac == iface.mac:  # a group cannot ask; our own come back from some hubs
            raise BadPacket("arp sender", sender_mac)
        if sender[0] == 127 or sender[0] >= 0xE0 or target[0] == 127 or target[0] >= 0xE0:
            raise BadPacket("arp addresses", (sender, target))
        stack = self.stack
        if sender in stack.local:
            raise BadPacket("arp from our own address", sender)  # a conflict is not for us to win or lose (Linux)
        asked = operation == arp.REQUEST and self._answers(iface, target, sender)
        if sender != ANY4:
            gratuitous = sender == target
            stack.neighbors.update(
                iface, sender, sender_mac, solicited=operation == arp.REPLY and to_us and not gratuitous,
                create=asked or gratuitous and bool(stack.settings.arp_accept),
            )  # fmt: skip
        if asked:
            self._send(iface, sender_mac, Arp(arp.REPLY, iface.mac, target, sender_mac, sender))

    def _answers(self, iface: Interface, target: bytes, sender: bytes) -> bool:
        """Is an address ours to answer for here: with arp_ignore 0 any of the host's, with 1 only this interface's."""
        ignore = self.stack.settings.arp_ignore
        if ignore == 0:
            return target in self.stack.local
        return ignore < 8 and iface.find(target) is not None

    def _send(self, iface: Interface, to: bytes, packet: Arp) -> None:
        self.stack.output.transmit(iface, (ether.pack_header(to, iface.mac, ether.ARP) + arp.pack(packet),))
