"""RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR (rtnetlink(7), ip-address(8))."""

from __future__ import annotations

from struct import Struct

from netstack.iface import PERMANENT, SECONDARY, TENTATIVE, Address, Interface
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EADDRNOTAVAIL, EAFNOSUPPORT, EEXIST, EINVAL, ENODEV
from sentry.abi.flags import AF_INET, AF_INET6, NLM_F_EXCL, NLM_F_REPLACE
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

HEADER = show.IFADDRMSG
LIFETIMES = Struct("=II")  # the first two of struct ifa_cacheinfo: preferred, valid; in seconds
SET_BY_KERNEL = PERMANENT | SECONDARY | TENTATIVE
LABEL_MAX = 16


def _size(family: int) -> int:
    if family not in (AF_INET, AF_INET6):
        raise EAFNOSUPPORT
    return 4 if family == AF_INET else 16


def _bytes(attributes: m.Attributes, kind: int, size: int) -> bytes:
    body = attributes.get(kind, b"")
    if body and len(body) < size:
        raise EINVAL("Attribute failed policy validation")
    return body[:size]


def _device(request: Request, index: int) -> Interface:
    iface = request.stack.interfaces.get(index)
    if iface is None:
        raise ENODEV("Unable to find the interface")
    return iface


def _wanted(request: Request) -> tuple[Interface, Address]:
    """The address that RTM_NEWADDR describes."""
    family, prefix, flags, scope, index = request.fixed(HEADER, "address request")
    size = _size(family)
    attributes = request.attributes(HEADER)
    if prefix > size * 8:
        raise EINVAL("Invalid prefix length" if size == 4 else None)
    local, address = _bytes(attributes, rt.IFA_LOCAL, size), _bytes(attributes, rt.IFA_ADDRESS, size)
    if size == 4 and not local:
        raise EINVAL("Local address is not supplied")
    local, peer = local or address, address
    if not local:
        raise EINVAL("Address not specified")
    iface = _device(request, index)
    flags = m.number(attributes, rt.IFA_FLAGS, default=flags) & ~SET_BY_KERNEL
    preferred_ns, valid_ns = _lifetimes(request, attributes)
    broadcast = _bytes(attributes, rt.IFA_BROADCAST, 4) if size == 4 else b""
    label = m.name(attributes, rt.IFA_LABEL, LABEL_MAX) if size == 4 else b""
    return iface, Address(
        local, prefix, scope, broadcast or None, peer if peer and peer != local else None, label, flags, preferred_ns,
        valid_ns,
    )  # fmt: skip


def _lifetimes(request: Request, attributes: m.Attributes) -> tuple[int | None, int | None]:
    """Ends on the stack's clock; None for ever."""
    body = attributes.get(rt.IFA_CACHEINFO)
    if body is None:
        return None, None
    if len(body) < LIFETIMES.size:
        raise EINVAL
    preferred, valid = LIFETIMES.unpack_from(body)
    if not valid or preferred > valid:
        raise EINVAL("address lifetime invalid")
    now_ns = request.stack.now_ns
    ends = [None if seconds == show.FOREVER else now_ns + seconds * 10**9 for seconds in (preferred, valid)]
    return ends[0], ends[1]


def new(request: Request) -> None:
    iface, address = _wanted(request)
    stack = request.stack
    for known in iface.addresses:
        if known.local == address.local and (len(known.local) == 16 or known.prefix == address.prefix):
            if request.flags & NLM_F_EXCL or not request.flags & NLM_F_REPLACE:
                raise EEXIST("Address already assigned")
            kept = known.flags & SECONDARY
            flags = address.flags | kept | (PERMANENT if address.valid_ns is None else 0)
            stack.addressing.replace(
                iface, known,
                known._replace(flags=flags, preferred_ns=address.preferred_ns, valid_ns=address.valid_ns),
            )  # fmt: skip
            return
    stack.add_address(iface, address)


def delete(request: Request) -> None:
    family, prefix, _, _, index = request.fixed(HEADER, "address request")
    size = _size(family)
    attributes = request.attributes(HEADER)
    local, address = _bytes(attributes, rt.IFA_LOCAL, size), _bytes(attributes, rt.IFA_ADDRESS, size)
    label = m.name(attributes, rt.IFA_LABEL, LABEL_MAX)
    iface = _device(request, index)
    if size == 16 and not (local or address):
        raise EINVAL
    for entry in iface.addresses:
        if len(entry.local) != size or local and entry.local != local or label and entry.label != label:
            continue
        if address and (entry.peer or entry.local) != address or address and entry.prefix != prefix:
            continue
        request.stack.remove_address(iface, entry)
        return
    raise EADDRNOTAVAIL("Address not found")


def get(request: Request) -> None:
    family, _, _, _, index = request.fixed(HEADER)
    size = _size(family)
    attributes = request.attributes(HEADER)
    wanted = _bytes(attributes, rt.IFA_LOCAL, size) or _bytes(attributes, rt.IFA_ADDRESS, size)
    if not wanted:
        raise EINVAL
    for iface in request.stack.interfaces.values():
        entry = iface.find(wanted) if index in (0, iface.index) else None
        if entry is not None:
            request.reply(rt.RTM_NEWADDR, show.address(request.stack, iface, entry))
            return
    raise EADDRNOTAVAIL


def dump(request: Request) -> list[Body]:
    family, prefix, flags, scope, index = request.filter(HEADER)
    if request.strict:
        if prefix or flags or scope:
            raise EINVAL("Invalid values in header for address dump request")
        if index and index not in request.stack.interfaces:
            raise ENODEV
    found = []
    for size in (4, 16):
        if family in (AF_INET, AF_INET6) and _size(family) != size:
            continue
        for iface in request.stack.interfaces.values():
            if index in (0, iface.index):
                mine = [entry for entry in iface.addresses if len(entry.local) == size]
                if size == 16:  # the widest scope first, and the newest of equals
                    mine.reverse()
                    mine.sort(key=lambda entry: entry.scope)
                found += [(rt.RTM_NEWADDR, show.address(request.stack, iface, entry)) for entry in mine]
    return found
