"""Addresses and message headers in guest memory (struct sockaddr in socket(7), struct msghdr in sendmsg(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EMSGSIZE
from sentry.abi.flags import UIO_MAXIOV
from sentry.abi.structs import MSGHDR

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.mm.user import Iovec

ADDRESS_MAX = 128  # struct sockaddr_storage
LENGTH_AT = MSGHDR.size  # msg_len in struct mmsghdr


class Header:
    """struct msghdr of the guest, copied in once."""

    __slots__ = ("addr", "control_addr", "control_size", "iov", "name_addr", "name_size")

    def __init__(self, t: Task, addr: int) -> None:
        self.addr = addr
        name_addr, name_size, iov_addr, iov_count, control_addr, control_size, _ = t.mem.unpack(MSGHDR, addr)
        name_size = (name_size ^ 0x80000000) - 0x80000000
        if name_size < 0:
            raise EINVAL
        if iov_count > UIO_MAXIOV:
            raise EMSGSIZE
        self.name_addr = name_addr
        self.name_size = min(name_size, ADDRESS_MAX) if name_addr else 0
        self.iov: Iovec = t.mem.iovec(iov_addr, iov_count)
        self.control_addr = control_addr
        self.control_size = control_size


def read_address(t: Task, addr: int, size: int) -> bytes:
    """A sockaddr that the guest gives."""
    if not 0 <= size <= ADDRESS_MAX:
        raise EINVAL
    return t.mem.read(addr, size) if size else b""


def write_address(t: Task, address: bytes, addr: int, size_addr: int) -> None:
    """A sockaddr that the guest gets: cut to its buffer, the real length told."""
    size = t.mem.i32(size_addr)
    if size < 0:
        raise EINVAL
    t.mem.write(addr, address[:size])
    t.mem.put_i32(size_addr, len(address))
