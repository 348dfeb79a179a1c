"""The way from a fork of `create` to the stub (sentry/engine/stub.c): a mount namespace that looks like the container.

What a container engine does to the container from outside goes through this process: `podman cp` writes below its root,
`podman top` reads its /proc, statistics come from its cgroup. It runs no code of the container.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from runsc_py.host import cgroups, trees
from runsc_py.host import flags as f

from .confine import drop_capabilities

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from _socket import socket
    from typing import NoReturn

    from runsc_py.host.protocol import Host
    from runsc_py.oci.mounts import Mount

ENGINE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "sentry", "engine")
SENTRY_FD = 3
PROC_ATTRIBUTES = f.MOUNT_ATTR_NOSUID | f.MOUNT_ATTR_NODEV | f.MOUNT_ATTR_NOEXEC


class StubPlan:
    """What the stub is to look like."""

    def __init__(self, container_id: str, root: str, mount_point: str) -> None:
        self.container_id = container_id
        self.root = root
        self.root_readonly = False
        self.mount_point = mount_point
        self.mounts: list[Mount] = []
        self.procs_fds: list[int] = []
        self.netns_fd = -1
        self.mnt_fd = -1  # mount namespace of a stub that is there already, instead of one to be built
        self.sentry_fd = -1
        self.exec_fd = -1
        self.terminal_fd = -1


def run(host: Host, plan: StubPlan, parent: socket) -> NoReturn:
    """Never returns. `parent` brings the guests' /proc; it sees end of file once the stub runs, or an error."""
    try:
        os.setsid()
        cgroups.join(plan.procs_fds)
        if plan.netns_fd >= 0:
            host.setns(plan.netns_fd, f.CLONE_NEWNET)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if plan.mnt_fd >= 0:
            host.setns(plan.mnt_fd, f.CLONE_NEWNS)
        else:
            _enter_new_root(host, plan, parent)
        stdio = plan.terminal_fd if plan.terminal_fd >= 0 else null
        if plan.terminal_fd >= 0:
            fcntl.ioctl(plan.terminal_fd, termios.TIOCSCTTY, 0)
        drop_capabilities(host, 0)
        host.prctl(f.PR_SET_NO_NEW_PRIVS, 1)
        _arrange(plan, stdio)
        host.execveat(plan.exec_fd, [b"runsc-py-stub", plan.container_id.encode()], [])
    except BaseException as err:
        reason = os.strerror(err.errno) if isinstance(err, OSError) and err.errno else repr(err)
        name = getattr(err, "filename", None)
        try:
            parent.send(f"{os.fsdecode(name)}: {reason}".encode() if name else reason.encode())
        except OSError:
            pass
    os._exit(1)


def _enter_new_root(host: Host, plan: StubPlan, parent: socket) -> None:
    host.unshare(f.CLONE_NEWNS)
    host.mount(b"", b"/", b"", f.MS_REC | f.MS_PRIVATE, b"")
    root = build_root(host, plan)
    proc = _receive(parent)
    _attach(host, root, proc, b"/proc")
    _finish_root(host, plan, root)


def _receive(parent: socket) -> int:
    import _socket

    _, rights, _, _ = parent.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    if not rights:
        os._exit(1)  # `create` gave up
    return int(struct.unpack("i", rights[0][2])[0])


def build_root(host: Host, plan: StubPlan) -> int:
    """The container's tree at the mount point, without its /proc; the descriptor is its root.

    Mounts that live in the Sentry's memory show as empty directories that cannot be written: a copy to one of them must
    fail rather than land in the file system below, where the container does not see it.
    """
    tree = trees.clone(host, os.fsencode(plan.root), True)
    host.move_mount(tree, f.AT_FDCWD, os.fsencode(plan.mount_point))
    in_memory = []
    for mount in plan.mounts:
        destination = os.fsencode(mount.destination)
        if mount.kind == "proc" or destination == b"/":
            continue
        if mount.kind == "bind":
            source = trees.clone(host, os.fsencode(mount.source), mount.recursive, mount.flags)
        else:
            source = host.new_mount(b"tmpfs", ((b"size", b"64k"), (b"mode", b"0755")), PROC_ATTRIBUTES)
            in_memory.append(source)
        if not _attach(host, tree, source, destination):
            os.close(source)
            if source in in_memory:
                in_memory.remove(source)
    for source in in_memory:
        host.mount_setattr(source, 0, f.MOUNT_ATTR_RDONLY, 0, 0)
        os.close(source)
    return tree


def _attach(host: Host, root: int, source: int, destination: bytes) -> bool:
    """False where the tree has no such place and takes none (a read-only root): the Sentry has it in memory then."""
    try:
        trees.make_mount_point(host, root, destination, trees.is_directory(source))
        at = host.openat2(root, destination, os.O_PATH, 0, f.RESOLVE_IN_ROOT | f.RESOLVE_NO_MAGICLINKS)
    except OSError:
        return False
    try:
        host.move_mount(source, at, b"")
    except OSError:
        return False
    finally:
        os.close(at)
    return True


def _finish_root(host: Host, plan: StubPlan, root: int) -> None:
    if plan.root_readonly:
        host.mount_setattr(root, 0, f.MOUNT_ATTR_RDONLY, 0, 0)
    os.fchdir(root)
    host.pivot_root(b".", b".")
    host.umount(b".", f.MNT_DETACH)
    os.chdir("/")


def _arrange(plan: StubPlan, stdio: int) -> None:
    """0, 1, 2 and the Sentry's link at 3; the stub closes the rest itself, once it runs."""
    link = fcntl.fcntl(plan.sentry_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    stdio = fcntl.fcntl(stdio, fcntl.F_DUPFD_CLOEXEC, 10)
    plan.exec_fd = fcntl.fcntl(plan.exec_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    for number in (0, 1, 2):
        os.dup2(stdio, number)
    os.dup2(link, SENTRY_FD)
