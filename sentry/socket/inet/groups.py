"""Options about multicast groups (ip(7) IP_ADD_MEMBERSHIP, IP_MULTICAST_IF, IP_MSFILTER; ipv6(7); RFC 3678)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.iface import Interface
from netstack.socket.groups import Groups
from sentry.abi import flags as abi
from sentry.abi.errno import EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV, ENOPROTOOPT
from sentry.abi.flags import AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6
from sentry.socket.inet import address as names
from sentry.socket.options import INT

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.inet.base import InetSocket

# <linux/in.h>, the same numbers at both levels
MCAST_JOIN_GROUP, MCAST_BLOCK_SOURCE, MCAST_UNBLOCK_SOURCE, MCAST_LEAVE_GROUP = 42, 43, 44, 45
MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP, MCAST_MSFILTER = 46, 47, 48
MREQN = Struct("<4s4si")  # struct ip_mreqn
MREQ_SOURCE = Struct("<4s4s4s")  # struct ip_mreq_source
MSFILTER = Struct("<4s4sII")  # struct ip_msfilter up to its list
MREQ6 = Struct("<16si")  # struct ipv6_mreq
INDEX = Struct("<I4x")  # of struct group_req and group_source_req, and of struct group_filter
GROUP_AT, SOURCE_AT, STORAGE = 8, 136, 128
FILTER = Struct("<II")  # gf_fmode, gf_numsrc, behind the group
LIST_AT = 144
EXCLUDE = 0  # MCAST_EXCLUDE


def groups_of(sock: InetSocket) -> Groups:
    endpoint = sock.endpoint
    if endpoint.groups is None:
        endpoint.groups = Groups(sock.net.stack)
    found: Groups = endpoint.groups
    return found


def _by_address(sock: InetSocket, group: bytes, address: bytes) -> Interface:
    """The interface with this address; any that leads to the group when it is 0.0.0.0."""
    stack = sock.net.stack
    if any(address):
        found = stack.interfaces.get(stack.index_of(address))
        if found is None:
            raise ENODEV
        return found
    return _by_route(sock, group)


def _by_route(sock: InetSocket, group: bytes) -> Interface:
    stack = sock.net.stack
    try:
        found: Interface = stack.flow(group).iface
        return found
    except NetError:
        raise ENODEV


def _by_index(sock: InetSocket, group: bytes, index: int) -> Interface:
    if not index:
        return _by_route(sock, group)
    found = sock.net.stack.interfaces.get(index)
    if found is None:
        raise ENODEV
    return found


def _group4(group: bytes) -> bytes:
    if not names.is_multicast(group):
        raise EINVAL
    return group


# IPPROTO_IP -------------------------------------------------------------------------------------------------------
def _mreq(sock: InetSocket, value: bytes) -> tuple[Interface, bytes]:
    """struct ip_mreq or ip_mreqn."""
    if len(value) < 8:
        raise EINVAL
    group, address, index = MREQN.unpack(value[:12].ljust(12, b"\0"))
    _group4(group)
    if index:
        return _by_index(sock, group, index), group
    return _by_address(sock, group, address), group


def _join(sock: InetSocket, t: Task, value: bytes) -> None:
    groups_of(sock).join(*_mreq(sock, value))


def _leave(sock: InetSocket, t: Task, value: bytes) -> None:
    groups_of(sock).leave(*_mreq(sock, value))


def _of_source(action: Callable[[Groups, Interface, bytes, bytes], None]) -> Callable[[InetSocket, Task, bytes], None]:
    """An option that takes a struct ip_mreq_source."""

    def act(sock: InetSocket, t: Task, value: bytes) -> None:
        if len(value) != MREQ_SOURCE.size:
            raise EINVAL
        group, address, source = MREQ_SOURCE.unpack(value)
        action(groups_of(sock), _by_address(sock, _group4(group), address), group, source)

    return act


def _set_multicast_if(sock: InetSocket, t: Task, value: bytes) -> None:
    """An address, or a struct ip_mreq or ip_mreqn of which address and index count."""
    if len(value) < 4:
        raise EINVAL
    index, address = 0, value[:4]
    if len(value) >= 8:
        _, address, index = MREQN.unpack(value[:12].ljust(12, b"\0"))
    stack, told = sock.net.stack, sock.endpoint.options
    if not index and any(address):
        index = stack.index_of(address)
    if (index or any(address)) and index not in stack.interfaces:
        raise EADDRNOTAVAIL
    if told.bound_iface not in (0, index) and index:
        raise EINVAL
    told.multicast_iface, told.multicast_source = index, address
    sock.option_changed("multicast_iface")


def _set_filter(sock: InetSocket, t: Task, value: bytes) -> None:
    """struct ip_msfilter."""
    if len(value) < MSFILTER.size:
        raise EINVAL
    group, address, mode, count = MSFILTER.unpack_from(value)
    if count > len(value) or len(value) < MSFILTER.size + 4 * count or mode > 1:
        raise EINVAL
    if count > sock.net.stack.settings.igmp_max_msf:
        raise ENOBUFS
    at = MSFILTER.size
    sources = frozenset(value[at + 4 * i : at + 4 * i + 4] for i in range(count))
    groups_of(sock).set_filter(_by_address(sock, _group4(group), address), group, (mode == EXCLUDE, sources))


# both levels: MCAST_* with a sockaddr -----------------------------------------------------------------------------
def _host(sock: InetSocket, level: int, storage: bytes) -> bytes:
    """The address in a struct sockaddr_storage."""
    family = AF_INET if level == IPPROTO_IP else AF_INET6
    if names.family_of(storage) != family:
        raise EADDRNOTAVAIL if level == IPPROTO_IPV6 else EINVAL
    return names.parse4(storage).host if level == IPPROTO_IP else storage[8:24]


def _request(sock: InetSocket, level: int, value: bytes, size: int) -> tuple[Interface, bytes]:
    if len(value) < size:
        raise EINVAL
    group = _group4(_host(sock, level, value[GROUP_AT : GROUP_AT + STORAGE]))
    return _by_index(sock, group, INDEX.unpack_from(value)[0]), group


def _any_group(sock: InetSocket, level: int, name: int, value: bytes) -> None:
    groups = groups_of(sock)
    if name in (MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP):
        iface, group = _request(sock, level, value, SOURCE_AT)
        (groups.join if name == MCAST_JOIN_GROUP else groups.leave)(iface, group)
        return
    if name == MCAST_MSFILTER:
        iface, group = _request(sock, level, value, LIST_AT)
        mode, count = FILTER.unpack_from(value, SOURCE_AT)
        if mode > 1 or len(value) < LIST_AT + count * STORAGE:
            raise EINVAL
        sources = frozenset(
            _host(sock, level, value[LIST_AT + i * STORAGE : LIST_AT + (i + 1) * STORAGE]) for i in range(count)
        )
        groups.set_filter(iface, group, (mode == EXCLUDE, sources))
        return
    iface, group = _request(sock, level, value, SOURCE_AT + STORAGE)
    source = _host(sock, level, value[SOURCE_AT : SOURCE_AT + STORAGE])
    _BY_SOURCE[name](groups, iface, group, source)


_BY_SOURCE = {
    MCAST_BLOCK_SOURCE: Groups.block, MCAST_UNBLOCK_SOURCE: Groups.unblock,
    MCAST_JOIN_SOURCE_GROUP: Groups.join_source, MCAST_LEAVE_SOURCE_GROUP: Groups.leave_source,
}  # fmt: skip


# IPPROTO_IPV6 -----------------------------------------------------------------------------------------------------
def _mreq6(sock: InetSocket, value: bytes) -> tuple[Interface, bytes]:
    if len(value) < MREQ6.size:
        raise EINVAL
    group, index = MREQ6.unpack_from(value)
    return _by_index(sock, _group4(group), index), group


def _join6(sock: InetSocket, t: Task, value: bytes) -> None:
    groups_of(sock).join(*_mreq6(sock, value))


def _leave6(sock: InetSocket, t: Task, value: bytes) -> None:
    groups_of(sock).leave(*_mreq6(sock, value))


def _set_multicast_if6(sock: InetSocket, t: Task, value: bytes) -> None:
    if len(value) < 4:
        raise EINVAL
    index, told = INT.unpack_from(value)[0], sock.endpoint.options
    if index and index not in sock.net.stack.interfaces:
        raise ENODEV
    if index and told.bound_iface not in (0, index):
        raise EINVAL
    told.multicast_iface6 = index
    sock.option_changed("multicast_iface6")


SET: dict[tuple[int, int], Callable[[InetSocket, Task, bytes], None]] = {
    (IPPROTO_IP, abi.IP_ADD_MEMBERSHIP): _join,
    (IPPROTO_IP, abi.IP_DROP_MEMBERSHIP): _leave,
    (IPPROTO_IP, abi.IP_MULTICAST_IF): _set_multicast_if,
    (IPPROTO_IP, abi.IP_ADD_SOURCE_MEMBERSHIP): _of_source(Groups.join_source),
    (IPPROTO_IP, abi.IP_DROP_SOURCE_MEMBERSHIP): _of_source(Groups.leave_source),
    (IPPROTO_IP, abi.IP_BLOCK_SOURCE): _of_source(Groups.block),
    (IPPROTO_IP, abi.IP_UNBLOCK_SOURCE): _of_source(Groups.unblock),
    (IPPROTO_IP, abi.IP_MSFILTER): _set_filter,
    (IPPROTO_IPV6, abi.IPV6_ADD_MEMBERSHIP): _join6,
    (IPPROTO_IPV6, abi.IPV6_DROP_MEMBERSHIP): _leave6,
    (IPPROTO_IPV6, abi.IPV6_MULTICAST_IF): _set_multicast_if6,
}


def set_group_option(sock: InetSocket, t: Task, level: int, name: int, value: bytes) -> bool:
    """Do what an option about groups says; False for one that is not about groups. Raises NetError too."""
    action = SET.get((level, name))
    if action is not None:
        if level == IPPROTO_IPV6 and sock.domain == AF_INET:
            raise ENOPROTOOPT
        action(sock, t, value)
        return True
    if level in (IPPROTO_IP, IPPROTO_IPV6) and MCAST_JOIN_GROUP <= name <= MCAST_MSFILTER:
        if level == IPPROTO_IPV6 and sock.domain == AF_INET:
            raise ENOPROTOOPT
        _any_group(sock, level, name, value)
        return True
    return False
