"""unix_diag of sock_diag(7): AF_UNIX sockets of the asker's network namespace."""

from __future__ import annotations

from struct import Struct

from netstack.tcp.state import CLOSE, ESTABLISHED, LISTEN
from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL, ENOENT
from sentry.abi.flags import AF_UNIX, SOCK_STREAM
from sentry.socket.names import table_of
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Request
from sentry.socket.unix import CONNECTED, LISTENING, UnixSocket
from sentry.socket.unix_connection import UnixConnection

REQUEST = Struct("=BB2xIIIII")  # struct unix_diag_req: family, protocol, states, inode, what to show, cookie
MESSAGE = Struct("=BBBxIII")  # struct unix_diag_msg: family, type, state, inode, cookie
PAIR, SKMEMINFO = Struct("=II"), Struct("=9I")
ANY_COOKIE = 0xFFFFFFFF


def state_of(sock: UnixSocket) -> int:
    """As ss(8) shows it, by TCP's numbers."""
    return LISTEN if sock.state == LISTENING else ESTABLISHED if sock.state == CONNECTED else CLOSE


def sockets(request: Request) -> list[UnixSocket]:
    found = [sock for sock in table_of(request.net).sockets if not sock.dead]
    return sorted(found, key=lambda sock: sock.inode.ino)


def serve(request: Request) -> bool:
    _, protocol, states, inode, wanted, cookie, _ = request.fixed(REQUEST)
    if protocol:
        raise EINVAL
    if request.dump:
        found = [sock for sock in sockets(request) if states >> state_of(sock) & 1]
        request.start_dump([(diag.SOCK_DIAG_BY_FAMILY, _show(sock, wanted)) for sock in found])
        return True
    if not inode:
        raise EINVAL
    for sock in sockets(request):
        if sock.inode.ino == inode and cookie in (ANY_COOKIE, inode):
            request.reply(diag.SOCK_DIAG_BY_FAMILY, _show(sock, wanted))
            return False
    raise ENOENT


def _show(sock: UnixSocket, wanted: int) -> bytes:
    inode = sock.inode.ino
    parts = [MESSAGE.pack(AF_UNIX, sock.kind, state_of(sock), inode, inode, 0)]
    name = sock.address[2:]
    if wanted & diag.UDIAG_SHOW_NAME and name:
        parts.append(m.attribute(diag.UNIX_DIAG_NAME, name))
    bound = sock.bound_inode
    if wanted & diag.UDIAG_SHOW_VFS and bound is not None:
        parts.append(m.attribute(diag.UNIX_DIAG_VFS, PAIR.pack(bound.ino & 0xFFFFFFFF, bound.fs.dev & 0xFFFFFFFF)))
    if wanted & diag.UDIAG_SHOW_PEER and sock.peer is not None:
        parts.append(m.u32(diag.UNIX_DIAG_PEER, sock.peer.inode.ino))
    pending = list(sock.pending) if isinstance(sock, UnixConnection) else []
    if wanted & diag.UDIAG_SHOW_ICONS and sock.state == LISTENING:
        waiting = b"".join(m.U32.pack(other.inode.ino) for other in pending)
        parts.append(m.attribute(diag.UNIX_DIAG_ICONS, waiting))
    if wanted & diag.UDIAG_SHOW_RQLEN:
        parts.append(m.attribute(diag.UNIX_DIAG_RQLEN, PAIR.pack(*queues(sock))))
    if wanted & diag.UDIAG_SHOW_MEMINFO:
        sizes = (0, sock.options.receive_buffer, sock.used, sock.options.send_buffer, 0, sock.used, 0, 0, 0)
        parts.append(m.attribute(diag.UNIX_DIAG_MEMINFO, SKMEMINFO.pack(*sizes)))
    if wanted & diag.UDIAG_SHOW_UID:
        parts.append(m.u32(diag.UNIX_DIAG_UID, sock.inode.uid))
    parts.append(m.u8(diag.UNIX_DIAG_SHUTDOWN, sock.shut))
    return b"".join(parts)


def queues(sock: UnixSocket) -> tuple[int, int]:
    """A listener's queue and its limit; of others what is unread, and what they have sent that is unread."""
    if isinstance(sock, UnixConnection) and sock.state == LISTENING:
        return len(sock.pending), sock.backlog
    waiting = sum(len(message.data) - message.at for message in sock.inbox)
    if sock.kind != SOCK_STREAM and sock.inbox:
        waiting = len(sock.inbox[0].data)
    return waiting, sock.used
