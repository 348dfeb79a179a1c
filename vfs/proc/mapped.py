"""Which of the guest's files a mapping of the host shows (proc_pid_maps(5)): by host device and inode number.

The names that the walk has cached are searched, for a program opens by its name what it maps; nothing is looked up on
the host. A mapping whose name is not cached any more stays without one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.errno import Errno
from sentry.ipc.namespace import ipc
from vfs.anon.inode import DEV_SHM
from vfs.core.dentry import Dentry, Path
from vfs.core.mount import mounts_of
from vfs.core.walk import path_name
from vfs.fs.hostfs import HostInode
from vfs.fs.overlay import OverlayInode
from vfs.fs.tmpfs import TmpInode

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.core.mount import Mount
    from vfs.core.node import Inode

BLOB_LIMIT = 2000  # memory files looked at for one list

Key = tuple[int, int]  # st_dev and st_ino on the host


class Found(NamedTuple):
    """A file as the guest knows it."""

    name: bytes
    dev: int
    ino: int


def find_files(t: Task, group: ThreadGroup, wanted: set[Key]) -> dict[Key, Found]:
    """The files behind `wanted`, as far as they are known."""
    root = t.fs.root
    found: dict[Key, Found] = {}
    exe = _program(group)
    if exe is not None and exe[0] in wanted:
        found[exe[0]] = _as_seen(exe[1], root)
    for segment in ipc(t.kernel).shm:
        if segment.attached and segment.host_key() in wanted:
            found[segment.host_key()] = Found(segment.name, DEV_SHM, segment.id)
    if len(found) < len(wanted):
        for key, mount, dentry in _cached(t, wanted):
            if key not in found:
                found[key] = _as_seen(Path(mount, dentry), root)
                if len(found) == len(wanted):
                    break
    return found


def _as_seen(place: Path, root: Path) -> Found:
    stat = place.dentry.inode.stat()
    return Found(path_name(place, root), stat.dev, stat.ino)


def _program(group: ThreadGroup) -> tuple[Key, Path] | None:
    """The program has a name even when its file was removed."""
    if group.exe is None or group.exe_file is None:
        return None
    try:
        stat = os.fstat(group.exe_file.host_fd(False))
    except (Errno, OSError):
        return None
    return (stat.st_dev, stat.st_ino), group.exe


def _cached(t: Task, wanted: set[Key]) -> Iterator[tuple[Key, Mount, Dentry]]:
    """Regular files among the cached names below every mount."""
    devices = {dev for dev, _ in wanted}
    seen: set[Dentry] = set()
    blobs = BLOB_LIMIT
    for mount in mounts_of(t):
        waiting = [mount.root]
        while waiting:
            dentry = waiting.pop()
            if dentry in seen:
                continue
            seen.add(dentry)
            waiting.extend(dentry.children.values())
            inode = dentry.inode
            if not inode.is_reg:
                continue
            key = _host_file(inode)
            if key is None and blobs and isinstance(inode, TmpInode):
                blobs -= 1
                key = _memory_file(inode, devices)
            if key in wanted and key is not None:
                yield key, mount, dentry


def _host_file(inode: Inode) -> Key | None:
    if isinstance(inode, OverlayInode):
        lower = inode.lower
        return None if lower is None else (lower.st.st_dev, lower.st.st_ino)
    return (inode.st.st_dev, inode.st.st_ino) if isinstance(inode, HostInode) else None


def _memory_file(inode: TmpInode, devices: set[int]) -> Key | None:
    """The file of the private tmpfs in which a memory file lives, once it was mapped."""
    blob = inode.blob
    if blob is None or not blob.number:
        return None
    try:
        stat = os.fstat(blob.backing.read_fd(blob.number))
    except (Errno, OSError):
        return None
    return (stat.st_dev, stat.st_ino) if stat.st_dev in devices else None
