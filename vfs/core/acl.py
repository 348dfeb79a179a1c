"""POSIX access control lists (acl(5)), as the extended attributes hold them (linux/posix_acl_xattr.h).

An `Acl` is a tuple of (tag, permissions, id), ordered as acl_valid(3) wants it; ids are those of the file system that
keeps the list. A list that says no more than the mode bits is never kept.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.errno import EINVAL, EOPNOTSUPP

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from vfs.core.node import Inode

ACCESS = b"system.posix_acl_access"
DEFAULT = b"system.posix_acl_default"
NAMES = (ACCESS, DEFAULT)
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ID = 0xFFFFFFFF
_VERSION = (2).to_bytes(4, "little")
_ENTRY = Struct("<HHI")


class Entry(NamedTuple):
    """`id` is NO_ID but for USER and GROUP."""

    tag: int
    perm: int
    id: int = NO_ID


Acl = tuple[Entry, ...]


def parse(value: bytes) -> Acl | None:
    """The list of an attribute's value; None for one without entries. EOPNOTSUPP for another version, EINVAL for what
    has not the form of a list; whether it is a valid one `check_acl` says."""
    if not value:
        return None
    if len(value) < 4:
        raise EINVAL
    if value[:4] != _VERSION:
        raise EOPNOTSUPP
    if (len(value) - 4) % _ENTRY.size:
        raise EINVAL
    acl = tuple(
        Entry(tag, perm, number if tag in (USER, GROUP) else NO_ID)
        for tag, perm, number in _ENTRY.iter_unpack(value[4:])
    )
    return acl or None


def check_acl(acl: Acl) -> None:
    """EINVAL unless it is valid (acl_valid(3)): tags in their order, one of each that is needed, a mask where somebody
    is named."""
    tags = [entry.tag for entry in acl]
    if tags != sorted(tags) or any(entry.perm & ~7 for entry in acl):
        raise EINVAL
    named = USER in tags or GROUP in tags
    for tag in (USER_OBJ, GROUP_OBJ, OTHER):
        if tags.count(tag) != 1:
            raise EINVAL
    if tags.count(MASK) > 1 or (named and MASK not in tags) or set(tags) - {1, 2, 4, 8, 16, 32}:
        raise EINVAL
    if any(entry.id == NO_ID for entry in acl if entry.tag in (USER, GROUP)):
        raise EINVAL


def pack(acl: Acl) -> bytes:
    return _VERSION + b"".join(_ENTRY.pack(*entry) for entry in acl)


def mapped(acl: Acl, uid: Callable[[int], int], gid: Callable[[int], int]) -> Acl:
    """With the ids of somewhere else; EINVAL where one has none there (-1)."""
    out = []
    for entry in acl:
        number = uid(entry.id) if entry.tag == USER else gid(entry.id) if entry.tag == GROUP else NO_ID
        if number < 0:
            raise EINVAL
        out.append(entry._replace(id=number))
    return tuple(out)


def grants(acl: Acl, inode: Inode, creds: Credentials, want: int) -> bool:
    """The access check algorithm of acl(5), for who is not the owner."""
    perms = {entry.tag: entry.perm for entry in acl if entry.tag not in (USER, GROUP)}
    mask = perms.get(MASK, 7)
    for entry in acl:
        if entry.tag == USER and entry.id == creds.fsuid:
            return entry.perm & mask & want == want
    found = False
    for entry in acl:
        if entry.tag == GROUP_OBJ:
            mine = creds.in_group(inode.gid)
        else:
            mine = entry.tag == GROUP and creds.in_group(entry.id)
        if mine:
            found = True
            if entry.perm & mask & want == want:
                return True
    return not found and perms[OTHER] & want == want


def mode_of(acl: Acl) -> tuple[int, bool]:
    """The permission bits that stand for it, and whether they say all that it says (acl(5), "CORRESPONDENCE")."""
    perms = {entry.tag: entry.perm for entry in acl}
    group = perms.get(MASK, perms[GROUP_OBJ])
    return perms[USER_OBJ] << 6 | group << 3 | perms[OTHER], len(acl) == 3


def with_mode(acl: Acl, mode: int) -> Acl:
    """After chmod(2)."""
    group_tag = MASK if any(entry.tag == MASK for entry in acl) else GROUP_OBJ
    bits = {USER_OBJ: mode >> 6 & 7, group_tag: mode >> 3 & 7, OTHER: mode & 7}
    return tuple(entry._replace(perm=bits.get(entry.tag, entry.perm)) for entry in acl)


def inherited(default: Acl, mode: int) -> tuple[Acl | None, int]:
    """The access list and mode of an object made with `mode` where `default` is in force ("OBJECT CREATION")."""
    bits, _ = mode_of(default)
    mode &= bits | ~0o777
    acl = with_mode(default, mode)
    return (None if len(acl) == 3 else acl), mode


def masked(directory: Inode, mode: int, umask: int) -> int:
    """What is left of `mode` for a new object: a default list takes the place of the umask (umask(2))."""
    return mode if directory.acl(DEFAULT) is not None else mode & ~umask
