"""Root directory, working directory and umask of a process (chroot(2), chdir(2), umask(2), CLONE_FS in clone(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfs.core.walk import Path


class FsContext:
    """Shared by tasks that were cloned with CLONE_FS (`shared`: by another process), copied by fork."""

    __slots__ = ("cwd", "root", "umask", "shared")

    def __init__(self, root: Path, cwd: Path, umask: int = 0o022) -> None:
        self.root = root
        self.cwd = cwd
        self.umask = umask
        self.shared = False

    def copy(self) -> FsContext:
        return FsContext(self.root, self.cwd, self.umask)
