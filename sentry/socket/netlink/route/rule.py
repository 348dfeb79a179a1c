"""RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE (ip-rule(8))."""

from __future__ import annotations

from netstack.route import Rule
from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EOPNOTSUPP
from sentry.abi.flags import AF_INET, AF_INET6, NLM_F_EXCL
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Body, Request
from sentry.socket.netlink.route import show

HEADER = show.FIBRULE
ACTIONS = (rt.FR_ACT_TO_TBL, rt.FR_ACT_BLACKHOLE, rt.FR_ACT_UNREACHABLE, rt.FR_ACT_PROHIBIT)
REFUSED = (
    rt.FRA_FWMARK, rt.FRA_TUN_ID, rt.FRA_L3MDEV, rt.FRA_UID_RANGE, rt.FRA_IP_PROTO, rt.FRA_SPORT_RANGE,
    rt.FRA_DPORT_RANGE, rt.FRA_GOTO,
)  # fmt: skip


def _parse(request: Request) -> tuple[Rule, m.Attributes]:
    family, dst_prefix, src_prefix, tos, table, action, flags = request.fixed(HEADER, "rule request")
    if family not in (AF_INET, AF_INET6):
        raise EAFNOSUPPORT("Rule family not supported")
    size = 4 if family == AF_INET else 16
    attributes = request.attributes(HEADER)
    if any(kind in attributes for kind in REFUSED):
        raise EOPNOTSUPP
    dst, src = attributes.get(rt.FRA_DST, b"")[:size], attributes.get(rt.FRA_SRC, b"")[:size]
    for address, prefix in ((dst, dst_prefix), (src, src_prefix)):
        if prefix and (len(address) != size or prefix > size * 8):
            raise EINVAL("Invalid address length")
    return Rule(
        4 if size == 4 else 6, m.number(attributes, rt.FRA_PRIORITY),
        m.number(attributes, rt.FRA_TABLE, default=table), action, src if src_prefix else b"", src_prefix,
        dst if dst_prefix else b"", dst_prefix, m.name(attributes, rt.FRA_IIFNAME), m.name(attributes, rt.FRA_OIFNAME),
        tos, bool(flags & rt.FIB_RULE_INVERT), m.number(attributes, rt.FRA_PROTOCOL, m.U8),
    ), attributes  # fmt: skip


def new(request: Request) -> None:
    rule, attributes = _parse(request)
    if rule.action not in ACTIONS:
        raise EINVAL("Invalid rule action")
    if rule.action == rt.FR_ACT_TO_TBL and not rule.table:
        raise EINVAL("Invalid table")
    mine = [known for known in request.stack.routes.rules if known.family == rule.family]
    if rt.FRA_PRIORITY not in attributes:  # before the second, as ip-rule(8) tells
        rule = rule._replace(priority=max(0, mine[1].priority - 1) if len(mine) > 1 else 0)
    if request.flags & NLM_F_EXCL and any(known._replace(protocol=rule.protocol) == rule for known in mine):
        raise EEXIST
    request.stack.routes.add_rule(rule)


def delete(request: Request) -> None:
    wanted, attributes = _parse(request)
    for rule in request.stack.routes.rules:
        if (
            rule.family == wanted.family
            and wanted.action in (0, rule.action)
            and wanted.table in (0, rule.table)
            and (rt.FRA_PRIORITY not in attributes or wanted.priority == rule.priority)
            and (wanted.src, wanted.src_prefix) in ((b"", 0), (rule.src, rule.src_prefix))
            and (wanted.dst, wanted.dst_prefix) in ((b"", 0), (rule.dst, rule.dst_prefix))
            and wanted.iif in (b"", rule.iif)
            and wanted.oif in (b"", rule.oif)
            and wanted.tos in (0, rule.tos)
            and wanted.protocol in (0, rule.protocol)
        ):
            request.stack.routes.remove_rule(rule)
            return
    raise ENOENT


def dump(request: Request) -> list[Body]:
    family = request.filter(HEADER)[0]
    known = {AF_INET: 4, AF_INET6: 6}.get(family, 0)
    if family and not known:
        raise EAFNOSUPPORT
    return [(rt.RTM_NEWRULE, show.rule(rule)) for rule in request.stack.routes.rules if known in (0, rule.family)]
