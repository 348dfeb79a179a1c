"""Which message of rtnetlink(7) is served by whom."""

from __future__ import annotations

from collections.abc import Callable

from netstack.errors import NetError
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import BY_CODE, EIO, EOPNOTSUPP, Errno
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import address, entry, link, neighbor, others, rule

DO: dict[int, Callable[[Request], None]] = {
    rt.RTM_NEWLINK: link.new, rt.RTM_SETLINK: link.change, rt.RTM_DELLINK: link.delete, rt.RTM_GETLINK: link.get,
    rt.RTM_NEWADDR: address.new, rt.RTM_DELADDR: address.delete, rt.RTM_GETADDR: address.get,
    rt.RTM_NEWROUTE: entry.new, rt.RTM_DELROUTE: entry.delete, rt.RTM_GETROUTE: entry.get,
    rt.RTM_NEWNEIGH: neighbor.new, rt.RTM_DELNEIGH: neighbor.delete, rt.RTM_GETNEIGH: neighbor.get,
    rt.RTM_NEWRULE: rule.new, rt.RTM_DELRULE: rule.delete,
    rt.RTM_GETNETCONF: others.netconf, rt.RTM_GETSTATS: others.statistics, rt.RTM_GETNSID: others.namespace_id,
}  # fmt: skip
DUMP: dict[int, Callable[[Request], list[Body]]] = {
    rt.RTM_GETLINK: link.dump, rt.RTM_GETADDR: address.dump, rt.RTM_GETROUTE: entry.dump,
    rt.RTM_GETNEIGH: neighbor.dump, rt.RTM_GETRULE: rule.dump, rt.RTM_GETQDISC: others.queues,
    rt.RTM_GETNEIGHTBL: others.nothing, rt.RTM_GETTCLASS: others.nothing, rt.RTM_GETTFILTER: others.nothing,
    rt.RTM_GETADDRLABEL: others.nothing, rt.RTM_GETMULTICAST: others.multicast, rt.RTM_GETANYCAST: others.nothing,
    rt.RTM_GETNETCONF: others.netconf_all, rt.RTM_GETSTATS: others.statistics_all, rt.RTM_GETMDB: others.nothing,
    rt.RTM_GETNSID: others.nothing, rt.RTM_GETNEXTHOP: others.nothing,
}  # fmt: skip


def handle(request: Request) -> bool:
    """True when a dump has begun."""
    kind = request.kind
    if kind > rt.RTM_MAX:
        raise EOPNOTSUPP
    if not request.body:  # no room for a family: nothing was asked
        return False
    question = kind & 3 == 2
    if not question:
        request.need_admin()
    try:
        if question and request.dump:
            dumper = DUMP.get(kind)
            if dumper is None:
                raise EOPNOTSUPP
            try:
                bodies = dumper(request)
            except Errno as err:
                request.fail_dump(err)
            else:
                request.start_dump(bodies)
            return True
        doer = DO.get(kind)
        if doer is None:
            raise EOPNOTSUPP
        doer(request)
    except NetError as err:
        raise BY_CODE.get(err.code, EIO)(*err.args)
    return False
