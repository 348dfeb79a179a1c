"""What is told to the groups of NETLINK_ROUTE when something changes (rtnetlink(7), RTNLGRP_*)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netstack.iface import Address, Interface
from netstack.neighbor import Neighbor
from netstack.route import Route, Rule
from sentry.abi.const import rtnetlink as rt
from sentry.socket.netlink import message as m
from sentry.socket.netlink.route import show

if TYPE_CHECKING:
    from netstack.stack import Stack


def messages(stack: Stack, event: str, thing: object, port: int, seq: int) -> Iterator[tuple[int, bytes]]:
    """(group, message) for a change that an observer of the stack heard of; made in the name of a request, if any."""
    if event == "link" and isinstance(thing, Interface):
        there = stack.interfaces.get(thing.index) is thing
        body = show.link(stack, thing)
        if there:
            yield rt.RTNLGRP_LINK, m.message(rt.RTM_NEWLINK, 0, 0, 0, body)
        else:
            yield rt.RTNLGRP_LINK, m.message(rt.RTM_DELLINK, 0, 0, 0, body)
        return
    if event == "neighbor" and isinstance(thing, Neighbor):
        if thing.iface.index and not thing.dead:
            yield rt.RTNLGRP_NEIGH, m.message(rt.RTM_NEWNEIGH, 0, 0, 0, show.neighbor(stack, thing))
        return
    if not isinstance(thing, tuple):
        return
    if event == "address":
        iface, address = thing
        if isinstance(iface, Interface) and isinstance(address, Address):
            kind = rt.RTM_NEWADDR if address in iface.addresses else rt.RTM_DELADDR
            group = rt.RTNLGRP_IPV4_IFADDR if len(address.local) == 4 else rt.RTNLGRP_IPV6_IFADDR
            yield group, m.message(kind, 0, seq, port, show.address(stack, iface, address))
        return
    change, entry = thing
    added = change == "add"
    if event == "route" and isinstance(entry, Route):
        group = rt.RTNLGRP_IPV4_ROUTE if len(entry.dst) == 4 else rt.RTNLGRP_IPV6_ROUTE
        kind = rt.RTM_NEWROUTE if added else rt.RTM_DELROUTE
        yield group, m.message(kind, 0, seq, port, show.route(stack, entry))
    elif event == "rule" and isinstance(entry, Rule):
        group = rt.RTNLGRP_IPV4_RULE if entry.family == 4 else rt.RTNLGRP_IPV6_RULE
        kind = rt.RTM_NEWRULE if added else rt.RTM_DELRULE
        yield group, m.message(kind, 0, seq, port, show.rule(entry))
