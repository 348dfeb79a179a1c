"""Unix sockets: what the three kinds share (unix(7)): names, options, the queue of messages, the end of a socket."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakSet

from sentry.abi.errno import EADDRINUSE, ECONNRESET, EINVAL, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP
from sentry.abi.flags import (
    AF_UNIX,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SO_ACCEPTCONN,
    SO_DOMAIN,
    SO_ERROR,
    SO_PEERCRED,
    SO_PEERGROUPS,
    SO_PROTOCOL,
    SO_TYPE,
    SOL_SOCKET,
)
from sentry.abi.structs import UCRED
from sentry.socket import rights
from sentry.socket.base import SHUT_BOTH, SHUT_READ, SHUT_WRITE, Socket, Ucred
from sentry.socket.inet.ifioctl import device_ioctl
from sentry.socket.names import UNNAMED, bind_path, name_of, table_of
from sentry.socket.options import INT
from sentry.wait import ERR, HUP, IN, OUT, RDHUP, RDNORM, WRBAND, WRNORM

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.fd_table import FdTable
    from vfs.core.file import File
    from vfs.core.node import Inode

CLOSED, LISTENING, CONNECTED = 0, 1, 2
OVERHEAD = 768  # what Linux charges for the frame of a small message beside its bytes
READABLE, WRITABLE = IN | RDNORM, OUT | WRNORM | WRBAND
EVERYTHING = 0xFFFF


class Message:
    """Some bytes in a receiver's queue, charged to their sender; `at` of them have been read from a stream."""

    __slots__ = ("at", "cost", "creds", "data", "files", "sender", "uid")

    def __init__(self, data: bytes, sender: UnixSocket, creds: Ucred | None, files: list[File], uid: int) -> None:
        self.data = data
        self.at = 0
        self.sender = sender
        self.creds = creds
        self.files = files
        self.uid = uid  # whose limit of files in flight they count against
        self.cost = len(data) + OVERHEAD


class UnixSocket(Socket):
    """`peer` is the other end, or where datagrams go; `used` is the cost of what was sent and not yet read;
    `blocked` are sockets that wait for room in this one's queue."""

    __slots__ = (
        "accepted", "address", "blocked", "bound_inode", "dead", "inbox", "net", "peer", "peer_creds", "state", "used",
    )  # fmt: skip

    connected_kind = False  # streams and sequenced packets

    def __init__(self, t: Task, kind: int, flags: int) -> None:
        super().__init__(t, AF_UNIX, kind, 0, flags)
        self.state = CLOSED
        self.address = UNNAMED
        self.bound_inode: Inode | None = None
        self.peer: UnixSocket | None = None
        self.peer_creds: Ucred | None = None
        self.inbox: deque[Message] = deque()
        self.used = 0
        self.blocked: WeakSet[UnixSocket] | None = None
        self.dead = False
        self.accepted = True  # false between connect(2) and accept(2)
        self.net = t.net
        table_of(t.net).sockets.add(self)

    # names ------------------------------------------------------------------------------------------------------------
    def bind(self, t: Task, address: bytes) -> None:
        name = name_of(address)
        if self.address != UNNAMED:
            if not name:
                return  # autobind of a bound socket
            raise EINVAL
        table = table_of(self.net)
        if not name:
            name = table.free_name(self.kind)
        if name[:1] == b"\0":
            known = table.abstract.get((self.kind, name))
            if known is not None and not known.dead:
                raise EADDRINUSE
            table.abstract[self.kind, name] = self
            self.address = UNNAMED + name
        else:
            self.bound_inode = bind_path(t, name, self)
            self.address = UNNAMED + name + b"\0"

    def autobind(self, t: Task) -> None:
        """A socket that will pass credentials gets a name, so that it can be answered."""
        if self.options.pass_creds and self.address == UNNAMED:
            self.bind(t, UNNAMED)

    def local_address(self) -> bytes:
        return self.address

    def peer_address(self) -> bytes:
        if self.peer is None:
            raise ENOTCONN
        return self.peer.address

    # messages ---------------------------------------------------------------------------------------------------------
    def deliver(self, message: Message) -> None:
        """Put `message` into this socket's queue."""
        message.sender.used += message.cost
        if message.files:
            rights.sent(message.files, message.uid)
        self.inbox.append(message)
        self.queue.notify(READABLE)

    def take_files(self, message: Message) -> list[File]:
        """The files of a message go to the reader, with their references."""
        files, message.files = message.files, []
        rights.taken(files, message.uid)
        return files

    def free(self, message: Message) -> None:
        """A message was read to its end: its sender gets the room back."""
        sender = message.sender
        sender.used -= message.cost
        if sender.used * 4 <= sender.options.send_buffer:
            sender.queue.notify(WRITABLE)
        if self.blocked:
            self.unblock()

    def block(self, sender: UnixSocket) -> None:
        """`sender` waits for room in this queue."""
        if self.blocked is None:
            self.blocked = WeakSet()
        self.blocked.add(sender)

    def unblock(self) -> None:
        blocked, self.blocked = self.blocked, None
        for sender in blocked or ():
            sender.queue.notify(WRITABLE)

    def creds_for(self, to: UnixSocket, t: Task | None) -> Ucred | None:
        """Credentials ride along when somebody may ask for them."""
        if self.options.pass_creds or to.options.pass_creds or not to.accepted:
            return Ucred.sender(t) if t is not None else self.maker
        return None

    def queued_files(self) -> Iterator[File]:
        """Files in this socket's queue, for `rights.collect`."""
        for message in self.inbox:
            yield from message.files

    def purge(self) -> None:
        """Throw the queue away."""
        dropped: list[File] = []
        while self.inbox:
            message = self.inbox.popleft()
            dropped += self.take_files(message)
            self.free(message)
        if dropped:
            rights.drop(dropped)

    # readiness, options -----------------------------------------------------------------------------------------------
    def poll(self) -> int:
        events = 0
        if self.error:
            events |= ERR
        if self.shut & SHUT_READ:
            events |= RDHUP | READABLE
            if self.shut == SHUT_BOTH:
                events |= HUP
        if self.inbox:
            events |= READABLE
        if self.connected_kind and self.state == CLOSED:
            events |= HUP
        if self.state != LISTENING and self.used * 4 <= self.options.send_buffer:
            events |= WRITABLE
        return events

    def set_option(self, t: Task, level: int, name: int, value: bytes) -> None:
        if level != SOL_SOCKET:
            raise EOPNOTSUPP
        self.options.set(t, name, value)

    def get_option(self, t: Task, level: int, name: int) -> bytes:
        if level != SOL_SOCKET:
            raise EOPNOTSUPP
        if name == SO_PEERCRED:
            creds = self.peer_creds
            return UCRED.pack(creds.pid, creds.uid, creds.gid) if creds else UCRED.pack(0, 0xFFFFFFFF, 0xFFFFFFFF)
        if name == SO_PEERGROUPS:
            if self.peer_creds is None:
                raise ENOPROTOOPT
            return b"".join(gid.to_bytes(4, "little") for gid in self.peer_creds.groups)
        plain = {
            SO_TYPE: self.kind, SO_DOMAIN: AF_UNIX, SO_PROTOCOL: 0, SO_ACCEPTCONN: int(self.state == LISTENING),
        }  # fmt: skip
        if name in plain:
            return INT.pack(plain[name])
        if name == SO_ERROR:
            return INT.pack(self.take_error())
        return self.options.get(name)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        if request == SIOCINQ:
            if self.state == LISTENING:
                raise EINVAL
            messages = list(self.inbox) if self.connected_kind else list(self.inbox)[:1]
            t.mem.put_i32(arg, sum(len(message.data) - message.at for message in messages))
        elif request == SIOCOUTQ:
            t.mem.put_i32(arg, self.used)
        elif request == SIOCATMARK and self.is_stream:
            t.mem.put_i32(arg, 0)
        else:
            return device_ioctl(t, self.net, request, arg)
        return 0

    # the end ----------------------------------------------------------------------------------------------------------
    def shutdown(self, sides: int) -> None:
        self.shut |= sides
        peer = self.peer
        if peer is not None and self.connected_kind:
            peer.shut |= (SHUT_READ if sides & SHUT_WRITE else 0) | (SHUT_WRITE if sides & SHUT_READ else 0)
            peer.queue.notify(EVERYTHING)
        self.queue.notify(EVERYTHING)
        self.unblock()

    def close(self, reset: bool = False) -> None:
        """The socket is no more; `reset`: it was never accepted, or holds what its peer has sent in vain."""
        if self.dead:
            return
        self.dead = True
        inode, self.bound_inode = self.bound_inode, None
        if inode is not None and inode.bound is self:
            inode.bound = None
        if self.address[2:3] == b"\0":
            names = table_of(self.net).abstract
            key = (self.kind, self.address[2:])
            if names.get(key) is self:  # an accepted socket has its listener's name, but does not hold it
                del names[key]
        peer, self.peer = self.peer, None
        self.shut = SHUT_BOTH
        self.state = CLOSED
        if peer is not None:
            if self.connected_kind:
                peer.shut = SHUT_BOTH
                if reset or any(message.data for message in self.inbox):
                    peer.error = ECONNRESET.code
            peer.queue.notify(EVERYTHING)
            peer.unblock()
        self.purge()
        self.unblock()

    def flush(self, table: FdTable) -> None:
        if self in rights.sockets:
            rights.closed(self.kernel)

    def release(self) -> None:
        self.close()
        if rights.sockets:
            rights.closed(self.kernel)
