"""All TCP of one stack: who gets a segment, who listens where, which four-tuples are taken (RFC 9293, 3.10.7)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

from netstack.errors import BadPacket
from netstack.packet import IcmpError, Packet
from netstack.ports import Ports
from netstack.tcp import output
from netstack.tcp.cookies import Sequences
from netstack.tcp.timewait import TimeWait, TimeWaits
from netstack.wire import checksum
from netstack.wire.tcp import Segment, parse

if TYPE_CHECKING:
    from netstack.stack import Stack
    from netstack.tcp.listener import Listener

PROTO = 6
_PORTS = struct.Struct("!HH")
_QUOTED = struct.Struct("!HHI")


def key_of(local: tuple[bytes, int], peer: tuple[bytes, int]) -> bytes:
    """The four-tuple as one value: peer's address, own address, and the ports as they stand in what the peer sends."""
    return peer[0] + local[0] + _PORTS.pack(peer[1], local[1])


class Entry(Protocol):
    """Who has a four-tuple: a connection, one that is half open, or one that is over (TIME_WAIT)."""

    def segment(self, packet: Packet, segment: Segment) -> None: ...
    def icmp(self, error: IcmpError, seq: int) -> bool: ...
    def reusable(self) -> bool: ...


class TcpTable:
    """connections   by four-tuple (key_of)
    listeners     by port
    orphans       connections that no socket is open for any more
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ports = Ports(stack, parity=True)
        self.connections: dict[bytes, Entry] = {}
        self.listeners: dict[int, list[Listener]] = {}
        self.time_waits = TimeWaits(self)
        self.sequences = Sequences(stack)
        self.orphans = 0
        self._second = -1  # of the challenges counted
        self._challenges = 0
        stack.register(PROTO, self.receive)
        stack.register_error(PROTO, self.icmp)

    # Segments and errors.

    def receive(self, packet: Packet) -> None:
        """A packet from IP."""
        payload = packet.payload
        counters = self.stack.counters.tcp
        counters["InSegs"] += 1
        try:
            pseudo = -1 if packet.checked else checksum.pseudo(packet.src, packet.dst, PROTO, 0)
            segment = parse(payload, pseudo)
        except BadPacket as bad:
            counters["InErrs"] += 1
            counters["InCsumErrors"] += bad.what == "tcp checksum"
            return
        entry = self.connections.get(packet.src + packet.dst + payload[:4])
        if entry is not None:
            entry.segment(packet, segment)
            return
        listener = self.listener(packet.dst, segment.dport, packet.iface.index, packet.src, segment.sport)
        if listener is not None:
            listener.segment(packet, segment)
        elif not packet.iface.shared:
            output.reset(self.stack, packet, segment)

    def icmp(self, error: IcmpError) -> bool:
        """An ICMP error about a segment of ours; False when no connection can have sent it."""
        if len(error.payload) < 8:
            return False
        sport, dport, seq = _QUOTED.unpack_from(error.payload)
        entry = self.connections.get(error.dst + error.src + _PORTS.pack(dport, sport))
        return entry is not None and entry.icmp(error, seq)

    def may_challenge(self) -> bool:
        """A limit for all connections of the stack (RFC 5961, 7; tcp_challenge_ack_limit)."""
        second = self.stack.now_ns // 1_000_000_000
        if second != self._second:
            self._second = second
            self._challenges = 0
        self._challenges += 1
        return self._challenges <= self.stack.settings.tcp_challenge_ack_limit

    def count(self, name: str) -> None:
        """/proc/net/netstat."""
        group = self.stack.counters.tcp_ext
        group[name] = group.get(name, 0) + 1

    def initial(self, key: bytes) -> int:
        """Where our sequence numbers begin."""
        return self.sequences.initial(key)

    # Four-tuples.

    def free(self, address: bytes, port: int, peer_address: bytes, peer_port: int) -> bool:
        """No connection has this four-tuple, or only one in TIME_WAIT that may be taken over (tcp_tw_reuse)."""
        entry = self.connections.get(peer_address + address + _PORTS.pack(peer_port, port))
        return entry is None or entry.reusable()

    def displace(self, key: bytes) -> int:
        """A new connection takes the four-tuple: one in TIME_WAIT ends. Returns where the new one's sequence numbers
        may begin, beyond all of the old one's, or -1 when there was none."""
        entry = self.connections.get(key)
        if not isinstance(entry, TimeWait):
            return -1
        self.time_waits.remove(entry)
        return entry.next_iss()

    # Listeners.

    def add_listener(self, listener: Listener) -> None:
        self.listeners.setdefault(listener.socket.local[1], []).append(listener)

    def remove_listener(self, listener: Listener) -> None:
        port = listener.socket.local[1]
        there = self.listeners.get(port)
        if there is not None and listener in there:
            there.remove(listener)
            if not there:
                del self.listeners[port]

    def listener(self, address: bytes, port: int, iface: int, source: bytes, source_port: int) -> Listener | None:
        """Who accepts a connection from `source` to `address` that comes by interface `iface`: the most particular
        listener, by device, address and family; a group of SO_REUSEPORT shares by a hash of the four-tuple."""
        there = self.listeners.get(port)
        if there is None:
            return None
        best: list[Listener] = []
        best_score = 0
        for listener in there:
            score = listener.score(address, iface)
            if score > best_score:
                best, best_score = [listener], score
            elif score and score == best_score:
                best.append(listener)
        if len(best) > 1 and best[0].socket.options.reuse_port:
            return best[hash((address, port, source, source_port)) % len(best)]
        return best[0] if best else None
