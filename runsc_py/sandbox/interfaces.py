"""What a network namespace holds for the Sentry's stack, as JSON; addresses are hexadecimal (rtnetlink(7))."""

from __future__ import annotations

import os

from runsc_py.host.rtnetlink import (
    AF_INET,
    AF_INET6,
    DELADDR,
    IFA_ADDRESS,
    IFA_BROADCAST,
    IFA_CACHEINFO,
    IFA_FLAGS,
    IFA_LABEL,
    IFA_LOCAL,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_MASTER,
    IFLA_MTU,
    NDA_DST,
    NDA_LLADDR,
    NEWADDR,
    NEWROUTE,
    NEXT_HOP,
    RTA_DST,
    RTA_GATEWAY,
    RTA_METRICS,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    Message,
    Rtnetlink,
    attributes,
)

Json = dict[str, object]

LOOPBACK = 1  # its index in every namespace
IFF_UP, IFF_LOOPBACK = 1, 8
KINDS = {1: "ether", 65534: "none"}  # ARPHRD_ETHER, ARPHRD_NONE
TABLE_LOCAL = 255
RTN_UNICAST = 1
RTN_KINDS = frozenset((RTN_UNICAST, 6, 7, 8, 9))  # and blackhole, unreachable, prohibit, throw
RTPROT_KERNEL = 2
RTM_F_CLONED = 0x200
NUD_PERMANENT = 0x80
FOREVER = 0xFFFFFFFF
RTAX_MTU = 2
EADDRNOTAVAIL = 99


class Found:
    """What a namespace holds for the Sentry. Addresses are hexadecimal: JSON knows no bytes."""

    def __init__(self, netlink: Rtnetlink) -> None:
        self.interfaces = [found for message in netlink.links() if (found := _interface(message))]
        names = {found["index"]: str(found["name"]) for found in self.interfaces}
        self.addresses = [message for message in netlink.addresses() if message.fields[4] in {LOOPBACK, *names}]
        self.routes = [message for message in netlink.routes() if _is_wanted(message, names)]
        self.neighbors = [
            message
            for message in netlink.neighbors()
            if message.fields[1] in names and message.fields[2] & NUD_PERMANENT
        ]
        self.with_ipv6 = [name for name in names.values() if _has_ipv6(name)]
        for found in self.interfaces:
            found["ipv6"] = found["name"] in self.with_ipv6

    @property
    def indexes(self) -> list[int]:
        return [int(str(interface["index"])) for interface in self.interfaces]

    @property
    def is_emptied(self) -> bool:
        """No address but the loopback's: another sandbox has them."""
        return all(message.fields[4] == LOOPBACK for message in self.addresses)

    def description(self) -> Json:
        return {
            "interfaces": self.interfaces,
            "addresses": [_address(message) for message in self.addresses],
            "routes": [route for message in self.routes for route in _route(message)],
            "neighbors": [
                {"interface": m.fields[1], "address": _hex(m, NDA_DST), "mac": _hex(m, NDA_LLADDR)}
                for m in self.neighbors
            ],
        }

    def taken(self) -> list[list[object]]:
        """Requests that put it all back, in an order that works: a gateway's network comes before its route."""
        addresses: list[list[object]] = [
            [NEWADDR, message.body.hex()] for message in self.addresses if message.fields[4] != LOOPBACK
        ]
        routes = [m for m in self.routes if m.fields[5] != RTPROT_KERNEL]
        routes.sort(key=lambda message: RTA_GATEWAY in message.attributes)
        return addresses + [[NEWROUTE, message.body.hex()] for message in routes]

    def take_away(self, netlink: Rtnetlink) -> None:
        """With an interface's last address all its routes go. Without IPv6 it has no address of its own making and
        says nothing of its own accord."""
        for name in self.with_ipv6:
            disable_ipv6(name, True)
        for message in self.addresses:
            if message.fields[4] != LOOPBACK:
                try:
                    netlink.ask(DELADDR, message.body)
                except OSError as err:
                    if err.errno != EADDRNOTAVAIL:  # it went with its primary, or with IPv6
                        raise


def _interface(message: Message) -> Json | None:
    """Those that are up and stand for themselves; not the ports of a bridge, nor what no packet can be sent on."""
    _, kind, index, flags, _ = message.fields
    if not flags & IFF_UP or flags & IFF_LOOPBACK or kind not in KINDS or IFLA_MASTER in message.attributes:
        return None
    return {
        "index": index,
        "name": message.attributes[IFLA_IFNAME].rstrip(b"\0").hex(),
        "kind": KINDS[kind],
        "mac": _hex(message, IFLA_ADDRESS) if KINDS[kind] == "ether" else "",
        "mtu": message.number(IFLA_MTU, 1500),
        "flags": flags,
    }


def _address(message: Message) -> Json:
    _, prefix, flags, scope, index = message.fields
    local = _hex(message, IFA_LOCAL) or _hex(message, IFA_ADDRESS)
    peer = _hex(message, IFA_ADDRESS)
    preferred = valid = FOREVER
    if IFA_CACHEINFO in message.attributes:
        times = message.attributes[IFA_CACHEINFO]
        preferred, valid = (int.from_bytes(times[at : at + 4], "little") for at in (0, 4))
    return {
        "interface": index,
        "local": local,
        "prefix": prefix,
        "scope": scope,
        "flags": message.number(IFA_FLAGS, flags),
        "peer": "" if peer == local else peer,
        "broadcast": _hex(message, IFA_BROADCAST),
        "label": message.attributes.get(IFA_LABEL, b"").rstrip(b"\0").hex(),
        "preferred_s": -1 if preferred == FOREVER else preferred,
        "valid_s": -1 if valid == FOREVER else valid,
    }


def _is_wanted(message: Message, interfaces: dict[object, str]) -> bool:
    """What somebody has set, in any table; not what an address brings along, nor what the host has learnt meanwhile."""
    family, _, _, _, table, _, _, kind, flags = message.fields
    if message.number(RTA_TABLE, table) == TABLE_LOCAL or kind not in RTN_KINDS or flags & RTM_F_CLONED:
        return False
    if family not in (AF_INET, AF_INET6):
        return False
    out = message.number(RTA_OIF)
    return out in interfaces or RTA_MULTIPATH in message.attributes or kind != RTN_UNICAST


def _route(message: Message) -> list[Json]:
    """A route; one with several next hops is a route for each."""
    family, prefix, _, tos, table, protocol, scope, kind, flags = message.fields
    metrics = attributes(message.attributes.get(RTA_METRICS, b""), 0)
    common: Json = {
        "dst": _hex(message, RTA_DST) or bytes(4 if family == AF_INET else 16).hex(),
        "prefix": prefix,
        "tos": tos,
        "table": message.number(RTA_TABLE, table),
        "protocol": protocol,
        "scope": scope,
        "kind": kind,
        "metric": message.number(RTA_PRIORITY),
        "source": _hex(message, RTA_PREFSRC),
        "mtu": int.from_bytes(metrics.get(RTAX_MTU, b"")[:4], "little"),
        "flags": flags & 0xFF,  # of its next hop: RTNH_F_ONLINK
    }
    hops = _next_hops(message.attributes[RTA_MULTIPATH]) if RTA_MULTIPATH in message.attributes else []
    if not hops:
        hops = [(message.number(RTA_OIF), _hex(message, RTA_GATEWAY))]
    return [{**common, "interface": index, "gateway": gateway} for index, gateway in hops]


def _next_hops(text: bytes) -> list[tuple[int, str]]:
    found, at = [], 0
    while at + NEXT_HOP.size <= len(text):
        size, _, _, index = NEXT_HOP.unpack_from(text, at)
        if size < NEXT_HOP.size:
            break
        found.append((index, attributes(text[: at + size], at + NEXT_HOP.size).get(RTA_GATEWAY, b"").hex()))
        at += size + 3 & ~3
    return found


def _hex(message: Message, kind: int) -> str:
    return message.attributes.get(kind, b"").hex()


def _ipv6_switch(name: str) -> str:
    return f"/proc/sys/net/ipv6/conf/{os.fsdecode(bytes.fromhex(name))}/disable_ipv6"


def _has_ipv6(name: str) -> bool:
    try:
        with open(_ipv6_switch(name), "rb") as file:
            return file.read(1) == b"0"
    except OSError:
        return False


def disable_ipv6(name: str, disabled: bool) -> None:
    try:
        with open(_ipv6_switch(name), "wb") as file:
            file.write(b"1" if disabled else b"0")
    except OSError:
        pass  # a read-only /proc/sys: the addresses go one by one
