"""Raw sockets of AF_INET and AF_INET6 (raw(7), ipv6(7), RFC 3542). Making one takes CAP_NET_RAW (family.py), and with
it comes the right to send from any address: IP_HDRINCL needs nothing more."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.socket.raw import PROTO_ICMP6, RawSocket
from sentry.abi import flags as abi
from sentry.abi.errno import EADDRNOTAVAIL, EINVAL, ENOPROTOOPT, EOPNOTSUPP
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_RAW,
    SOCK_RAW,
    SOL_RAW,
)
from sentry.socket.base import Outgoing
from sentry.socket.inet import address as names
from sentry.socket.inet.datagram import InetMessages
from sentry.socket.options import INT, as_int

if TYPE_CHECKING:
    from sentry.kernel.task import Task

ICMP_FILTER, ICMPV6_FILTER = 1, 1  # <linux/icmp.h>, <linux/icmpv6.h>
U32 = Struct("<I")
FILTER6 = 32


class InetRaw(InetMessages):
    """A raw socket of one protocol."""

    __slots__ = ()

    def __init__(self, t: Task, domain: int, protocol: int, flags: int) -> None:
        super().__init__(t, domain, SOCK_RAW, protocol, flags)
        self.attach(RawSocket(self.net.stack, self.family, protocol))

    def send(self, message: Outgoing, t: Task | None) -> int:
        if self.domain == AF_INET6 and message.address is not None:
            place = names.parse6(message.address)
            if place.port and place.port != self.protocol and not self.endpoint.options.header_included:
                raise EINVAL  # "sin6_port must be the protocol or 0", ipv6(7)
        return super().send(message, t)

    def bind(self, t: Task, address: bytes) -> None:
        if len(self.place(address, binding=True).host) != len(self.endpoint.any):
            raise EADDRNOTAVAIL
        super().bind(t, address)

    # options ------------------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        endpoint = self.endpoint
        if level == IPPROTO_IP and self.domain == AF_INET6:
            raise ENOPROTOOPT  # it has no mapped peers
        if level == SOL_RAW and self.domain == AF_INET:
            if name != ICMP_FILTER:
                raise ENOPROTOOPT
            if self.protocol != IPPROTO_ICMP:
                raise EOPNOTSUPP
            endpoint.icmp_filter = U32.unpack(value[:4].ljust(4, b"\0"))[0]
        elif level == IPPROTO_ICMPV6 and self.domain == AF_INET6:
            if name != ICMPV6_FILTER:
                raise ENOPROTOOPT
            if self.protocol != IPPROTO_ICMPV6:
                raise EOPNOTSUPP
            old = endpoint.icmp_filter.to_bytes(FILTER6, "little")
            endpoint.icmp_filter = int.from_bytes(value[:FILTER6] + old[len(value[:FILTER6]) :], "little")
        elif self._is_checksum(level, name):
            self._set_checksum(level, as_int(value))
        else:
            super().set_option(t, level, name, value)

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        endpoint = self.endpoint
        if level == IPPROTO_IP and self.domain == AF_INET6:
            raise ENOPROTOOPT
        if level == SOL_RAW and self.domain == AF_INET and name == ICMP_FILTER:
            if self.protocol != IPPROTO_ICMP:
                raise EOPNOTSUPP
            return U32.pack(endpoint.icmp_filter & 0xFFFFFFFF)
        if level == IPPROTO_ICMPV6 and self.domain == AF_INET6 and name == ICMPV6_FILTER:
            if self.protocol != IPPROTO_ICMPV6:
                raise EOPNOTSUPP
            return bytes(endpoint.icmp_filter.to_bytes(FILTER6, "little"))
        if self._is_checksum(level, name):
            return INT.pack(endpoint.checksum_offset)
        return super().get_option(t, level, name)

    def _is_checksum(self, level: int, name: int) -> bool:
        return self.domain == AF_INET6 and level in (SOL_RAW, IPPROTO_IPV6) and name == abi.IPV6_CHECKSUM

    def _set_checksum(self, level: int, offset: int) -> None:
        """RFC 3542 section 3.1: an even offset, or -1 for none; ICMPv6 has its own."""
        if self.protocol == PROTO_ICMP6 and level == IPPROTO_IPV6:
            raise EINVAL
        if self.protocol == IPPROTO_RAW or (offset > 0 and offset & 1):
            raise EINVAL
        self.endpoint.checksum_offset = max(offset, -1)
