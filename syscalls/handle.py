"""name_to_handle_at(2), open_by_handle_at(2): files by a number in their file system.

A handle holds inode and file system. To open one, the path is gone again by which it was given out: so names are
remembered here, a bounded number of them, and nothing is kept alive.
"""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_FOLLOW,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_LARGEFILE,
    S_IFIFO,
    S_IFMT,
)
from sentry.abi.const.rights import CAP_DAC_READ_SEARCH
from sentry.abi.errno import EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, ESTALE, Errno
from syscalls.args import Addr, AtFlags, DirFd, Int, OpenFlags, PathAddr
from syscalls.registry import syscall
from syscalls.statmount import unique_id
from vfs.core.anon import is_anon, path_of
from vfs.core.dentry import Path
from vfs.core.opening import open_place
from vfs.core.synth import SynthFs
from vfs.core.walk import FOLLOW, dentry_name, find, walk

if TYPE_CHECKING:
    from sentry.kernel.task import Task

AT_HANDLE_MNT_ID_UNIQUE, AT_HANDLE_FID = 1, 0x200
HEAD = Struct("<Ii")  # handle_bytes handle_type
HANDLE = Struct("<QI")  # inode number, and the minor number of the file system's device
TYPE = 0x81  # FILEID_INO64_GEN
MAX_HANDLE = 128
NAMES = 4096  # files whose names are remembered
NOTE = "a file that was renamed meanwhile, or whose handle is older than the last 4096, is ESTALE"

_names: OrderedDict[bytes, bytes] = OrderedDict()  # handle -> path in its file system


@syscall("name_to_handle_at", DirFd, PathAddr, Addr, Addr, AtFlags)
def sys_name_to_handle_at(
    t: Task, dirfd: int, path_addr: int, handle_addr: int, mount_id_addr: int, flags: int
) -> int:
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE):
        raise EINVAL
    place = _place(t, dirfd, t.mem.path(path_addr), flags)
    if isinstance(place.mount.fs, SynthFs) or is_anon(place):
        raise EOPNOTSUPP
    room, _ = t.mem.unpack(HEAD, handle_addr)
    if room > MAX_HANDLE:
        raise EINVAL
    if mount_id_addr:
        if flags & AT_HANDLE_MNT_ID_UNIQUE:
            t.mem.put_u64(mount_id_addr, unique_id(place.mount))
        else:
            t.mem.put_i32(mount_id_addr, place.mount.id)
    if room < HANDLE.size:
        t.mem.pack(HEAD, handle_addr, HANDLE.size, TYPE)
        raise EOVERFLOW
    handle = HANDLE.pack(place.dentry.inode.ino & 0xFFFF_FFFF_FFFF_FFFF, place.mount.fs.dev & 0xFFFF_FFFF)
    _names[handle] = dentry_name(place.dentry)
    _names.move_to_end(handle)
    if len(_names) > NAMES:
        _names.popitem(last=False)
    t.mem.write(handle_addr, HEAD.pack(HANDLE.size, TYPE) + handle)
    return 0


def _place(t: Task, dirfd: int, path: bytes, flags: int) -> Path:
    if path:
        return walk(t, dirfd, path, FOLLOW if flags & AT_SYMLINK_FOLLOW else 0)
    if not flags & AT_EMPTY_PATH:
        raise ENOENT
    return t.fs.cwd if dirfd == AT_FDCWD else path_of(t.fds.any(dirfd))


@syscall("open_by_handle_at", Int, Addr, OpenFlags, support="partial", note=NOTE)
def sys_open_by_handle_at(t: Task, mount_fd: int, handle_addr: int, flags: int) -> int:
    t.creds.require(CAP_DAC_READ_SEARCH)
    size, kind = t.mem.unpack(HEAD, handle_addr)
    if not 0 < size <= MAX_HANDLE:
        raise EINVAL
    handle = t.mem.read(handle_addr + HEAD.size, size)
    at = t.fs.cwd if mount_fd == AT_FDCWD else path_of(t.fds.any(mount_fd))
    if flags & O_CREAT or flags & O_ACCMODE == O_ACCMODE:
        raise EINVAL
    t.fds.need_room()
    place = _again(t, at, handle, kind)
    if place.dentry.inode.mode & S_IFMT == S_IFIFO:
        raise EOPNOTSUPP  # its other end would have to be waited for
    file = open_place(t, place, flags & ~O_CLOEXEC | O_LARGEFILE)
    return t.fds.install(file, bool(flags & O_CLOEXEC))


def _again(t: Task, at: Path, handle: bytes, kind: int) -> Path:
    """By the names it had, and only if the same inode is there; seen through the mount that the caller holds."""
    name = _names.get(handle)
    fs = at.mount.fs
    if name is None or kind != TYPE:
        raise ESTALE
    ino, dev = HANDLE.unpack(handle)
    if dev != fs.dev & 0xFFFF_FFFF:
        raise ESTALE
    dentry = fs.root
    try:
        for part in name.split(b"/"):
            if part:
                found = find(t, Path(at.mount, dentry), part)
                if found.mount is not at.mount:
                    raise ESTALE  # covered by another mount
                dentry = found.dentry
    except Errno:
        raise ESTALE
    if dentry.inode.ino & 0xFFFF_FFFF_FFFF_FFFF != ino:
        raise ESTALE
    return Path(at.mount, dentry)
