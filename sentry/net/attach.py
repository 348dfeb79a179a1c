"""The interfaces of the container's network namespace become interfaces of the sandbox's stack, before pid 1 runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netstack.errors import EEXIST, NetError
from netstack.iface import IFF_POINTOPOINT
from netstack.route import UNICAST
from sentry.net import config
from sentry.net.capture import captured
from sentry.net.packet_link import PacketLink

if TYPE_CHECKING:
    from netstack.iface import Interface
    from sentry.kernel.kernel import Kernel
    from sentry.net.namespace import NetNamespace


def attach(kernel: Kernel, net: NetNamespace, raw: object, fds: list[int]) -> None:
    """`fds` are the packet sockets, ours unless it raises. ConfigError and NetError, with nothing changed."""
    stack = net.enter()
    wanted = config.read(raw, stack.now_ns, len(fds))
    links: list[PacketLink] = []
    known: dict[int, Interface] = {config.LOOPBACK: stack.loopback}
    try:
        for wire in wanted.interfaces:
            link = PacketLink(kernel, net, fds[wire.wire])
            device = captured(link, kernel.config.pcap_fd, wire.kind) if kernel.config.pcap_fd >= 0 else link
            link.iface = iface = stack.add_interface(wire.name, device, wire.mac, wire.mtu, wire.kind)
            links.append(link)
            known[wire.number] = iface
            iface.ipv6, iface.shared = wire.ipv6, wanted.shared
            iface.flags |= wire.flags & IFF_POINTOPOINT
    except NetError:
        for link in links:
            stack.remove_interface(link.iface)
        raise
    for number, address in wanted.addresses:
        try:
            stack.add_address(known[number], address, check=False)  # the host has seen that nobody else has it
        except EEXIST:
            pass  # the loopback's own
        except NetError as err:
            kernel.log(f"network: address {address.local.hex()}: {os.strerror(err.code)}")
    for wire in wanted.interfaces:
        stack.set_up(known[wire.number], True)
    # a gateway's network comes before its route
    for route in sorted(wanted.routes, key=lambda route: bool(route.gateway)):
        if route.oif in known or route.kind != UNICAST:
            moved = route._replace(oif=known[route.oif].index if route.oif in known else 0)
            try:
                stack.routes.add(moved)
            except EEXIST:
                pass  # an address has brought it, or it is the second way of a multipath route
            except NetError as err:
                kernel.log(f"network: route to {route.dst.hex()}/{route.prefix}: {os.strerror(err.code)}")
    for number, local, mac in wanted.neighbors:
        stack.neighbors.add(known[number], local, mac)
    for link in links:
        link.open()


def share(net: NetNamespace) -> None:
    """A sandbox of the same pod has come to the same interfaces."""
    for iface in net.enter().interfaces.values():
        iface.shared = iface.kind != "loopback"
