"""socket(2) for AF_INET and AF_INET6: which class serves a type and a protocol (ip(7), ipv6(7), udp(7), raw(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from sentry.abi.flags import (
    AF_INET,
    CAP_NET_RAW,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
)
from sentry.socket.inet.datagram import InetPing, InetUdp
from sentry.socket.inet.raw import InetRaw
from sentry.socket.inet.stream import InetStream

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.base import Socket

IPPROTO_LIMIT = 263  # one more than IPPROTO_MPTCP
Kind = type[InetStream] | type[InetUdp] | type[InetPing]
KINDS: dict[int, dict[int, Kind]] = {  # the first is protocol 0
    SOCK_STREAM: {IPPROTO_TCP: InetStream},
    SOCK_DGRAM: {IPPROTO_UDP: InetUdp, IPPROTO_ICMP: InetPing, IPPROTO_ICMPV6: InetPing},
}


def make(t: Task, domain: int, kind: int, protocol: int, flags: int) -> Socket:
    if not 0 <= protocol < IPPROTO_LIMIT:
        raise EINVAL
    if kind == SOCK_RAW:
        if not protocol:
            raise EPROTONOSUPPORT
        if not t.creds.has(CAP_NET_RAW):
            raise EPERM
        return InetRaw(t, domain, protocol, flags)
    known = KINDS.get(kind)
    if known is None:
        raise ESOCKTNOSUPPORT
    number = protocol or next(iter(known))
    found = known.get(number)
    if found is None or number == (IPPROTO_ICMPV6 if domain == AF_INET else IPPROTO_ICMP):
        raise EPROTONOSUPPORT
    return found(t, domain, number, flags)
