"""Memory policies: set_mempolicy(2), mbind(2). Checked as Linux does; a task's policy is kept.

The machine is shown as one memory node, on which every policy means the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.memory import (
    MPOL_BIND,
    MPOL_DEFAULT,
    MPOL_F_ADDR,
    MPOL_F_MEMS_ALLOWED,
    MPOL_F_NODE,
    MPOL_INTERLEAVE,
    MPOL_LOCAL,
    MPOL_MODE_FLAGS,
    MPOL_PREFERRED,
    MPOL_PREFERRED_MANY,
)
from sentry.abi.const.rights import CAP_SYS_NICE
from sentry.abi.errno import EINVAL
from syscalls.args import Addr, Int, UInt, ULong
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

ONE_NODE = "one memory node: checked, without effect"
MAX_NODES = 1024  # bits of a node mask that are read
PAGE = 4096
MODES = (MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_PREFERRED_MANY)


def _nodes(t: Task, mask_addr: int, max_node: int) -> int:
    """The node mask, of which all but node 0 is unknown: EINVAL."""
    count = max_node - 1 if max_node else 0
    if count <= 0 or mask_addr == 0:
        return 0
    if count > PAGE * 8:
        raise EINVAL
    size = (count + 63) // 64 * 8
    mask = int.from_bytes(t.mem.read(mask_addr, min(size, PAGE)), "little") & (1 << count) - 1
    if mask & ~1:
        raise EINVAL
    return mask


def _policy(t: Task, mode: int, mask_addr: int, max_node: int) -> int:
    plain = mode & ~MPOL_MODE_FLAGS
    nodes = _nodes(t, mask_addr, max_node)
    if plain not in MODES:
        raise EINVAL
    if plain in (MPOL_DEFAULT, MPOL_LOCAL) and nodes:
        raise EINVAL
    if plain in (MPOL_BIND, MPOL_INTERLEAVE, MPOL_PREFERRED_MANY) and not nodes:
        raise EINVAL
    if plain == MPOL_DEFAULT and mode != plain:
        raise EINVAL
    return nodes


@syscall("set_mempolicy", Int, Addr, ULong, note="there is one memory node, on which all policies are the same")
def sys_set_mempolicy(t: Task, mode: int, mask_addr: int, max_node: int) -> int:
    nodes = _policy(t, mode, mask_addr, max_node)
    if mode & ~MPOL_MODE_FLAGS == MPOL_PREFERRED and not nodes:
        mode = MPOL_LOCAL
    t.mempolicy = (mode, nodes)
    return 0


@syscall("mbind", Addr, ULong, ULong, Addr, ULong, UInt, support="partial", note=ONE_NODE)
def sys_mbind(t: Task, addr: int, size: int, mode: int, mask_addr: int, max_node: int, flags: int) -> int:
    if addr % PAGE or flags & ~7:
        raise EINVAL
    if flags & 4:  # MPOL_MF_MOVE_ALL
        t.creds.require(CAP_SYS_NICE)
    _policy(t, mode, mask_addr, max_node)
    return 0


@syscall(
    "get_mempolicy", Addr, Addr, ULong, Addr, ULong, support="partial",
    note="what mbind set is not kept: MPOL_F_ADDR always tells MPOL_DEFAULT",
)  # fmt: skip
def sys_get_mempolicy(t: Task, mode_addr: int, mask_addr: int, max_node: int, addr: int, flags: int) -> int:
    if flags & ~(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED):
        raise EINVAL
    allowed = bool(flags & MPOL_F_MEMS_ALLOWED)
    if allowed and flags & (MPOL_F_NODE | MPOL_F_ADDR):
        raise EINVAL
    if mask_addr and max_node < 1 or (not flags & MPOL_F_ADDR and addr):
        raise EINVAL
    mode, nodes = t.mempolicy
    if flags == MPOL_F_NODE:
        if mode & ~MPOL_MODE_FLAGS != MPOL_INTERLEAVE:
            raise EINVAL
        mode = 0  # the node that is next
    if flags & MPOL_F_ADDR:
        t.mem.read(addr, 1)
    if flags & (MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED):
        mode, nodes = 0, int(allowed)
    if mode_addr:
        t.mem.put_i32(mode_addr, mode)
    if mask_addr:
        size = min((max_node + 62) // 64 * 8, MAX_NODES // 8)
        t.mem.write(mask_addr, nodes.to_bytes(max(size, 8), "little"))
    return 0
