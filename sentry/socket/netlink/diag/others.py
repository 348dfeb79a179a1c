"""netlink_diag and packet_diag of sock_diag(7)."""

from __future__ import annotations

from struct import Struct
from typing import Any

from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL, EOPNOTSUPP
from sentry.abi.flags import (
    AF_NETLINK,
    AF_PACKET,
    NETLINK_DIAG_GROUPS,
    NETLINK_DIAG_MEMINFO,
    PACKET_DIAG_INFO,
    PACKET_DIAG_MEMINFO,
    PACKET_DIAG_UID,
    PACKET_SHOW_INFO,
)  # fmt: skip
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request

REQUEST = Struct("=BB2xIIII")  # struct netlink_diag_req, packet_diag_req: family, protocol, inode, what, cookie
NETLINK = Struct("=BBBBIIIIII")  # struct netlink_diag_msg
PACKET = Struct("=BBHIII")  # struct packet_diag_msg
PACKET_INFO = Struct("=6I")
SKMEMINFO = Struct("=9I")
CLOSE, CONNECTED = 7, 1


def netlink(request: Request) -> bool:
    _, protocol, _, wanted, _, _ = request.fixed(REQUEST)
    if not request.dump:
        raise EOPNOTSUPP
    found: list[Body] = []
    for sock in tuple(request.net.netlink.sockets):
        if protocol not in (diag.NDIAG_PROTO_ALL, sock.protocol):
            continue
        inode = sock.inode.ino
        state = CONNECTED if any(sock.peer) else CLOSE
        parts = [NETLINK.pack(AF_NETLINK, sock.kind, sock.protocol, state, sock.port, *sock.peer, inode, inode, 0)]
        if wanted & diag.NDIAG_SHOW_GROUPS and sock.groups:
            parts.append(m.attribute(NETLINK_DIAG_GROUPS, sock.groups.to_bytes(8, "little")))
        if wanted & diag.NDIAG_SHOW_MEMINFO:
            sizes = (sock.used, sock.options.receive_buffer, 0, sock.options.send_buffer, 0, 0, 0, 0, sock.drops)
            parts.append(m.attribute(NETLINK_DIAG_MEMINFO, SKMEMINFO.pack(*sizes)))
        found.append((diag.SOCK_DIAG_BY_FAMILY, b"".join(parts)))
    request.start_dump(found)
    return True


def packet(request: Request) -> bool:
    _, protocol, _, wanted, _, _ = request.fixed(REQUEST)
    if not request.dump:
        raise EOPNOTSUPP
    if protocol:
        raise EINVAL
    found: list[Body] = []
    for sock in tuple(request.net.sockets):
        if sock.domain != AF_PACKET or sock.refs <= 0:
            continue
        endpoint: Any = getattr(sock, "endpoint", None)
        inode = sock.inode.ino
        parts = [PACKET.pack(AF_PACKET, sock.kind, getattr(endpoint, "proto", 0), inode, inode, 0)]
        if wanted & PACKET_SHOW_INFO:
            parts.append(m.attribute(PACKET_DIAG_INFO, PACKET_INFO.pack(getattr(endpoint, "index", 0), 0, 0, 0, 0, 0)))
            parts.append(m.u32(PACKET_DIAG_UID, sock.inode.uid))
        queued = getattr(endpoint, "queued", 0)
        sizes = (queued, sock.options.receive_buffer, 0, sock.options.send_buffer, 0, 0, 0, 0, 0)
        parts.append(m.attribute(PACKET_DIAG_MEMINFO, SKMEMINFO.pack(*sizes)))
        found.append((diag.SOCK_DIAG_BY_FAMILY, b"".join(parts)))
    request.start_dump(found)
    return True
