"""The file of fsopen(2) and fspick(2): a file system that is being configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import ENODATA, ENOSPC
from vfs.anon.inode import SHARED
from vfs.core.file import O_PATH, O_RDWR, File, Stat
from vfs.core.mount import MOUNT_LIMIT, dissolve
from vfs.core.open_dir import PathFile

if TYPE_CHECKING:
    from vfs.core.mount import Mount, MountNamespace
    from vfs.core.node import FileSystem

OPTIONS_LIMIT = 4096  # bytes of all options

# What happens to it, in this order; one from fspick(2) is never made or mounted.
CONFIGURED, MADE, MOUNTED, PICKED, FAILED = range(5)


class FsConfig(File):
    """`fs` is there once it is made, or picked."""

    __slots__ = ("fs", "kind", "options", "phase", "readonly", "source")

    def __init__(self, kind: str, fs: FileSystem | None = None) -> None:
        super().__init__(O_RDWR)
        self.kind = kind
        self.fs = fs
        self.phase = CONFIGURED if fs is None else PICKED
        self.options: list[bytes] = []
        self.source: bytes | None = None
        self.readonly: bool | None = None

    def peek(self, size: int) -> bytes:
        raise ENODATA  # no message waits

    def stat(self) -> Stat:
        return SHARED.stat()

    def name(self) -> bytes:
        return b"anon_inode:[fscontext]"


class TreeFile(PathFile):
    """A tree of mounts that hangs nowhere as long as nobody moves it; it goes with the last descriptor."""

    __slots__ = ("_charged", "_namespace")

    def __init__(self, mount: Mount, namespace: MountNamespace) -> None:
        super().__init__(mount.top(), O_PATH)
        self._charged = mount.size()
        self._namespace = namespace
        if namespace.loose + self._charged > MOUNT_LIMIT:
            dissolve(mount)
            raise ENOSPC
        namespace.loose += self._charged

    def release(self) -> None:
        self._namespace.loose -= self._charged
        mount = self.path.mount
        if mount.parent is None and mount is not self._namespace.root:
            dissolve(mount)
