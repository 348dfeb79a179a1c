"""Who has which port, and who listens to which group, in one network namespace (netlink(7), "Address formats")."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from sentry.abi.errno import EADDRINUSE
from sentry.abi.flags import NETLINK_ROUTE
from sentry.socket.netlink.route import notify

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.socket.netlink.socket import NetlinkSocket

AUTOMATIC = -4097  # ports that the kernel chooses besides a process's number go down from here


class NetlinkTable:
    """`listeners` counts NETLINK_ROUTE sockets in any group: without one, changes are not even put into words.
    `requester` is the port and number of the request that is being served: what it changes is told in its name."""

    __slots__ = ("__weakref__", "_stack", "listeners", "ports", "requester", "sockets")

    def __init__(self, stack: Stack) -> None:
        self.ports: WeakValueDictionary[tuple[int, int], NetlinkSocket] = WeakValueDictionary()
        self.sockets: WeakSet[NetlinkSocket] = WeakSet()
        self.listeners = 0
        self.requester = (0, 0)
        self._stack = stack
        stack.observers.append(self._changed)

    def close(self) -> None:
        """The namespace goes."""
        self._stack.observers.remove(self._changed)

    def take(self, sock: NetlinkSocket, port: int) -> None:
        """EADDRINUSE when somebody has the port."""
        key = (sock.protocol, port)
        if key in self.ports:
            raise EADDRINUSE
        self.ports[key] = sock
        sock.port = port

    def choose(self, sock: NetlinkSocket, pid: int) -> None:
        """A port for who has none: the process's number, or any that is free."""
        port = pid
        while (sock.protocol, port) in self.ports:
            port = (AUTOMATIC - int.from_bytes(os.urandom(3), "little")) & 0xFFFFFFFF
        self.take(sock, port)

    def drop(self, sock: NetlinkSocket) -> None:
        if sock.port and self.ports.get((sock.protocol, sock.port)) is sock:
            del self.ports[sock.protocol, sock.port]
        self.sockets.discard(sock)

    def count(self) -> None:
        """Groups were joined or left."""
        self.listeners = sum(1 for sock in self.sockets if sock.protocol == NETLINK_ROUTE and sock.groups)

    def broadcast(
        self, protocol: int, group: int, data: bytes, sender: int = 0, skip: NetlinkSocket | None = None
    ) -> bool:
        """Hand a message to all in `group`; whether there was anybody."""
        found = False
        for sock in tuple(self.sockets):
            if sock.protocol == protocol and sock is not skip and sock.groups >> (group - 1) & 1:
                sock.deliver(data, sender, group)
                found = True
        return found

    def _changed(self, event: str, thing: object) -> None:
        if self.listeners:
            for group, data in notify.messages(self._stack, event, thing, *self.requester):
                self.broadcast(NETLINK_ROUTE, group, data)
