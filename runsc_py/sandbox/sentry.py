"""The Sentry's process (pid_namespaces(7), pivot_root(2)): forked from `create`, it shuts itself in, boots and serves.

Order matters: everything is imported before the host's files go away, and every descriptor that is not in the
BootConfig is closed before the first guest exists.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

from runsc_py.host import cgroups
from runsc_py.host import flags as f
from sentry import boot
from sentry.failure import described

if TYPE_CHECKING:
    from typing import NoReturn

    from runsc_py.host.protocol import Host
    from sentry.boot import BootConfig

NAME = b"runsc-sentry"
RESTRICTED = f.MOUNT_ATTR_NOSUID | f.MOUNT_ATTR_NODEV | f.MOUNT_ATTR_NOEXEC


class Surroundings:
    """What the Sentry enters on its way, given by `create`."""

    def __init__(self, mount_point: str, procs_fds: list[int], netns_fd: int) -> None:
        self.mount_point = mount_point  # any directory of the host; the new root is mounted there for a moment
        self.procs_fds = procs_fds
        self.netns_fd = netns_fd


def run(host: Host, config: BootConfig, around: Surroundings) -> NoReturn:
    """Never returns: the child of `create` ends here."""
    import _socket  # noqa: F401

    from .confine import confine
    from .control import Control, leave_status
    from .links import CreatorLink, StubLink

    creator = CreatorLink(config.creator_fd)
    gc.disable()  # nothing that is made until the guest runs is garbage
    try:
        config.backing_fd, config.proc_fd = enter(host, config, around)
        kernel = boot.boot(config)
        control = Control(kernel, config)
        stub = StubLink(kernel, config.stub_fd, control)
        creator.attach(kernel)
        confine(host, config)
        assert kernel.init is not None
        creator.ready(kernel.init.host_pid)
        status = kernel.run()
        if config.close_console is not None:
            config.close_console()  # what the guest wrote last is not lost
        end_all()
        control.leave_status(status)
        stub.finish(status)
        control.finish(status)
        os._exit(0)
    except BaseException as err:
        text, code = explain(err)
        creator.failed(text, code)
        leave_status(config, signal.SIGKILL, text)
    os._exit(1)


def enter(host: Host, config: BootConfig, around: Surroundings) -> tuple[int, int]:
    """Namespaces, cgroup and an empty root; returns descriptors of the backing tmpfs and of /proc."""
    global _is_first
    _is_first = os.getpid() == 1
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    cgroups.join(around.procs_fds)
    _oom_score(config.oom_score_adj)
    if around.netns_fd >= 0:
        host.setns(around.netns_fd, f.CLONE_NEWNET)
    boot.load(config.platform, config.oci_seccomp)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    host.unshare(f.CLONE_NEWNS | f.CLONE_NEWIPC | f.CLONE_NEWUTS)
    host.mount(b"", b"/", b"", f.MS_REC | f.MS_PRIVATE, b"")
    # not noexec: programs and libraries in the guest's memory file systems are mapped from here
    backing = host.new_mount(b"tmpfs", ((b"mode", b"0700"),), f.MOUNT_ATTR_NOSUID | f.MOUNT_ATTR_NODEV)
    _empty_root(host, os.fsencode(around.mount_point))
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(null, number)
    close_others(host, {*descriptors(config), backing, proc, 0, 1, 2})
    host.prctl(f.PR_SET_NAME, host_address(NAME))
    os.umask(0)
    return backing, proc


def host_address(text: bytes) -> int:
    """The address of a C string for prctl(2)."""
    from sentry.engine._engine import ffi

    _kept.append(ffi.new("char[]", text))
    return int(ffi.cast("uintptr_t", _kept[-1]))


_kept: list[object] = []
_is_first = False  # pid 1 of its namespace


def _empty_root(host: Host, mount_point: bytes) -> None:
    options = ((b"size", b"64k"), (b"nr_inodes", b"8"), (b"mode", b"0555"))
    root = host.new_mount(b"tmpfs", options, RESTRICTED)
    host.move_mount(root, f.AT_FDCWD, mount_point)
    os.fchdir(root)
    os.mkdir("proc", 0o555)
    host.mount(b"proc", b"proc", b"proc", f.MS_NOSUID | f.MS_NODEV | f.MS_NOEXEC, b"")
    host.pivot_root(b".", b".")
    host.umount(b".", f.MNT_DETACH)
    os.chdir("/")
    host.mount_setattr(root, 0, RESTRICTED | f.MOUNT_ATTR_RDONLY, 0, 0)
    os.close(root)


def _oom_score(adjust: int) -> None:
    """Best effort: lowering it takes CAP_SYS_RESOURCE."""
    if adjust:
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(str(adjust))
        except OSError:
            pass


def descriptors(config: BootConfig) -> set[int]:
    """All that the Sentry keeps."""
    named = (config.root_fd, config.console, config.control_fd, config.creator_fd, config.stub_fd, config.loader_fd,
             config.spawner_fd, config.exit_fd, config.log_fd, config.pcap_fd)  # fmt: skip
    mounts = (mount.source_fd for mount in config.mounts)
    return {fd for fd in (*named, *config.stdio, *config.preserved.values(), *mounts) if fd >= 0}


def close_others(host: Host, keep: set[int]) -> None:
    start = 0
    for fd in sorted(keep):
        if fd > start:
            host.close_range(start, fd - 1)
        start = fd + 1
    host.close_range(start, 0xFFFFFFFF)


def end_all() -> None:
    """Kill and reap every guest. The stub learns of the end only after that: who waits for it finds nothing left."""
    if not _is_first:
        return  # only for pid 1 does -1 mean "my namespace"
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def explain(err: BaseException) -> tuple[str, int]:
    """For a message of one line: (text, exit code)."""
    if isinstance(err, boot.BootError):
        return err.text, err.code
    return f"sandbox failed: {described(err)}", 1
