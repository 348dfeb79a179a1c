"""Errors of the stack. Two families, never mixed: `NetError` is an answer to a local caller (an errno by Linux's
number, errno(3)); `BadPacket` says that bytes from outside are not what they should be, and never reaches a caller."""

from __future__ import annotations

from typing import ClassVar


class NetError(Exception):
    """A call on a socket or a change of the configuration failed; `code` is the positive Linux number."""

    code: ClassVar[int] = 0


class WouldBlock(NetError):
    """EAGAIN: nothing to read, no room to write, or a connect that is under way. The socket's `notify` says when."""

    code = 11


class EPERM(NetError):
    code = 1


class ENOENT(NetError):
    code = 2


class ESRCH(NetError):
    code = 3


class ENXIO(NetError):
    code = 6


class ENOMEM(NetError):
    code = 12


class EACCES(NetError):
    code = 13


class EBUSY(NetError):
    code = 16


class EEXIST(NetError):
    code = 17


class ENODEV(NetError):
    code = 19


class EINVAL(NetError):
    code = 22


class EPIPE(NetError):
    code = 32


class ENONET(NetError):
    code = 64


class EPROTO(NetError):
    code = 71


class EDESTADDRREQ(NetError):
    code = 89


class EMSGSIZE(NetError):
    code = 90


class ENOPROTOOPT(NetError):
    code = 92


class EPROTONOSUPPORT(NetError):
    code = 93


class EOPNOTSUPP(NetError):
    code = 95


class EAFNOSUPPORT(NetError):
    code = 97


class EADDRINUSE(NetError):
    code = 98


class EADDRNOTAVAIL(NetError):
    code = 99


class ENETDOWN(NetError):
    code = 100


class ENETUNREACH(NetError):
    code = 101


class ECONNABORTED(NetError):
    code = 103


class ECONNRESET(NetError):
    code = 104


class ENOBUFS(NetError):
    code = 105


class EISCONN(NetError):
    code = 106


class ENOTCONN(NetError):
    code = 107


class ETIMEDOUT(NetError):
    code = 110


class ECONNREFUSED(NetError):
    code = 111


class EHOSTDOWN(NetError):
    code = 112


class EHOSTUNREACH(NetError):
    code = 113


class EALREADY(NetError):
    code = 114


class EINPROGRESS(NetError):
    code = 115


BY_CODE: dict[int, type[NetError]] = {kind.code: kind for kind in NetError.__subclasses__()}


class BadPacket(Exception):
    """Bytes from outside that no RFC allows: `what` is wrong with `value`. The packet is counted and dropped."""

    def __init__(self, what: str, value: object = None) -> None:
        super().__init__(what, value)
        self.what = what
        self.value = value
