"""Which protocols of netlink(7) there are, and what they let whom do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sentry.abi import flags as abi
from sentry.socket.netlink import generic
from sentry.socket.netlink.diag import dispatch as diag
from sentry.socket.netlink.request import Request
from sentry.socket.netlink.route import dispatch as route

Handler = Callable[[Request], bool]  # whether a dump has begun, which is not acknowledged


class Protocol(NamedTuple):
    """`groups` it has; who besides CAP_NET_ADMIN may join them or send to other processes; None as handler: the kernel
    takes no messages."""

    handler: Handler | None
    groups: int
    anyone_joins: bool = True
    anyone_sends: bool = False


PROTOCOLS: dict[int, Protocol] = {
    abi.NETLINK_ROUTE: Protocol(route.handle, 36),
    abi.NETLINK_USERSOCK: Protocol(None, 32, anyone_sends=True),
    abi.NETLINK_SOCK_DIAG: Protocol(diag.handle, 4),
    abi.NETLINK_KOBJECT_UEVENT: Protocol(None, 32),
    abi.NETLINK_GENERIC: Protocol(generic.handle, 32),
}
