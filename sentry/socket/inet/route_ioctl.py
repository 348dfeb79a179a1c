"""Routes and neighbours by ioctl (route(8), arp(7)): SIOCADDRT, SIOCDELRT, SIOCGARP, SIOCSARP, SIOCDARP, and IPv6's
addresses and routes (ipv6(7))."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.iface import Address, Interface
from netstack.neighbor import FAILED, INCOMPLETE, NOARP, PERMANENT, REACHABLE, VALID
from netstack.route import TABLE_MAIN, UNICAST, UNREACHABLE, Route, masked
from sentry.abi import flags as abi
from sentry.abi.errno import (
    BY_CODE,
    EAFNOSUPPORT,
    EINVAL,
    EIO,
    ENETDOWN,
    ENETUNREACH,
    ENODEV,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EPFNOSUPPORT,
)
from sentry.socket.inet.ifioctl import SOCKADDR_IN, prefix_of
from sentry.socket.netlink.route.show import RT6_PRIORITY

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace

RTENTRY = Struct("=8x16s16s16sHh4xQQh6xQQQH6x")
IN6_RTMSG = Struct("=16s16s16sIHHIQIi")
IN6_IFREQ = Struct("=16sIi")
ARPREQ = Struct("=16sH14si16s16s")
ATF_COM, ATF_PERM, ATF_PUBL = 0x2, 0x4, 0x8
ROUTES, ARP = (abi.SIOCADDRT, abi.SIOCDELRT), (abi.SIOCGARP, abi.SIOCSARP, abi.SIOCDARP)
ADDRESSES6 = (abi.SIOCSIFADDR, abi.SIOCDIFADDR)


def route_ioctl(t: Task, net: NetNamespace, domain: int, request: int, arg: int) -> int:
    """ENOTTY for other requests."""
    stack = net.enter()
    try:
        if domain == abi.AF_INET and request in ROUTES:
            t.creds.require(abi.CAP_NET_ADMIN)
            _route4(t, stack, request == abi.SIOCADDRT, arg)
        elif domain == abi.AF_INET and request in ARP:
            _arp(t, stack, request, arg)
        elif domain == abi.AF_INET6 and request in ROUTES:
            t.creds.require(abi.CAP_NET_ADMIN)
            _route6(t, stack, request == abi.SIOCADDRT, arg)
        elif domain == abi.AF_INET6 and request in ADDRESSES6:
            t.creds.require(abi.CAP_NET_ADMIN)
            _address6(t, stack, request == abi.SIOCSIFADDR, arg)
        else:
            raise ENOTTY
    except NetError as err:
        raise BY_CODE.get(err.code, EIO)
    return 0


def _change(stack: Stack, add: bool, route: Route) -> None:
    if add:
        stack.routes.add(route)
    else:
        stack.routes.remove(route)


def _route4(t: Task, stack: Stack, add: bool, arg: int) -> None:
    dst, gateway, genmask, flags, _, _, _, metric, dev_addr, mtu, _, _ = RTENTRY.unpack(t.mem.read(arg, RTENTRY.size))
    family, _, address = SOCKADDR_IN.unpack(dst)
    if family != abi.AF_INET:
        raise EAFNOSUPPORT
    prefix = 32
    if not flags & abi.RTF_HOST:
        mask_family, _, mask = SOCKADDR_IN.unpack(genmask)
        if mask_family != abi.AF_INET and (any(mask) or mask_family):
            raise EAFNOSUPPORT
        prefix = prefix_of(mask)
        if masked(address, prefix) != address:
            raise EINVAL
    oif = 0
    if dev_addr:
        iface = stack.interface(t.mem.cstring(dev_addr, 16).partition(b":")[0])
        if iface is None:
            raise ENODEV
        oif = iface.index
        if add and not iface.up:
            raise ENETDOWN
    gateway_family, _, hop = SOCKADDR_IN.unpack(gateway)
    if gateway_family != abi.AF_INET or not any(hop):
        hop = b""
    reject = bool(flags & abi.RTF_REJECT)
    if add and flags & abi.RTF_GATEWAY and not hop and not reject:
        raise EINVAL
    if add and not oif and not hop and not reject:
        raise ENODEV
    kind = UNREACHABLE if reject else UNICAST if add else 0
    scope = 0 if hop else 253
    _change(stack, add, Route(
        address, prefix, 0 if reject else oif, hop, b"", max(0, metric - 1), TABLE_MAIN, kind, scope=scope,
        mtu=mtu if flags & abi.RTF_MTU else 0,
    ))  # fmt: skip


def _route6(t: Task, stack: Stack, add: bool, arg: int) -> None:
    dst, _, gateway, _, prefix, source_prefix, metric, _, flags, oif = IN6_RTMSG.unpack(t.mem.read(arg, IN6_RTMSG.size))
    if prefix > 128 or source_prefix:
        raise EINVAL
    if oif and oif not in stack.interfaces:
        raise ENODEV
    hop = gateway if flags & abi.RTF_GATEWAY and any(gateway) else b""
    if add and not oif and not hop:
        raise ENODEV
    _change(stack, add, Route(
        masked(dst, prefix), prefix, oif, hop, b"", metric or (RT6_PRIORITY if add else 0), TABLE_MAIN,
        UNICAST if add else 0,
    ))  # fmt: skip


def _address6(t: Task, stack: Stack, add: bool, arg: int) -> None:
    address, prefix, index = IN6_IFREQ.unpack(t.mem.read(arg, IN6_IFREQ.size))
    if prefix > 128:
        raise EINVAL
    iface = stack.interfaces.get(index)
    if iface is None:
        raise ENODEV
    if add:
        stack.add_address(iface, Address(address, prefix))
    else:
        stack.remove_address(iface, Address(address, prefix))


def _arp_device(t: Task, stack: Stack, name: bytes, address: bytes) -> Interface:
    """The one named, or by which the address is reached."""
    if name:
        iface = stack.interface(name)
        if iface is None:
            raise ENODEV
        return iface
    try:
        return stack.flow(address).iface
    except NetError:
        raise ENETUNREACH


def _arp(t: Task, stack: Stack, request: int, arg: int) -> None:
    protocol, hardware, mac, flags, netmask, dev = ARPREQ.unpack(t.mem.read(arg, ARPREQ.size))
    if request != abi.SIOCGARP:
        t.creds.require(abi.CAP_NET_ADMIN)
    family, _, address = SOCKADDR_IN.unpack(protocol)
    if family != abi.AF_INET:
        raise EPFNOSUPPORT
    if flags & ATF_PUBL:
        raise EOPNOTSUPP  # answering for others (arp(7), proxy ARP)
    name = dev.partition(b"\0")[0]
    if request == abi.SIOCGARP and not name:
        raise ENODEV
    iface = _arp_device(t, stack, name, address)
    if request == abi.SIOCGARP:
        entry = stack.neighbors.find(iface, address)
        if entry is None or entry.state & NOARP:
            raise ENXIO
        shown = (ATF_COM if entry.state & VALID else 0) | (ATF_PERM if entry.state == PERMANENT else 0)
        known = entry.mac if entry.state not in (INCOMPLETE, FAILED) else b""
        t.mem.write(arg, ARPREQ.pack(protocol, abi.ARPHRD_ETHER, known, shown, netmask, iface.name))
    elif request == abi.SIOCDARP:
        try:
            stack.neighbors.remove(iface, address)
        except NetError:
            raise ENXIO
    else:
        if hardware and hardware != abi.ARPHRD_ETHER or iface.kind != "ether":
            raise EINVAL
        stack.neighbors.add(iface, address, mac[:6], PERMANENT if flags & ATF_PERM else REACHABLE)
