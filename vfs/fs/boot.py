"""The mounts that a container starts with (OCI runtime-spec config.md "Mounts", config-linux.md masked paths)."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sentry.abi.const.files import AT_FDCWD, S_IFDIR, S_IFMT, S_IFREG
from sentry.abi.const.mounts import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY
from sentry.abi.errno import EEXIST, EINVAL, ENOENT, Errno
from sentry.creds import ROOT
from vfs.core import setup
from vfs.core.dentry import Path
from vfs.core.mount import Mount, MountNamespace
from vfs.core.names import create_file, make
from vfs.core.walk import walk, walk_parent
from vfs.fs import host_calls, mem_devices
from vfs.fs.backing import MAX_INODES, Backing, Space
from vfs.fs.devtmpfs import DevTmpFs
from vfs.fs.hostfs import HostFs
from vfs.fs.idmap import IdMap
from vfs.fs.overlay import OverlayFs
from vfs.fs.tmpfs import TmpFs, TmpInode

if TYPE_CHECKING:
    from sentry.boot import BootConfig, BootDevice, BootMount
    from sentry.kernel.kernel import Kernel
    from vfs.core.node import FileSystem, Inode

COPY_LIMIT = 100_000  # names that tmpcopyup takes over
# Asked for at import: later the Sentry's own filter refuses sysinfo(2), and sysconf(3) then gives whatever is there.
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
_backings: dict[int, Backing] = {}


def backing_of(kernel: Kernel) -> Backing:
    """The one store of the Sentry's private tmpfs."""
    fd: int = kernel.backing
    if fd not in _backings:
        _backings[fd] = Backing(fd)
    return _backings[fd]


def make_tmpfs(kernel: Kernel, options: bytes) -> TmpFs:
    return tmpfs(backing_of(kernel), options)


def tmpfs(backing: Backing, options: bytes) -> TmpFs:
    """tmpfs(5): size, nr_blocks, nr_inodes, mode, uid, gid."""
    memory = MEMORY
    space = Space(memory // 2, MAX_INODES)
    mode, uid, gid, shown = 0o1777, 0, 0, b""
    for key, value in setup.parse_options(options).items():
        if key == b"size":
            space.max_size = -(-setup.parse_size(value, memory) // 4096) * 4096
            shown += b",size=%dk" % (space.max_size >> 10)
        elif key == b"nr_blocks":
            space.max_size = setup.parse_size(value, memory) * 4096
        elif key == b"nr_inodes":
            space.max_inodes = setup.parse_size(value, memory)
            shown += b",nr_inodes=%d" % space.max_inodes
        elif key == b"mode":
            mode = setup.parse_number(value, 8) & 0o7777
            shown += b",mode=%o" % mode
        elif key == b"uid":
            uid = setup.parse_number(value)
            shown += b",uid=%d" % uid
        elif key == b"gid":
            gid = setup.parse_number(value)
            shown += b",gid=%d" % gid
        elif key not in (b"huge", b"mpol", b"inode32", b"inode64", b"noswap", b"rw", b"ro"):
            raise EINVAL
    return TmpFs(backing, space, mode=mode, uid=uid, gid=gid, shown=shown)


def register() -> None:
    """Enter what this package has: drivers of memory devices, constructors of file systems."""
    mem_devices.register()
    setup.register("tmpfs", make_tmpfs)
    setup.register("ramfs", make_tmpfs)
    setup.register("devtmpfs", lambda kernel, options: DevTmpFs(backing_of(kernel), Space(0, MAX_INODES)))


class Builder:
    """Builds `kernel.mounts` from a BootConfig. Names are walked as the guest's root would: no link leads out."""

    def __init__(self, kernel: Kernel, config: BootConfig) -> None:
        self.kernel = kernel
        self.config = config
        self.uids, self.gids = IdMap(config.id_maps[0]), IdMap(config.id_maps[1])
        self.devices: DevTmpFs | None = None
        fs = self._root()
        root = Mount(fs, fs.root)  # made read-only last: mount points may have to be created
        self.mounts = MountNamespace(root)
        self.top = root.top()
        # What the walk asks of a task: it may do everything, and has no descriptors.
        self.t: Any = SimpleNamespace(
            creds=ROOT,
            fs=SimpleNamespace(root=self.top, cwd=self.top, umask=0),
            kernel=kernel,
        )

    def _root(self) -> FileSystem:
        lower = HostFs(self.config.root_fd, uids=self.uids, gids=self.gids)
        if not self.config.overlay:
            return lower
        return OverlayFs(lower, backing_of(self.kernel), Space(0, MAX_INODES))

    def build(self) -> Path:
        config = self.config
        for mount in config.mounts:
            self._mount(mount)
        for device in config.devices:
            self._device(device)
        for path in config.readonly_paths:
            self._readonly(path)
        for path in config.masked_paths:
            self._mask(path)
        if config.root_readonly:
            self.mounts.root.flags |= MS_RDONLY
        self.kernel.mounts = self.mounts
        return self.top

    def _mount(self, mount: BootMount) -> None:
        fs = self._make(mount)
        if fs is None:
            return
        at = self.place(mount.destination, fs.root.inode.is_dir)
        if mount.copy_up and isinstance(fs, TmpFs):
            _copy_tree(self.t, at, fs)
        source = mount.source if mount.source != b"none" else fs.source
        self.mounts.attach(Mount(fs, fs.root, mount.flags, source), at)

    def _make(self, mount: BootMount) -> FileSystem | None:
        if mount.kind == "bind":
            return HostFs(mount.source_fd, source=mount.source, uids=self.uids, gids=self.gids)
        if mount.kind == "devtmpfs":
            space = Space(0, MAX_INODES)
            self.devices = DevTmpFs(backing_of(self.kernel), space, console=self.config.terminal)
            return self.devices
        if not setup.known(mount.kind):
            self.kernel.log(f"mount {mount.destination!r}: no file system {mount.kind}")
            return None
        return setup.make(self.kernel, mount.kind, mount.data)

    def place(self, path: bytes, directory: bool) -> Path:
        """The mount point, made with everything above it where it is missing."""
        done = b""
        parts = [part for part in path.split(b"/") if part and part != b"."]
        for part in parts[:-1] if not directory else parts:
            done += b"/" + part
            self._ensure(done)
        if not directory:
            try:
                return walk(self.t, AT_FDCWD, path)
            except ENOENT:
                place, name, _ = walk_parent(self.t, AT_FDCWD, path)
                create_file(self.t, place, name, 0o644)
                if isinstance(place.mount.fs, HostFs):
                    place.mount.fs.drop_spare()
        return walk(self.t, AT_FDCWD, path)

    def _ensure(self, path: bytes) -> None:
        try:
            walk(self.t, AT_FDCWD, path)
        except ENOENT:
            place, name, _ = walk_parent(self.t, AT_FDCWD, path)
            try:
                make(self.t, place, name, lambda d: d.mkdir(name, 0o755, ROOT))
            except EEXIST:
                raise ENOENT  # a link that leads to nothing

    def _device(self, device: BootDevice) -> None:
        *parents, name = device.path.removeprefix(b"/dev/").split(b"/")
        if self.devices is None or not device.path.startswith(b"/dev/") or {b"", b".", b".."} & {*parents, name}:
            return  # only /dev holds nodes that can be opened
        at = self.devices.directory(parents)
        if at is None:
            return
        known = at.entries.get(name)
        if known is None:
            rdev = os.makedev(device.major, device.minor)
            at.add(name, self.devices.new_inode(device.mode, device.uid, device.gid, rdev))
        else:
            known.mode, known.uid, known.gid = device.mode, device.uid, device.gid

    def _readonly(self, path: bytes) -> None:
        try:
            at = walk(self.t, AT_FDCWD, path)
            self.mounts.bind(at, at, True, at.mount.flags | MS_RDONLY)
        except Errno:
            return  # as runc: what is not there needs no protection

    def _mask(self, path: bytes) -> None:
        """An empty directory or /dev/null over something of the kernel's that a container must not see."""
        try:
            at = walk(self.t, AT_FDCWD, path)
        except Errno:
            return
        if at.dentry.inode.is_dir:
            fs = tmpfs(backing_of(self.kernel), b"mode=555")
            self.mounts.attach(Mount(fs, fs.root, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC), at)
            return
        dev = DevTmpFs(backing_of(self.kernel))
        null = Path(Mount(dev, dev.root), find_in(dev, b"null"))
        self.mounts.bind(null, at, False)


def find_in(fs: TmpFs, name: bytes) -> Any:
    from vfs.core.dentry import Dentry

    top = fs.root.inode
    assert isinstance(top, TmpInode)
    return Dentry(fs.root, name, top.entries[name])


def _copy_tree(t: Any, source: Path, fs: TmpFs) -> None:
    """tmpcopyup: what the directory below holds, in memory."""
    count = 0
    root = fs.root.inode
    assert isinstance(root, TmpInode)
    root.chmod(source.dentry.inode.mode & 0o7777)
    todo: list[tuple[Inode, TmpInode]] = [(source.dentry.inode, root)]
    while todo:
        old, new = todo.pop()
        for name, _, _ in old.names(t):
            count += 1
            if count > COPY_LIMIT:
                return
            inode = old.lookup(name, t)
            copy = fs.new_inode(inode.mode, inode.uid, inode.gid, inode.rdev)
            new.add(name, copy)
            kind = inode.mode & S_IFMT
            if kind == S_IFDIR:
                todo.append((inode, copy))
            elif kind == S_IFREG:
                _copy_file(inode, copy)
            elif inode.is_link:
                copy.target = inode.readlink(t)
                copy.size = len(copy.target)


def _copy_file(inode: Any, copy: TmpInode) -> None:
    from vfs.fs.hostfs import HostInode

    source = inode if isinstance(inode, HostInode) else inode.lower
    blob = copy.blob
    assert blob is not None
    if source is None:
        blob.pwrite(inode.blob.pread(inode.size, 0), 0)
    else:
        fd = source.open_host(os.O_RDONLY)
        try:
            blob.fill(fd, source.size)
        finally:
            host_calls.close(fd)
    copy.size = blob.size


def build_mounts(kernel: Kernel, config: BootConfig) -> Path:
    """Everything of `config` mounted; `kernel.mounts` is set, the result is the guest's root directory. Constructors of
    proc, sysfs, devpts and cgroup must have been registered (vfs.core.setup)."""
    register()
    if config.proc_fd >= 0:
        host_calls.use_proc(config.proc_fd)
    return Builder(kernel, config).build()
