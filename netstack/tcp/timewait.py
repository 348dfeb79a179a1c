"""TIME_WAIT (RFC 9293, 3.6.1): connections that are over, kept for a minute so that old segments find no new one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from netstack.tcp import output
from netstack.tcp.state import TIME_WAIT
from netstack.wire.tcp import ACK, RST, SYN, Segment

if TYPE_CHECKING:
    from netstack.packet import IcmpError, Packet
    from netstack.ports import Binding
    from netstack.socket.base import Options
    from netstack.tcp.output import Path
    from netstack.tcp.socket import TcpSocket
    from netstack.tcp.table import TcpTable
    from netstack.tcp.tcb import Tcb
    from netstack.timers import Timer

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000
LENGTH_NS: Final = 60_000_000_000  # as Linux' TCP_TIMEWAIT_LEN, whatever tcp_fin_timeout says


class KeptOptions:
    """What `ports` asks of a holder."""

    __slots__ = ("bound_iface", "reuse_address", "reuse_port")

    def __init__(self, options: Options) -> None:
        self.bound_iface = options.bound_iface
        self.reuse_address = options.reuse_address
        self.reuse_port = options.reuse_port


class TimeWait:
    """One that is over. `began_ns` is when, `end_ns` when it is forgotten; what packets need is there if it had any."""

    __slots__ = (
        "began_ns", "binding", "end_ns", "key", "local", "owner_uid", "path", "peer", "rcv_nxt", "snd_nxt", "state",
        "timestamps", "ts_offset", "ts_recent", "waits", "window",
    )  # fmt: skip

    def __init__(self, waits: TimeWaits, key: bytes, socket: TcpSocket, binding: Binding | None, now_ns: int) -> None:
        self.waits = waits
        self.key = key
        self.local = socket.local
        self.peer = socket.peer
        self.owner_uid = socket.owner_uid
        self.state = TIME_WAIT
        self.binding = binding
        self.began_ns = now_ns
        self.end_ns = now_ns + LENGTH_NS
        self.path: Path | None = None
        self.rcv_nxt = self.snd_nxt = self.window = 0
        self.timestamps = False
        self.ts_offset = self.ts_recent = 0

    def over_packets(self, tcb: Tcb) -> None:
        """What is to be known to answer the peer's segments."""
        self.path = tcb.path
        self.rcv_nxt = tcb.rcv.nxt & MASK
        self.snd_nxt = tcb.snd.rec.nxt & MASK
        self.window = tcb.rcv.window()
        self.timestamps = tcb.terms.timestamps
        self.ts_offset = tcb.ts_offset
        self.ts_recent = tcb.ts_recent

    def next_iss(self) -> int:
        """A beginning beyond everything that this connection has sent."""
        return -1 if self.path is None else self.snd_nxt + 65537 & MASK

    def segment(self, packet: Packet, segment: Segment) -> None:
        """RFC 9293, 3.10.7.4; RFC 6191 for a SYN that may begin a new connection."""
        path = self.path
        if path is None:
            return  # within one stack there are no segments
        flags = segment.flags
        stamps = segment.options.timestamps if self.timestamps else None
        age = 0 if stamps is None else (stamps[0] - self.ts_recent) & MASK
        old = age >= HALF
        ahead = (segment.seq - self.rcv_nxt) & MASK
        stack, table = path.stack, self.waits.table
        if not old and not ahead and (flags & RST or not output.length_of(segment)):
            if flags & RST and not stack.settings.tcp_rfc1337:
                self.waits.remove(self)
            elif stamps is not None:
                self.ts_recent = stamps[0]
            return
        if flags & (SYN | RST | ACK) == SYN and not old and (0 < ahead < HALF or 0 < age < HALF):
            listener = table.listener(packet.dst, segment.dport, packet.iface.index, packet.src, segment.sport)
            if listener is not None:
                self.waits.remove(self)
                listener.segment(packet, segment, self.next_iss())
                return
        if flags & RST:
            return
        if old or flags & ACK:
            self.end_ns = stack.now_ns + LENGTH_NS
        options = b""
        if self.timestamps:
            stamp = stack.now_ns // 1_000_000 + self.ts_offset & MASK
            options = b"\1\1\x08\x0a" + stamp.to_bytes(4, "big") + self.ts_recent.to_bytes(4, "big")
        path.emit(self.snd_nxt, self.rcv_nxt, ACK, self.window, options)

    def icmp(self, error: IcmpError, seq: int) -> bool:
        """Nothing is under way."""
        return False

    def reusable(self) -> bool:
        """A new connection may have the four-tuple (tcp_tw_reuse; 2 is for loopback only): over packets its timestamps
        must tell its segments from the old ones'."""
        stack = self.waits.table.stack
        reuse = stack.settings.tcp_tw_reuse
        if not reuse or (reuse == 2 and not stack.is_local(self.peer[0])):
            return False
        if self.path is not None and not self.timestamps:
            return False
        return stack.now_ns - self.began_ns >= 1_000_000_000


class TimeWaits:
    """All of a stack, in the order in which they end; at most tcp_max_tw_buckets, beyond which the oldest go."""

    __slots__ = ("_queue", "_timer", "count", "table")

    def __init__(self, table: TcpTable) -> None:
        self.table = table
        self.count = 0
        self._queue: deque[TimeWait] = deque()
        self._timer: Timer | None = None

    def add(self, key: bytes, socket: TcpSocket) -> TimeWait:
        """`socket`'s connection is over and waits; the entry takes its place in the table, and its port."""
        table = self.table
        now_ns = table.stack.now_ns
        binding = socket.binding
        if binding is not None:
            kept = KeptOptions(socket.options)
            if socket.closed or not socket.bound:
                socket.binding = None
                binding.options = kept  # type: ignore[assignment]
            else:
                binding = table.ports.inherit(binding, kept, socket.local[0])  # type: ignore[arg-type]
        entry = TimeWait(self, key, socket, binding, now_ns)
        queue = self._queue
        while self.count >= max(table.stack.settings.tcp_max_tw_buckets, 1) and queue:
            self._forget(queue.popleft())
        table.connections[key] = entry
        queue.append(entry)
        self.count += 1
        if self._timer is None:
            self._timer = table.stack.timers.add(entry.end_ns, self._expire)
        return entry

    def remove(self, entry: TimeWait) -> None:
        """The four-tuple is wanted, or the peer has reset what was over."""
        self._forget(entry)

    def _forget(self, entry: TimeWait) -> None:
        if entry.end_ns < 0:
            return
        entry.end_ns = -1
        self.count -= 1
        connections = self.table.connections
        if connections.get(entry.key) is entry:
            del connections[entry.key]
        if entry.binding is not None:
            self.table.ports.release(entry.binding)
            entry.binding = None

    def _expire(self) -> None:
        queue = self._queue
        now_ns = self.table.stack.now_ns
        again: list[TimeWait] = []
        while queue and queue[0].began_ns + LENGTH_NS <= now_ns:
            entry = queue.popleft()
            if entry.end_ns > now_ns:  # the peer's FIN came once more
                entry.began_ns = entry.end_ns - LENGTH_NS
                again.append(entry)
            else:
                self._forget(entry)
        queue.extend(again)
        self._timer = None
        if queue:
            self._timer = self.table.stack.timers.add(queue[0].began_ns + LENGTH_NS, self._expire)
