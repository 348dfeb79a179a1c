"""Ancillary data of sendmsg(2) and recvmsg(2) (cmsg(3), unix(7): SCM_RIGHTS, SCM_CREDENTIALS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, EPERM, ESRCH, ETOOMANYREFS, Errno
from sentry.abi.flags import (
    AF_UNIX,
    CAP_SETGID,
    CAP_SETUID,
    CAP_SYS_ADMIN,
    CAP_SYS_RESOURCE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_CREDENTIALS,
    SCM_RIGHTS,
    SOL_SOCKET,
)
from sentry.abi.structs import CMSGHDR, UCRED
from sentry.socket.base import NO_CREDS, Incoming, Outgoing, Socket, Ucred
from sentry.socket.rights import in_flight

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File

MAX_CONTROL = 131072  # net.core.optmem_max
MAX_FILES = 253  # SCM_MAX_FD


def parse(t: Task, sock: Socket, control: bytes, message: Outgoing) -> None:
    """Fill `message` from the control buffer of sendmsg(2). Its files are counted: the caller must let them go if the
    message is not sent."""
    at = 0
    while len(control) - at >= CMSGHDR.size:
        size, level, kind = CMSGHDR.unpack_from(control, at)
        if size < CMSGHDR.size or size > len(control) - at:
            raise EINVAL
        body = control[at + CMSGHDR.size : at + size]
        if sock.domain != AF_UNIX:
            sock.take_control(t, level, kind, body, message)
        elif level == SOL_SOCKET:
            if kind not in (SCM_RIGHTS, SCM_CREDENTIALS):
                raise EINVAL
            if kind == SCM_RIGHTS:
                _rights(t, body, message)
            else:
                message.creds = _credentials(t, body)
        at += (size + 7) & ~7


def _rights(t: Task, body: bytes, message: Outgoing) -> None:
    numbers = [int.from_bytes(body[i : i + 4], "little") for i in range(0, len(body) // 4 * 4, 4)]
    if len(numbers) + len(message.files) > MAX_FILES:
        raise EINVAL
    files = [t.fds.any(fd) for fd in numbers]
    creds = t.creds
    if (
        in_flight.get(creds.ruid, 0) + len(files) > t.fds.limit
        and not creds.has(CAP_SYS_RESOURCE)
        and not creds.has(CAP_SYS_ADMIN)
    ):
        raise ETOOMANYREFS
    for file in files:
        file.refs += 1
    message.files += files


def _credentials(t: Task, body: bytes) -> Ucred:
    """A process may name itself and the ids that it has; more takes a capability."""
    if len(body) != UCRED.size:
        raise EINVAL
    pid, uid, gid = UCRED.unpack(body)
    creds = t.creds
    if pid != t.group.pid and not creds.has(CAP_SYS_ADMIN):
        raise EPERM
    if uid not in (creds.ruid, creds.euid, creds.suid) and not creds.has(CAP_SETUID):
        raise EPERM
    if gid not in (creds.rgid, creds.egid, creds.sgid) and not creds.has(CAP_SETGID):
        raise EPERM
    if pid != t.group.pid and t.kernel.find_group(pid) is None:
        raise ESRCH
    return Ucred(pid, uid, gid)


class ControlBuffer:
    """The control buffer of recvmsg(2): `used` bytes of it are written, what does not fit sets MSG_CTRUNC."""

    __slots__ = ("addr", "flags", "size", "t", "used")

    def __init__(self, t: Task, addr: int, size: int) -> None:
        self.t = t
        self.addr = addr
        self.size = size if addr else 0
        self.used = 0
        self.flags = 0

    def fill(self, sock: Socket, incoming: Incoming, files: list[File], flags: int) -> None:
        """What the family adds, credentials if asked for, then `files`, whose references stay the caller's."""
        for level, kind, body in incoming.control:
            self.put(level, kind, body)
        if sock.options.pass_creds:
            creds = incoming.creds or NO_CREDS
            self.put(SOL_SOCKET, SCM_CREDENTIALS, UCRED.pack(creds.pid, creds.uid, creds.gid))
        if files:
            self._install(files, bool(flags & MSG_CMSG_CLOEXEC))

    def put(self, level: int, kind: int, body: bytes) -> None:
        room = self.size - self.used
        if room < CMSGHDR.size:
            self.flags |= MSG_CTRUNC
            return
        size = CMSGHDR.size + len(body)
        if size > room:
            self.flags |= MSG_CTRUNC
            size = room
        self.t.mem.write(self.addr + self.used, (CMSGHDR.pack(size, level, kind) + body)[:size])
        self.used += min((size + 7) & ~7, room)

    def _install(self, files: list[File], cloexec: bool) -> None:
        """Give the receiver numbers for as many files as the buffer and its table take."""
        t = self.t
        room = max(0, (self.size - self.used - CMSGHDR.size) // 4)
        numbers: list[int] = []
        try:
            for file in files[:room]:
                numbers.append(t.fds.install(file, cloexec))
        except Errno:
            pass
        if len(numbers) < len(files):
            self.flags |= MSG_CTRUNC
        if not numbers:
            return
        body = b"".join(fd.to_bytes(4, "little") for fd in numbers)
        size = CMSGHDR.size + len(body)
        try:
            t.mem.write(self.addr + self.used, CMSGHDR.pack(size, SOL_SOCKET, SCM_RIGHTS) + body)
        except Errno:
            for fd in numbers:
                t.fds.close(fd)
            raise
        self.used += min((size + 7) & ~7, self.size - self.used)
