"""What all sockets have in common (socket(7), socket(2), send(2), recv(2)): a family fills in the transport.

Like every file a socket never waits: it raises WouldBlock and notifies its queue. Receiving is in two steps, `receive`
and `commit`, so that an EFAULT loses nothing. Addresses are the bytes of a struct sockaddr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentry.abi.errno import BY_CODE, EAGAIN, EINVAL, ENOPROTOOPT, EOPNOTSUPP, Errno
from sentry.abi.flags import O_NONBLOCK, O_RDWR, S_IFSOCK, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET
from sentry.socket.options import SocketOptions
from sentry.socket.rights import drop
from vfs.anon.inode import DEV_SOCKFS, AnonInode
from vfs.core.file import File, Stat

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

SHUT_READ, SHUT_WRITE, SHUT_BOTH = 1, 2, 3  # bits of `shut`, sides that are shut down


class QuietPipeError(Errno):
    """EPIPE from a transport whose writers get no SIGPIPE (datagrams, sequenced packets)."""

    code = 32


class Ucred:
    """struct ucred: who sent a message, who is at the other end."""

    __slots__ = ("gid", "groups", "pid", "uid")

    def __init__(self, pid: int, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups

    def same(self, other: Ucred | None) -> bool:
        return other is not None and (self.pid, self.uid, self.gid) == (other.pid, other.uid, other.gid)

    @classmethod
    def of(cls, t: Task) -> Ucred:
        """The effective ids of the caller (SO_PEERCRED)."""
        return cls(t.group.pid, t.creds.euid, t.creds.egid, t.creds.groups)

    @classmethod
    def sender(cls, t: Task) -> Ucred:
        """The real ids of the caller, as a message carries them that names no others."""
        return cls(t.group.pid, t.creds.ruid, t.creds.rgid)


NO_CREDS = Ucred(0, 65534, 65534)  # a message that was sent when nobody wanted credentials


class Outgoing:
    """One message of send(2): data, destination, and what rides along. `control` is what a family makes of further
    control messages (`take_control`)."""

    __slots__ = ("address", "control", "creds", "data", "files", "flags")

    def __init__(self, data: bytes, address: bytes | None = None, flags: int = 0) -> None:
        self.data = data
        self.address = address
        self.flags = flags
        self.files: list[File] = []  # each counted in `refs` by whoever owns the message
        self.creds: Ucred | None = None
        self.control: Any = None


class Incoming:
    """What one receive(2) found; nothing is gone before `commit`.

    `full_size` is the real length of a truncated message, `files` are not yet counted for the receiver; `control` are
    further control messages: level, type and contents (cmsg(3)).
    """

    __slots__ = ("address", "control", "creds", "data", "files", "flags", "full_size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.full_size = len(data)
        self.address: bytes | None = None
        self.files: list[File] = []
        self.creds: Ucred | None = None
        self.control: list[tuple[int, int, bytes]] = []
        self.flags = 0


class Socket(File):
    """A socket of some family; `error` is the pending SO_ERROR (an errno number), `shut` the sides shut down, `maker`
    who called socket(2)."""

    __slots__ = ("domain", "error", "inode", "kernel", "kind", "maker", "options", "protocol", "shut")

    is_stream = True  # no message borders: a short send goes on, MSG_WAITALL means something
    discards = False  # MSG_TRUNC throws the data away (tcp(7))
    has_urgent = False  # MSG_OOB is `receive`'s matter
    has_errors = False  # MSG_ERRQUEUE too

    def __init__(self, t: Task, domain: int, kind: int, protocol: int, flags: int) -> None:
        super().__init__(O_RDWR | flags & O_NONBLOCK)
        self.kernel: Kernel = t.kernel
        self.domain = domain
        self.kind = kind
        self.protocol: int = protocol
        self.error = 0
        self.shut = 0
        self.options = SocketOptions()
        self.maker = Ucred.sender(t)
        mode, creds = S_IFSOCK | 0o777, t.creds
        self.inode: AnonInode = AnonInode(DEV_SOCKFS, mode, creds.fsuid, creds.fsgid, t.kernel.realtime_ns())

    def take_error(self) -> int:
        error, self.error = self.error, 0
        return error

    def raise_error(self) -> None:
        """Report a pending error once."""
        if self.error:
            raise BY_CODE[self.take_error()]

    # the calls of a family; `t` is the caller ---------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        raise EOPNOTSUPP

    def listen(self, t: Task, backlog: int) -> None:
        raise EOPNOTSUPP

    def connect(self, t: Task, address: bytes) -> None:
        """WouldBlock while it is under way: the socket's own queue tells when to ask again."""
        raise EOPNOTSUPP

    def connect_expired(self) -> int:
        """SO_SNDTIMEO has ended the wait of `connect`."""
        raise EAGAIN

    def accept(self, t: Task, flags: int) -> Socket:
        raise EOPNOTSUPP

    def local_address(self) -> bytes:
        raise EOPNOTSUPP

    def peer_address(self) -> bytes:
        raise EOPNOTSUPP

    def shutdown(self, sides: int) -> None:
        raise EOPNOTSUPP

    def send(self, message: Outgoing, t: Task | None) -> int:
        """How many bytes were taken; WouldBlock if none. Files of a message that was taken in part or whole are its own
        from then on."""
        raise EOPNOTSUPP

    def receive(self, size: int, flags: int) -> Incoming:
        """Up to `size` bytes or one message, left in the queue. WouldBlock if there is none."""
        raise EOPNOTSUPP

    def commit(self, count: int) -> list[File]:
        """`count` bytes, or a message of which that many were wanted, leave the queue; the references of the files that
        came with them are the caller's from then on."""
        raise EOPNOTSUPP

    def take_control(self, t: Task, level: int, kind: int, body: bytes, message: Outgoing) -> None:
        """A control message of sendmsg(2), of a socket that is none of AF_UNIX: what a family does not know it passes
        over, but at SOL_SOCKET (cmsg(3))."""
        if level == SOL_SOCKET and kind not in (SCM_RIGHTS, SCM_CREDENTIALS):
            raise EINVAL

    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        raise ENOPROTOOPT

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        """The whole value, which the caller cuts."""
        raise ENOPROTOOPT

    # read(2) and write(2) -----------------------------------------------------------------------------------------
    def peek(self, size: int) -> bytes:
        data = self.receive(size, 0).data
        if not data and not self.is_stream:
            self.consume(0)  # an empty message is read by a read of nothing
        return data

    def consume(self, count: int) -> None:
        files = self.commit(count)
        if files:
            drop(files)

    def write(self, data: bytes) -> int:
        return self.send(Outgoing(data), getattr(self.kernel, "current", None))

    # the object behind --------------------------------------------------------------------------------------------
    def stat(self) -> Stat:
        return self.inode.stat()

    def name(self) -> bytes:
        return b"socket:[%d]" % self.inode.ino
