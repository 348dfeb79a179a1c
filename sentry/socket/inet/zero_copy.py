"""MSG_ZEROCOPY (the kernel's networking/msg_zerocopy): its senders hear by the error queue when their buffers are free
again. Data is copied here, so they are at once, and the message says so."""

from __future__ import annotations

from struct import Struct

from sentry.abi.errno import EAGAIN
from sentry.abi.flags import AF_INET, IP_RECVERR, IPPROTO_IP, IPPROTO_IPV6, IPV6_RECVERR, MSG_ERRQUEUE
from sentry.socket.base import Incoming

_EXTENDED_ERROR = Struct("<IBBBxII")  # struct sock_extended_err: errno origin type code info data
ORIGIN_ZEROCOPY, CODE_COPIED = 5, 1


class Completions:
    """Sends are numbered; those of which nobody was told yet are `first` to `next_id` - 1."""

    __slots__ = ("first", "next_id")

    def __init__(self) -> None:
        self.first = 0
        self.next_id = 0

    def __bool__(self) -> bool:
        return self.first != self.next_id

    def sent(self) -> None:
        self.next_id = (self.next_id + 1) & 0xFFFFFFFF

    def take(self, domain: int) -> Incoming:
        """One message for all, as Linux puts them together; EAGAIN when there is none."""
        if not self:
            raise EAGAIN
        last = (self.next_id - 1) & 0xFFFFFFFF
        body = _EXTENDED_ERROR.pack(0, ORIGIN_ZEROCOPY, 0, CODE_COPIED, self.first, last)
        self.first = self.next_id
        incoming = Incoming(b"")
        incoming.flags = MSG_ERRQUEUE
        if domain == AF_INET:
            incoming.control.append((IPPROTO_IP, IP_RECVERR, body + bytes(16)))  # no sockaddr_in of an offender
        else:
            incoming.control.append((IPPROTO_IPV6, IPV6_RECVERR, body + bytes(28)))
        return incoming
