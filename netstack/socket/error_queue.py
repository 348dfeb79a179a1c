"""The queue of extended errors (ip(7) IP_RECVERR, ipv6(7) IPV6_RECVERR, recv(2) MSG_ERRQUEUE), and which errno an ICMP
error means to a socket (RFC 1122 sections 3.2.2 and 4.1.3.3, RFC 4443 section 3)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from netstack.errors import (
    EACCES,
    ECONNREFUSED,
    EHOSTDOWN,
    EHOSTUNREACH,
    EMSGSIZE,
    ENETUNREACH,
    ENONET,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPROTO,
    NetError,
    WouldBlock,
)  # fmt: skip

if TYPE_CHECKING:
    from netstack.packet import IcmpError

LOCAL, ICMP, ICMP6 = 1, 2, 3  # SO_EE_ORIGIN_*
COST = 768  # of an entry, beside its payload, against SO_RCVBUF


class ExtendedError(NamedTuple):
    """struct sock_extended_err, the address that the packet went to, and what of its data is known."""

    errno: int
    origin: int
    kind: int
    code: int
    info: int
    offender: bytes  # empty for a local error
    peer: tuple[bytes, int]
    payload: bytes
    iface: int = 0
    time_ns: int = 0


class ErrorQueue:
    """Oldest first, bounded in bytes by the receive buffer, as the datagrams are."""

    __slots__ = ("_bytes", "_entries")

    def __init__(self) -> None:
        self._entries: deque[ExtendedError] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, error: ExtendedError, limit: int) -> bool:
        """False when there is no room for it."""
        cost = COST + len(error.payload)
        if self._bytes + cost >= limit:
            return False
        self._bytes += cost
        self._entries.append(error)
        return True

    def first(self) -> ExtendedError:
        if not self._entries:
            raise WouldBlock
        return self._entries[0]

    def take(self) -> ExtendedError:
        if not self._entries:
            raise WouldBlock
        error = self._entries.popleft()
        self._bytes -= COST + len(error.payload)
        return error

    def pending(self) -> int:
        """The errno that SO_ERROR has next: that of the oldest entry, if it is ICMP's."""
        return self._entries[0].errno if self._entries and self._entries[0].origin in (ICMP, ICMP6) else 0

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0


# What "destination unreachable" means, by code, and whether a connected datagram socket hears of it unasked: a soft
# error may pass (RFC 1122 section 4.2.3.9), a hard one is reported.
_UNREACHABLE: tuple[tuple[type[NetError], bool], ...] = (
    (ENETUNREACH, False), (EHOSTUNREACH, False), (ENOPROTOOPT, True), (ECONNREFUSED, True), (EMSGSIZE, False),
    (EOPNOTSUPP, False), (ENETUNREACH, True), (EHOSTDOWN, True), (ENONET, True), (ENETUNREACH, True),
    (EHOSTUNREACH, True), (ENETUNREACH, False), (EHOSTUNREACH, False), (EHOSTUNREACH, True), (EHOSTUNREACH, True),
    (EHOSTUNREACH, True),
)  # fmt: skip
_UNREACHABLE6: tuple[tuple[type[NetError], bool], ...] = (
    (ENETUNREACH, False), (EACCES, True), (EHOSTUNREACH, False), (EHOSTUNREACH, False), (ECONNREFUSED, True),
    (EACCES, True), (EACCES, True),
)  # fmt: skip


def meaning(error: IcmpError) -> tuple[int, bool]:
    """(errno, hard) of an ICMP error; (0, False) for one that is no socket's business."""
    kind, code = error.kind, error.code
    if error.version == 4:
        if kind == 3 and code < len(_UNREACHABLE):
            known, hard = _UNREACHABLE[code]
        elif kind == 11:
            known, hard = EHOSTUNREACH, False
        elif kind == 12:
            known, hard = EPROTO, True
        else:
            return 0, False
    elif kind == 1:
        known, hard = _UNREACHABLE6[code] if code < len(_UNREACHABLE6) else (EPROTO, True)
    elif kind == 2:
        known, hard = EMSGSIZE, False
    elif kind == 3:
        known, hard = EHOSTUNREACH, False
    elif kind == 4:
        known, hard = EPROTO, True
    else:
        return 0, False
    return known.code, hard


def too_big(error: IcmpError) -> bool:
    """The path's MTU is smaller than the packet was."""
    return error.kind == 3 and error.code == 4 if error.version == 4 else error.kind == 2
