"""Inodes without a name, as pipefs, sockfs and anon_inodefs have them (stat(2), st_mode)."""

from __future__ import annotations

from itertools import count
from typing import Protocol

from vfs.core.file import Stat

# Device numbers of the kernel's internal mounts; minors only, as the host shows them for file systems without a device.
DEV_SOCKFS, DEV_PIPEFS, DEV_ANON, DEV_SHM = 0x8, 0xE, 0xF, 0x1

_numbers = count(1)


class HasStat(Protocol):
    """An inode of any file system, as far as an open file asks it."""

    def stat(self) -> Stat: ...


class AnonInode:
    """Identity, owner and times of an object that lives only through its open files."""

    __slots__ = ("dev", "gid", "ino", "mode", "time_ns", "uid")

    def __init__(self, dev: int, mode: int, uid: int = 0, gid: int = 0, time_ns: int = 0) -> None:
        self.dev = dev
        self.ino = next(_numbers)
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.time_ns = time_ns

    def stat(self, size: int = 0) -> Stat:
        at = self.time_ns
        return Stat(self.dev, self.ino, self.mode, 1, self.uid, self.gid, 0, size, 4096, 0, at, at, at)


# eventfd, timerfd, epoll and their like share one inode without a type (anon_inode_getfile in Linux shows mode 0600).
SHARED = AnonInode(DEV_ANON, 0o600)
