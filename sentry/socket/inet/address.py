"""struct sockaddr_in and sockaddr_in6 to addresses of the stack and back (ip(7), ipv6(7)).

In the stack the length of an address is its family; IPv4 in the mapped form of an IPv6 socket exists only here.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from sentry.abi.errno import EAFNOSUPPORT, EINVAL
from sentry.abi.flags import AF_INET, AF_INET6, AF_UNSPEC

MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96
ANY4, ANY6 = bytes(4), bytes(16)
LOOPBACK4, LOOPBACK6 = b"\x7f\0\0\1", bytes(15) + b"\1"
LEAST6 = 24  # sockaddr_in6 of RFC 2133, before there was a scope id

_HEAD = Struct(">H")
_IN = Struct("<H2s4s8x")
_IN6 = Struct("<H2sI16sI")


class Place(NamedTuple):
    """Address and port; `scope` is an interface's index, 0 for none."""

    host: bytes
    port: int
    scope: int = 0
    flow: int = 0  # sin6_flowinfo as it stands


def family_of(address: bytes) -> int:
    """sa_family; EINVAL if there is none."""
    if len(address) < 2:
        raise EINVAL
    return address[0] | address[1] << 8


def parse4(address: bytes, unspec_any: bool = False) -> Place:
    """A sockaddr_in; with `unspec_any` the wildcard address may say AF_UNSPEC, as bind(2) has always let it."""
    if len(address) < 16:
        raise EINVAL
    family, port, host = _IN.unpack_from(address)
    if family != AF_INET and not (unspec_any and family == AF_UNSPEC and host == ANY4):
        raise EAFNOSUPPORT
    return Place(host, _HEAD.unpack(port)[0])


def parse6(address: bytes) -> Place:
    """A sockaddr_in6; a v4-mapped host comes out with 4 bytes."""
    if len(address) < LEAST6:
        raise EINVAL
    if family_of(address) != AF_INET6:
        raise EAFNOSUPPORT
    _, port, flow, host, scope = _IN6.unpack(address[:28].ljust(28, b"\0"))
    if host.startswith(MAPPED):
        return Place(host[12:], _HEAD.unpack(port)[0])
    return Place(host, _HEAD.unpack(port)[0], scope, flow)


def pack(domain: int, host: bytes, port: int, scope: int = 0, flow: int = 0) -> bytes:
    """The sockaddr of `domain` for an address of either family."""
    if domain == AF_INET:
        return _IN.pack(AF_INET, _HEAD.pack(port), host)
    if len(host) == 4:
        host = MAPPED + host
    elif not is_link_local(host):
        scope = 0
    return _IN6.pack(AF_INET6, _HEAD.pack(port), flow, host, scope)


def is_link_local(host: bytes) -> bool:
    """fe80::/10, or a multicast group whose scope is an interface or a link: it needs an interface to mean anything."""
    if len(host) != 16:
        return False
    return (host[0] == 0xFE and host[1] & 0xC0 == 0x80) or (host[0] == 0xFF and host[1] & 0xF in (1, 2))


def is_multicast(host: bytes) -> bool:
    return host[0] == 0xFF if len(host) == 16 else host[0] & 0xF0 == 0xE0
