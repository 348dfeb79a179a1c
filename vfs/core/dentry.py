"""Names in a directory and places in the tree of mounts (path_resolution(7)).

A dentry is one name of one inode. Directories keep the dentries that were looked up in `children`; those tables are a
cache over `Inode.lookup`, bounded here, and may be dropped at any time unless something refers to the dentry.
"""

from __future__ import annotations

from collections import OrderedDict
from sys import getrefcount
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.core.mount import Mount
    from vfs.core.node import Inode

CACHE_LIMIT = 12_000  # dentries kept although nobody uses them; about 2 KiB each with their inodes

_cached: OrderedDict[Dentry, None] = OrderedDict()  # every dentry that stands in its parent's table, oldest first


class Dentry:
    """`mounts` counts the mounts that sit on this dentry, in any namespace; `gone` says that the name was removed."""

    __slots__ = ("parent", "name", "inode", "children", "mounts", "gone", "__weakref__")

    def __init__(self, parent: Dentry | None, name: bytes, inode: Inode) -> None:
        self.parent = parent
        self.name = name
        self.inode = inode
        self.children: dict[bytes, Dentry] = {}
        self.mounts = 0
        self.gone = False

    def cache(self) -> None:
        """Enter into the parent's table."""
        assert self.parent is not None
        self.parent.children[self.name] = self
        _cached[self] = None
        if len(_cached) > CACHE_LIMIT:
            prune(CACHE_LIMIT // 8)

    def drop(self) -> None:
        """Leave the parent's table; whoever holds the dentry keeps a name that is no longer looked up."""
        parent = self.parent
        if parent is not None and parent.children.get(self.name) is self:
            del parent.children[self.name]
        _cached.pop(self, None)

    def remove(self) -> None:
        """The name was unlinked."""
        self.drop()
        self.gone = True

    def move(self, parent: Dentry, name: bytes) -> None:
        """The name was renamed; what stood at the target must have been removed before."""
        known = self.parent is not None and self.parent.children.get(self.name) is self
        self.drop()
        self.parent = parent
        self.name = name
        if known:
            self.cache()


def forget(root: Dentry) -> None:
    """A tree of names is not used any more (unmounted): drop all that is cached below `root`."""
    todo = list(root.children.values())
    root.children.clear()
    while todo:
        dentry = todo.pop()
        _cached.pop(dentry, None)
        todo += dentry.children.values()
        dentry.children.clear()


def _idle_references() -> int:
    """What getrefcount tells in `prune` of an object that only its parent's table refers to."""
    table = {0: object()}
    queue = OrderedDict.fromkeys(table.values())
    thing, _ = queue.popitem(last=False)
    return getrefcount(thing)


_IDLE = _idle_references()


def prune(count: int) -> int:
    """Drop up to `count` of the oldest dentries that only the cache refers to; returns how many went."""
    dropped = 0
    for _ in range(min(len(_cached), count * 4)):
        dentry, _ = _cached.popitem(last=False)
        inode = dentry.inode
        # A watched file or a bound socket is found by this very inode, which hostfs would not make again.
        busy = dentry.children or dentry.mounts or inode.watches is not None or inode.bound is not None
        if busy or getrefcount(dentry) > _IDLE:
            _cached[dentry] = None
            continue
        dentry.drop()
        dropped += 1
        if dropped >= count:
            break
    return dropped


class Path:
    """A place: a dentry as seen through a mount."""

    __slots__ = ("mount", "dentry")

    def __init__(self, mount: Mount, dentry: Dentry) -> None:
        self.mount = mount
        self.dentry = dentry

    def same(self, other: Path) -> bool:
        return self.dentry is other.dentry and self.mount is other.mount

    @property
    def inode(self) -> Inode:
        return self.dentry.inode
