"""A network namespace (network_namespaces(7)): its stack, who drives it, and what hangs on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netstack.stack import Stack
from sentry.net.driver import Driver

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task


class NetNamespace:
    """`stack` is to be entered by `enter`, which sets its clock."""

    __slots__ = ("driver", "enter", "stack")

    def __init__(self, kernel: Kernel) -> None:
        self.driver = Driver(kernel)
        self.stack = self.driver.stack = Stack(os.urandom, self.driver.wakeup)
        self.enter = self.driver.enter


def net_of(t: Task) -> NetNamespace:
    """The namespace that a call of `t` is about."""
    net: NetNamespace = t.kernel.net
    return net
