"""RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK, RTM_GETLINK (rtnetlink(7), ip-link(8)): dummy and veth can be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.iface import IFF_UP, Interface
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ESRCH
from sentry.abi.flags import CAP_NET_ADMIN, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from sentry.net import devices
from sentry.net.namespace import NetNamespace
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

if TYPE_CHECKING:
    from netstack.stack import Stack

HEADER = show.IFINFOMSG
SETTABLE = rt.IFF_DEBUG | rt.IFF_NOTRAILERS | rt.IFF_NOARP | rt.IFF_DYNAMIC | rt.IFF_MULTICAST | rt.IFF_PORTSEL
SETTABLE |= rt.IFF_AUTOMEDIA | rt.IFF_PROMISC | rt.IFF_ALLMULTI
KINDS = (b"dummy", b"veth")
ALIAS_MAX = 256
REFUSED = (rt.IFLA_MAP, rt.IFLA_PROTINFO, rt.IFLA_VFINFO_LIST, rt.IFLA_XDP, rt.IFLA_PROTO_DOWN)
AF_BRIDGE = 7


def find(request: Request, index: int, attributes: m.Attributes) -> Interface | None:
    """The interface that a request is about; None when there is none of that number or name."""
    if index < 0:
        raise EINVAL("ifindex can't be negative")
    stack = request.stack
    if index:
        return stack.interfaces.get(index)
    name = m.name(attributes, rt.IFLA_IFNAME)
    return stack.interface(name) if name else None


def _named(request: Request, index: int, attributes: m.Attributes) -> Interface:
    if not index and not attributes.get(rt.IFLA_IFNAME) and not attributes.get(rt.IFLA_ALT_IFNAME):
        raise EINVAL
    iface = find(request, index, attributes)
    if iface is None:
        raise ENODEV
    return iface


def get(request: Request) -> None:
    _, _, index, _, _ = request.fixed(HEADER)
    iface = _named(request, index, request.attributes(HEADER))
    request.reply(rt.RTM_NEWLINK, show.link(request.stack, iface))


def dump(request: Request) -> list[Body]:
    family, _, index, _, _ = request.filter(HEADER)
    if request.strict and index:
        raise EINVAL("Filter by device index not supported for link dumps")
    attributes = m.parse(memoryview(request.body)[HEADER.size :])
    if family == AF_BRIDGE or m.number(attributes, rt.IFLA_MASTER):
        return []
    kind = m.name(m.parse(attributes.get(rt.IFLA_LINKINFO, b"")), rt.IFLA_INFO_KIND, 64)
    stack = request.stack
    return [
        (rt.RTM_NEWLINK, show.link(stack, iface))
        for iface in stack.interfaces.values()
        if not kind or show.device_kind(iface) == kind
    ]


def change(request: Request) -> None:
    _, _, index, flags, mask = request.fixed(HEADER, "link request")
    attributes = request.attributes(HEADER)
    _apply(request, _named(request, index, attributes), attributes, flags, mask)


def new(request: Request) -> None:
    """Makes a link, or changes one that is there (ip link add, ip link set)."""
    _, _, index, flags, mask = request.fixed(HEADER, "link request")
    attributes = request.attributes(HEADER)
    iface = find(request, index, attributes)
    info = m.parse(attributes.get(rt.IFLA_LINKINFO, b""))
    kind = m.name(info, rt.IFLA_INFO_KIND, 64)
    if iface is not None:
        if request.flags & NLM_F_EXCL:
            raise EEXIST
        if request.flags & NLM_F_REPLACE or kind and kind != show.device_kind(iface):
            raise EOPNOTSUPP
        _apply(request, iface, attributes, flags, mask)
        return
    if not request.flags & NLM_F_CREATE:
        raise ENODEV
    if rt.IFLA_MAP in attributes or rt.IFLA_PROTINFO in attributes or index:
        raise EOPNOTSUPP
    if kind not in KINDS:
        raise EOPNOTSUPP("Unknown device type")
    made = _make(request, kind, attributes, m.parse(info.get(rt.IFLA_INFO_DATA, b"")))
    if flags or mask:
        set_flags(request.stack, made, _combined(made, flags, mask))
    made.alias = m.name(attributes, rt.IFLA_IFALIAS, ALIAS_MAX)
    made.queue_length = m.number(attributes, rt.IFLA_TXQLEN, default=made.queue_length)
    made.device_group = m.number(attributes, rt.IFLA_GROUP)


def _make(request: Request, kind: bytes, attributes: m.Attributes, data: m.Attributes) -> Interface:
    near = _wish(request, attributes, kind)
    if kind == b"dummy":
        return devices.add_dummy(*near)
    peer = data.get(rt.VETH_INFO_PEER, b"")
    if peer and len(peer) < HEADER.size:
        raise EINVAL
    wanted = m.parse(memoryview(peer)[HEADER.size :])
    far = _wish(request, wanted, kind)
    if near[0] is far[0] and near[1] == far[1]:
        if rt.IFLA_IFNAME in wanted:
            raise EEXIST
        far = (far[0], _second_name(request, near[1]), *far[2:])
    return devices.add_veth(request.t.kernel, near, far)[0]


def _second_name(request: Request, first: bytes) -> bytes:
    for number in range(devices.NAMES_AT_MOST):
        name = b"veth%d" % number
        if name != first and request.stack.interface(name) is None:
            return name
    raise EEXIST


def _wish(request: Request, attributes: m.Attributes, kind: bytes) -> tuple[NetNamespace, bytes, bytes, int]:
    """Namespace, name, MAC and MTU that are asked for."""
    net = _target(request, attributes) or request.net
    name = m.name(attributes, rt.IFLA_IFNAME) or kind + b"%d"
    if b"%" in name:
        if name.count(b"%") != 1 or name.count(b"%d") != 1:
            raise EINVAL
        name = devices.free_name(net.stack, name)
    mac = attributes.get(rt.IFLA_ADDRESS, b"")
    if mac and len(mac) < 6:
        raise EINVAL
    if mac and (mac[0] & 1 or not any(mac[:6])):
        raise EADDRNOTAVAIL
    mtu = m.number(attributes, rt.IFLA_MTU)
    if mtu and not 68 <= mtu <= 65535:
        raise EINVAL
    return net, name, mac[:6], mtu


def _target(request: Request, attributes: m.Attributes) -> NetNamespace | None:
    """Of IFLA_NET_NS_PID or IFLA_NET_NS_FD."""
    t = request.t
    net: object = None
    if rt.IFLA_NET_NS_PID in attributes:
        group = t.kernel.find_group(m.number(attributes, rt.IFLA_NET_NS_PID))
        if group is None or group.dead or not group.tasks:
            raise ESRCH
        net = group.leader.net
    elif rt.IFLA_NET_NS_FD in attributes:
        net = getattr(t.fds.get(m.number(attributes, rt.IFLA_NET_NS_FD)), "space", None)
    else:
        return None
    if not isinstance(net, NetNamespace):
        raise EINVAL
    if not t.creds.has(CAP_NET_ADMIN):
        raise EPERM
    return net


def _combined(iface: Interface, flags: int, mask: int) -> int:
    return iface.flags & ~mask | flags & mask if mask else flags


def set_flags(stack: Stack, iface: Interface, flags: int) -> None:
    """What can be set by hand, and up or down."""
    others = iface.flags & ~SETTABLE | flags & SETTABLE
    different = others != iface.flags
    iface.flags = others
    if bool(flags & IFF_UP) != iface.up:
        stack.set_up(iface, bool(flags & IFF_UP))
    elif different:
        stack.changed("link", iface)


def _apply(request: Request, iface: Interface, attributes: m.Attributes, flags: int, mask: int) -> None:
    stack = request.stack
    for kind in REFUSED:
        if kind in attributes:
            raise EOPNOTSUPP
    if m.number(attributes, rt.IFLA_MASTER):
        raise EOPNOTSUPP if stack.interfaces.get(m.number(attributes, rt.IFLA_MASTER)) else EINVAL
    target = _target(request, attributes)
    if target is not None and target is not request.net:
        if show.device_kind(iface) not in KINDS:
            raise EINVAL("The interface netns is immutable")
        wanted = m.name(attributes, rt.IFLA_IFNAME)
        if target.stack.interface(wanted or iface.name) is not None:
            raise EEXIST
        iface = devices.move(request.net, iface, target, wanted)
        stack = target.enter()
    if rt.IFLA_ADDRESS in attributes:
        set_mac(stack, iface, attributes[rt.IFLA_ADDRESS][:6])
    if rt.IFLA_MTU in attributes:
        set_mtu(stack, iface, m.number(attributes, rt.IFLA_MTU))
    if rt.IFLA_GROUP in attributes:
        iface.device_group = m.number(attributes, rt.IFLA_GROUP)
    if rt.IFLA_IFNAME in attributes and m.name(attributes, rt.IFLA_IFNAME) != iface.name:
        rename(stack, iface, m.name(attributes, rt.IFLA_IFNAME))
    if rt.IFLA_IFALIAS in attributes:
        iface.alias = m.name(attributes, rt.IFLA_IFALIAS, ALIAS_MAX)
    if rt.IFLA_TXQLEN in attributes:
        iface.queue_length = m.number(attributes, rt.IFLA_TXQLEN)
    if flags or mask:
        set_flags(stack, iface, _combined(iface, flags, mask))
    elif rt.IFLA_GROUP in attributes or rt.IFLA_IFALIAS in attributes or rt.IFLA_TXQLEN in attributes:
        stack.changed("link", iface)


def set_mtu(stack: Stack, iface: Interface, mtu: int) -> None:
    least, most = show.LINK_LIMITS[iface.kind]
    if mtu < least:
        raise EINVAL("mtu less than device minimum")
    if most and mtu > most:
        raise EINVAL("mtu greater than device maximum")
    stack.set_mtu(iface, mtu)


def set_mac(stack: Stack, iface: Interface, mac: bytes) -> None:
    """EADDRNOTAVAIL for an address that no single device can have."""
    if iface.kind != "ether":
        raise EOPNOTSUPP
    if len(mac) != 6:
        raise EINVAL
    if mac[0] & 1 or not any(mac):
        raise EADDRNOTAVAIL
    stack.set_mac(iface, mac)


def rename(stack: Stack, iface: Interface, name: bytes) -> None:
    if b"%" in name:
        name = devices.free_name(stack, name)
    stack.rename(iface, name)


def delete(request: Request) -> None:
    _, _, index, _, _ = request.fixed(HEADER, "link request")
    attributes = request.attributes(HEADER)
    iface = _named(request, index, attributes)
    if show.device_kind(iface) not in KINDS and not hasattr(iface.link, "remove"):
        raise EOPNOTSUPP
    request.stack.remove_interface(iface)
