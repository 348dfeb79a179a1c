"""What the runtime hands to the Sentry (OCI runtime-spec config.md), and the start of the kernel.

The descriptors in a BootConfig belong to the Sentry from then on. Nothing here names a host path: files come as
directory descriptors, names as the guest will see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentry.kernel.kernel import Kernel

CONSOLE = -1  # in BootConfig.stdio: this descriptor of the guest is its terminal, BootConfig.console

KINDS = ("proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "mqueue", "cgroup", "bind")


class BootError(Exception):
    """The container cannot start; the text is for the user. `code` as a shell's: 126 or 127, else 1."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class BootMount:
    """One line of config.json's `mounts`, in its order.

    destination  absolute, in the container
    kind         one of KINDS; the tmpfs that OCI asks for at /dev comes as "devtmpfs"
    source_fd    for "bind": O_PATH descriptor of a detached clone of the source (a directory or a file), else -1
    source       what /proc/mounts shows; b"none" leaves it to the file system (never a path of the host)
    flags        MS_* of mount(2) without MS_BIND and MS_REC
    data         the file system's own options, as in mount(8): b"mode=755,size=65536k"
    copy_up      tmpfs starts with what the directory below it holds (podman's tmpcopyup)
    """

    __slots__ = ("destination", "kind", "source_fd", "source", "flags", "data", "copy_up")

    def __init__(
        self,
        destination: bytes,
        kind: str,
        source_fd: int = -1,
        source: bytes = b"none",
        flags: int = 0,
        data: bytes = b"",
        copy_up: bool = False,
    ) -> None:
        self.destination = destination
        self.kind = kind
        self.source_fd = source_fd
        self.source = source
        self.flags = flags
        self.data = data
        self.copy_up = copy_up


class BootDevice:
    """A node of config.json's `linux.devices`; `mode` has the type bits, rdev is (major, minor)."""

    __slots__ = ("path", "mode", "major", "minor", "uid", "gid")

    def __init__(self, path: bytes, mode: int, major: int, minor: int, uid: int, gid: int) -> None:
        self.path = path
        self.mode = mode
        self.major = major
        self.minor = minor
        self.uid = uid
        self.gid = gid


class ProcessConfig:
    """What a process without a parent in the container is to be: pid 1, or that of an `exec`.

    caps          (bounding, effective, inheritable, permitted, ambient) as bit sets
    rlimits       {RLIMIT_* number: (soft, hard)}
    stdio         host descriptors of 0, 1 and 2, each non-blocking where the host let us, or CONSOLE
    preserved     {guest number: host descriptor} beyond these (--preserve-fds)
    console       host terminal kept raw, the Sentry has the line discipline; -1 without a terminal
    """

    def __init__(self) -> None:
        self.args: list[bytes] = []
        self.env: list[bytes] = []
        self.cwd = b"/"
        self.uid = 0
        self.gid = 0
        self.additional_gids: tuple[int, ...] = ()
        self.umask = 0o22
        self.caps: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
        self.rlimits: dict[int, tuple[int, int]] = {}
        self.no_new_privs = False
        self.oom_score_adj = 0
        self.terminal = False
        self.stdio: tuple[int, int, int] = (0, 1, 2)
        self.preserved: dict[int, int] = {}
        self.console = -1

    def descriptors(self) -> list[int]:
        """All that came along."""
        return [fd for fd in (self.console, *self.stdio, *self.preserved.values()) if fd >= 0]


class BootConfig(ProcessConfig):
    """Everything about one container. Paths, arguments and environment are bytes; an absent descriptor is -1.

    id_maps       (uid, gid) maps of (inside, outside, count); empty means identity
    mortal_init   a signal from outside that pid 1 neither handles nor ignores ends it, as it would any other process
    overlay       the root is the lower layer below a memory upper; the host's files are never written
    control_fd    listening AF_UNIX socket for the CLI
    creator_fd    SOCK_SEQPACKET to the `create` process; its end of file before "commit" ends the Sentry
    stub_fd       SOCK_SEQPACKET to the stub (sentry/engine/stub.c has the messages)
    backing_fd    root of a private host tmpfs without a path
    proc_fd       /proc of the Sentry's pid namespace
    loader_fd     the guest's loader (sentry/engine/loader)
    spawner_fd    the spawner (sentry/engine/spawner)
    exit_fd       file in which the wait status is left for the CLI
    log_fd        debug log, strace and profile; -1 for none
    pcap_fd       file for what passes on the interfaces; -1 for none
    """

    def __init__(self, container_id: str) -> None:
        super().__init__()
        self.id = container_id
        self.hostname = b""
        self.domainname = b""
        self.id_maps: tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]] = ((), ())
        self.root_fd = -1
        self.root_readonly = False
        self.overlay = False
        self.mortal_init = False
        self.mounts: list[BootMount] = []
        self.masked_paths: list[bytes] = []
        self.readonly_paths: list[bytes] = []
        self.devices: list[BootDevice] = []
        self.sysctl: dict[bytes, bytes] = {}
        self.cgroup_limits: dict[str, int] = {}
        self.control_fd = -1
        self.creator_fd = -1
        self.stub_fd = -1
        self.backing_fd = -1
        self.proc_fd = -1
        self.loader_fd = -1
        self.spawner_fd = -1
        self.exit_fd = -1
        self.log_fd = -1
        self.pcap_fd = -1
        self.strace = False
        self.profile = False
        self.debug = False
        self.platform = "notify"
        self.network = "sandbox"
        self.oci_seccomp: object = None  # config.json's linux.seccomp when --oci-seccomp asked for it
        # set by boot(): what the runtime calls when the host's terminal changed its size, and at the end
        self.window_changed: Callable[[], None] | None = None
        self.close_console: Callable[[], None] | None = None


def load(platform: str = "notify", seccomp: object = None) -> None:
    """Import all that the Sentry runs, compile its filter and the guests': after pivot_root(2) no file can be read."""
    import os

    from sentry.bundle import Bundle

    bundle = Bundle()
    bundle.use()

    import sentry.setup
    from sentry.platform import host_filter, launch
    from syscalls.table import table

    sentry.setup.load()
    table(os.uname().machine)
    try:
        launch.prepare(platform, seccomp)
    except ModuleNotFoundError as err:
        raise BootError(f"platform {platform} needs the module {err.name}: pip install 'runsc-py[{platform}]'")
    except ValueError as err:
        raise BootError(str(err))
    host_filter.prepare(launch.CACHE, platform)
    bundle.end()


def boot(config: BootConfig) -> Kernel:
    """Build mounts and kernel, launch the guest's first task; it waits in its loader for `release_init`."""
    from sentry.setup import boot

    return boot(config)
