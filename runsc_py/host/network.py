"""The container's network namespace (network_namespaces(7), setns(2), netdevice(7))."""

from __future__ import annotations

import fcntl
import os
import struct

from .flags import CLONE_NEWNET

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from .protocol import Host

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
IFREQ = struct.Struct("16sH22x")


def open_namespace(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def new_namespace(host: Host) -> int:
    """A descriptor of a new namespace with its loopback up; the caller's own stays as it was."""
    own = open_namespace("/proc/self/ns/net")
    try:
        host.unshare(CLONE_NEWNET)
        try:
            loopback_up()
            return open_namespace("/proc/self/ns/net")
        finally:
            host.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def loopback_up() -> None:
    import _socket  # `socket` itself costs 5 ms of imports

    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(control.fileno(), SIOCGIFFLAGS, IFREQ.pack(b"lo", 0))
        flags = IFREQ.unpack(answer)[1]
        fcntl.ioctl(control.fileno(), SIOCSIFFLAGS, IFREQ.pack(b"lo", flags | IFF_UP))
    finally:
        control.close()
