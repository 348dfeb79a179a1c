"""fsopen(2), fsconfig(2), fsmount(2), fspick(2), open_tree(2), move_mount(2), mount_setattr(2): mounting in steps."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const import mounts as k
from sentry.abi.const.files import AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW
from sentry.abi.const.rights import CAP_SYS_ADMIN
from sentry.abi.errno import E2BIG, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from sentry.abi.flags import O_PATH
from syscalls.args import Addr, DirFd, FdNum, Int, PathAddr, Size, Text, UInt
from syscalls.registry import syscall
from vfs.anon.fs_config import CONFIGURED, FAILED, MADE, MOUNTED, OPTIONS_LIMIT, PICKED, FsConfig, TreeFile
from vfs.core import setup
from vfs.core.anon import is_anon, path_of
from vfs.core.mount import Mount, mounts_of
from vfs.core.open_dir import PathFile
from vfs.core.walk import FOLLOW, walk
from vfs.fs.tmpfs import TmpFs

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.dentry import Path

PAGE = 4096
KEY_LIMIT = 256
OPEN_TREE_FLAGS = (
    k.OPEN_TREE_CLONE | k.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW
)
ATTRIBUTES = (
    (k.MOUNT_ATTR_RDONLY, k.MS_RDONLY), (k.MOUNT_ATTR_NOSUID, k.MS_NOSUID), (k.MOUNT_ATTR_NODEV, k.MS_NODEV),
    (k.MOUNT_ATTR_NOEXEC, k.MS_NOEXEC), (k.MOUNT_ATTR_NODIRATIME, k.MS_NODIRATIME),
    (k.MOUNT_ATTR_NOSYMFOLLOW, k.MS_NOSYMFOLLOW),
)  # fmt: skip
PLAIN = sum(attr for attr, _ in ATTRIBUTES)
ATIMES = {k.MOUNT_ATTR_RELATIME: k.MS_RELATIME, k.MOUNT_ATTR_NOATIME: k.MS_NOATIME, k.MOUNT_ATTR_STRICTATIME: 0}
ALL_ATIMES = k.MS_RELATIME | k.MS_NOATIME
MOUNT_ATTR = Struct("<4Q")  # struct mount_attr: attr_set attr_clr propagation userns_fd
PROPAGATION = (0, k.MS_SHARED, k.MS_PRIVATE, k.MS_SLAVE, k.MS_UNBINDABLE)
IGNORED_FLAGS = (b"sync", b"async", b"dirsync", b"lazytime", b"nolazytime", b"mand", b"nomand", b"silent")


def _place(t: Task, dirfd: int, path_addr: int, empty: bool, follow: bool) -> Path:
    path = t.mem.path(path_addr)
    if not path:
        if not empty:
            raise ENOENT
        if dirfd == AT_FDCWD:
            return t.fs.cwd
        place = path_of(t.fds.any(dirfd))
        if is_anon(place):
            raise EINVAL
        return place
    return walk(t, dirfd, path, FOLLOW if follow else 0)


def _top(place: Path) -> Mount:
    if place.dentry is not place.mount.root:
        raise EINVAL
    return place.mount


# -- a new file system ---------------------------------------------------------------------------------------------


@syscall("fsopen", Text, UInt)
def sys_fsopen(t: Task, name_addr: int, flags: int) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    if flags & ~1:
        raise EINVAL
    kind = t.mem.cstring(name_addr, PAGE).decode("ascii", "replace")
    if not setup.known(kind):
        raise ENODEV
    return t.fds.install(FsConfig(kind), bool(flags & 1))


@syscall("fspick", DirFd, PathAddr, UInt)
def sys_fspick(t: Task, dirfd: int, path_addr: int, flags: int) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    if flags & ~0xF:
        raise EINVAL
    empty, follow = bool(flags & k.FSPICK_EMPTY_PATH), not flags & k.FSPICK_SYMLINK_NOFOLLOW
    mount = _top(_place(t, dirfd, path_addr, empty, follow))
    return t.fds.install(FsConfig(mount.fs.name.decode("latin-1"), mount.fs), bool(flags & k.FSPICK_CLOEXEC))


@syscall(
    "fsconfig", FdNum, UInt, Text, Addr, Int, support="partial",
    note="no binary, path and descriptor values; reconfiguring knows ro, rw and size of a tmpfs",
)  # fmt: skip
def sys_fsconfig(t: Task, fd: int, command: int, key_addr: int, value_addr: int, aux: int) -> int:
    if fd < 0:
        raise EINVAL
    _check_arguments(command, bool(key_addr), bool(value_addr), aux)
    config = t.fds.get(fd)
    if not isinstance(config, FsConfig):
        raise EINVAL
    key = t.mem.cstring(key_addr, KEY_LIMIT) if key_addr else b""
    if command in (k.FSCONFIG_CMD_CREATE, k.FSCONFIG_CMD_CREATE_EXCL):
        _make(t, config)
    elif command == k.FSCONFIG_CMD_RECONFIGURE:
        _reconfigure(t, config)
    else:
        if config.phase not in (CONFIGURED, PICKED):
            raise EBUSY
        if command == k.FSCONFIG_SET_STRING:
            _set(t, config, key, t.mem.cstring(value_addr, KEY_LIMIT))
        elif command == k.FSCONFIG_SET_FLAG:
            _set(t, config, key, None)
        else:
            raise EINVAL  # no file system here takes such a value
    return 0


def _check_arguments(command: int, key: bool, value: bool, aux: int) -> None:
    if command == k.FSCONFIG_SET_FLAG:
        good = key and not value and not aux
    elif command == k.FSCONFIG_SET_STRING:
        good = key and value and not aux
    elif command == k.FSCONFIG_SET_BINARY:
        good = key and value and 0 < aux <= 1 << 20
    elif command in (k.FSCONFIG_SET_PATH, k.FSCONFIG_SET_PATH_EMPTY):
        good = key and value and (aux == AT_FDCWD or aux >= 0)
    elif command == k.FSCONFIG_SET_FD:
        good = key and not value and aux >= 0
    elif command in (k.FSCONFIG_CMD_CREATE, k.FSCONFIG_CMD_CREATE_EXCL, k.FSCONFIG_CMD_RECONFIGURE):
        good = not key and not value and not aux
    else:
        raise EOPNOTSUPP
    if not good:
        raise EINVAL


def _set(t: Task, config: FsConfig, key: bytes, value: bytes | None) -> None:
    if value is None and key in (b"ro", b"rw"):
        config.readonly = key == b"ro"
        return
    if value is None and key in IGNORED_FLAGS:
        return
    if key == b"source" and value is not None:
        if config.source is not None:
            raise EINVAL
        config.source = value
        return
    option = key if value is None else key + b"=" + value
    if b"," in option or len(option) + sum(len(other) + 1 for other in config.options) > OPTIONS_LIMIT:
        raise EINVAL
    if config.kind == "tmpfs":
        setup.make(t.kernel, config.kind, option)  # EINVAL now, not when it is made
    config.options.append(option)


def _make(t: Task, config: FsConfig) -> None:
    if config.phase != CONFIGURED:
        raise EBUSY
    t.creds.require(CAP_SYS_ADMIN)
    config.phase = FAILED
    fs = setup.make(t.kernel, config.kind, b",".join(config.options))
    if config.readonly and isinstance(fs, TmpFs):
        fs.readonly = True
    config.fs, config.phase = fs, MADE


def _reconfigure(t: Task, config: FsConfig) -> None:
    if config.phase not in (PICKED, MOUNTED):
        raise EBUSY
    t.creds.require(CAP_SYS_ADMIN)
    fs = config.fs
    for option in config.options:
        key, _, value = option.partition(b"=")
        if key != b"size" or not isinstance(fs, TmpFs):
            raise EINVAL
        size = setup.parse_size(value, fs.space.max_size or PAGE)
        if size and size < fs.space.used:
            raise EINVAL
        fs.space.max_size = size
    if config.readonly is not None:
        if not isinstance(fs, TmpFs):
            raise EINVAL  # what the host holds stays as it was given
        fs.readonly = config.readonly
    config.options.clear()


@syscall("fsmount", FdNum, UInt, UInt)
def sys_fsmount(t: Task, fd: int, flags: int, attributes: int) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    if flags & ~1 or attributes & ~(PLAIN | k.MOUNT_ATTR__ATIME):
        raise EINVAL
    mount_flags = _mount_flags(attributes)
    config = t.fds.get(fd)
    if not isinstance(config, FsConfig):
        raise EINVAL
    if config.phase != MADE or config.fs is None:
        raise EBUSY
    fs = config.fs
    mount = Mount(fs, fs.root, mount_flags, config.source or b"none")
    config.phase, config.readonly = MOUNTED, None
    config.options.clear()
    t.fds.need_room()
    return t.fds.install(TreeFile(mount, mounts_of(t)), bool(flags & 1))


def _mount_flags(attributes: int) -> int:
    atime = ATIMES.get(attributes & k.MOUNT_ATTR__ATIME)
    if atime is None:
        raise EINVAL
    return atime | sum(flag for attr, flag in ATTRIBUTES if attributes & attr)


# -- trees ---------------------------------------------------------------------------------------------------------


def _open_tree(t: Task, dirfd: int, path_addr: int, flags: int) -> PathFile:
    if flags & ~OPEN_TREE_FLAGS or flags & AT_RECURSIVE and not flags & k.OPEN_TREE_CLONE:
        raise EINVAL
    if flags & k.OPEN_TREE_CLONE:
        t.creds.require(CAP_SYS_ADMIN)
    place = _place(t, dirfd, path_addr, bool(flags & AT_EMPTY_PATH), not flags & AT_SYMLINK_NOFOLLOW)
    t.fds.need_room()
    if not flags & k.OPEN_TREE_CLONE:
        return PathFile(place, O_PATH)
    return TreeFile(mounts_of(t).clone(place, bool(flags & AT_RECURSIVE)), mounts_of(t))


@syscall("open_tree", DirFd, PathAddr, UInt)
def sys_open_tree(t: Task, dirfd: int, path_addr: int, flags: int) -> int:
    return t.fds.install(_open_tree(t, dirfd, path_addr, flags), bool(flags & k.OPEN_TREE_CLOEXEC))


@syscall("open_tree_attr", DirFd, PathAddr, UInt, Addr, Size, support="partial", note="no MOUNT_ATTR_IDMAP: EINVAL")
def sys_open_tree_attr(t: Task, dirfd: int, path_addr: int, flags: int, attr_addr: int, size: int) -> int:
    if not attr_addr and size:
        raise EINVAL
    attr = _attr(t, attr_addr, size) if attr_addr else None
    if attr is not None:
        t.creds.require(CAP_SYS_ADMIN)
        if not flags & k.OPEN_TREE_CLONE:
            raise EINVAL
    file = _open_tree(t, dirfd, path_addr, flags)
    if attr is not None:
        _set_attributes(file.path.mount, attr, bool(flags & AT_RECURSIVE))
    return t.fds.install(file, bool(flags & k.OPEN_TREE_CLOEXEC))


@syscall(
    "move_mount", DirFd, PathAddr, DirFd, PathAddr, UInt, support="partial",
    note="no MOVE_MOUNT_SET_GROUP: every mount is private",
)  # fmt: skip
def sys_move_mount(t: Task, from_dirfd: int, from_addr: int, to_dirfd: int, to_addr: int, flags: int) -> int:
    t.creds.require(CAP_SYS_ADMIN)
    if flags & ~k.MOVE_MOUNT__MASK & ~k.MOVE_MOUNT_BENEATH:
        raise EINVAL
    if flags & k.MOVE_MOUNT_SET_GROUP:
        raise EINVAL
    source = _place(t, from_dirfd, from_addr, bool(flags & k.MOVE_MOUNT_F_EMPTY_PATH),
                    bool(flags & k.MOVE_MOUNT_F_SYMLINKS))  # fmt: skip
    at = _place(t, to_dirfd, to_addr, bool(flags & k.MOVE_MOUNT_T_EMPTY_PATH), bool(flags & k.MOVE_MOUNT_T_SYMLINKS))
    mounts = mounts_of(t)
    mount = _top(source)
    there = set(mounts)
    if at.mount not in there or mount is mounts.root:
        raise EINVAL
    detached = mount not in there
    if mount.root.inode.is_dir != at.dentry.inode.is_dir:
        raise EINVAL
    if detached and mount.parent is not None:
        raise EINVAL  # below the top of a tree that hangs nowhere
    if flags & k.MOVE_MOUNT_BENEATH:
        if at.dentry is not at.mount.root or at.mount is mounts.root or not detached:
            raise EINVAL
        mounts.slip_beneath(mount, at.mount)
    elif detached:
        mounts.attach(mount, at)
    else:
        mounts.move(mount, at)
    return 0


# -- attributes ----------------------------------------------------------------------------------------------------


def _attr(t: Task, addr: int, size: int) -> tuple[int, int, int]:
    """What to set, what to clear (both of MOUNT_ATTR_*), and the propagation."""
    if size > PAGE:
        raise E2BIG
    if size < k.MOUNT_ATTR_SIZE_VER0:
        raise EINVAL
    data = t.mem.read(addr, size)
    if any(data[MOUNT_ATTR.size :]):
        raise E2BIG
    add, clear, propagation, _ = MOUNT_ATTR.unpack_from(data)
    if propagation not in PROPAGATION:
        raise EINVAL
    if (add | clear) & ~(PLAIN | k.MOUNT_ATTR__ATIME):
        raise EINVAL
    whole = clear & k.MOUNT_ATTR__ATIME
    if whole not in (0, k.MOUNT_ATTR__ATIME) or add & k.MOUNT_ATTR__ATIME and not whole:
        raise EINVAL
    if whole:
        _mount_flags(add)
    return add, clear, propagation


def _set_attributes(top: Mount, attr: tuple[int, int, int], recursive: bool) -> None:
    add, clear, _ = attr
    for mount in list(top.tree()) if recursive else [top]:
        flags = mount.flags
        if clear & k.MOUNT_ATTR__ATIME:
            flags = flags & ~ALL_ATIMES | ATIMES[add & k.MOUNT_ATTR__ATIME]
        for bit, flag in ATTRIBUTES:
            if clear & bit:
                flags &= ~flag
            if add & bit:
                flags |= flag
        mount.flags = flags


@syscall("mount_setattr", DirFd, PathAddr, UInt, Addr, Size, support="partial", note="no MOUNT_ATTR_IDMAP: EINVAL")
def sys_mount_setattr(t: Task, dirfd: int, path_addr: int, flags: int, attr_addr: int, size: int) -> int:
    if flags & ~(AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT):
        raise EINVAL
    if size > PAGE:
        raise E2BIG
    if size < k.MOUNT_ATTR_SIZE_VER0:
        raise EINVAL
    t.creds.require(CAP_SYS_ADMIN)
    attr = _attr(t, attr_addr, size)
    if not any(attr):
        return 0
    place = _place(t, dirfd, path_addr, bool(flags & AT_EMPTY_PATH), not flags & AT_SYMLINK_NOFOLLOW)
    _set_attributes(_top(place), attr, bool(flags & AT_RECURSIVE))
    return 0


