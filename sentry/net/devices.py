"""Devices that a guest makes by itself (ip-link(8)): dummy and veth, and what turns an interface on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from netstack.errors import NetError
from netstack.iface import IFF_LOWER_UP, IFF_RUNNING, Interface
from netstack.link.pair import End
from sentry.abi.errno import EEXIST

if TYPE_CHECKING:
    from netstack.packet import Offload
    from netstack.stack import Stack
    from sentry.kernel.kernel import Kernel
    from sentry.net.driver import Driver
    from sentry.net.namespace import NetNamespace

MTU = 1500
NAMES_AT_MOST = 32768  # numbers that are tried for "veth%d"


class Dummy:
    """A device that takes everything and says nothing."""

    device_kind = b"dummy"
    gso = True
    checksum = True

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        return True


class Veth(End):
    """One end of a pair, in a stack whose `driver` it drives; `other` is the interface of the far end."""

    device_kind = b"veth"

    def __init__(self, kernel: Kernel, driver: Driver) -> None:
        super().__init__(wakeup=self._ask)
        self.kernel = kernel
        self.driver = driver
        self.iface: Interface
        self.other: Interface | None = None
        self._asked = False

    def place(self, iface: Interface) -> None:
        self.iface = iface
        self.receive = partial(self._frame, self.driver.stack)
        self.driver.stack.observers.append(self._changed)

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.kernel.defer(self._drain)

    def _drain(self) -> None:
        self._asked = False
        if self.receive is not None:
            self.driver.enter()
            self.drain()

    def _frame(self, stack: Stack, frame: bytes, checked: bool, gso_size: int) -> None:
        stack.receive(self.iface, frame, checked, gso_size)

    def _changed(self, event: str, thing: object) -> None:
        """Of the interfaces of this end's stack: this one came up, went down, or was removed."""
        if event != "link" or thing is not self.iface:
            return
        far = self.peer
        if self.iface.index not in self.driver.stack.interfaces:
            self._gone()
            if isinstance(far, Veth) and far.receive is not None:
                far.peer = None
                far.driver.enter().remove_interface(far.iface)
            return
        if isinstance(far, Veth):
            both = self.iface.up and far.iface.up
            self.set_carrier(both)
            far.set_carrier(both)

    def _gone(self) -> None:
        self.receive = self.wakeup = self.peer = self.other = None
        self.driver.stack.observers.remove(self._changed)
        del self.iface  # which holds this device

    def set_carrier(self, on: bool) -> None:
        """A wire is alive when both ends are up."""
        iface, bits = self.iface, IFF_RUNNING | IFF_LOWER_UP
        wanted = iface.flags | bits if on else iface.flags & ~bits
        if iface.up and wanted != iface.flags:
            iface.flags = wanted
            self.driver.enter().changed("link", iface)


def random_mac() -> bytes:
    """A locally administered unicast address (IEEE 802)."""
    raw = os.urandom(6)
    return bytes([raw[0] & 0xFC | 2]) + raw[1:]


def free_name(stack: Stack, template: bytes) -> bytes:
    """ "veth%d": the first number that nobody has."""
    for number in range(NAMES_AT_MOST):
        name = template % number
        if stack.interface(name) is None:
            return name
    raise EEXIST


def add_dummy(net: NetNamespace, name: bytes, mac: bytes, mtu: int) -> Interface:
    return net.enter().add_interface(name, Dummy(), mac or random_mac(), mtu or MTU)


def add_veth(
    kernel: Kernel, near: tuple[NetNamespace, bytes, bytes, int], far: tuple[NetNamespace, bytes, bytes, int]
) -> tuple[Interface, Interface]:
    """Both ends, or neither: namespace, name, MAC (or b"") and MTU (or 0) of each. The far end is there first."""
    ends = [Veth(kernel, net.driver) for net, _, _, _ in (far, near)]
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    made: list[Interface] = []
    for end, (net, name, mac, mtu) in zip(ends, (far, near), strict=True):
        try:
            made.append(net.enter().add_interface(name, end, mac or random_mac(), mtu or MTU))
        except NetError:
            if made:
                far[0].enter().remove_interface(made[0])
            raise
    ends[0].other, ends[1].other = made[1], made[0]
    for end, iface in zip(ends, made, strict=True):
        end.place(iface)
    return made[1], made[0]


def move(net: NetNamespace, iface: Interface, target: NetNamespace, name: bytes) -> Interface:
    """IFLA_NET_NS_*: the device goes to another namespace, down and without addresses; it keeps its MAC."""
    link = iface.link
    if net is target:
        return iface
    new = target.enter().add_interface(name or iface.name, link, iface.mac, iface.mtu, iface.kind)
    peer: End | None = None
    if isinstance(link, Veth):
        peer, link.peer = link.peer, None  # its removal here is not the pair's end
        link.driver.stack.observers.remove(link._changed)
    net.enter().remove_interface(iface)
    if isinstance(link, Veth):
        link.peer, link.driver = peer, target.driver
        link.place(new)
        if isinstance(peer, Veth):
            peer.other = new
            peer.set_carrier(False)
    return new
