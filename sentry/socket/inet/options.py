"""setsockopt(2) and getsockopt(2) of AF_INET and AF_INET6: the tables (tables.py), and options that they do not hold.

An option's value lives in the endpoint's `options` where the stack knows it, else in `InetOptions.kept`, so that it can
be read back. A family's socket adds its own by overriding `set_option` and `get_option`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import (
    EINVAL,
    ENODATA,
    ENODEV,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
)
from sentry.abi.flags import AF_INET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP
from sentry.socket.inet.tables import KEPT, LEVELS, NOT_INET, TOLD, Option
from sentry.socket.options import INT, SocketOptions, as_int

if TYPE_CHECKING:
    from netstack.settings import Settings
    from sentry.kernel.task import Task
    from sentry.socket.inet.base import InetSocket

U64 = Struct("<Q")
MEMINFO = Struct("<9I")
NO_CREDS = Struct("<iii").pack(0, -1, -1)
BUFFERS = {abi.SO_SNDBUF: "send_buffer", abi.SO_SNDBUFFORCE: "send_buffer", abi.SO_RCVBUF: "receive_buffer",
           abi.SO_RCVBUFFORCE: "receive_buffer"}  # fmt: skip
LOCKS = {"send_buffer": abi.SOCK_SNDBUF_LOCK, "receive_buffer": abi.SOCK_RCVBUF_LOCK}


class InetOptions(SocketOptions):
    """`kept` are values that the stack has no use for, by (level, number); `locked` buffers were set by the program
    and are not tuned."""

    __slots__ = ("kept", "locked")

    def __init__(self, settings: Settings, stream: bool) -> None:
        super().__init__()
        self.kept: dict[tuple[int, int], int] = {}
        self.locked = 0
        if stream:
            self.send_buffer = settings.tcp_wmem[1]
            self.receive_buffer = settings.tcp_rmem[1]
        else:
            self.send_buffer, self.receive_buffer = settings.wmem_default, settings.rmem_default

    def inherit(self, listener: InetOptions) -> None:
        """What a listener has, its connections have too (socket(7))."""
        self.values.update(listener.values)
        self.kept.update(listener.kept)
        self.locked = listener.locked
        self.linger = listener.linger
        self.receive_timeout_ns, self.send_timeout_ns = listener.receive_timeout_ns, listener.send_timeout_ns

    def set_inet(self, sock: InetSocket, t: Task, name: int, value: bytes) -> None:
        """setsockopt(2) at SOL_SOCKET."""
        special = SET_SOCKET.get(name)
        if special is not None:
            special(sock, t, value)
            return
        if name in NOT_INET:
            raise EOPNOTSUPP
        if name in KEPT:
            size = KEPT[name][1]
            if name == abi.SO_MAX_PACING_RATE and len(value) < size:
                size = 4
            if len(value) < size and name != abi.SO_TIMESTAMPING and name != abi.SO_TIMESTAMPING_NEW:
                raise EINVAL
            if name in (abi.SO_BPF_EXTENSIONS, abi.SO_INCOMING_NAPI_ID):
                raise ENOPROTOOPT
            self.kept[abi.SOL_SOCKET, name] = int.from_bytes(value[:size], "little")
            return
        self.set(t, name, value)
        told = sock.endpoint.options
        if name in BUFFERS:
            attribute = BUFFERS[name]
            self.locked |= LOCKS[attribute]
            setattr(told, attribute, getattr(self, attribute))
            locked = attribute.replace("buffer", "locked")
            if hasattr(told, locked):
                setattr(told, locked, True)
            sock.option_changed(attribute)
        elif name in TOLD:
            attribute = TOLD[name]
            if hasattr(told, attribute):
                number = self.values[name]
                setattr(told, attribute, bool(number) if name in BOOLEAN else number)
                sock.option_changed(attribute)

    def get_inet(self, sock: InetSocket, name: int) -> bytes:
        """getsockopt(2) at SOL_SOCKET."""
        special = GET_SOCKET.get(name)
        if special is not None:
            return special(sock)
        if name in NOT_INET:
            raise EOPNOTSUPP
        if name in KEPT:
            start, size = KEPT[name]
            return self.kept.get((abi.SOL_SOCKET, name), start).to_bytes(size, "little")
        if name in BUFFERS:
            return INT.pack(getattr(sock.endpoint.options, BUFFERS[name]))
        return self.get(name)


BOOLEAN = frozenset(TOLD) - {abi.SO_MARK, abi.SO_PRIORITY, abi.SO_RCVLOWAT, abi.SO_PEEK_OFF}


# IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP -----------------------------------------------------------------------------
def number_of(level: int, value: bytes) -> int:
    """The int of an option; at IPPROTO_IP a byte will do, and nothing is 0 (ip(7))."""
    if len(value) >= 4:
        return INT.unpack_from(value)[0]  # type: ignore[no-any-return]
    if level == IPPROTO_IP:
        return value[0] if value else 0
    raise EINVAL


def table_of(sock: InetSocket, level: int) -> dict[int, Option]:
    """What `sock` knows at `level`; an IPv6 socket takes IPPROTO_IP too, for its mapped peers."""
    if level == IPPROTO_TCP and not sock.is_stream or level == IPPROTO_IPV6 and sock.domain == AF_INET:
        raise ENOPROTOOPT
    table = LEVELS.get(level)
    if table is None:
        raise ENOPROTOOPT
    return table


def set_option(sock: InetSocket, t: Task, level: int, name: int, value: bytes) -> None:
    table = table_of(sock, level)
    special = SET.get((level, name))
    if special is not None:
        special(sock, t, value)
        return
    option = table.get(name)
    if option is None:
        raise ENOPROTOOPT
    number = number_of(level, value)
    if option.cap >= 0 and number and not (t.creds.has(option.cap) or t.creds.has(abi.CAP_NET_ADMIN)):
        raise EPERM
    if option.boolean:
        number = int(bool(number))
    elif not option.low <= number <= option.high:
        raise EINVAL
    put(sock, level, name, option, number)


def put(sock: InetSocket, level: int, name: int, option: Option, number: int) -> None:
    told = sock.endpoint.options
    if hasattr(told, option.name):
        setattr(told, option.name, bool(number) if option.boolean else number)
        sock.option_changed(option.name)
    else:
        sock.options.kept[level, name] = number


def get_option(sock: InetSocket, t: Task, level: int, name: int) -> bytes:
    if level not in (IPPROTO_IP, IPPROTO_TCP) and sock.domain == AF_INET:
        raise EOPNOTSUPP  # as ip_getsockopt says it, unlike ip_setsockopt
    table = table_of(sock, level)
    special = GET.get((level, name))
    if special is not None:
        return special(sock)
    option = table.get(name)
    if option is None:
        raise ENOPROTOOPT
    told = sock.endpoint.options
    if hasattr(told, option.name):
        number = getattr(told, option.name)
        if number == -1 and option.system:
            number = getattr(sock.net.stack.settings, option.system)
        return INT.pack(number)
    return INT.pack(sock.options.kept.get((level, name), option.start))


# the others --------------------------------------------------------------------------------------------------------
def _device(sock: InetSocket) -> bytes:
    """SO_BINDTODEVICE: the name with its NUL, nothing for an unbound socket."""
    iface = sock.net.stack.interfaces.get(sock.endpoint.options.bound_iface)
    return iface.name + b"\0" if iface is not None else b""


def _set_device(sock: InetSocket, t: Task, value: bytes) -> None:
    name = value[:15].partition(b"\0")[0]
    index = 0
    if name:
        found = [iface.index for iface in sock.net.stack.interfaces.values() if iface.name == name]
        if not found:
            raise ENODEV
        index = found[0]
    _bind_to(sock, t, index)


def _set_index(sock: InetSocket, t: Task, value: bytes) -> None:
    index = as_int(value)
    if index < 0:
        raise EINVAL
    _bind_to(sock, t, index)


def _bind_to(sock: InetSocket, t: Task, index: int) -> None:
    """Who is bound to a device may not leave it without CAP_NET_RAW (socket(7))."""
    if sock.endpoint.options.bound_iface and not t.creds.has(abi.CAP_NET_RAW):
        raise EPERM
    sock.endpoint.options.bound_iface = index


def _memory(sock: InetSocket) -> bytes:
    """SO_MEMINFO: rmem_alloc rcvbuf wmem_alloc sndbuf fwd_alloc wmem_queued optmem backlog drops."""
    told = sock.endpoint.options
    return MEMINFO.pack(0, told.receive_buffer, 0, told.send_buffer, 0, 0, 0, 0, 0)


def _peer_name(sock: InetSocket) -> bytes:
    return sock.peer_address()


def _no_data(sock: InetSocket) -> bytes:
    raise ENODATA


def _set_zero_copy(sock: InetSocket, t: Task, value: bytes) -> None:
    number = as_int(value)
    if not 0 <= number <= 1:
        raise EINVAL
    sock.options.kept[abi.SOL_SOCKET, abi.SO_ZEROCOPY] = number


def _set_linger(sock: InetSocket, t: Task, value: bytes) -> None:
    sock.options.set(t, abi.SO_LINGER, value)
    on, seconds = sock.options.linger
    sock.endpoint.options.linger_s = min(seconds & 0xFFFFFFFF, 0x7FFFFFFF) if on else -1


def _no_set(sock: InetSocket, t: Task, value: bytes) -> None:
    raise ENOPROTOOPT


def _set_peek_offset(sock: InetSocket, t: Task, value: bytes) -> None:
    number = as_int(value)
    sock.options.values[abi.SO_PEEK_OFF] = number
    told = sock.endpoint.options
    if hasattr(told, "peek_offset"):
        told.peek_offset = number


SetSpecial = Callable[["InetSocket", "Task", bytes], None]
GetSpecial = Callable[["InetSocket"], bytes]

SET_SOCKET: dict[int, SetSpecial] = {
    abi.SO_BINDTODEVICE: _set_device, abi.SO_BINDTOIFINDEX: _set_index, abi.SO_ZEROCOPY: _set_zero_copy,
    abi.SO_LINGER: _set_linger, abi.SO_PEEK_OFF: _set_peek_offset,
    abi.SO_BSDCOMPAT: lambda sock, t, value: None,
    **dict.fromkeys((abi.SO_TYPE, abi.SO_PROTOCOL, abi.SO_DOMAIN, abi.SO_ERROR, abi.SO_SNDLOWAT), _no_set),
}  # fmt: skip
GET_SOCKET: dict[int, GetSpecial] = {
    abi.SO_BINDTODEVICE: _device,
    abi.SO_BINDTOIFINDEX: lambda sock: INT.pack(sock.endpoint.options.bound_iface),
    abi.SO_MEMINFO: _memory, abi.SO_PEERNAME: _peer_name, abi.SO_PEERGROUPS: _no_data, abi.SO_PEERPIDFD: _no_data,
    abi.SO_PEERCRED: lambda sock: NO_CREDS,
    abi.SO_COOKIE: lambda sock: U64.pack(sock.inode.ino),
    abi.SO_NETNS_COOKIE: lambda sock: U64.pack(1),
    abi.SO_BUF_LOCK: lambda sock: INT.pack(sock.options.locked),
    abi.SO_GET_FILTER: lambda sock: b"",
}  # fmt: skip


def _v6only(sock: InetSocket) -> bytes:
    return INT.pack(int(sock.endpoint.v6only))


def _set_v6only(sock: InetSocket, t: Task, value: bytes) -> None:
    number = number_of(IPPROTO_IPV6, value)
    if sock.endpoint.local[1]:
        raise EINVAL
    sock.endpoint.v6only = bool(number)


def _set_tos(sock: InetSocket, t: Task, value: bytes) -> None:
    """Of a stream the two ECN bits are its own."""
    number = number_of(IPPROTO_IP, value) & 0xFF
    told = sock.endpoint.options
    if sock.is_stream:
        number = number & ~3 | told.tos & 3
    told.tos = number


def _set_ttl(sock: InetSocket, t: Task, value: bytes) -> None:
    number = number_of(IPPROTO_IP, value)
    if number != -1 and not 1 <= number <= 255 or not value:
        raise EINVAL
    sock.endpoint.options.ttl = number


def _ttl(sock: InetSocket) -> bytes:
    ttl = sock.endpoint.options.ttl
    return INT.pack(ttl if ttl >= 0 else sock.net.stack.settings.default_ttl)


def _set_hops(sock: InetSocket, t: Task, value: bytes) -> None:
    number = number_of(IPPROTO_IPV6, value)
    if not -1 <= number <= 255:
        raise EINVAL
    sock.endpoint.options.hop_limit = number


def _hops(sock: InetSocket) -> bytes:
    number = sock.endpoint.options.hop_limit
    return INT.pack(number if number >= 0 else sock.net.stack.settings.ipv6_hop_limit)


def _mtu(sock: InetSocket) -> bytes:
    """IP_MTU, IPV6_MTU: of the route to the peer."""
    peer = sock.endpoint.peer
    if peer is None or not peer[1]:
        raise ENOTCONN
    flow = sock.enter().flow(peer[0], sock.endpoint.local[0], sock.endpoint.options.bound_iface)
    return INT.pack(flow.mtu if flow.version == 6 else flow.limit)


def _set_port_range(sock: InetSocket, t: Task, value: bytes) -> None:
    if len(value) != 4:
        raise EINVAL
    low, high = int.from_bytes(value[:2], "little"), int.from_bytes(value[2:], "little")
    if low and high and low > high:
        raise EINVAL
    told = sock.endpoint.options
    if hasattr(told, "local_port_range"):
        told.local_port_range = (low, high)
    sock.options.kept[IPPROTO_IP, abi.IP_LOCAL_PORT_RANGE] = number_of(IPPROTO_IP, value)


def _port_range(sock: InetSocket) -> bytes:
    return INT.pack(sock.options.kept.get((IPPROTO_IP, abi.IP_LOCAL_PORT_RANGE), 0))


def _set_options(sock: InetSocket, t: Task, value: bytes) -> None:
    """IP_OPTIONS (RFC 791): at most 40 bytes."""
    if len(value) > 40:
        raise EINVAL
    if value.strip(b"\0\1"):
        raise EINVAL  # none but padding is sent


def _addr_form(sock: InetSocket) -> bytes:
    raise ENOTCONN


def _set_class(sock: InetSocket, t: Task, value: bytes) -> None:
    """IPV6_TCLASS: as IP_TOS, and -1 is the default."""
    number = number_of(IPPROTO_IPV6, value)
    if not -1 <= number <= 255:
        raise EINVAL
    told = sock.endpoint.options
    number = max(number, 0)
    told.traffic_class = number & ~3 | told.traffic_class & 3 if sock.is_stream else number


SET: dict[tuple[int, int], SetSpecial] = {
    (IPPROTO_IP, abi.IP_TOS): _set_tos,
    (IPPROTO_IP, abi.IP_TTL): _set_ttl,
    (IPPROTO_IP, abi.IP_LOCAL_PORT_RANGE): _set_port_range,
    (IPPROTO_IP, abi.IP_OPTIONS): _set_options,
    (IPPROTO_IPV6, abi.IPV6_V6ONLY): _set_v6only,
    (IPPROTO_IPV6, abi.IPV6_UNICAST_HOPS): _set_hops,
    (IPPROTO_IPV6, abi.IPV6_TCLASS): _set_class,
}
GET: dict[tuple[int, int], GetSpecial] = {
    (IPPROTO_IP, abi.IP_TTL): _ttl,
    (IPPROTO_IP, abi.IP_MTU): _mtu,
    (IPPROTO_IP, abi.IP_OPTIONS): lambda sock: b"",
    (IPPROTO_IP, abi.IP_LOCAL_PORT_RANGE): _port_range,
    (IPPROTO_IP, abi.IP_PROTOCOL): lambda sock: INT.pack(sock.protocol),
    (IPPROTO_IPV6, abi.IPV6_V6ONLY): _v6only,
    (IPPROTO_IPV6, abi.IPV6_UNICAST_HOPS): _hops,
    (IPPROTO_IPV6, abi.IPV6_MTU): _mtu,
    (IPPROTO_IPV6, abi.IPV6_ADDRFORM): _addr_form,
}
