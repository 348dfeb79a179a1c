"""AF_PACKET (packet(7)): frames of the stack's interfaces. Making a socket takes CAP_NET_RAW, and whoever has it may
send frames with any source, as on Linux; nobody else can make one that leaves."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.errors import WouldBlock as StackWouldBlock
from netstack.socket.packet import HARDWARE, PacketSocket
from sentry.abi import flags as abi
from sentry.abi.errno import (
    EACCES,
    EADDRNOTAVAIL,
    EINVAL,
    ENODEV,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPERM,
    ESOCKTNOSUPPORT,
    WouldBlock,
)
from sentry.abi.flags import AF_PACKET, FIONREAD, MSG_TRUNC, SIOCOUTQ, SOCK_DGRAM, SOCK_RAW, SOL_PACKET, SOL_SOCKET
from sentry.net.namespace import net_of
from sentry.socket.base import Incoming, Outgoing, Socket
from sentry.socket.inet.base import failed
from sentry.socket.inet.control import STAMP_IOCTLS, STAMPS, last_stamp, stamp
from sentry.socket.inet.ifioctl import device_ioctl
from sentry.socket.options import INT, as_int

if TYPE_CHECKING:
    from netstack.socket.datagram import Datagram
    from sentry.kernel.task import Task
    from vfs.core.file import File

NAME = Struct("<H2siHBB8s")  # struct sockaddr_ll
LEAST = 12  # of it, without the hardware address
AUXILIARY = Struct("<IIIHHHH")  # struct tpacket_auxdata
STATISTICS = Struct("<II")
MREQ = Struct("<iHH8s")  # struct packet_mreq
STATUS_USER, STATUS_CSUM_VALID = 1, 1 << 7
HEADER_SIZES = {0: 32, 1: 32, 2: 48}  # TPACKET_V1, V2, V3
MEMBERSHIPS = range(4)  # PACKET_MR_MULTICAST, PROMISC, ALLMULTI, UNICAST
MEMBERSHIPS_AT_MOST = 1024
# Options that are kept and given back.
KEPT = frozenset((abi.PACKET_ORIGDEV, abi.PACKET_RESERVE, abi.PACKET_TIMESTAMP, abi.PACKET_LOSS))


class PacketFile(Socket):
    """A packet socket: `kept` are options that are only read back, `memberships` those of PACKET_ADD_MEMBERSHIP."""

    __slots__ = ("auxiliary", "endpoint", "enter", "kept", "last_ns", "memberships", "net", "stamp", "version")

    is_stream = False

    def __init__(self, t: Task, kind: int, protocol: int, flags: int) -> None:
        if not t.creds.has(abi.CAP_NET_RAW):
            raise EPERM
        if kind not in (SOCK_RAW, SOCK_DGRAM):
            raise ESOCKTNOSUPPORT
        super().__init__(t, AF_PACKET, kind, protocol, flags)
        self.net = net_of(t)
        self.enter = self.net.enter
        self.net.sockets.add(self)
        self.endpoint = PacketSocket(self.net.stack, kind == SOCK_DGRAM, _swapped(protocol))
        self.endpoint.owner_uid = self.inode.uid
        self.endpoint.notify = self.queue.notify
        self.auxiliary = False
        self.stamp = 0
        self.last_ns = 0  # when the frame came that was received last
        self.version = 0
        self.kept: dict[int, int] = {}
        self.memberships: list[tuple[int, int, bytes]] = []

    # names --------------------------------------------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        if len(address) < LEAST:
            raise EINVAL
        family, protocol, index, _, _, _, _ = NAME.unpack(address[: NAME.size].ljust(NAME.size, b"\0"))
        if family != AF_PACKET:
            raise EINVAL
        stack = self.enter()
        if index and index not in stack.interfaces:
            raise ENODEV
        self.endpoint.bind(index, int.from_bytes(protocol))

    def local_address(self) -> bytes:
        endpoint = self.endpoint
        iface = self.net.stack.interfaces.get(endpoint.index)
        hardware, mac = (HARDWARE[iface.kind], iface.mac) if iface is not None else (0, b"")
        name = NAME.pack(AF_PACKET, endpoint.proto.to_bytes(2), endpoint.index, hardware, 0, len(mac), mac)
        return name[: LEAST + len(mac)]

    def peer_address(self) -> bytes:
        raise EOPNOTSUPP

    # data ---------------------------------------------------------------------------------------------------------
    def send(self, message: Outgoing, t: Task | None) -> int:
        index = protocol = 0
        hardware = b""
        address = message.address
        if address is not None:
            if len(address) < LEAST:
                raise EINVAL
            _, proto, index, _, _, size, hardware = NAME.unpack(address[: NAME.size].ljust(NAME.size, b"\0"))
            if len(address) < LEAST + size:
                raise EINVAL
            protocol, hardware = int.from_bytes(proto), hardware[:size]
        self.enter()
        try:
            return self.endpoint.send(message.data, index, protocol, hardware)
        except NetError as err:
            raise failed(err)

    def receive(self, size: int, flags: int) -> Incoming:
        self.enter()
        try:
            found = self.endpoint.receive(True)
        except StackWouldBlock:
            raise WouldBlock
        except NetError as err:
            raise failed(err)
        self.last_ns = found.time_ns
        incoming = Incoming(found.data[:size])
        incoming.full_size = len(found.data)
        if incoming.full_size > size:
            incoming.flags = MSG_TRUNC
        link = found.link
        if link is not None:
            incoming.address = NAME.pack(
                AF_PACKET, link.protocol.to_bytes(2), found.iface, link.hardware, link.direction, len(link.address),
                link.address,
            )  # fmt: skip
        if self.stamp:
            incoming.control.append(stamp(self, self.stamp, found.time_ns))
        if self.auxiliary:
            incoming.control.append((SOL_PACKET, abi.PACKET_AUXDATA, _auxiliary(found)))
        return incoming

    def commit(self, count: int) -> list[File]:
        try:
            self.endpoint.receive()
        except NetError:
            pass
        return []

    # state --------------------------------------------------------------------------------------------------------
    def poll(self) -> int:
        return self.endpoint.poll()

    def take_error(self) -> int:
        return self.endpoint.take_error()

    def shutdown(self, sides: int) -> None:
        raise EOPNOTSUPP

    def release(self) -> None:
        self.enter()
        self.endpoint.close()

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request == FIONREAD:
            t.mem.put_i32(arg, self.endpoint.next_size())
        elif request == SIOCOUTQ:
            t.mem.put_i32(arg, 0)
        elif request in STAMP_IOCTLS:
            t.mem.write(arg, last_stamp(self, request, self.last_ns))
        else:
            return device_ioctl(t, self.net, request, arg, AF_PACKET)
        return 0

    # options ------------------------------------------------------------------------------------------------------
    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        if level == SOL_PACKET:
            self._set_packet(name, value)
        elif level != SOL_SOCKET:
            raise ENOPROTOOPT
        elif name in STAMPS:
            on = as_int(value)
            if on or self.stamp == name:
                self.stamp = name if on else 0
        else:
            self.options.set(t, name, value)
            self.endpoint.options.receive_buffer = self.options.receive_buffer

    def _set_packet(self, name: int, value: bytes) -> None:
        if name in (abi.PACKET_ADD_MEMBERSHIP, abi.PACKET_DROP_MEMBERSHIP):
            self._membership(name == abi.PACKET_ADD_MEMBERSHIP, value)
            return
        number = as_int(value)
        if name == abi.PACKET_AUXDATA:
            self.auxiliary = bool(number)
        elif name == abi.PACKET_IGNORE_OUTGOING:
            if not 0 <= number <= 1:
                raise EINVAL
            self.endpoint.ignore_outgoing = bool(number)
        elif name == abi.PACKET_VERSION:
            if number not in HEADER_SIZES:
                raise EINVAL
            self.version = number
        elif name in KEPT:
            self.kept[name] = number
        else:
            raise ENOPROTOOPT

    def _membership(self, join: bool, value: bytes) -> None:
        """The link hands over what is for this host, its groups and everybody anyway: noted, and not more."""
        if len(value) < MREQ.size:
            raise EINVAL
        index, kind, size, address = MREQ.unpack_from(value)
        if index not in self.net.stack.interfaces:
            raise ENODEV
        if kind not in MEMBERSHIPS or size > len(address):
            raise EINVAL
        entry = index, kind, address[:size]
        if join:
            if len(self.memberships) >= MEMBERSHIPS_AT_MOST:
                raise EACCES
            self.memberships.append(entry)
        elif entry in self.memberships:
            self.memberships.remove(entry)
        else:
            raise EADDRNOTAVAIL

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level == SOL_PACKET:
            if name == abi.PACKET_STATISTICS:
                return STATISTICS.pack(*self.endpoint.statistics())
            if name == abi.PACKET_AUXDATA:
                return INT.pack(self.auxiliary)
            if name == abi.PACKET_IGNORE_OUTGOING:
                return INT.pack(self.endpoint.ignore_outgoing)
            if name == abi.PACKET_VERSION:
                return INT.pack(self.version)
            if name in KEPT:
                return INT.pack(self.kept.get(name, 0))
            raise ENOPROTOOPT
        if level != SOL_SOCKET:
            raise ENOPROTOOPT
        plain = {abi.SO_TYPE: self.kind, abi.SO_DOMAIN: AF_PACKET, abi.SO_PROTOCOL: 0, abi.SO_ACCEPTCONN: 0}
        if name in plain:
            return INT.pack(plain[name])
        if name == abi.SO_ERROR:
            return INT.pack(self.take_error())
        if name in STAMPS:
            return INT.pack(self.stamp == name)
        return self.options.get(name)


def _swapped(protocol: int) -> int:
    """socket(2) is given the protocol in network order."""
    return int.from_bytes((protocol & 0xFFFF).to_bytes(2, "little"))


def _auxiliary(found: Datagram) -> bytes:
    link = found.link
    offset = link.net_offset if link is not None else 0
    size = len(found.data)
    return AUXILIARY.pack(STATUS_USER | STATUS_CSUM_VALID, size, size, 0, offset, 0, 0)
