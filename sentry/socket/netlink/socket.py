"""AF_NETLINK sockets (netlink(7)): ports, groups, messages to the kernel and to each other.

A dump is kept as the list of its messages and put into datagrams as they are read: as big as the reader's largest
buffer so far, as Linux does it, so that one who reads in pieces of 4 KiB loses nothing.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import (
    EBUSY,
    ECONNREFUSED,
    EINVAL,
    ENOBUFS,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    Errno,
    WouldBlock,
)
from sentry.net.namespace import net_of
from sentry.socket.base import Incoming, Outgoing, Socket, Ucred
from sentry.socket.inet.ifioctl import device_ioctl
from sentry.socket.netlink import message as m
from sentry.socket.netlink.protocols import PROTOCOLS
from sentry.socket.netlink.request import Request
from sentry.socket.options import INT, as_int
from sentry.wait import ERR, IN, OUT, RDNORM, WRNORM

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

ADDRESS = Struct("=H2xII")  # struct sockaddr_nl: family, port, groups
KERNEL = ADDRESS.pack(abi.AF_NETLINK, 0, 0)
KERNEL_CREDS = Ucred(0, 0, 0)
GOOD_SIZE, LARGE_SIZE = 3776, 32768  # bytes of a dump's datagram: at least, and for readers with room
OVERHEAD = 768  # what a queued message costs beside its bytes
FLAGS = {
    abi.NETLINK_PKTINFO: "packet_info", abi.NETLINK_BROADCAST_ERROR: "broadcast_error",
    abi.NETLINK_NO_ENOBUFS: "no_enobufs", abi.NETLINK_LISTEN_ALL_NSID: "all_namespaces",
    abi.NETLINK_CAP_ACK: "cap_ack", abi.NETLINK_EXT_ACK: "ext_ack", abi.NETLINK_GET_STRICT_CHK: "strict",
}  # fmt: skip


class Queued:
    """A message in a socket's queue; `group` is 0 for one that was sent to it alone."""

    __slots__ = ("creds", "data", "group", "sender")

    def __init__(self, data: bytes, sender: int, group: int, creds: Ucred) -> None:
        self.data = data
        self.sender = sender
        self.group = group
        self.creds = creds


class NetlinkSocket(Socket):
    """`port` is 0 as long as it has none; bit N - 1 of `groups` stands for group N; `peer` is port and group of
    connect(2); `parts` are the rest of a dump."""

    __slots__ = (
        "all_namespaces", "broadcast_error", "cap_ack", "congested", "drops", "ext_ack", "groups", "inbox", "largest",
        "net", "no_enobufs", "packet_info", "parts", "peer", "port", "rules", "strict", "used",
    )  # fmt: skip

    is_stream = False
    has_urgent = True  # to refuse it with an error of its own

    def __init__(self, t: Task, kind: int, protocol: int, flags: int) -> None:
        super().__init__(t, abi.AF_NETLINK, kind, protocol, flags)
        self.rules = PROTOCOLS[protocol]
        self.net = net_of(t)
        self.port = 0
        self.groups = 0
        self.peer = (0, 0)
        self.inbox: deque[Queued] = deque()
        self.used = 0  # what is in the inbox
        self.parts: deque[bytes] = deque()
        self.largest = 0  # buffer of a receive so far
        self.congested = False
        self.drops = 0
        self.packet_info = self.broadcast_error = self.no_enobufs = self.all_namespaces = False
        self.cap_ack = self.ext_ack = self.strict = False
        self.net.netlink.sockets.add(self)

    # names ------------------------------------------------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        port, groups = self._parse(address)
        if groups:
            self._may_join(t)
        if self.port and port != self.port:
            raise EINVAL
        if not self.port:
            if port:
                self.net.netlink.take(self, port)
            else:
                self._choose(t)
        count = self.rules.groups
        if count < 32:
            groups &= (1 << count) - 1
        self.groups = self.groups & ~0xFFFFFFFF | groups
        self.net.netlink.count()

    def _parse(self, address: bytes) -> tuple[int, int]:
        if len(address) < ADDRESS.size:
            raise EINVAL
        family, port, groups = ADDRESS.unpack_from(address)
        if family != abi.AF_NETLINK:
            raise EINVAL
        return port, groups

    def _may_join(self, t: Task) -> None:
        if not self.rules.anyone_joins and not t.creds.has(abi.CAP_NET_ADMIN):
            raise EPERM

    def _choose(self, t: Task) -> None:
        self.net.netlink.choose(self, t.group.pid)

    def connect(self, t: Task, address: bytes) -> None:
        if len(address) < 2:
            raise EINVAL
        if int.from_bytes(address[:2], "little") == abi.AF_UNSPEC:
            self.peer = (0, 0)
            return
        port, groups = self._parse(address)
        if (port or groups) and not self.rules.anyone_sends and not t.creds.has(abi.CAP_NET_ADMIN):
            raise EPERM
        if not self.port:
            self._choose(t)
        self.peer = (port, (groups & -groups).bit_length())

    def local_address(self) -> bytes:
        return ADDRESS.pack(abi.AF_NETLINK, self.port, self.groups & 0xFFFFFFFF)

    def peer_address(self) -> bytes:
        port, group = self.peer
        return ADDRESS.pack(abi.AF_NETLINK, port, _mask(group))

    def release(self) -> None:
        table = self.net.netlink
        table.drop(self)
        self.groups = 0
        table.count()
        self.inbox.clear()
        self.parts.clear()

    # sending ----------------------------------------------------------------------------------------------------------
    def send(self, message: Outgoing, t: Task | None) -> int:
        if message.flags & abi.MSG_OOB:
            raise EOPNOTSUPP
        if t is None:
            raise ENOTCONN
        port, group = self.peer
        if message.address is not None:
            port, groups = self._parse(message.address)
            group = (groups & -groups).bit_length()
            if (port or group) and not self.rules.anyone_sends and not t.creds.has(abi.CAP_NET_ADMIN):
                raise EPERM
        if not self.port:
            self._choose(t)
        data = message.data
        if group:
            creds = message.creds or Ucred.sender(t)
            self._broadcast(data, group, creds)
        if port:
            self._to_port(data, port, message.creds or Ucred.sender(t))
        else:
            self._to_kernel(t, data)
        return len(data)

    def _broadcast(self, data: bytes, group: int, creds: Ucred) -> None:
        for sock in tuple(self.net.netlink.sockets):
            if sock.protocol == self.protocol and sock is not self and sock.groups >> (group - 1) & 1:
                sock.deliver(data, self.port, group, creds)

    def _to_port(self, data: bytes, port: int, creds: Ucred) -> None:
        other = self.net.netlink.ports.get((self.protocol, port))
        if other is None or other.peer != (0, 0) and other.peer[0] != self.port:
            raise ECONNREFUSED
        if other.congested or other.used > other.options.receive_buffer:
            raise WouldBlock
        other.deliver(data, self.port, 0, creds)

    def _to_kernel(self, t: Task, data: bytes) -> None:
        """A datagram of one or more requests (netlink(7)): what is no request, or too short, is passed over."""
        handler = self.rules.handler
        if handler is None:
            raise ECONNREFUSED
        self.net.enter()
        at, end = 0, len(data)
        while end - at >= 16:
            size = m.U32.unpack_from(data, at)[0]
            if not 16 <= size <= end - at:
                return
            request = Request(t, self, data[at : at + size])
            at += size + 3 & ~3
            failure: Errno | None = None
            dumping = False
            if request.flags & abi.NLM_F_REQUEST and request.kind >= abi.NLMSG_MIN_TYPE:
                table = self.net.netlink
                table.requester = (self.port, request.seq)
                try:
                    dumping = handler(request)
                except Errno as err:
                    failure = err
                finally:
                    table.requester = (0, 0)
            if failure is not None or request.flags & abi.NLM_F_ACK and not dumping:
                request.acknowledge(failure)

    # receiving --------------------------------------------------------------------------------------------------------
    def deliver(self, data: bytes, sender: int = 0, group: int = 0, creds: Ucred = KERNEL_CREDS) -> None:
        """Put a message into the queue. A full queue loses it, and the reader is told so once (ENOBUFS)."""
        if self.used > self.options.receive_buffer or self.congested and group:
            self.drops += 1
            if not self.no_enobufs and not self.congested:
                self.congested = True
                self.error = ENOBUFS.code
                self.queue.notify(ERR)
            return
        self.inbox.append(Queued(data, sender, group, creds))
        self.used += len(data) + OVERHEAD
        self.queue.notify(IN | RDNORM)

    def start_dump(self, parts: list[bytes]) -> None:
        """EBUSY while one is under way."""
        if self.parts:
            raise EBUSY
        self.parts.extend(parts)
        self.queue.notify(IN | RDNORM)

    def _next(self) -> Queued | None:
        """The first message; a datagram of the dump is put together when nothing else waits."""
        if not self.inbox and self.parts:
            room = LARGE_SIZE if self.largest >= 16384 else GOOD_SIZE
            room = min(max(self.largest, GOOD_SIZE), room)
            pieces: list[bytes] = []
            parts, size = self.parts, 0
            while parts and (not pieces or size + len(parts[0]) <= room):
                size += len(parts[0])
                pieces.append(parts.popleft())
            self.inbox.append(Queued(b"".join(pieces), 0, 0, KERNEL_CREDS))
            self.used += size + OVERHEAD
        return self.inbox[0] if self.inbox else None

    def receive(self, size: int, flags: int) -> Incoming:
        if flags & abi.MSG_OOB:
            raise EOPNOTSUPP
        self.raise_error()
        first = self._next()
        self.largest = max(self.largest, size)
        if first is None:
            raise WouldBlock
        incoming = Incoming(first.data[:size])
        incoming.full_size = len(first.data)
        if incoming.full_size > size:
            incoming.flags |= abi.MSG_TRUNC
        incoming.address = ADDRESS.pack(abi.AF_NETLINK, first.sender, _mask(first.group))
        incoming.creds = first.creds
        if self.packet_info:
            incoming.control = [(abi.SOL_NETLINK, abi.NETLINK_PKTINFO, m.U32.pack(first.group))]
        return incoming

    def commit(self, count: int) -> list[File]:
        if self.inbox:
            self.used -= len(self.inbox.popleft().data) + OVERHEAD
        if self.congested and not self.inbox:
            self.congested = False
        self.queue.notify(OUT | WRNORM)
        return []

    def poll(self) -> int:
        events = OUT | WRNORM
        if self.inbox or self.parts:
            events |= IN | RDNORM
        if self.error:
            events |= ERR
        return events

    # options ----------------------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        if level == abi.SOL_SOCKET:
            self.options.set(t, name, value)
            return
        if level != abi.SOL_NETLINK:
            raise ENOPROTOOPT
        number = as_int(value) if len(value) >= 4 else 0
        if name in (abi.NETLINK_ADD_MEMBERSHIP, abi.NETLINK_DROP_MEMBERSHIP):
            self._may_join(t)
            if not 0 < number <= self.rules.groups:
                raise EINVAL
            bit = 1 << (number - 1)
            self.groups = self.groups | bit if name == abi.NETLINK_ADD_MEMBERSHIP else self.groups & ~bit
            self.net.netlink.count()
        elif name in FLAGS:
            if name == abi.NETLINK_LISTEN_ALL_NSID:
                t.creds.require(abi.CAP_NET_ADMIN)
            setattr(self, FLAGS[name], bool(number))
            if name == abi.NETLINK_NO_ENOBUFS and number:
                self.congested = False
        else:
            raise ENOPROTOOPT

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level == abi.SOL_SOCKET:
            plain = {
                abi.SO_TYPE: self.kind, abi.SO_DOMAIN: self.domain, abi.SO_PROTOCOL: self.protocol,
                abi.SO_ACCEPTCONN: 0,
            }  # fmt: skip
            if name in plain:
                return INT.pack(plain[name])
            if name == abi.SO_ERROR:
                return INT.pack(self.take_error())
            return self.options.get(name)
        if level != abi.SOL_NETLINK:
            raise ENOPROTOOPT
        if name == abi.NETLINK_LIST_MEMBERSHIPS:
            words = (max(self.rules.groups, 32) + 31) // 32
            return self.groups.to_bytes(4 * words, "little")
        if name in FLAGS:
            return INT.pack(int(getattr(self, FLAGS[name])))
        raise ENOPROTOOPT

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        return device_ioctl(t, self.net, request, arg)


def _mask(group: int) -> int:
    """A group as a bit of sockaddr_nl; those above 32 have none."""
    return 1 << (group - 1) if 0 < group <= 32 else 0
