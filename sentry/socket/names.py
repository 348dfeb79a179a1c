"""Names of unix sockets (unix(7), "Address format"): sockaddr_un, the abstract namespace, socket files."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from sentry.abi.errno import EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL, ENOENT, EPROTOTYPE
from sentry.abi.flags import AF_UNIX, AT_FDCWD, S_IFMT, S_IFSOCK, UNIX_PATH_MAX
from vfs.core.access import W, check
from vfs.core.acl import masked
from vfs.core.names import make
from vfs.core.walk import walk, walk_parent

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.net.namespace import NetNamespace
    from sentry.socket.unix import UnixSocket
    from vfs.core.node import Inode

FAMILY = AF_UNIX.to_bytes(2, "little")
UNNAMED = FAMILY
MAX_SIZE = 2 + UNIX_PATH_MAX


class UnixTable:
    """Sockets of one network namespace: abstract names (with the socket type, as in Linux), and all of them for
    /proc/net/unix."""

    __slots__ = ("_serial", "abstract", "sockets")

    def __init__(self) -> None:
        self.abstract: WeakValueDictionary[tuple[int, bytes], UnixSocket] = WeakValueDictionary()
        self.sockets: WeakSet[UnixSocket] = WeakSet()
        self._serial = count(1)

    def free_name(self, kind: int) -> bytes:
        """autobind: an abstract name of five hexadecimal digits."""
        for _ in range(1 << 20):
            name = b"\0%05x" % (next(self._serial) & 0xFFFFF)
            if (kind, name) not in self.abstract:
                return name
        raise EADDRINUSE


_tables: WeakKeyDictionary[NetNamespace, UnixTable] = WeakKeyDictionary()


def table_of(net: NetNamespace) -> UnixTable:
    table = _tables.get(net)
    if table is None:
        table = _tables[net] = UnixTable()
    return table


def name_of(address: bytes) -> bytes:
    """sun_path: a path without its NUL, or an abstract name with its leading one; b"" asks for autobind."""
    if not 2 <= len(address) <= MAX_SIZE or address[:2] != FAMILY:
        raise EINVAL
    name = address[2:]
    return name if name[:1] in (b"", b"\0") else name.partition(b"\0")[0]


def find(t: Task, name: bytes, kind: int) -> UnixSocket:
    """Whom a connect or a datagram to `name` reaches; ECONNREFUSED when nobody listens there."""
    if name[:1] == b"\0":
        sock = table_of(t.net).abstract.get((kind, name))
        if sock is None or sock.dead:
            raise ECONNREFUSED
        return sock
    place = walk(t, AT_FDCWD, name)
    inode = place.dentry.inode
    check(inode, t, W)
    from sentry.socket.unix import UnixSocket

    bound = inode.bound
    if inode.mode & S_IFMT != S_IFSOCK or not isinstance(bound, UnixSocket) or bound.dead:
        raise ECONNREFUSED
    if bound.kind != kind:
        raise EPROTOTYPE
    return bound


def bind_path(t: Task, name: bytes, sock: UnixSocket) -> Inode:
    """Make the socket file; EADDRINUSE if the name exists."""
    place, last, slash = walk_parent(t, AT_FDCWD, name)

    def build(directory: Inode) -> Inode:
        if slash:
            raise ENOENT
        return directory.mknod(last, masked(directory, S_IFSOCK | 0o777, t.fs.umask), 0, t.creds)

    try:
        inode = make(t, place, last, build).dentry.inode
    except EEXIST:
        raise EADDRINUSE
    inode.bound = sock
    return inode
