"""Directory trees of the host as detached mounts (open_tree(2), mount_setattr(2)): the Sentry's only way to files.

A detached clone has no place in any mount namespace: a descriptor of it leads to this tree and nowhere else, mounts
that appear later do not enter it, and it goes away with its last descriptor.
"""

from __future__ import annotations

import os
import stat

from . import flags as f

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from .protocol import Host

BELOW = f.RESOLVE_IN_ROOT | f.RESOLVE_NO_MAGICLINKS
NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
ATTRIBUTES = (
    (f.MS_RDONLY, f.MOUNT_ATTR_RDONLY),
    (f.MS_NOSUID, f.MOUNT_ATTR_NOSUID),
    (f.MS_NODEV, f.MOUNT_ATTR_NODEV),
    (f.MS_NOEXEC, f.MOUNT_ATTR_NOEXEC),
)


def attributes(mount_flags: int) -> int:
    return sum(attribute for flag, attribute in ATTRIBUTES if mount_flags & flag)


def clone(host: Host, path: bytes, recursive: bool, mount_flags: int = 0) -> int:
    """A private detached clone of the tree at `path`, with the MS_* of `mount_flags` in force on all of it."""
    deep = f.AT_RECURSIVE if recursive else 0
    fd = host.open_tree(f.AT_FDCWD, path, f.OPEN_TREE_CLONE | deep)
    try:
        host.mount_setattr(fd, deep, attributes(mount_flags), 0, f.MS_PRIVATE)
    except OSError:
        os.close(fd)
        raise
    return fd


def make_mount_point(host: Host, root_fd: int, destination: bytes, directory: bool) -> bool:
    """mkdir -p (or an empty file) below `root_fd`, which no symlink of the tree can leave. True if it was not there."""
    made = False
    parts = [part for part in destination.split(b"/") if part]
    for index in range(len(parts)):
        path = b"/".join(parts[: index + 1])
        last = index == len(parts) - 1
        try:
            os.close(host.openat2(root_fd, path, os.O_PATH, 0, BELOW))
            continue
        except FileNotFoundError:
            pass
        parent = host.openat2(root_fd, b"/".join(parts[:index]) or b".", os.O_PATH | os.O_DIRECTORY, 0, BELOW)
        try:
            if last and not directory:
                os.close(os.open(parts[index], NEW_FILE, 0o644, dir_fd=parent))
            else:
                os.mkdir(parts[index], 0o755, dir_fd=parent)
            made = True
        except FileExistsError:
            pass  # a dangling symlink, or somebody was quicker: the mount itself will tell
        finally:
            os.close(parent)
    return made


def is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)
