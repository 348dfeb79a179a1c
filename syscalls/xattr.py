"""setxattr(2), getxattr(2), listxattr(2), removexattr(2) and their l and f forms (xattr(7), acl(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.events import IN_ATTRIB
from sentry.abi.const.files import (
    AT_FDCWD,
    S_IFDIR,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISVTX,
    XATTR_CREATE,
    XATTR_LIST_MAX,
    XATTR_NAME_MAX,
    XATTR_REPLACE,
    XATTR_SIZE_MAX,
)
from sentry.abi.const.rights import CAP_FSETID, CAP_SETFCAP, CAP_SYS_ADMIN
from sentry.abi.errno import E2BIG, EACCES, EINVAL, ENAMETOOLONG, ENODATA, EOPNOTSUPP, EPERM, ERANGE
from syscalls.args import Addr, Fd, Int, Path, Size
from syscalls.registry import syscall
from vfs.core import notify
from vfs.core.access import R, W, check, check_writable, is_owner
from vfs.core.acl import DEFAULT, NAMES, check_acl, mode_of, pack, parse
from vfs.core.anon import path_of
from vfs.core.walk import FOLLOW, walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core import dentry as tree
    from vfs.core.acl import Acl
    from vfs.core.file import File
    from vfs.core.node import Inode


def _name(t: Task, addr: int) -> bytes:
    try:
        name = t.mem.cstring(addr, XATTR_NAME_MAX + 1)
    except ENAMETOOLONG:
        raise ERANGE
    if not name:
        raise ERANGE
    return name


def _may(t: Task, inode: Inode, name: bytes, write: bool) -> None:
    """Who may touch which namespace."""
    space, dot, rest = name.partition(b".")
    if not dot:
        raise EOPNOTSUPP
    if space == b"user":
        if not rest:
            raise EINVAL
        kind = inode.mode & S_IFMT
        if kind not in (S_IFREG, S_IFDIR):
            raise EPERM if write else ENODATA
        if write and kind == S_IFDIR and inode.mode & S_ISVTX and not is_owner(inode, t.creds):
            raise EPERM
        check(inode, t, W if write else R)
    elif space == b"trusted":
        if not rest:
            raise EINVAL
        if not t.creds.has(CAP_SYS_ADMIN):
            raise EPERM if write else ENODATA
    elif space == b"security":
        if write:
            t.creds.require(CAP_SETFCAP if rest == b"capability" else CAP_SYS_ADMIN)
    else:
        raise EOPNOTSUPP


def _set_acl(t: Task, inode: Inode, name: bytes, acl: Acl | None) -> None:
    """set_posix_acl: the mode bits follow an access list, which is not kept when they say it all."""
    if not inode.has_acls or inode.is_link:
        raise EOPNOTSUPP
    if name == DEFAULT and not inode.is_dir:
        if acl is not None:
            raise EACCES
        return
    if not is_owner(inode, t.creds):
        raise EPERM
    if acl is not None:
        check_acl(acl)
    if name == DEFAULT or acl is None:
        inode.set_acl(name, acl)
        return
    bits, is_all = mode_of(acl)
    mode = inode.mode & 0o7000 | bits
    if mode & S_ISGID and not t.creds.in_group(inode.gid) and not t.creds.has(CAP_FSETID):
        mode &= ~S_ISGID
    inode.set_acl(name, None if is_all else acl)
    inode.chmod(mode)


def _get_acl(inode: Inode, name: bytes) -> bytes:
    if not inode.has_acls or inode.is_link:
        raise EOPNOTSUPP
    acl = inode.acl(name)
    if acl is None:
        raise ENODATA
    return pack(acl)


def set_at(t: Task, place: tree.Path, name_addr: int, value_addr: int, size: int, flags: int) -> int:
    if flags & ~(XATTR_CREATE | XATTR_REPLACE) or flags == XATTR_CREATE | XATTR_REPLACE:
        raise EINVAL
    name = _name(t, name_addr)
    if size > XATTR_SIZE_MAX:
        raise E2BIG
    value = t.mem.read(value_addr, size)
    check_writable(place.mount)
    if name in NAMES:
        _set_acl(t, place.dentry.inode, name, parse(value))
    else:
        _may(t, place.dentry.inode, name, True)
        place.dentry.inode.setxattr(name, value, flags)
    notify.touched(place.dentry, IN_ATTRIB)
    return 0


def get_at(t: Task, place: tree.Path, name_addr: int, value_addr: int, size: int) -> int:
    name = _name(t, name_addr)
    if name in NAMES:
        value = _get_acl(place.dentry.inode, name)
    else:
        _may(t, place.dentry.inode, name, False)
        value = place.dentry.inode.getxattr(name)
    if size:
        if len(value) > size:
            raise ERANGE
        t.mem.write(value_addr, value)
    return len(value)


def list_at(t: Task, place: tree.Path, list_addr: int, size: int) -> int:
    shown = t.creds.has(CAP_SYS_ADMIN)
    names = [n for n in place.dentry.inode.listxattr() if shown or not n.startswith(b"trusted.")]
    text = b"".join(name + b"\0" for name in names)
    if len(text) > XATTR_LIST_MAX:
        raise E2BIG
    if size:
        if len(text) > size:
            raise ERANGE
        t.mem.write(list_addr, text)
    return len(text)


def remove_at(t: Task, place: tree.Path, name_addr: int) -> int:
    name = _name(t, name_addr)
    check_writable(place.mount)
    if name in NAMES:
        _set_acl(t, place.dentry.inode, name, None)
    else:
        _may(t, place.dentry.inode, name, True)
        place.dentry.inode.removexattr(name)
    notify.touched(place.dentry, IN_ATTRIB)
    return 0


@syscall("setxattr", Path, Addr, Addr, Size, Int)
def sys_setxattr(t: Task, path: bytes, name_addr: int, value_addr: int, size: int, flags: int) -> int:
    return set_at(t, walk(t, AT_FDCWD, path), name_addr, value_addr, size, flags)


@syscall("lsetxattr", Path, Addr, Addr, Size, Int)
def sys_lsetxattr(t: Task, path: bytes, name_addr: int, value_addr: int, size: int, flags: int) -> int:
    return set_at(t, walk(t, AT_FDCWD, path, 0), name_addr, value_addr, size, flags)


@syscall("fsetxattr", Fd, Addr, Addr, Size, Int)
def sys_fsetxattr(t: Task, file: File, name_addr: int, value_addr: int, size: int, flags: int) -> int:
    return set_at(t, path_of(file), name_addr, value_addr, size, flags)


@syscall("getxattr", Path, Addr, Addr, Size)
def sys_getxattr(t: Task, path: bytes, name_addr: int, value_addr: int, size: int) -> int:
    return get_at(t, walk(t, AT_FDCWD, path, FOLLOW), name_addr, value_addr, size)


@syscall("lgetxattr", Path, Addr, Addr, Size)
def sys_lgetxattr(t: Task, path: bytes, name_addr: int, value_addr: int, size: int) -> int:
    return get_at(t, walk(t, AT_FDCWD, path, 0), name_addr, value_addr, size)


@syscall("fgetxattr", Fd, Addr, Addr, Size)
def sys_fgetxattr(t: Task, file: File, name_addr: int, value_addr: int, size: int) -> int:
    return get_at(t, path_of(file), name_addr, value_addr, size)


@syscall("listxattr", Path, Addr, Size)
def sys_listxattr(t: Task, path: bytes, list_addr: int, size: int) -> int:
    return list_at(t, walk(t, AT_FDCWD, path), list_addr, size)


@syscall("llistxattr", Path, Addr, Size)
def sys_llistxattr(t: Task, path: bytes, list_addr: int, size: int) -> int:
    return list_at(t, walk(t, AT_FDCWD, path, 0), list_addr, size)


@syscall("flistxattr", Fd, Addr, Size)
def sys_flistxattr(t: Task, file: File, list_addr: int, size: int) -> int:
    return list_at(t, path_of(file), list_addr, size)


@syscall("removexattr", Path, Addr)
def sys_removexattr(t: Task, path: bytes, name_addr: int) -> int:
    return remove_at(t, walk(t, AT_FDCWD, path), name_addr)


@syscall("lremovexattr", Path, Addr)
def sys_lremovexattr(t: Task, path: bytes, name_addr: int) -> int:
    return remove_at(t, walk(t, AT_FDCWD, path, 0), name_addr)


@syscall("fremovexattr", Fd, Addr)
def sys_fremovexattr(t: Task, file: File, name_addr: int) -> int:
    return remove_at(t, path_of(file), name_addr)
