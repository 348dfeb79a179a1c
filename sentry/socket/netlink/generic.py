"""NETLINK_GENERIC: the controller, which says which families there are. Only its own (genetlink)."""

from __future__ import annotations

from struct import Struct

from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL, ENOENT, EOPNOTSUPP
from sentry.socket.netlink import message as m
from sentry.socket.netlink.request import Request

GENLMSGHDR = Struct("=BB2x")  # struct genlmsghdr: command, version
NAME, VERSION = b"nlctrl", 2


def handle(request: Request) -> bool:
    if request.kind != diag.GENL_ID_CTRL:
        raise ENOENT
    command, _ = request.fixed(GENLMSGHDR)
    if command != diag.CTRL_CMD_GETFAMILY:
        raise EOPNOTSUPP
    if request.dump:
        request.start_dump([(diag.GENL_ID_CTRL, _family())])
        return True
    attributes = request.attributes(GENLMSGHDR)
    number = m.number(attributes, diag.CTRL_ATTR_FAMILY_ID, m.U16)
    name = m.name(attributes, diag.CTRL_ATTR_FAMILY_NAME, diag.GENL_NAMSIZ)
    if not number and not name:
        raise EINVAL
    if number not in (0, diag.GENL_ID_CTRL) or name not in (b"", NAME):
        raise ENOENT
    request.reply(diag.GENL_ID_CTRL, _family())
    return False


def _family() -> bytes:
    flags = diag.GENL_CMD_CAP_DO | diag.GENL_CMD_CAP_DUMP | diag.GENL_CMD_CAP_HASPOL
    getfamily = [m.u32(diag.CTRL_ATTR_OP_ID, diag.CTRL_CMD_GETFAMILY), m.u32(diag.CTRL_ATTR_OP_FLAGS, flags)]
    group = [m.u32(diag.CTRL_ATTR_MCAST_GRP_ID, diag.GENL_ID_CTRL), m.text(diag.CTRL_ATTR_MCAST_GRP_NAME, b"notify")]
    return b"".join((
        GENLMSGHDR.pack(diag.CTRL_CMD_NEWFAMILY, VERSION),
        m.text(diag.CTRL_ATTR_FAMILY_NAME, NAME),
        m.attribute(diag.CTRL_ATTR_FAMILY_ID, m.U16.pack(diag.GENL_ID_CTRL)),
        m.u32(diag.CTRL_ATTR_VERSION, VERSION),
        m.u32(diag.CTRL_ATTR_HDRSIZE, 0),
        m.u32(diag.CTRL_ATTR_MAXATTR, diag.CTRL_ATTR_OP),
        m.nest(diag.CTRL_ATTR_OPS, [m.nest(1, getfamily)]),
        m.nest(diag.CTRL_ATTR_MCAST_GROUPS, [m.nest(1, group)]),
    ))  # fmt: skip
