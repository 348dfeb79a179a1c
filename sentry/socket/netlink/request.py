"""One message to the kernel and what is answered to it (netlink(7), NLM_F_* and NLMSG_ERROR)."""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, Errno
from sentry.abi.flags import (
    CAP_NET_ADMIN,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
)  # fmt: skip
from sentry.socket.netlink import message as m

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace
    from sentry.socket.netlink.socket import NetlinkSocket

NLM_F_MULTI = 2
Body = tuple[int, bytes]  # type and contents of a message of the answer


class Request:
    """`body` is what follows the header. `t` made the call."""

    __slots__ = ("body", "flags", "kind", "net", "port", "raw", "seq", "sock", "stack", "t")

    def __init__(self, t: Task, sock: NetlinkSocket, raw: bytes) -> None:
        self.t = t
        self.sock = sock
        self.net: NetNamespace = sock.net
        self.stack: Stack = sock.net.stack
        self.raw = raw
        _, self.kind, self.flags, self.seq, _ = m.HEADER.unpack_from(raw)
        self.port = sock.port
        self.body = raw[16:]

    @property
    def dump(self) -> bool:
        return bool(self.flags & NLM_F_DUMP == NLM_F_DUMP)

    @property
    def strict(self) -> bool:
        return self.sock.strict

    def need_admin(self) -> None:
        self.t.creds.require(CAP_NET_ADMIN)

    def fixed(self, shape: Struct, what: str = "request") -> tuple[int, ...]:
        """The family's own header; EINVAL for less."""
        try:
            return shape.unpack_from(self.body)
        except struct_error:
            raise EINVAL(f"Invalid header for {what}")

    def filter(self, shape: Struct, what: str = "dump") -> tuple[int, ...]:
        """The header of a dump request. Only a strict asker must send all of it: the others may ask by a family alone
        (struct rtgenmsg), and nothing else that they say counts."""
        if self.strict:
            return self.fixed(shape, what)
        return shape.unpack((self.body[:1]).ljust(shape.size, b"\0"))

    def attributes(self, shape: Struct) -> m.Attributes:
        return m.parse(memoryview(self.body)[shape.size + 3 & ~3 :], self.strict)

    # answers ----------------------------------------------------------------------------------------------------------
    def reply(self, kind: int, body: bytes, flags: int = 0) -> None:
        """One message to the asker, as answer to a GET."""
        self.sock.deliver(m.message(kind, flags, self.seq, self.port, body))

    def start_dump(self, bodies: list[Body], flags: int = 0) -> None:
        """The answer to a dump: read piece by piece, with NLMSG_DONE at its end."""
        seq, port, flags = self.seq, self.port, NLM_F_MULTI | flags
        parts = [m.message(kind, flags, seq, port, body) for kind, body in bodies]
        parts.append(m.message(NLMSG_DONE, NLM_F_MULTI, seq, port, bytes(4)))
        self.sock.start_dump(parts)

    def fail_dump(self, failure: Errno) -> None:
        """A dump that cannot be is over at once, with an error in its NLMSG_DONE."""
        body, flags = m.S32.pack(-failure.code), NLM_F_MULTI
        if self.sock.ext_ack and failure.args:
            body += m.text(NLMSGERR_ATTR_MSG, str(failure.args[0]).encode())
            flags |= NLM_F_ACK_TLVS
        self.sock.start_dump([m.message(NLMSG_DONE, flags, self.seq, self.port, body)])

    def acknowledge(self, failure: Errno | None) -> None:
        """NLMSG_ERROR: the error, or 0, and what it is about; an explanation for who wants it (NETLINK_EXT_ACK)."""
        sock, flags = self.sock, 0
        error = -failure.code if failure is not None else 0
        quoted = self.raw
        if failure is None or sock.cap_ack:
            quoted, flags = self.raw[:16], NLM_F_CAPPED
        body = m.S32.pack(error) + quoted
        if sock.ext_ack and failure is not None and failure.args:
            body += m.PADDING[len(body) & 3] + m.text(NLMSGERR_ATTR_MSG, str(failure.args[0]).encode())
            flags |= NLM_F_ACK_TLVS
        sock.deliver(m.message(NLMSG_ERROR, flags, self.seq, self.port, body))
