"""Which family's sockets a request of sock_diag(7) is about."""

from __future__ import annotations

from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL, ENOENT, EOPNOTSUPP
from sentry.abi.flags import AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX
from sentry.socket.netlink.diag import inet, others, unix
from sentry.socket.netlink.request import Request

FAMILIES = {AF_INET: inet.serve, AF_INET6: inet.serve, AF_UNIX: unix.serve, AF_NETLINK: others.netlink,
            AF_PACKET: others.packet}  # fmt: skip


def handle(request: Request) -> bool:
    if request.kind == diag.TCPDIAG_GETSOCK:
        return inet.serve_old(request)
    if request.kind == diag.SOCK_DESTROY:
        request.need_admin()
        raise EOPNOTSUPP
    if request.kind != diag.SOCK_DIAG_BY_FAMILY:
        raise EINVAL
    if len(request.body) < 2:
        raise EINVAL
    serve = FAMILIES.get(request.body[0])
    if serve is None:
        raise ENOENT
    return serve(request)
