"""A /proc of the guests' pid namespace, as a detached mount (pid_namespaces(7), setns(2), fsopen(2)).

Only a process inside a pid namespace can make its /proc. A grandchild joins, makes the mount, passes its descriptor
back and leaves; it puts the namespace's last pid back, so that the guest's second process is still number 2.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from . import flags as f

if TYPE_CHECKING:
    from _socket import socket

    from .protocol import Host

ATTRIBUTES = f.MOUNT_ATTR_NOSUID | f.MOUNT_ATTR_NODEV | f.MOUNT_ATTR_NOEXEC


def guest_proc(host: Host, init_pidfd: int) -> int:
    """The mount's descriptor. OSError when the guest's first task is gone."""
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        try:
            host.setns(init_pidfd, f.CLONE_NEWPID)
            member = os.fork()  # setns(2) moves children only
            if member == 0:
                _inside(host, theirs)
            os.waitpid(member, 0)
        except OSError as err:
            theirs.send(struct.pack("i", err.errno or 0))
        finally:
            os._exit(0)
    theirs.close()
    try:
        text, rights, _, _ = ours.recvmsg(4, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        ours.close()
        os.waitpid(helper, 0)
    if not rights:
        code = struct.unpack("i", text)[0] if len(text) == 4 else 3
        raise OSError(code, os.strerror(code), "the guests' /proc")
    return int(struct.unpack("i", rights[0][2])[0])


def _inside(host: Host, link: socket) -> None:
    import _socket

    try:
        proc = host.new_mount(b"proc", (), ATTRIBUTES)
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as file:
                file.write("1")
        except OSError:
            pass  # without CONFIG_CHECKPOINT_RESTORE the guest's numbers start one higher
        link.sendmsg([b"ok"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", proc))])
    except OSError as err:
        link.send(struct.pack("i", err.errno or 0))
    finally:
        os._exit(0)
