"""A network namespace (network_namespaces(7)): its stack, who drives it, and what hangs on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakSet

from netstack.stack import Stack
from sentry.net import checksum
from sentry.net.driver import Driver
from sentry.nsfs import FIRST, new_number
from sentry.socket.netlink.table import NetlinkTable

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.socket.base import Socket


class NetNamespace:
    """`stack` is to be entered by `enter`, which sets its clock; `ino` is the number of /proc/PID/ns/net; `netlink` are
    the sockets that hear of changes. Tasks, sockets and open files hold it, nothing that it holds does: with the last
    of them its interfaces go. One that is not the sandbox's first starts with its loopback down."""

    __slots__ = ("__weakref__", "driver", "enter", "ino", "kept", "netlink", "sockets", "stack")

    def __init__(self, kernel: Kernel, first: bool = True) -> None:
        self.driver = Driver(kernel)
        self.stack = self.driver.stack = Stack(os.urandom, self.driver.wakeup)
        self.enter = self.driver.enter
        self.kept: dict[bytes, bytes] = {}  # sysctls that nothing depends on
        self.sockets: WeakSet[Socket] = WeakSet()  # of the internet and packet families
        self.ino = FIRST[b"net"] if first else new_number()
        if not first:
            stack = self.enter()
            stack.set_up(stack.loopback, False)
            for address in tuple(stack.loopback.addresses):
                stack.remove_address(stack.loopback, address)
        self.netlink = NetlinkTable(self.stack)

    def __del__(self) -> None:
        driver = getattr(self, "driver", None)
        if driver is not None and hasattr(self, "netlink"):
            self.netlink.close()
            driver.end()


def initial(kernel: Kernel) -> NetNamespace:
    """The namespace that pid 1 starts in."""
    checksum.install()
    return NetNamespace(kernel)


def net_of(t: Task) -> NetNamespace:
    """The namespace that a call of `t` is about."""
    return t.net
