"""socket(2), socketpair(2), bind(2), listen(2), accept(2), connect(2), getsockname(2), getpeername(2), shutdown(2),
getsockopt(2). Data is sent and received in syscalls/socket_msg.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import (
    EAFNOSUPPORT,
    EAGAIN,
    EINVAL,
    ENOTSOCK,
    EOPNOTSUPP,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
    Errno,
)
from sentry.socket.base import SHUT_BOTH, Socket, Ucred
from sentry.socket.header import read_address, write_address
from sentry.socket.inet import family as inet
from sentry.socket.netlink.protocols import PROTOCOLS
from sentry.socket.netlink.socket import NetlinkSocket
from sentry.socket.packet import PacketFile
from sentry.socket.unix import UnixSocket
from sentry.socket.unix_connection import UnixStream, pair
from sentry.socket.unix_message import UnixDatagram, UnixSeqpacket
from sentry.wait import IN, OUT, RESTARTNOHAND, RESTARTSYS, retry
from syscalls.args import Addr, Family, Fd, Int, SockType
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

TYPE_MASK = 0xF
OPTION_MAX = 4096
UNIX_KINDS: dict[int, type[UnixStream] | type[UnixDatagram] | type[UnixSeqpacket]] = {
    abi.SOCK_STREAM: UnixStream, abi.SOCK_DGRAM: UnixDatagram, abi.SOCK_RAW: UnixDatagram,
    abi.SOCK_SEQPACKET: UnixSeqpacket,
}  # fmt: skip


@syscall("socket", Family, SockType, Int, support="partial", note="unix, inet, inet6, netlink, packet")
def sys_socket(t: Task, family: int, kind: int, protocol: int) -> int:
    return t.fds.install(_make(t, family, kind, protocol), bool(kind & abi.SOCK_CLOEXEC))


@syscall("socketpair", Family, SockType, Int, Addr)
def sys_socketpair(t: Task, family: int, kind: int, protocol: int, fds_addr: int) -> int:
    one, other = _make(t, family, kind, protocol), _make(t, family, kind, protocol)
    if not isinstance(one, UnixSocket) or not isinstance(other, UnixSocket):
        raise EOPNOTSUPP
    pair(one, other)
    one.peer_creds = other.peer_creds = Ucred.of(t)
    fds, cloexec = t.fds, bool(kind & abi.SOCK_CLOEXEC)
    numbers: list[int] = []
    try:
        for sock in (one, other):
            numbers.append(fds.install(sock, cloexec))
        t.mem.write(fds_addr, b"".join(fd.to_bytes(4, "little") for fd in numbers))
    except Errno:
        for fd in numbers:
            fds.close(fd)
        raise
    return 0


def _make(t: Task, family: int, kind: int, protocol: int) -> Socket:
    """A new socket, or the errno that a Linux without the asked-for protocol gives."""
    flags, kind = kind & ~TYPE_MASK, kind & TYPE_MASK
    if flags & ~(abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK):
        raise EINVAL
    if not 0 <= family < abi.AF_MAX:
        raise EAFNOSUPPORT
    if kind >= 11:
        raise EINVAL
    if family == abi.AF_UNIX:
        if protocol not in (0, abi.AF_UNIX):
            raise EPROTONOSUPPORT
        unix = UNIX_KINDS.get(kind)
        if unix is None:
            raise ESOCKTNOSUPPORT
        return unix(t, flags)
    if family in (abi.AF_INET, abi.AF_INET6):
        return inet.make(t, family, kind, protocol, flags)
    if family == abi.AF_NETLINK:
        if kind not in (abi.SOCK_RAW, abi.SOCK_DGRAM):
            raise ESOCKTNOSUPPORT
        if protocol not in PROTOCOLS:
            raise EPROTONOSUPPORT
        return NetlinkSocket(t, kind, protocol, flags)
    if family == abi.AF_PACKET:
        return PacketFile(t, kind, protocol, flags)
    raise EAFNOSUPPORT


def socket_of(file: File) -> Socket:
    if not isinstance(file, Socket):
        raise ENOTSOCK
    return file


def patience(t: Task, timeout_ns: int | None) -> tuple[int | None, int]:
    """(deadline, restart) of a call on a socket: with SO_RCVTIMEO or SO_SNDTIMEO a signal is never followed by a
    restart (signal(7))."""
    if timeout_ns is None:
        return None, RESTARTSYS
    return t.kernel.now_ns() + timeout_ns, RESTARTNOHAND


def timed_out() -> int:
    raise EAGAIN


@syscall("bind", Fd, Addr, Int)
def sys_bind(t: Task, file: File, addr: int, size: int) -> int:
    sock = socket_of(file)
    sock.bind(t, read_address(t, addr, size))
    return 0


@syscall("listen", Fd, Int)
def sys_listen(t: Task, file: File, backlog: int) -> int:
    socket_of(file).listen(t, backlog)
    return 0


@syscall("connect", Fd, Addr, Int)
def sys_connect(t: Task, file: File, addr: int, size: int) -> int:
    sock = socket_of(file)
    address = read_address(t, addr, size)
    deadline_ns, restart = patience(t, sock.options.send_timeout_ns)
    return retry(
        partial(_connect, t, sock, address), [(sock, OUT)], nonblock=sock.nonblock, deadline_ns=deadline_ns,
        expired=sock.connect_expired, restart=restart,
    )  # fmt: skip


def _connect(t: Task, sock: Socket, address: bytes) -> int:
    sock.connect(t, address)
    return 0


@syscall("accept", Fd, Addr, Addr)
def sys_accept(t: Task, file: File, addr: int, size_addr: int) -> int:
    return sys_accept4(t, file, addr, size_addr, 0)


@syscall("accept4", Fd, Addr, Addr, SockType)
def sys_accept4(t: Task, file: File, addr: int, size_addr: int, flags: int) -> int:
    if flags & ~(abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK):
        raise EINVAL
    sock = socket_of(file)
    deadline_ns, restart = patience(t, sock.options.receive_timeout_ns)
    return retry(
        partial(_accept, t, sock, addr, size_addr, flags), [(sock, IN)], nonblock=sock.nonblock,
        deadline_ns=deadline_ns, expired=timed_out, restart=restart,
    )  # fmt: skip


def _accept(t: Task, listener: Socket, addr: int, size_addr: int, flags: int) -> int:
    fds = t.fds
    fds.need_room()  # before a connection is taken off the queue
    sock = listener.accept(t, flags)
    fd = fds.install(sock, bool(flags & abi.SOCK_CLOEXEC))
    if addr:
        try:
            write_address(t, sock.peer_address(), addr, size_addr)
        except Errno:
            fds.close(fd)
            raise
    return fd


@syscall("getsockname", Fd, Addr, Addr)
def sys_getsockname(t: Task, file: File, addr: int, size_addr: int) -> int:
    write_address(t, socket_of(file).local_address(), addr, size_addr)
    return 0


@syscall("getpeername", Fd, Addr, Addr)
def sys_getpeername(t: Task, file: File, addr: int, size_addr: int) -> int:
    write_address(t, socket_of(file).peer_address(), addr, size_addr)
    return 0


@syscall("shutdown", Fd, Int)
def sys_shutdown(t: Task, file: File, how: int) -> int:
    sock = socket_of(file)
    if not 0 <= how <= 2:
        raise EINVAL
    sock.shutdown((how + 1) & SHUT_BOTH)
    return 0


@syscall("setsockopt", Fd, Int, Int, Addr, Int, support="partial", note="socket(7) and what each family knows")
def sys_setsockopt(t: Task, file: File, level: int, name: int, value_addr: int, size: int) -> int:
    sock = socket_of(file)
    if size < 0:
        raise EINVAL
    sock.set_option(t, level, name, t.mem.read(value_addr, min(size, OPTION_MAX)))
    return 0


@syscall("getsockopt", Fd, Int, Int, Addr, Addr, support="partial", note="socket(7) and what each family knows")
def sys_getsockopt(t: Task, file: File, level: int, name: int, value_addr: int, size_addr: int) -> int:
    sock = socket_of(file)
    size = t.mem.i32(size_addr)
    if size < 0:
        raise EINVAL
    value = sock.get_option(t, level, name)
    if level == abi.IPPROTO_IP and 0 < size < 4 == len(value) and value[1:] == bytes(3):
        size = 1  # a byte for programs that think of a byte (ip(7))
    value = value[:size]
    t.mem.write(value_addr, value)
    t.mem.put_i32(size_addr, len(value))
    return 0
