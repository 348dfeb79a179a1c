"""socket(2) for AF_INET and AF_INET6: which class serves a type and a protocol (ip(7), ipv6(7), udp(7), raw(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from sentry.abi.flags import CAP_NET_RAW, IPPROTO_TCP, SOCK_RAW, SOCK_STREAM
from sentry.socket.inet.stream import InetStream

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.base import Socket

IPPROTO_LIMIT = 263  # one more than IPPROTO_MPTCP
KINDS: dict[int, dict[int, type[InetStream]]] = {SOCK_STREAM: {IPPROTO_TCP: InetStream}}  # the first is protocol 0


def make(t: Task, domain: int, kind: int, protocol: int, flags: int) -> Socket:
    if not 0 <= protocol < IPPROTO_LIMIT:
        raise EINVAL
    known = KINDS.get(kind)
    if known is None:
        raise ESOCKTNOSUPPORT
    number = protocol or next(iter(known))
    found = known.get(number)
    if found is None:
        raise EPROTONOSUPPORT
    if kind == SOCK_RAW:
        t.creds.require(CAP_NET_RAW)
    return found(t, domain, number, flags)
