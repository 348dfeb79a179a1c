"""NETLINK_GENERIC: the controller, which says which families there are. Only its own (genetlink)."""

from __future__ import annotations

from struct import Struct

from sentry.abi.const import rtnetlink as rt
from sentry.abi.errno import EINVAL, ENOENT, EOPNOTSUPP
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Request

GENLMSGHDR = Struct("=BB2x")  # struct genlmsghdr: command, version
NAME, VERSION = b"nlctrl", 2


def handle(request: Request) -> bool:
    if request.kind != rt.GENL_ID_CTRL:
        raise ENOENT
    command, _ = request.fixed(GENLMSGHDR)
    if command != rt.CTRL_CMD_GETFAMILY:
        raise EOPNOTSUPP
    if request.dump:
        request.start_dump([(rt.GENL_ID_CTRL, _family())])
        return True
    attributes = request.attributes(GENLMSGHDR)
    number = m.number(attributes, rt.CTRL_ATTR_FAMILY_ID, m.U16)
    name = m.name(attributes, rt.CTRL_ATTR_FAMILY_NAME, rt.GENL_NAMSIZ)
    if not number and not name:
        raise EINVAL
    if number not in (0, rt.GENL_ID_CTRL) or name not in (b"", NAME):
        raise ENOENT
    request.reply(rt.GENL_ID_CTRL, _family())
    return False


def _family() -> bytes:
    flags = rt.GENL_CMD_CAP_DO | rt.GENL_CMD_CAP_DUMP | rt.GENL_CMD_CAP_HASPOL
    getfamily = [m.u32(rt.CTRL_ATTR_OP_ID, rt.CTRL_CMD_GETFAMILY), m.u32(rt.CTRL_ATTR_OP_FLAGS, flags)]
    group = [m.u32(rt.CTRL_ATTR_MCAST_GRP_ID, rt.GENL_ID_CTRL), m.text(rt.CTRL_ATTR_MCAST_GRP_NAME, b"notify")]
    return b"".join((
        GENLMSGHDR.pack(rt.CTRL_CMD_NEWFAMILY, VERSION),
        m.text(rt.CTRL_ATTR_FAMILY_NAME, NAME),
        m.attribute(rt.CTRL_ATTR_FAMILY_ID, m.U16.pack(rt.GENL_ID_CTRL)),
        m.u32(rt.CTRL_ATTR_VERSION, VERSION),
        m.u32(rt.CTRL_ATTR_HDRSIZE, 0),
        m.u32(rt.CTRL_ATTR_MAXATTR, rt.CTRL_ATTR_OP),
        m.nest(rt.CTRL_ATTR_OPS, [m.nest(1, getfamily)]),
        m.nest(rt.CTRL_ATTR_MCAST_GROUPS, [m.nest(1, group)]),
    ))  # fmt: skip
