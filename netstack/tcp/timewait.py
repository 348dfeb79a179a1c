"""TIME_WAIT (RFC 9293, 3.6.1): connections that are over, kept for a minute so that old segments find no new one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from netstack.tcp.state import TIME_WAIT

if TYPE_CHECKING:
    from netstack.packet import Packet
    from netstack.ports import Binding
    from netstack.socket.base import Options
    from netstack.tcp.socket import TcpSocket
    from netstack.tcp.table import TcpTable
    from netstack.timers import Timer
    from netstack.wire.tcp import Segment

LENGTH_NS: Final = 60_000_000_000  # as Linux' TCP_TIMEWAIT_LEN, whatever tcp_fin_timeout says


class KeptOptions:
    """What `ports` asks of a holder."""

    __slots__ = ("bound_iface", "reuse_address", "reuse_port")

    def __init__(self, options: Options) -> None:
        self.bound_iface = options.bound_iface
        self.reuse_address = options.reuse_address
        self.reuse_port = options.reuse_port


class TimeWait:
    """One that is over. `began_ns` is when, `end_ns` when it is forgotten."""

    __slots__ = ("began_ns", "binding", "end_ns", "key", "local", "owner_uid", "peer", "state", "waits")

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

    def segment(self, packet: Packet, segment: Segment) -> None:
        """Within one stack there are no segments."""

    def reusable(self) -> bool:
        """A new connection may have the four-tuple (tcp_tw_reuse; 2 is for loopback only)."""
        stack = self.waits.table.stack
        reuse = stack.settings.tcp_tw_reuse
        if not reuse or (reuse == 2 and not stack.is_local(self.peer[0])):
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
