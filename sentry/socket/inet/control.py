"""Control messages of datagrams (ip(7), ipv6(7), socket(7), RFC 3542): what a sender says of one message, and what a
receiver has asked to be told."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.socket.error_queue import LOCAL
from netstack.socket.ip_socket import NO_CONTROL, Control
from sentry.abi import flags as abi
from sentry.abi.errno import EINVAL, ENOENT, EPERM
from sentry.abi.flags import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    SCM_CREDENTIALS,
    SCM_RIGHTS,
    SOL_SOCKET,
)
from sentry.socket.inet import address as names
from sentry.socket.inet.tables import HOPLIMIT_2292, PKTINFO_2292
from sentry.socket.options import INT

if TYPE_CHECKING:
    from netstack.socket.base import Options
    from netstack.socket.datagram import Datagram
    from netstack.socket.error_queue import ExtendedError
    from sentry.kernel.task import Task
    from sentry.socket.base import Outgoing, Socket
    from sentry.socket.inet.base import InetSocket

PKTINFO = Struct("<i4s4s")
PKTINFO6 = Struct("<16si")
EXTENDED = Struct("<IBBBBII")  # struct sock_extended_err
TIME = Struct("<qq")
U32 = Struct("<I")
NS = 1_000_000_000
STAMP_IOCTLS = {0x8906: 1000, 0x8907: 1, 0x80108906: 1000, 0x80108907: 1}  # SIOCGSTAMP and SIOCGSTAMPNS, both forms
STAMPS = {abi.SO_TIMESTAMP: 1000, abi.SO_TIMESTAMPNS: 1, abi.SO_TIMESTAMP_NEW: 1000, abi.SO_TIMESTAMPNS_NEW: 1}
RIGHTS6 = frozenset((abi.IPV6_HOPOPTS, abi.IPV6_DSTOPTS, abi.IPV6_RTHDR, abi.IPV6_RTHDRDSTOPTS))


# what a sender says -----------------------------------------------------------------------------------------------
def take(t: Task, sock: InetSocket, level: int, kind: int, body: bytes, message: Outgoing) -> None:
    """Add one control message of sendmsg(2) to those of `message`; EINVAL for what the level does not know. Other
    levels are passed over."""
    known: Control = message.control or NO_CONTROL
    if level == SOL_SOCKET:
        known = _socket(t, kind, body, known)
    elif level == IPPROTO_IP:
        known = _ip(kind, body, known)
    elif level == IPPROTO_IPV6 and sock.domain == AF_INET6:
        known = _ip6(t, kind, body, known)
    elif level == IPPROTO_UDP and sock.protocol == IPPROTO_UDP:
        if kind != abi.UDP_SEGMENT or len(body) != 2:
            raise EINVAL
        known = known._replace(segment=int.from_bytes(body, "little"))
    message.control = known


def _socket(t: Task, kind: int, body: bytes, known: Control) -> Control:
    if kind in (SCM_RIGHTS, SCM_CREDENTIALS):  # of unix sockets, and no mistake elsewhere
        return known
    if kind == abi.SO_MARK:
        if not t.creds.has(abi.CAP_NET_ADMIN) and not t.creds.has(abi.CAP_NET_RAW):
            raise EPERM
    elif kind not in (abi.SO_TIMESTAMPING, abi.SO_TIMESTAMPING_NEW, abi.SO_PRIORITY):
        raise EINVAL
    if len(body) != 4:
        raise EINVAL
    return known


def _ip(kind: int, body: bytes, known: Control) -> Control:
    if kind == abi.IP_PKTINFO:
        if len(body) != PKTINFO.size:
            raise EINVAL
        index, source, _ = PKTINFO.unpack(body)
        return known._replace(iface=index or known.iface, source=source if any(source) else known.source)
    if kind == abi.IP_TTL:
        ttl = _int(body)
        if not 1 <= ttl <= 255:
            raise EINVAL
        return known._replace(ttl=ttl)
    if kind == abi.IP_TOS:
        tos = body[0] if len(body) == 1 else _int(body)
        if not 0 <= tos <= 255:
            raise EINVAL
        return known._replace(tos=tos)
    raise EINVAL


def _ip6(t: Task, kind: int, body: bytes, known: Control) -> Control:
    if kind in (abi.IPV6_PKTINFO, PKTINFO_2292):
        if len(body) < PKTINFO6.size:
            raise EINVAL
        source, index = PKTINFO6.unpack_from(body)
        if source.startswith(names.MAPPED):
            source = source[12:]
        return known._replace(iface=index or known.iface, source=source if any(source) else known.source)
    if kind in (abi.IPV6_HOPLIMIT, HOPLIMIT_2292):
        hops = _int(body)
        if not -1 <= hops <= 255:
            raise EINVAL
        return known._replace(ttl=hops)
    if kind == abi.IPV6_TCLASS:
        tclass = _int(body)
        if not -1 <= tclass <= 255:
            raise EINVAL
        return known._replace(tos=tclass)
    if kind == abi.IPV6_DONTFRAG:
        whole = _int(body)
        if not 0 <= whole <= 1:
            raise EINVAL
        return known._replace(dont_fragment=whole)
    if kind == abi.IPV6_FLOWINFO and len(body) >= 4:
        return known
    if kind in RIGHTS6 and not t.creds.has(abi.CAP_NET_RAW):
        raise EPERM
    raise EINVAL


def _int(body: bytes) -> int:
    if len(body) != 4:
        raise EINVAL
    return INT.unpack(body)[0]  # type: ignore[no-any-return]


# what a receiver is told ------------------------------------------------------------------------------------------
Messages = list[tuple[int, int, bytes]]


def tell(sock: InetSocket, about: Datagram) -> Messages:
    """The control messages that come with a datagram, in Linux's order."""
    options = sock.endpoint.options
    out: Messages = []
    if options.timestamp:
        out.append(stamp(sock, options.timestamp, about.time_ns))
    if options.count_drops and about.drops:
        out.append((SOL_SOCKET, abi.SO_RXQ_OVFL, U32.pack(about.drops & 0xFFFFFFFF)))
    four = len(about.destination[0]) == 4
    if options.packet_info6 and sock.domain == AF_INET6:
        host = about.destination[0]
        info = PKTINFO6.pack(names.MAPPED + host if four else host, _iface(sock, about))
        out.append((IPPROTO_IPV6, abi.IPV6_PKTINFO, info))
    if four:
        _tell4(sock, out, options, about)
    else:
        _tell6(out, options, about)
    return out


def stamp(sock: Socket, kind: int, time_ns: int) -> tuple[int, int, bytes]:
    """SO_TIMESTAMP and its kin: when a datagram came, by the time of day."""
    return SOL_SOCKET, kind, _time_of_day(sock, time_ns, STAMPS[kind])


def last_stamp(sock: Socket, request: int, time_ns: int) -> bytes:
    """SIOCGSTAMP: when the datagram came that was received last; ENOENT before the first."""
    if not time_ns:
        raise ENOENT
    return _time_of_day(sock, time_ns, STAMP_IOCTLS[request])


def _time_of_day(sock: Socket, time_ns: int, unit_ns: int) -> bytes:
    kernel = sock.kernel
    seconds, rest_ns = divmod(time_ns + kernel.realtime_ns() - kernel.now_ns(), NS)
    return TIME.pack(seconds, rest_ns // unit_ns)


def _iface(sock: InetSocket, about: Datagram) -> int:
    """The interface that a receiver is told: what came from this very host came to the interface of its address."""
    stack = sock.net.stack
    if about.iface == stack.loopback.index:
        return stack.index_of(about.destination[0]) or about.iface
    return about.iface


def _tell4(sock: InetSocket, out: Messages, options: Options, about: Datagram) -> None:
    host, port = about.destination
    if options.packet_info:
        index = _iface(sock, about)
        stack = sock.net.stack
        spec = host
        iface = stack.interfaces.get(index)
        if iface is not None and not stack.is_local(host):  # a group or a broadcast: who could answer for it
            spec = stack.source4(iface, about.source[0])
        out.append((IPPROTO_IP, abi.IP_PKTINFO, PKTINFO.pack(index, spec, host)))
    if options.receive_ttl:
        out.append((IPPROTO_IP, abi.IP_TTL, INT.pack(about.ttl)))
    if options.receive_tos:
        out.append((IPPROTO_IP, abi.IP_TOS, bytes((about.tos,))))
    if options.receive_options and about.options:
        out.append((IPPROTO_IP, abi.IP_RECVOPTS, about.options))
    if options.return_options and about.options:
        out.append((IPPROTO_IP, abi.IP_RETOPTS, about.options))
    if options.receive_original_address and port:
        out.append((IPPROTO_IP, abi.IP_ORIGDSTADDR, names.pack(AF_INET, host, port)))


def _tell6(out: Messages, options: Options, about: Datagram) -> None:
    if options.receive_hop_limit:
        out.append((IPPROTO_IPV6, abi.IPV6_HOPLIMIT, INT.pack(about.ttl)))
    if options.receive_traffic_class:
        out.append((IPPROTO_IPV6, abi.IPV6_TCLASS, INT.pack(about.tos)))
    if options.receive_original_address and about.destination[1]:
        out.append((IPPROTO_IPV6, abi.IPV6_ORIGDSTADDR, names.pack(AF_INET6, *about.destination, about.iface)))


def tell_error(sock: InetSocket, error: ExtendedError) -> Messages:
    """struct sock_extended_err and the address of who complains, all zeros for an error of our own."""
    size = 16 if sock.domain == AF_INET else 28
    offender = AF_UNSPEC.to_bytes(2, "little").ljust(size, b"\0")
    if error.origin != LOCAL:
        offender = names.pack(sock.domain, error.offender, 0, error.iface)
    body = EXTENDED.pack(error.errno, error.origin, error.kind, error.code, 0, error.info, 0) + offender
    if sock.domain == AF_INET:
        return [(IPPROTO_IP, abi.IP_RECVERR, body)]
    return [(IPPROTO_IPV6, abi.IPV6_RECVERR, body)]
