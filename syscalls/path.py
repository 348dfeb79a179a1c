"""Names: mkdir(2), mknod(2), unlink(2), rmdir(2), rename(2), link(2), symlink(2), readlink(2), and a process's place
among them: chdir(2), getcwd(2), chroot(2), umask(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISVTX,
)
from sentry.abi.const.rights import CAP_DAC_READ_SEARCH, CAP_MKNOD, CAP_SYS_CHROOT
from sentry.abi.errno import EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, ERANGE, ESTALE
from syscalls.args import AtFlags, DirFd, FdAny, Mode, Octal, OutBuffer, Path, RenameFlags, Size, UInt
from syscalls.registry import syscall
from vfs.core import dentry as tree
from vfs.core.access import X, check
from vfs.core.acl import masked
from vfs.core.names import EXCHANGE, NOREPLACE, WHITEOUT, link, make, rename, rmdir, unlink
from vfs.core.walk import EMPTY, FOLLOW, path_name, walk, walk_parent

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File
    from vfs.core.node import Inode

PATH_MAX = 4096


# -- making --------------------------------------------------------------------------------------------------------


@syscall("mkdir", Path, Mode)
def sys_mkdir(t: Task, path: bytes, mode: int) -> int:
    return sys_mkdirat(t, AT_FDCWD, path, mode)


@syscall("mkdirat", DirFd, Path, Mode)
def sys_mkdirat(t: Task, dirfd: int, path: bytes, mode: int) -> int:
    place, name, _ = walk_parent(t, dirfd, path)
    mode &= 0o777 | S_ISVTX
    make(t, place, name, lambda directory: directory.mkdir(name, masked(directory, mode, t.fs.umask), t.creds))
    return 0


@syscall("mknod", Path, Mode, UInt)
def sys_mknod(t: Task, path: bytes, mode: int, dev: int) -> int:
    return sys_mknodat(t, AT_FDCWD, path, mode, dev)


@syscall("mknodat", DirFd, Path, Mode, UInt)
def sys_mknodat(t: Task, dirfd: int, path: bytes, mode: int, dev: int) -> int:
    kind = mode & S_IFMT
    if kind == S_IFDIR:
        raise EPERM
    if kind not in (0, S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise EINVAL
    if kind not in (S_IFCHR, S_IFBLK):
        dev = 0
    place, name, slash = walk_parent(t, dirfd, path)
    mode = (kind or S_IFREG) | mode & 0o7777

    def build(directory: Inode) -> Inode:
        if kind == S_IFBLK or (kind == S_IFCHR and dev):
            t.creds.require(CAP_MKNOD)
        return directory.mknod(name, masked(directory, mode, t.fs.umask), dev, t.creds)

    make(t, place, name, build, slash)
    return 0


@syscall("symlink", Path, Path)
def sys_symlink(t: Task, target: bytes, path: bytes) -> int:
    return sys_symlinkat(t, target, AT_FDCWD, path)


@syscall("symlinkat", Path, DirFd, Path)
def sys_symlinkat(t: Task, target: bytes, dirfd: int, path: bytes) -> int:
    if not target:
        raise ENOENT
    place, name, slash = walk_parent(t, dirfd, path)

    make(t, place, name, lambda directory: directory.symlink(name, target, t.creds), slash)
    return 0


@syscall("link", Path, Path)
def sys_link(t: Task, old: bytes, new: bytes) -> int:
    return sys_linkat(t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall("linkat", DirFd, Path, DirFd, Path, AtFlags)
def sys_linkat(t: Task, old_dirfd: int, old: bytes, new_dirfd: int, new: bytes, flags: int) -> int:
    if flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH):
        raise EINVAL
    if flags & AT_EMPTY_PATH and not old:
        t.creds.require(CAP_DAC_READ_SEARCH, ENOENT)
    how = (FOLLOW if flags & AT_SYMLINK_FOLLOW else 0) | (EMPTY if flags & AT_EMPTY_PATH else 0)
    source = walk(t, old_dirfd, old, how)
    place, name, slash = walk_parent(t, new_dirfd, new)
    link(t, source, place, name, slash)
    return 0


# -- removing and moving -------------------------------------------------------------------------------------------


@syscall("unlink", Path)
def sys_unlink(t: Task, path: bytes) -> int:
    unlink(t, *walk_parent(t, AT_FDCWD, path))
    return 0


@syscall("rmdir", Path)
def sys_rmdir(t: Task, path: bytes) -> int:
    place, name, _ = walk_parent(t, AT_FDCWD, path)
    rmdir(t, place, name)
    return 0


@syscall("unlinkat", DirFd, Path, AtFlags)
def sys_unlinkat(t: Task, dirfd: int, path: bytes, flags: int) -> int:
    if flags & ~AT_REMOVEDIR:
        raise EINVAL
    place, name, slash = walk_parent(t, dirfd, path)
    if flags:
        rmdir(t, place, name)
    else:
        unlink(t, place, name, slash)
    return 0


@syscall("rename", Path, Path)
def sys_rename(t: Task, old: bytes, new: bytes) -> int:
    return sys_renameat2(t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall("renameat", DirFd, Path, DirFd, Path)
def sys_renameat(t: Task, old_dirfd: int, old: bytes, new_dirfd: int, new: bytes) -> int:
    return sys_renameat2(t, old_dirfd, old, new_dirfd, new, 0)


@syscall("renameat2", DirFd, Path, DirFd, Path, RenameFlags, note="RENAME_WHITEOUT on tmpfs")
def sys_renameat2(t: Task, old_dirfd: int, old: bytes, new_dirfd: int, new: bytes, flags: int) -> int:
    if flags & ~7 or flags & EXCHANGE and flags & (NOREPLACE | WHITEOUT):
        raise EINVAL
    source, name, slash = walk_parent(t, old_dirfd, old)
    target, new_name, new_slash = walk_parent(t, new_dirfd, new)
    rename(t, source, name, slash, target, new_name, new_slash, flags)
    return 0


@syscall("readlink", Path, OutBuffer, Size)
def sys_readlink(t: Task, path: bytes, buf_addr: int, size: int) -> int:
    return sys_readlinkat(t, AT_FDCWD, path, buf_addr, size)


@syscall("readlinkat", DirFd, Path, OutBuffer, Size)
def sys_readlinkat(t: Task, dirfd: int, path: bytes, buf_addr: int, size: int) -> int:
    size = (size & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    if size <= 0:
        raise EINVAL
    inode = walk(t, dirfd, path, EMPTY).dentry.inode
    if not inode.is_link:
        raise EINVAL if path else ENOENT
    try:
        text = inode.readlink(t)[:size]
    except ESTALE:
        raise ENOENT
    t.mem.write(buf_addr, text)
    return len(text)


# -- a process's place ---------------------------------------------------------------------------------------------


def _enter(t: Task, place: tree.Path) -> tree.Path:
    if not place.dentry.inode.is_dir:
        raise ENOTDIR
    check(place.dentry.inode, t, X)
    return place


@syscall("chdir", Path)
def sys_chdir(t: Task, path: bytes) -> int:
    t.fs.cwd = _enter(t, walk(t, AT_FDCWD, path))
    return 0


@syscall("fchdir", FdAny)
def sys_fchdir(t: Task, file: File) -> int:
    if file.opened is None:
        raise ENOTDIR
    t.fs.cwd = _enter(t, file.opened)
    return 0


@syscall("chroot", Path)
def sys_chroot(t: Task, path: bytes) -> int:
    place = _enter(t, walk(t, AT_FDCWD, path))
    t.creds.require(CAP_SYS_CHROOT)
    t.fs.root = place
    return 0


@syscall("getcwd", OutBuffer, Size)
def sys_getcwd(t: Task, buf_addr: int, size: int) -> int:
    if t.fs.cwd.dentry.gone:
        raise ENOENT
    name = path_name(t.fs.cwd, t.fs.root) + b"\0"
    if len(name) > PATH_MAX:
        raise ENAMETOOLONG
    if len(name) > size:
        raise ERANGE
    t.mem.write(buf_addr, name)
    return len(name)


@syscall("umask", Octal)
def sys_umask(t: Task, mask: int) -> int:
    old = t.fs.umask
    t.fs.umask = mask & 0o777
    return old
