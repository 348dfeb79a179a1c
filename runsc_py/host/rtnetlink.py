"""Interfaces, addresses, routes and neighbours of a network namespace (rtnetlink(7), netlink(7)), for commands that
must start fast: pyroute2 takes longer to import than all of a start may last."""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length type flags sequence port
ATTRIBUTE = struct.Struct("=HH")
LINK = struct.Struct("=BxHiII")  # ifinfomsg: family type index flags change
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family prefix flags scope index
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family dst_len src_len tos table protocol scope type flags
NEIGHBOR = struct.Struct("=BxxxiHBB")  # ndmsg: family index state flags type
NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length flags hops index

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP, NLM_F_CREATE, NLM_F_REPLACE = 1, 4, 16, 0x300, 0x400, 0x100
GETLINK, NEWADDR, DELADDR, GETADDR, NEWROUTE, GETROUTE, GETNEIGH = 18, 20, 21, 22, 24, 26, 30
AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 3, 4, 6, 8
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH, RTA_TABLE = (
    1,
    4,
    5,
    6,
    7,
    8,
    9,
    15,
)
NDA_DST, NDA_LLADDR = 1, 2

TRIES = 8  # at a dump that a change has made inconsistent
PIECE = 1 << 17

Attributes = dict[int, bytes]


class Message:
    """One entry of a dump: its fixed part taken apart, its attributes, and all of it as it came (`body`)."""

    __slots__ = ("attributes", "body", "fields")

    def __init__(self, form: struct.Struct, body: bytes) -> None:
        self.fields: tuple[int, ...] = form.unpack_from(body)
        self.attributes = attributes(body, form.size)
        self.body = body

    def number(self, kind: int, default: int = 0) -> int:
        raw = self.attributes.get(kind)
        return default if raw is None else int.from_bytes(raw[:4], "little")


def attributes(body: bytes, at: int) -> Attributes:
    found: Attributes = {}
    while at + 4 <= len(body):
        size, kind = ATTRIBUTE.unpack_from(body, at)
        if size < 4:
            break
        found[kind & 0x3FFF] = body[at + 4 : at + size]  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
        at += size + 3 & ~3
    return found


class Rtnetlink:
    """A NETLINK_ROUTE socket of the namespace that the caller is in when it makes one. Raises OSError."""

    def __init__(self) -> None:
        import _socket

        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def links(self) -> list[Message]:
        return self._dump(GETLINK, AF_UNSPEC, LINK)

    def addresses(self) -> list[Message]:
        return self._dump(GETADDR, AF_UNSPEC, ADDRESS)

    def routes(self) -> list[Message]:
        return self._dump(GETROUTE, AF_INET, ROUTE) + self._dump(GETROUTE, AF_INET6, ROUTE)

    def neighbors(self) -> list[Message]:
        return self._dump(GETNEIGH, AF_UNSPEC, NEIGHBOR)

    def ask(self, kind: int, body: bytes, flags: int = 0) -> None:
        """A change; returns once it is made."""
        self._send(kind, NLM_F_ACK | flags, body)
        for _, _, answer in self._answers():
            _raise_error(answer)
            return

    def _dump(self, kind: int, family: int, form: struct.Struct) -> list[Message]:
        for _ in range(TRIES):
            found, whole = [], True
            self._send(kind, NLM_F_DUMP, form.pack(family, *[0] * (len(form.unpack(bytes(form.size))) - 1)))
            for answer_kind, flags, body in self._answers():
                whole = whole and not flags & NLM_F_DUMP_INTR
                if answer_kind == NLMSG_DONE:
                    break
                if answer_kind == NLMSG_ERROR:
                    _raise_error(body)
                found.append(Message(form, body))
            if whole:
                return found
        raise OSError(16, "Device or resource busy", "rtnetlink")  # somebody changes it all the time

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, body) of each message to our last request."""
        while True:
            text = self._socket.recv(PIECE)
            at = 0
            while at + HEADER.size <= len(text):
                size, kind, flags, sequence, _ = HEADER.unpack_from(text, at)
                if size < HEADER.size:
                    break
                if sequence == self._sequence:
                    yield kind, flags, text[at + HEADER.size : at + size]
                at += size + 3 & ~3


def _raise_error(body: bytes) -> None:
    code = -int.from_bytes(body[:4], "little", signed=True)
    if code:
        import os

        raise OSError(code, os.strerror(code), "rtnetlink")
