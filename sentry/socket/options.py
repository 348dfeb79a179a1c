"""SOL_SOCKET options (socket(7)) that every family keeps the same way."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import EACCES, EDOM, EINVAL, ENOPROTOOPT, EPERM

if TYPE_CHECKING:
    from sentry.kernel.task import Task

INT = Struct("<i")
TIMEVAL = Struct("<qq")
LINGER = Struct("<ii")

DEFAULT_BUFFER = 212992  # net.core.wmem_default and rmem_default
MIN_SNDBUF, MIN_RCVBUF = 4608, 2304
MAX_BUFFER = 16 << 20  # what CAP_NET_ADMIN may ask for with SO_*BUFFORCE, before doubling
NS = 1_000_000_000

BOOLEANS = frozenset((
    abi.SO_REUSEADDR, abi.SO_KEEPALIVE, abi.SO_BROADCAST, abi.SO_OOBINLINE, abi.SO_DONTROUTE, abi.SO_REUSEPORT,
    abi.SO_PASSCRED, abi.SO_PASSSEC, abi.SO_TIMESTAMP, abi.SO_TIMESTAMPNS, abi.SO_RXQ_OVFL, abi.SO_NO_CHECK,
    abi.SO_SELECT_ERR_QUEUE, abi.SO_LOCK_FILTER, abi.SO_PASSPIDFD, abi.SO_DEBUG, abi.SO_TIMESTAMP_NEW,
    abi.SO_TIMESTAMPNS_NEW,
))  # fmt: skip
NUMBERS = {abi.SO_PRIORITY: 0, abi.SO_RCVLOWAT: 1, abi.SO_BUSY_POLL: 0, abi.SO_INCOMING_CPU: -1, abi.SO_PEEK_OFF: -1}
READ_ONLY = {abi.SO_SNDLOWAT: 1}
TIMEOUTS = {
    abi.SO_RCVTIMEO_OLD: "receive_timeout_ns", abi.SO_RCVTIMEO_NEW: "receive_timeout_ns",
    abi.SO_SNDTIMEO_OLD: "send_timeout_ns", abi.SO_SNDTIMEO_NEW: "send_timeout_ns",
}  # fmt: skip


class SocketOptions:
    """Values of the options; timeouts are None for ever."""

    __slots__ = (
        "linger", "pass_creds", "receive_buffer", "receive_timeout_ns", "send_buffer", "send_timeout_ns", "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.send_buffer = DEFAULT_BUFFER
        self.receive_buffer = DEFAULT_BUFFER
        self.receive_timeout_ns: int | None = None
        self.send_timeout_ns: int | None = None
        self.linger = (0, 0)
        self.pass_creds = False

    @property
    def low_water(self) -> int:
        return max(1, self.values.get(abi.SO_RCVLOWAT, 1))

    def set(self, t: Task, name: int, value: bytes) -> None:
        """setsockopt(2) at SOL_SOCKET."""
        if name in TIMEOUTS:
            setattr(self, TIMEOUTS[name], _timeout(value))
            return
        if name == abi.SO_LINGER:
            if len(value) < LINGER.size:
                raise EINVAL
            on, seconds = LINGER.unpack_from(value)
            self.linger = (int(bool(on)), seconds)
            return
        number = as_int(value)
        if name in (abi.SO_SNDBUF, abi.SO_RCVBUF):
            send, settings = name == abi.SO_SNDBUF, t.net.stack.settings
            self._size(send, min(number & 0xFFFFFFFF, settings.wmem_max if send else settings.rmem_max))
        elif name in (abi.SO_SNDBUFFORCE, abi.SO_RCVBUFFORCE):
            t.creds.require(abi.CAP_NET_ADMIN)
            self._size(name == abi.SO_SNDBUFFORCE, min(max(number, 0), MAX_BUFFER))
        elif name in BOOLEANS:
            if name == abi.SO_DEBUG and number and not t.creds.has(abi.CAP_NET_ADMIN):
                raise EACCES
            self.values[name] = int(bool(number))
            if name == abi.SO_PASSCRED:
                self.pass_creds = bool(number)
        elif name == abi.SO_PRIORITY:
            if not 0 <= number <= 6 and not t.creds.has(abi.CAP_NET_ADMIN):
                raise EPERM
            self.values[name] = number
        elif name == abi.SO_RCVLOWAT:
            self.values[name] = (number if number >= 0 else 0x7FFFFFFF) or 1
        elif name == abi.SO_MARK:
            t.creds.require(abi.CAP_NET_ADMIN)
            self.values[name] = number
        elif name in NUMBERS and name != abi.SO_PEEK_OFF:
            self.values[name] = number
        else:
            raise ENOPROTOOPT

    def _size(self, send: bool, size: int) -> None:
        if send:
            self.send_buffer = max(2 * size, MIN_SNDBUF)
        else:
            self.receive_buffer = max(2 * size, MIN_RCVBUF)

    def get(self, name: int) -> bytes:
        """getsockopt(2) at SOL_SOCKET: the whole value, which the caller cuts."""
        if name in TIMEOUTS:
            timeout_ns = getattr(self, TIMEOUTS[name]) or 0
            return TIMEVAL.pack(timeout_ns // NS, timeout_ns % NS // 1000)
        if name == abi.SO_LINGER:
            return LINGER.pack(*self.linger)
        if name == abi.SO_SNDBUF:
            return INT.pack(self.send_buffer)
        if name == abi.SO_RCVBUF:
            return INT.pack(self.receive_buffer)
        if name in BOOLEANS or name == abi.SO_MARK:
            return INT.pack(self.values.get(name, 0))
        if name in NUMBERS:
            return INT.pack(self.values.get(name, NUMBERS[name]))
        if name in READ_ONLY:
            return INT.pack(READ_ONLY[name])
        raise ENOPROTOOPT


def as_int(value: bytes) -> int:
    """The int that most options are; EINVAL for a shorter value."""
    if len(value) < 4:
        raise EINVAL
    return int.from_bytes(value[:4], "little", signed=True)


def _timeout(value: bytes) -> int | None:
    if len(value) < TIMEVAL.size:
        raise EINVAL
    sec, usec = TIMEVAL.unpack_from(value)
    if not 0 <= usec < 1_000_000:
        raise EDOM
    if sec < 0:
        return 0  # expires at once
    return (sec * NS + usec * 1000) or None
