"""`mounts` of config.json: options in the words of mount(8) become flags of mount(2), data and propagation."""

from __future__ import annotations

import posixpath

from runsc_py.host import flags as f

from .reader import BadConfig, Reader

# name: (flag, set or clear)
FLAGS: dict[str, tuple[int, bool]] = {
    "ro": (f.MS_RDONLY, True),
    "rw": (f.MS_RDONLY, False),
    "nosuid": (f.MS_NOSUID, True),
    "suid": (f.MS_NOSUID, False),
    "nodev": (f.MS_NODEV, True),
    "dev": (f.MS_NODEV, False),
    "noexec": (f.MS_NOEXEC, True),
    "exec": (f.MS_NOEXEC, False),
    "sync": (f.MS_SYNCHRONOUS, True),
    "async": (f.MS_SYNCHRONOUS, False),
    "dirsync": (f.MS_DIRSYNC, True),
    "mand": (f.MS_MANDLOCK, True),
    "nomand": (f.MS_MANDLOCK, False),
    "noatime": (f.MS_NOATIME, True),
    "atime": (f.MS_NOATIME, False),
    "nodiratime": (f.MS_NODIRATIME, True),
    "diratime": (f.MS_NODIRATIME, False),
    "relatime": (f.MS_RELATIME, True),
    "norelatime": (f.MS_RELATIME, False),
    "strictatime": (f.MS_STRICTATIME, True),
    "nostrictatime": (f.MS_STRICTATIME, False),
    "nosymfollow": (f.MS_NOSYMFOLLOW, True),
    "symfollow": (f.MS_NOSYMFOLLOW, False),
}
PROPAGATION = frozenset(("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"))
NO_MEANING = frozenset("defaults remount norecovery loud silent iversion noiversion lazytime nolazytime".split())
RECURSIVE = {"rro": "ro", "rrw": "rw", "rnosuid": "nosuid", "rnodev": "nodev", "rnoexec": "noexec"}
KINDS = {"proc": "proc", "sysfs": "sysfs", "tmpfs": "tmpfs", "devpts": "devpts", "mqueue": "mqueue", "cgroup": "cgroup",
         "cgroup2": "cgroup", "devtmpfs": "devtmpfs"}  # fmt: skip


class Mount:
    """One entry, decoded. `kind` is one of sentry.boot.KINDS."""

    def __init__(self, destination: str, kind: str, source: str = "none") -> None:
        self.destination = destination
        self.kind = kind
        self.source = source
        self.flags = 0
        self.data: list[str] = []
        self.recursive = False
        self.copy_up = False
        self.propagation = ""

    def take_options(self, options: list[str]) -> None:
        for option in options:
            option = RECURSIVE.get(option, option)
            if option in FLAGS:
                bit, on = FLAGS[option]
                self.flags = self.flags | bit if on else self.flags & ~bit
            elif option in ("bind", "rbind"):
                self.recursive |= option == "rbind"
            elif option in PROPAGATION:
                self.propagation = option
            elif option == "tmpcopyup":
                self.copy_up = True
            elif option not in NO_MEANING:
                self.data.append(option)

    @classmethod
    def read(cls, node: Reader, bundle: str) -> Mount:
        destination = node.text("destination")
        if not destination.startswith("/"):
            destination = "/" + destination  # runc and crun accept a relative one
        destination = posixpath.normpath(destination).replace("//", "/")
        options = node.texts("options")
        fstype = node.text("type", "none")
        bind = fstype in ("bind", "rbind") or "bind" in options or "rbind" in options
        if bind:
            source = posixpath.join(bundle, node.text("source"))
            mount = cls(destination, "bind", source)
            mount.recursive = fstype == "rbind"
        elif fstype in KINDS:
            kind = "devtmpfs" if destination == "/dev" and fstype == "tmpfs" else KINDS[fstype]
            mount = cls(destination, kind, node.text("source", fstype))
        else:
            raise BadConfig(f"{node.path}.type: file system {fstype!r} is not supported")
        mount.take_options(options)
        return mount


def defaults() -> list[Mount]:
    """What `do` mounts over the root: none of the host's proc, sys and dev is seen."""
    mounts = []
    for destination, kind, options in (
        ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
        ("/dev", "devtmpfs", ["nosuid", "noexec", "strictatime", "mode=755"]),
        ("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777"]),
        ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ):
        mount = Mount(destination, kind, kind)
        mount.take_options(options)
        mounts.append(mount)
    return mounts
