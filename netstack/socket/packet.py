"""Packet sockets (packet(7)): frames as they pass the interfaces of a stack, and frames sent as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import EINVAL, EMSGSIZE, ENETDOWN, ENXIO, EOPNOTSUPP
from netstack.iface import Interface
from netstack.socket.datagram import Datagram, DatagramSocket, LinkName

if TYPE_CHECKING:
    from netstack.stack import Stack

ALL = 3  # ETH_P_ALL
VLAN_TAGS = (0x8100, 0x88A8)
HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)  # sll_pkttype
HARDWARE = {"ether": 1, "loopback": 772, "none": 65534}  # ARPHRD_*
LINK_LEN = 14  # of an Ethernet header
ANY4 = bytes(4)


class PacketTable:
    """All packet sockets. The stack's frames are tapped only as long as one of them listens."""

    __slots__ = ("_listening", "_socks", "sender", "stack")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._socks: list[PacketSocket] = []
        self._listening: list[PacketSocket] = []
        self.sender: PacketSocket | None = None  # of the frame that is going out: it does not hear itself

    def sockets(self) -> list[PacketSocket]:
        """All of them, as /proc/net/packet and sock_diag list them."""
        return list(self._socks)

    def add(self, sock: PacketSocket) -> None:
        self._socks.append(sock)
        self.retune(sock)

    def remove(self, sock: PacketSocket) -> None:
        self._socks.remove(sock)
        self._tune(sock, False)

    def retune(self, sock: PacketSocket) -> None:
        """The protocol that it wants is another: 0 is none at all."""
        self._tune(sock, sock.proto != 0)

    def _tune(self, sock: PacketSocket, listens: bool) -> None:
        if listens and sock not in self._listening:
            self._listening.append(sock)
        elif not listens and sock in self._listening:
            self._listening.remove(sock)
        taps = self.stack.taps
        if self._listening and self._tap not in taps:
            taps.append(self._tap)
        elif not self._listening and self._tap in taps:
            taps.remove(self._tap)

    def _tap(self, iface: Interface, frame: bytes | memoryview, outgoing: bool) -> None:
        data = bytes(frame)
        if iface.kind == "none":
            start = 0
            protocol = 0x86DD if data and data[0] >> 4 == 6 else 0x0800
        else:
            if len(data) < LINK_LEN:
                return
            start = LINK_LEN
            protocol = int.from_bytes(data[12:14])
            if protocol < 0x600:  # IEEE 802.3: a length
                protocol = 4  # ETH_P_802_2
        index = iface.index
        for sock in list(self._listening):
            if sock.proto not in (ALL, protocol) or sock.index not in (0, index):
                continue
            if outgoing and (sock.proto != ALL or sock.ignore_outgoing or sock is self.sender):
                continue
            sock.hand(iface, data, start, protocol, outgoing)


class PacketSocket(DatagramSocket):
    """`cooked` is SOCK_DGRAM: without the link header. `index` and `proto` are what bind(2) gave: 0 is any interface,
    and no protocol at all."""

    __slots__ = ("cooked", "ignore_outgoing", "index", "packets", "proto", "table")

    def __init__(self, stack: Stack, cooked: bool, proto: int = 0) -> None:
        super().__init__(stack, 4)
        self.cooked = cooked
        self.proto = proto
        self.index = 0
        self.ignore_outgoing = False
        self.packets = 0  # since the last PACKET_STATISTICS
        self.table = stack.packet
        self.table.add(self)

    def bind(self, index: int, proto: int) -> None:
        """To an interface, or with 0 to all; a protocol of 0 leaves the one there was. ENODEV is the caller's."""
        self.index = index
        if proto:
            self.proto = proto
        iface = self.stack.interfaces.get(index)
        if iface is not None and not iface.up:
            self.fail(ENETDOWN.code)
        self.table.retune(self)

    def hand(self, iface: Interface, data: bytes, start: int, protocol: int, outgoing: bool) -> None:
        direction = OUTGOING if outgoing else HOST
        source = b""
        if start:
            source = data[6:12]
            if not outgoing and iface.kind == "ether":
                direction = _direction(data, iface.mac)
        shown = data[start:] if self.cooked else data
        link = LinkName(protocol, HARDWARE[iface.kind], direction, source, len(shown), 0 if self.cooked else start)
        self.packets += 1
        self.take_in(Datagram(shown, (ANY4, 0), (ANY4, 0), iface.index, 0, 0, self.stack.now_ns, b"", link))

    def statistics(self) -> tuple[int, int]:
        """PACKET_STATISTICS: packets, drops among them, since the last call."""
        answer = self.packets, self.drops
        self.packets = self.drops = 0
        return answer

    def send(self, data: bytes, index: int = 0, proto: int = 0, address: bytes = b"") -> int:
        """Send a frame, or a packet when cooked, by the interface `index` or that of bind(2), as `proto` to the
        hardware address. ENXIO, ENETDOWN, EMSGSIZE, EINVAL."""
        iface = self.stack.interfaces.get(index or self.index)
        if iface is None:
            raise ENXIO
        if not iface.up:
            raise ENETDOWN
        self.check_send()
        size = len(data)
        if self.cooked and iface.kind != "none":
            if len(address) < 6 and iface.kind == "ether":
                raise EINVAL
            frame = b"".join((address[:6].ljust(6, b"\0"), iface.mac, (proto or self.proto).to_bytes(2), data))
        else:
            frame = data
        head = 0 if iface.kind == "none" else LINK_LEN
        if len(frame) < max(head, 1):
            raise EINVAL
        if head and int.from_bytes(frame[12:14]) in VLAN_TAGS:
            head += 4
        if len(frame) > iface.mtu + head:
            raise EMSGSIZE
        table = self.table
        table.sender = self
        try:
            self.stack.output.send_frame(iface, frame)
        finally:
            table.sender = None
        return size

    def shutdown(self, sides: int) -> None:
        raise EOPNOTSUPP

    def close(self) -> None:
        if not self.closed:
            self.table.remove(self)
        super().close()


def _direction(frame: bytes, mac: bytes) -> int:
    """sll_pkttype of a frame that came in."""
    dst = frame[:6]
    if dst[0] & 1:
        return BROADCAST if dst == b"\xff\xff\xff\xff\xff\xff" else MULTICAST
    return HOST if dst == mac else OTHERHOST
