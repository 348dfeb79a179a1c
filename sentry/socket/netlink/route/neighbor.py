"""RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH (rtnetlink(7), ip-neighbour(8), arp(7))."""

from __future__ import annotations

from netstack.iface import Interface
from netstack.neighbor import NOARP, PERMANENT, VALID
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from sentry.abi.flags import AF_INET, AF_INET6, NLM_F_CREATE, NLM_F_EXCL
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

HEADER = show.NDMSG


def _target(request: Request) -> tuple[Interface, bytes, m.Attributes, int, int]:
    """Interface, address, attributes, state and flags."""
    family, index, state, flags, _ = request.fixed(HEADER, "neighbor request")
    attributes = request.attributes(HEADER)
    if rt.NDA_DST not in attributes:
        raise EINVAL("Network address not specified")
    iface = request.stack.interfaces.get(index)
    if iface is None:
        raise ENODEV
    if family not in (AF_INET, AF_INET6):
        raise EAFNOSUPPORT
    size = 4 if family == AF_INET else 16
    address = attributes[rt.NDA_DST]
    if len(address) < size:
        raise EINVAL("Invalid network address")
    if flags & rt.NTF_PROXY:
        raise EOPNOTSUPP
    return iface, address[:size], attributes, state, flags


def new(request: Request) -> None:
    iface, address, attributes, state, flags = _target(request)
    neighbors = request.stack.neighbors
    known = neighbors.find(iface, address)
    mac = attributes.get(rt.NDA_LLADDR, b"")
    if mac and len(mac) < len(iface.mac):
        raise EINVAL("Invalid link address")
    if known is None:
        if not request.flags & NLM_F_CREATE:
            raise ENOENT
    elif request.flags & NLM_F_EXCL:
        raise EEXIST
    mac = mac[: len(iface.mac)] or (known.mac if known is not None else b"")
    if state & VALID and not mac and not state & NOARP and iface.kind == "ether":
        raise EINVAL
    entry = neighbors.add(iface, address, mac, state or PERMANENT)
    entry.is_router = bool(flags & rt.NTF_ROUTER)


def delete(request: Request) -> None:
    iface, address, _, _, _ = _target(request)
    request.stack.neighbors.remove(iface, address)


def get(request: Request) -> None:
    iface, address, _, _, _ = _target(request)
    entry = request.stack.neighbors.find(iface, address)
    if entry is None:
        raise ENOENT("Neighbour entry not found")
    request.reply(rt.RTM_NEWNEIGH, show.neighbor(request.stack, entry))


def dump(request: Request) -> list[Body]:
    family, index, state, flags, kind = request.filter(HEADER)
    attributes = request.attributes(HEADER) if len(request.body) >= HEADER.size else {}
    if request.strict and (index or state or kind):
        raise EINVAL("Invalid values in header for neighbor dump request")
    wanted = m.number(attributes, rt.NDA_IFINDEX)
    if flags & rt.NTF_PROXY or m.number(attributes, rt.NDA_MASTER):
        return []
    size = {AF_INET: 4, AF_INET6: 16}.get(family, 0)
    if family and not size:
        return []
    return [
        (rt.RTM_NEWNEIGH, show.neighbor(request.stack, entry))
        for entry in request.stack.neighbors.entries()
        if size in (0, len(entry.address)) and wanted in (0, entry.iface.index)
    ]
