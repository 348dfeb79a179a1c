"""From a path to a place in the tree of mounts (path_resolution(7), openat2(2)).

`walk` finds an existing object, `walk_parent` the directory of a name that is to be made or removed, `walk_create` does
for O_CREAT whichever applies. All cross mounts, follow links and check search permission with the caller's
credentials. The loop is hot: a plain component costs one table look-up and a few tests.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from sentry.abi.const.files import (
    AT_FDCWD,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    S_IFDIR,
    S_IFMT,
)
from sentry.abi.const.mounts import MS_NOSYMFOLLOW
from sentry.abi.errno import EAGAIN, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ESTALE, EXDEV
from vfs.core.access import X, check
from vfs.core.anon import is_anon, path_of
from vfs.core.dentry import Dentry, Path

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import Stat
    from vfs.core.mount import Mount
    from vfs.core.node import Inode

__all__ = [
    "EMPTY", "FOLLOW", "Dentry", "Path", "dentry_name", "lone", "path_name", "walk", "walk_create", "walk_parent",
    "walk_stat",
]  # fmt: skip

NAME_MAX = 255
MAX_LINKS = 40
FOLLOW = 1  # follow a symbolic link in the last component
EMPTY = 2  # AT_EMPTY_PATH: b"" means the directory descriptor itself
_PARENT = 4  # leave the last component alone
_CREATE = 8  # a missing last component is no error
_PEEK = 16  # nor is one that was not looked up before
_SCOPED = RESOLVE_BENEATH | RESOLVE_IN_ROOT


def walk(t: Task, dirfd: int, path: bytes, flags: int = FOLLOW, resolve: int = 0) -> Path:
    """The object that `path` names; ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG as path_resolution(7)."""
    if not path:
        if not flags & EMPTY:
            raise ENOENT
        return t.fs.cwd if dirfd == AT_FDCWD else path_of(t.fds.any(dirfd))
    try:
        return _walk(t, dirfd, path, flags, resolve)[0]
    except ESTALE:
        return _again(t, dirfd, path, flags, resolve)[0]


def lone(t: Task, dirfd: int, path: bytes) -> Inode | None:
    """The directory in which `path` is a single name that is not in the caches, as for all who walk a tree; None in
    any other case."""
    if b"/" in path:
        return None
    start = _start(t, dirfd, path).dentry
    inode = start.inode
    if inode.mode & 0o170111 != 0o040111 or inode.guarded or path in start.children:
        return None
    return inode if path not in (b".", b"..") and len(path) <= NAME_MAX else None


def walk_stat(t: Task, dirfd: int, path: bytes, flags: int = FOLLOW) -> Stat:
    """Attributes of what the path names. What a directory can tell without an inode leaves nothing in the caches: trees
    are walked once, and mostly looked at only."""
    try:
        place, name = _walk(t, dirfd, path, flags | _PEEK, 0)
        inode = place.dentry.inode
        if not name:
            return inode.stat()
        found = inode.stat_entry(name)
        if found is not None:
            return found
    except ESTALE:
        pass
    return walk(t, dirfd, path, flags).dentry.inode.stat()


def walk_parent(t: Task, dirfd: int, path: bytes) -> tuple[Path, bytes, bool]:
    """The directory of the last component, that component (b"", b"." or b".." if it is no proper name), and whether a
    slash follows it."""
    if not path:
        raise ENOENT
    try:
        place, name = _walk(t, dirfd, path, _PARENT, 0)
    except ESTALE:
        place, name = _again(t, dirfd, path, _PARENT, 0)
    return place, name, path.endswith(b"/")


def walk_create(t: Task, dirfd: int, path: bytes, follow: bool, resolve: int = 0) -> tuple[Path, bytes]:
    """(object, b"") if it exists, else (its directory, its name)."""
    if not path:
        raise ENOENT
    flags = _CREATE | FOLLOW if follow else _CREATE
    try:
        return _walk(t, dirfd, path, flags, resolve)
    except ESTALE:
        return _again(t, dirfd, path, flags, resolve)


def _again(t: Task, dirfd: int, path: bytes, flags: int, resolve: int) -> tuple[Path, bytes]:
    """A directory on the way was replaced from outside; its file system believes nothing it knew any more."""
    try:
        return _walk(t, dirfd, path, flags, resolve)
    except ESTALE:
        raise ENOENT


def find(t: Task, directory: Path, name: bytes) -> Path:
    """One component, without following a link; ENOENT."""
    mount, dentry = directory.mount, directory.dentry
    if len(name) > NAME_MAX:
        raise ENAMETOOLONG
    child = dentry.children.get(name)
    if child is None:
        child = _lookup(t, dentry, name)
    elif not child.inode.stable and not child.mounts and not child.inode.revalidate(child, t, True):
        child.drop()
        child = _lookup(t, dentry, name)
    while child.mounts:
        top = mount.children.get(child)
        if top is None:
            break
        mount, child = top, top.root
    return Path(mount, child)


def _start(t: Task, dirfd: int, path: bytes) -> Path:
    if path[0] == 47:
        return t.fs.root
    if dirfd == AT_FDCWD:
        return t.fs.cwd
    opened = t.fds.any(dirfd).opened
    if opened is None:
        raise ENOTDIR
    return opened


def _walk(t: Task, dirfd: int, path: bytes, flags: int, resolve: int) -> tuple[Path, bytes]:
    root = t.fs.root
    start = _start(t, dirfd, path)
    if resolve:
        if resolve & RESOLVE_CACHED:
            raise EAGAIN
        if resolve & _SCOPED:
            if path[0] == 47:
                if resolve & RESOLVE_BENEATH:
                    raise EXDEV
                start = t.fs.cwd if dirfd == AT_FDCWD else _start(t, dirfd, b".")
            root = start
    mount, dentry = start.mount, start.dentry
    names = path.split(b"/")
    must_dir = not names[-1]  # a trailing slash; "." and ".." are directories by themselves
    names.reverse()
    if path[0] == 47:
        names.pop()
    if must_dir or b"" in names:
        names = [name for name in names if name]
    left = 1 if flags & _PARENT or must_dir and flags & _CREATE and names else 0
    links = 0
    now = monotonic()
    fresh: Dentry | None = None  # what the last step looked up; its attributes are those of this moment
    while len(names) > left:
        name = names.pop()
        inode = dentry.inode
        mode = inode.mode
        if mode & 0o170111 != 0o040111 or inode.guarded:
            if mode & S_IFMT != S_IFDIR:
                raise ENOTDIR
            check(inode, t, X)
        child = dentry.children.get(name)
        if child is None:
            if name == b".":
                fresh = None
                continue
            if name == b"..":
                mount, dentry = _up(mount, dentry, root, resolve)
                continue
            if len(name) > NAME_MAX:
                raise ENAMETOOLONG
            if flags & _PEEK and not names and not must_dir:
                return Path(mount, dentry), name
            try:
                child = _lookup(t, dentry, name)
            except ENOENT:
                if flags & _CREATE and not names:
                    return Path(mount, dentry), name
                raise
            inode = child.inode
        else:
            inode = child.inode
            if (
                (inode.expires < now or not inode.stable and not names)
                and not child.mounts
                and not inode.revalidate(child, t, not names)
            ):
                child.drop()
                try:
                    child = _lookup(t, dentry, name)
                except ENOENT:
                    if flags & _CREATE and not names:
                        return Path(mount, dentry), name
                    raise
                inode = child.inode
        fresh = child
        if child.mounts:
            mount, child = _down(mount, child, resolve)
            inode = child.inode
        if inode.mode & 0o170000 == 0o120000 and (names or flags & FOLLOW or must_dir):
            links += 1
            if links > MAX_LINKS or resolve & RESOLVE_NO_SYMLINKS or mount.flags & MS_NOSYMFOLLOW:
                raise ELOOP
            jump = inode.follow(t)
            if jump is not None:
                if resolve & (RESOLVE_NO_MAGICLINKS | _SCOPED | RESOLVE_NO_XDEV):
                    if resolve & RESOLVE_NO_MAGICLINKS:
                        raise ELOOP
                    if resolve & _SCOPED or jump.mount is not mount:
                        raise EXDEV
                mount, dentry = jump.mount, jump.dentry
                continue
            target = inode.readlink(t)
            if not target:
                raise ENOENT
            if target[0] == 47:
                if resolve & RESOLVE_BENEATH:
                    raise EXDEV
                if resolve & RESOLVE_NO_XDEV and root.mount is not mount:
                    raise EXDEV
                mount, dentry = root.mount, root.dentry
            if not names and target[-1] == 47:
                must_dir = True
                left |= bool(flags & _CREATE)
            more = [name for name in target.split(b"/") if name]
            more.reverse()
            names += more
            continue
        dentry = child
    if left:
        inode = dentry.inode
        if dentry is mount.root:
            inode.refresh()
        if inode.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        check(inode, t, X)
        if flags & _CREATE:
            raise EISDIR  # O_CREAT makes no directories
        return Path(mount, dentry), names[0] if names else b""
    if dentry is not fresh:
        dentry.inode.refresh()
    if must_dir and dentry.inode.mode & S_IFMT != S_IFDIR:
        raise ENOTDIR
    return Path(mount, dentry), b""


def _lookup(t: Task, dentry: Dentry, name: bytes) -> Dentry:
    directory = dentry.inode
    inode = directory.lookup(name, t)
    child = Dentry(dentry, name, inode)
    if directory.keeps(name):
        child.cache()
    return child


def _up(mount: Mount, dentry: Dentry, root: Path, resolve: int) -> tuple[Mount, Dentry]:
    """Where b".." leads."""
    while True:
        if dentry is root.dentry and mount is root.mount:
            if resolve & RESOLVE_BENEATH:
                raise EXDEV
            break
        if dentry is not mount.root:
            assert dentry.parent is not None
            dentry = dentry.parent
            break
        point, above = mount.point, mount.parent
        if point is None or above is None:
            break
        if resolve & RESOLVE_NO_XDEV:
            raise EXDEV
        mount, dentry = above, point
    return _down(mount, dentry, 0) if dentry.mounts else (mount, dentry)


def _down(mount: Mount, dentry: Dentry, resolve: int) -> tuple[Mount, Dentry]:
    """Through what is mounted on `dentry`."""
    while dentry.mounts:
        top = mount.children.get(dentry)
        if top is None:
            break
        if resolve & RESOLVE_NO_XDEV:
            raise EXDEV
        top.expiring = False
        mount, dentry = top, top.root
    return mount, dentry


def dentry_name(dentry: Dentry) -> bytes:
    """Path within its file system, b"" for the top."""
    names: list[bytes] = []
    at: Dentry | None = dentry
    while at is not None and at.parent is not None:
        names.append(at.name)
        at = at.parent
    names.append(b"")
    names.reverse()
    return b"/".join(names) if len(names) > 1 else b""


def path_name(path: Path, root: Path) -> bytes:
    """Absolute name of `path` as seen from `root`, for getcwd(2) and links in /proc: " (deleted)" behind a removed one,
    "(unreachable)" before one that is not below `root`."""
    if is_anon(path):
        return path.dentry.name
    mount, dentry = path.mount, path.dentry
    deleted = dentry.gone
    names: list[bytes] = []
    reachable = True
    while not (dentry is root.dentry and mount is root.mount):
        parent = dentry.parent
        if dentry is mount.root or parent is None:
            point, above = mount.point, mount.parent
            if point is None or above is None:
                reachable = False
                break
            mount, dentry = above, point
            continue
        names.append(dentry.name)
        dentry = parent
    names.append(b"")
    names.reverse()
    name = b"/".join(names) if len(names) > 1 else b"/"
    if not reachable:
        # The root of everything is "/", whatever the process's root; any other loose tree is unreachable.
        name = b"(unreachable)" + name
    return name + b" (deleted)" if deleted else name
