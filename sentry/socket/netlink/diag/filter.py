"""INET_DIAG_REQ_BYTECODE of sock_diag(7): the little programs in which ss(8) says what it wants to see."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from netstack.route import within
from sentry.abi.const import sock_diag as diag
from sentry.abi.errno import EINVAL
from sentry.abi.flags import AF_INET, AF_INET6, AF_UNSPEC

OP, HOST = Struct("=BBH"), Struct("=BB2xi")  # struct inet_diag_bc_op, inet_diag_hostcond
CODE_AT_MOST = 4096  # bytes: it runs once for each socket


class Seen(NamedTuple):
    """What a program looks at. Addresses are 4 or 16 bytes."""

    family: int
    source: bytes
    sport: int
    destination: bytes
    dport: int
    iface: int
    user_locks: int


def check(code: bytes) -> None:
    """EINVAL for a program that is too long, jumps backwards or out of itself, or has no whole operation where it
    looks for one."""
    at = 0
    if len(code) > CODE_AT_MOST:
        raise EINVAL
    while at < len(code):
        if len(code) - at < OP.size:
            raise EINVAL
        kind, yes, no = OP.unpack_from(code, at)
        if yes < 4 or yes & 3 or at + yes > len(code):
            raise EINVAL
        need = 4
        if kind in PORTS:
            need = 8
        elif kind in (diag.INET_DIAG_BC_S_COND, diag.INET_DIAG_BC_D_COND):
            need = 4 + HOST.size
        elif kind in (diag.INET_DIAG_BC_DEV_COND, diag.INET_DIAG_BC_MARK_COND, diag.INET_DIAG_BC_CGROUP_COND):
            need = 8
        if yes < need and kind != diag.INET_DIAG_BC_NOP and kind not in (diag.INET_DIAG_BC_JMP, diag.INET_DIAG_BC_AUTO):
            raise EINVAL
        if kind != diag.INET_DIAG_BC_NOP and (no < 4 or no & 3 or at + no > len(code) + 4):
            raise EINVAL
        at += yes


def matches(code: bytes, seen: Seen) -> bool:
    """A program accepts by running to its very end; `check` has seen to it that it only goes forward."""
    at, size = 0, len(code)
    while size - at >= OP.size:
        kind, yes, no = OP.unpack_from(code, at)
        at += yes if _true(kind, code, at, seen) else no
    return at == size


PORTS = {
    diag.INET_DIAG_BC_S_GE: (True, "ge"), diag.INET_DIAG_BC_S_LE: (True, "le"), diag.INET_DIAG_BC_S_EQ: (True, "eq"),
    diag.INET_DIAG_BC_D_GE: (False, "ge"), diag.INET_DIAG_BC_D_LE: (False, "le"), diag.INET_DIAG_BC_D_EQ: (False, "eq"),
}  # fmt: skip


def _true(kind: int, code: bytes, at: int, seen: Seen) -> bool:
    if kind == diag.INET_DIAG_BC_NOP:
        return True
    if kind == diag.INET_DIAG_BC_JMP:
        return False
    if kind in PORTS:
        local, relation = PORTS[kind]
        port, bound = seen.sport if local else seen.dport, OP.unpack_from(code, at + 4)[2]
        if relation == "ge":
            return bool(port >= bound)
        return bool(port <= bound if relation == "le" else port == bound)
    if kind == diag.INET_DIAG_BC_AUTO:
        return not seen.user_locks
    if kind in (diag.INET_DIAG_BC_S_COND, diag.INET_DIAG_BC_D_COND):
        return _host(code, at + 4, seen, kind == diag.INET_DIAG_BC_S_COND)
    if kind == diag.INET_DIAG_BC_DEV_COND:
        return int.from_bytes(code[at + 4 : at + 8], "little") == seen.iface
    return False


def _host(code: bytes, at: int, seen: Seen, local: bool) -> bool:
    family, prefix, port = HOST.unpack_from(code, at)
    address, own_port = (seen.source, seen.sport) if local else (seen.destination, seen.dport)
    if port not in (-1, own_port):
        return False
    if not prefix:
        return family in (AF_UNSPEC, seen.family)
    size = {AF_INET: 4, AF_INET6: 16}.get(family, 0)
    wanted = code[at + HOST.size : at + HOST.size + size]
    return len(wanted) == size and prefix <= size * 8 and within(address, wanted, prefix)
