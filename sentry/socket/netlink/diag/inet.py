"""inet_diag of sock_diag(7): TCP, UDP and raw sockets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING

from netstack.tcp.state import LISTEN, SYN_RECV, TIME_WAIT
from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL, ENOENT
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    CAP_NET_ADMIN,
    IPPROTO_RAW,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPPROTO_UDPLITE,
)  # fmt: skip
from sentry.net import listing
from sentry.socket.inet.tcp_options import info
from sentry.socket.netlink import message as m
from sentry.socket.netlink.diag import filter as program
from sentry.socket.netlink.request import Body, Request

if TYPE_CHECKING:
    from sentry.net.listing import Row
    from sentry.net.namespace import NetNamespace

REQUEST = Struct("=BBBxI2s2s16s16sIII")  # struct inet_diag_req_v2
OLD_REQUEST = Struct("=BBBB2s2s16s16sIIIII")  # struct inet_diag_req
MESSAGE = Struct("=BBBB2s2s16s16sIIIIIIII")  # struct inet_diag_msg
ANY_COOKIE = 0xFFFFFFFF
MEMINFO, SKMEMINFO = Struct("=4I"), Struct("=9I")
ALL_RAW = 255
MAPPED = bytes(10) + b"\xff\xff"
NS_PER_MS = 1_000_000


def rows(net: NetNamespace, protocol: int) -> Iterable[Row]:
    """ENOENT for a protocol that has no such list."""
    if protocol == IPPROTO_TCP:
        return listing.tcp(net)
    if protocol == IPPROTO_UDP:
        return listing.datagram(net, IPPROTO_UDP)
    if protocol == IPPROTO_RAW:
        return listing.datagram(net, listing.RAW)
    if protocol == IPPROTO_UDPLITE:
        return ()
    raise ENOENT


def serve(request: Request) -> bool:
    family, protocol, extensions, states, *identity = request.fixed(REQUEST)
    if request.dump:
        wanted = [row for row in rows(request.net, protocol) if row.family == (4 if family == AF_INET else 6)]
        code = request.attributes(REQUEST).get(diag.INET_DIAG_REQ_BYTECODE, b"")
        _answer(request, wanted, states, extensions, code, identity[0], identity[1])
        return True
    _one(request, family, protocol, extensions, identity)
    return False


def serve_old(request: Request) -> bool:
    """TCPDIAG_GETSOCK, from before sock_diag: TCP of both families."""
    _, _, _, extensions, *identity, states, _ = request.fixed(OLD_REQUEST)
    if not request.dump:
        _one(request, request.body[0], IPPROTO_TCP, extensions, identity)
        return False
    code = request.attributes(OLD_REQUEST).get(diag.INET_DIAG_REQ_BYTECODE, b"")
    _answer(request, rows(request.net, IPPROTO_TCP), states, extensions, code, identity[0], identity[1])
    return True


def _answer(
    request: Request, found: Iterable[Row], states: int, extensions: int, code: bytes, sport: object, dport: object
) -> None:
    program.check(code)
    ports = [int.from_bytes(port, "big") if isinstance(port, bytes) else 0 for port in (sport, dport)]
    out: list[Body] = []
    for row in found:
        if not states >> row.state & 1 or ports[0] not in (0, row.local[1]) or ports[1] not in (0, row.peer[1]):
            continue
        if code and not program.matches(code, _seen(row)):
            continue
        out.append((diag.SOCK_DIAG_BY_FAMILY if request.kind != diag.TCPDIAG_GETSOCK else diag.TCPDIAG_GETSOCK,
                    _show(request, row, extensions)))  # fmt: skip
    request.start_dump(out)


def _one(request: Request, family: int, protocol: int, extensions: int, identity: Sequence[object]) -> None:
    sport, dport, src, dst, _, cookie, _ = identity
    if family not in (AF_INET, AF_INET6):
        raise EINVAL
    size = 4 if family == AF_INET else 16
    assert isinstance(sport, bytes) and isinstance(dport, bytes) and isinstance(src, bytes) and isinstance(dst, bytes)
    local, peer = (src[:size], int.from_bytes(sport, "big")), (dst[:size], int.from_bytes(dport, "big"))
    found = None
    for row in rows(request.net, protocol):
        if (_full(row, row.local[0]), row.local[1]) != local:
            if row.state != LISTEN or row.local[1] != local[1] or any(row.local[0]) or row.family != (4, 6)[size == 16]:
                continue
        elif (_full(row, row.peer[0]), row.peer[1]) != peer and row.state != LISTEN:
            continue
        if found is None or found.state == LISTEN:
            found = row
    if found is None or cookie != ANY_COOKIE and cookie != found.reference:
        raise ENOENT
    request.reply(diag.SOCK_DIAG_BY_FAMILY, _show(request, found, extensions))


def _full(row: Row, address: bytes) -> bytes:
    """As an address of the socket's family: IPv4 on an IPv6 socket is mapped."""
    return MAPPED + address if row.family == 6 and len(address) == 4 else address


def _seen(row: Row) -> program.Seen:
    endpoint = row.endpoint
    iface = getattr(getattr(endpoint, "options", None), "bound_iface", 0)
    locks = int(bool(getattr(endpoint, "bound", True)))
    family = AF_INET if row.family == 4 else AF_INET6
    return program.Seen(
        family, _full(row, row.local[0]), row.local[1], _full(row, row.peer[0]), row.peer[1], iface, locks
    )


def _show(request: Request, row: Row, extensions: int) -> bytes:
    endpoint, sock = row.endpoint, row.socket
    options = getattr(endpoint, "options", None)
    kind, due_ns, retries = row.timer
    parts = [
        MESSAGE.pack(
            AF_INET if row.family == 4 else AF_INET6, row.state, kind, retries, row.local[1].to_bytes(2, "big"),
            row.peer[1].to_bytes(2, "big"), _full(row, row.local[0]), _full(row, row.peer[0]),
            getattr(options, "bound_iface", 0), row.reference, 0, due_ns // NS_PER_MS if kind else 0, row.rx, row.tx,
            row.uid, row.inode,
        )
    ]  # fmt: skip
    if row.state not in (TIME_WAIT, SYN_RECV):
        parts.append(m.u8(diag.INET_DIAG_SHUTDOWN, getattr(endpoint, "shut", 0)))
    if options is not None:
        if extensions & 1 << (diag.INET_DIAG_TOS - 1):
            parts.append(m.u8(diag.INET_DIAG_TOS, options.tos))
        if row.family == 6:
            if extensions & 1 << (diag.INET_DIAG_TCLASS - 1):
                parts.append(m.u8(diag.INET_DIAG_TCLASS, max(0, options.tclass)))
            parts.append(m.u8(diag.INET_DIAG_SKV6ONLY, int(getattr(endpoint, "v6only", False) or any(row.local[0]))))
        if request.t.creds.has(CAP_NET_ADMIN):
            parts.append(m.u32(diag.INET_DIAG_MARK, options.mark))
        sizes = (row.rx, options.receive_buffer, row.tx, options.send_buffer, 0, row.tx, 0, 0, row.drops)
        if extensions & 1 << (diag.INET_DIAG_MEMINFO - 1):
            parts.append(m.attribute(diag.INET_DIAG_MEMINFO, MEMINFO.pack(row.rx, row.tx, 0, row.tx)))
        if extensions & 1 << (diag.INET_DIAG_SKMEMINFO - 1):
            parts.append(m.attribute(diag.INET_DIAG_SKMEMINFO, SKMEMINFO.pack(*sizes)))
    if sock is not None and sock.is_stream:
        if extensions & 1 << (diag.INET_DIAG_CONG - 1):
            name = getattr(options, "congestion", None) or request.stack.settings.tcp_congestion_control
            parts.append(m.text(diag.INET_DIAG_CONG, name.encode()))
        if extensions & 1 << (diag.INET_DIAG_INFO - 1):
            parts.append(m.attribute(diag.INET_DIAG_INFO, info(sock)))  # type: ignore[arg-type]
    elif sock is not None and sock.protocol not in (IPPROTO_UDP,):
        parts.append(m.u8(diag.INET_DIAG_PROTOCOL, sock.protocol))
    return b"".join(parts)
