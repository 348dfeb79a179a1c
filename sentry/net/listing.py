"""What /proc/net/tcp, udp, raw, icmp and sock_diag(7) list of one network namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from netstack.tcp.state import CLOSE, ESTABLISHED, LISTEN, SYN_RECV, TIME_WAIT
from sentry.abi.flags import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, SOCK_RAW

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.net.namespace import NetNamespace
    from sentry.socket.base import Socket

NOTHING = (0, 0, 0)


class Row:
    """One line. `socket` is what a process has open, None for what outlives it or nobody has accepted yet; `endpoint`
    what the stack has. `timer` is its kind (0 for none, 1 retransmission, 2 keepalive or end of life, 3 TIME_WAIT),
    when it is due in ns from now, and how often it has run out."""

    __slots__ = ("drops", "endpoint", "family", "local", "peer", "rx", "socket", "state", "timer", "tx", "uid")

    def __init__(self, family: int, state: int, local: tuple[bytes, int], peer: tuple[bytes, int] | None) -> None:
        self.family = family
        self.state = state
        self.local = local
        self.peer = peer or (bytes(len(local[0])), 0)
        self.rx = self.tx = self.uid = self.drops = 0
        self.timer = NOTHING
        self.socket: Socket | None = None
        self.endpoint: Any = None

    @property
    def inode(self) -> int:
        return self.socket.inode.ino if self.socket is not None else 0

    @property
    def reference(self) -> int:
        """A number that stays this socket's, in place of a kernel address."""
        return (self.inode or id(self.endpoint) >> 4) & 0xFFFFFFFF


def _open(net: NetNamespace) -> dict[int, Socket]:
    """Sockets that processes have, by their endpoint."""
    return {id(getattr(sock, "endpoint", None)): sock for sock in tuple(net.sockets) if sock.refs > 0}


def tcp(net: NetNamespace) -> Iterator[Row]:
    """Listeners, then all that has a connection or had one lately."""
    stack = net.enter()
    table = stack.tcp
    if table is None:
        return
    known = _open(net)
    for listeners in list(table.listeners.values()):
        for listener in listeners:
            yield _stream(stack, known, listener.socket, len(listener.queue), listener.backlog)
    for entry in list(table.connections.values()):
        socket = getattr(entry, "socket", None)
        if socket is not None and isinstance(socket.local, tuple) and socket.state not in (CLOSE, LISTEN):
            yield _stream(stack, known, socket, socket.unread(), socket.unacknowledged())
        elif getattr(entry, "state", SYN_RECV) in (TIME_WAIT, SYN_RECV):
            waiting: Any = entry
            local, peer = getattr(waiting, "local", None), getattr(waiting, "peer", None)
            if local is None or peer is None:
                continue
            row = Row(4 if len(local[0]) == 4 else 6, getattr(waiting, "state", SYN_RECV), local, peer)
            row.endpoint = waiting
            if row.state == TIME_WAIT:
                row.timer = (3, max(0, waiting.end_ns - stack.now_ns), 0)
            yield row


def _stream(stack: Stack, known: dict[int, Socket], socket: Any, rx: int, tx: int) -> Row:
    row = Row(socket.family, socket.state, socket.local, socket.peer)
    row.rx, row.tx = rx, tx
    row.endpoint = socket
    row.socket = known.get(id(socket))
    row.uid = socket.owner_uid
    clock = getattr(socket.conn, "clock", None)
    deadline_ns = getattr(clock, "deadline_ns", -1)
    if deadline_ns >= 0 and socket.state != LISTEN:
        row.timer = (1 if tx else 2, max(0, deadline_ns - stack.now_ns), 0)
    return row


def datagram(net: NetNamespace, protocol: int) -> Iterator[Row]:
    """UDP, ping and raw sockets of a protocol; with IPPROTO_RAW all raw ones. Only those that have a port or a
    protocol, as Linux lists them."""
    for sock in tuple(net.sockets):
        endpoint: Any = getattr(sock, "endpoint", None)
        if endpoint is None or sock.refs <= 0 or sock.protocol == IPPROTO_TCP and sock.kind != SOCK_RAW:
            continue
        raw = sock.kind == SOCK_RAW
        if raw != (protocol == RAW) or not raw and sock.protocol != protocol:
            continue
        local = endpoint.local
        if not isinstance(local, tuple):
            continue
        port = sock.protocol if raw else getattr(endpoint, "ident", 0) or local[1]
        if not port:
            continue
        row = Row(endpoint.family, ESTABLISHED if endpoint.peer and any(endpoint.peer[0]) else CLOSE, (local[0], port),
                  endpoint.peer)  # fmt: skip
        row.endpoint, row.socket, row.uid = endpoint, sock, endpoint.owner_uid
        row.rx, row.drops = endpoint.queued, endpoint.drops
        yield row


RAW = 255
PING4, PING6 = IPPROTO_ICMP, IPPROTO_ICMPV6
