"""Root directory, working directory and umask of a process (chroot(2), chdir(2), umask(2), CLONE_FS in clone(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfs.core.dentry import Path

if TYPE_CHECKING:
    from vfs.core.mount import MountNamespace


class FsContext:
    """Shared by tasks that were cloned with CLONE_FS (`shared`: by another process), copied by fork. `own_mounts` is a
    mount namespace that is not the container's first: those who share one share the other (clone(2), CLONE_NEWNS)."""

    __slots__ = ("cwd", "own_mounts", "root", "umask", "shared")

    def __init__(self, root: Path, cwd: Path, umask: int = 0o022) -> None:
        self.root = root
        self.cwd = cwd
        self.umask = umask
        self.own_mounts: MountNamespace | None = None
        self.shared = False

    def copy(self) -> FsContext:
        new = FsContext(self.root, self.cwd, self.umask)
        new.own_mounts = self.own_mounts
        return new

    def part(self, mounts: MountNamespace) -> FsContext:
        """A copy in a mount namespace that is a copy of `mounts`, its present one; directories are in the new one."""
        space, copies = mounts.copy()
        new = self.copy()
        new.own_mounts = space
        new.root = Path(copies.get(self.root.mount, self.root.mount), self.root.dentry)
        new.cwd = Path(copies.get(self.cwd.mount, self.cwd.mount), self.cwd.dentry)
        return new
