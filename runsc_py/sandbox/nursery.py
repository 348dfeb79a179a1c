"""The Sentry before it knows its container: forked first, it imports the kernel while `create` still reads config.json.

What it is to be comes over the link on which it later reports: plain data (marshal, from ourselves to ourselves) and
descriptors (SCM_RIGHTS, unix(7)). End of file before that is its end.
"""

from __future__ import annotations

import marshal
import os
import signal
import struct
from typing import TYPE_CHECKING, Any

from runsc_py.host.flags import CLONE_NEWPID
from runsc_py.host.network import open_namespace

if TYPE_CHECKING:
    from _socket import socket

    from runsc_py.host.protocol import Host
    from sentry.boot import BootConfig

HEADER = struct.Struct("=II")  # length of the data, number of descriptors
PIECE = 32768
FDS_PER_PIECE = 64
FD_FIELDS = ("root_fd", "console", "control_fd", "stub_fd", "loader_fd", "exit_fd", "log_fd")


class Surroundings:
    """What the Sentry enters on its way."""

    def __init__(self, mount_point: str, procs_fds: list[int], netns_fd: int) -> None:
        self.mount_point = mount_point  # any directory of the host; the new root is mounted there for a moment
        self.procs_fds = procs_fds
        self.netns_fd = netns_fd


class Nursery:
    """Our end of the link, and the Sentry's process number."""

    def __init__(self, host: Host) -> None:
        import _socket

        self.link, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        own = open_namespace("/proc/self/ns/pid")
        host.unshare(CLONE_NEWPID)  # the child is pid 1 there: its death, whatever the cause, takes every guest with it
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self.link.close()
                from . import sentry

                sentry.run(host, theirs)
        finally:
            host.setns(own, CLONE_NEWPID)
            os.close(own)
        theirs.close()

    def hand_over(self, config: BootConfig, around: Surroundings) -> None:
        """The descriptors stay open here, too. A child that is gone says why in its report."""
        data, fds = pack(config, around)
        try:
            send(self.link, data, fds)
        except BrokenPipeError:
            pass

    def abandon(self) -> None:
        """Not needed after all, or not wanted any more."""
        self.link.close()
        if self.pid > 0:
            try:
                os.kill(self.pid, signal.SIGKILL)  # our child, not yet waited for: the number is still its
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self.pid = 0


def pack(config: BootConfig, around: Surroundings) -> tuple[bytes, list[int]]:
    """Plain data in which every descriptor is an index into the list; -1 stays -1."""
    fds: list[int] = []

    def put(fd: int) -> int:
        if fd < 0:
            return fd
        fds.append(fd)
        return len(fds) - 1

    plain: dict[str, Any] = dict(vars(config))
    for name in FD_FIELDS:
        plain[name] = put(plain[name])
    plain["stdio"] = tuple(put(fd) for fd in config.stdio)
    plain["preserved"] = {number: put(fd) for number, fd in config.preserved.items()}
    plain["mounts"] = [
        (m.destination, m.kind, put(m.source_fd), m.source, m.flags, m.data, m.copy_up) for m in config.mounts
    ]
    plain["devices"] = [(d.path, d.mode, d.major, d.minor, d.uid, d.gid) for d in config.devices]
    place = around.mount_point, [put(fd) for fd in around.procs_fds], put(around.netns_fd)
    return marshal.dumps((plain, place)), fds


def unpack(data: bytes, fds: list[int]) -> tuple[BootConfig, Surroundings]:
    from sentry.boot import BootConfig, BootDevice, BootMount

    plain, (mount_point, procs, netns) = marshal.loads(data)

    def take(index: int) -> int:
        return index if index < 0 else fds[index]

    config = BootConfig(plain["id"])
    vars(config).update(plain)
    for name in FD_FIELDS:
        setattr(config, name, take(plain[name]))
    first, second, third = plain["stdio"]
    config.stdio = take(first), take(second), take(third)
    config.preserved = {number: take(index) for number, index in plain["preserved"].items()}
    config.mounts = [BootMount(where, kind, take(index), *rest) for where, kind, index, *rest in plain["mounts"]]
    config.devices = [BootDevice(*fields) for fields in plain["devices"]]
    return config, Surroundings(mount_point, [take(index) for index in procs], take(netns))


def send(link: socket, data: bytes, fds: list[int]) -> None:
    import _socket

    link.send(HEADER.pack(len(data), len(fds)))
    while data or fds:
        rights = fds[:FDS_PER_PIECE]
        piece = data[:PIECE] or b"\0"
        ancillary = (
            [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(rights)}i", *rights))] if rights else []
        )
        link.sendmsg([piece], ancillary)
        data, fds = data[PIECE:], fds[FDS_PER_PIECE:]


def receive(link: socket) -> tuple[bytes, list[int]]:
    """Raises EOFError when `create` is gone."""
    import _socket

    head = link.recv(HEADER.size)
    if len(head) != HEADER.size:
        raise EOFError
    length, count = HEADER.unpack(head)
    data = b""
    fds: list[int] = []
    while len(data) < length or len(fds) < count:
        piece, rights, _, _ = link.recvmsg(PIECE, _socket.CMSG_SPACE(4 * FDS_PER_PIECE), _socket.MSG_CMSG_CLOEXEC)
        if not piece:
            raise EOFError
        if len(data) < length:
            data += piece
        for _, _, packed in rights:
            fds += struct.unpack(f"{len(packed) // 4}i", packed)
    return data, fds
