"""Interfaces, groups and neighbours under /proc/net (proc_pid_net(5))."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netstack.iface import SCOPE_HOST, SCOPE_LINK, SCOPE_SITE
from netstack.neighbor import NOARP, PERMANENT, VALID
from netstack.wire import ether
from sentry.abi.flags import ARPHRD_ETHER

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.membership import Group
    from sentry.net.namespace import NetNamespace

DEV_HEAD = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier"
    b" compressed\n"
)
SCOPES6 = {SCOPE_HOST: 0x10, SCOPE_LINK: 0x20, SCOPE_SITE: 0x40}
ATF_COM, ATF_PERM = 0x2, 0x4


def _interfaces(net: NetNamespace) -> list[Interface]:
    return list(net.enter().interfaces.values())


def dev(net: NetNamespace) -> bytes:
    lines = [DEV_HEAD]
    for iface in _interfaces(net):
        c = iface.counters
        lines.append(
            b"%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n"
            % (iface.name, c.rx_bytes, c.rx_packets, c.rx_errors, c.rx_dropped, 0, 0, 0, c.multicast,
               c.tx_bytes, c.tx_packets, c.tx_errors, c.tx_dropped, 0, 0, 0, 0)
        )  # fmt: skip
    return b"".join(lines)


def dev_mcast(net: NetNamespace) -> bytes:
    lines = []
    for iface in _interfaces(net):
        if iface.kind != "ether":
            continue
        macs = dict.fromkeys(ether.multicast_mac(group) for group in iface.groups)
        lines += [b"%-4d %-15s %-5d %-5d %s\n" % (iface.index, iface.name, 1, 0, mac.hex().encode()) for mac in macs]
    return b"".join(lines)


def if_inet6(net: NetNamespace) -> bytes:
    return b"".join(
        b"%s %02x %02x %02x %02x %8s\n"
        % (entry.local.hex().encode(), iface.index, entry.prefix, SCOPES6.get(entry.scope, 0), entry.flags & 0xFF,
           iface.name)
        for iface in _interfaces(net)
        for entry in iface.addresses
        if len(entry.local) == 16
    )  # fmt: skip


def arp(net: NetNamespace) -> bytes:
    lines = [b"IP address       HW type     Flags       HW address            Mask     Device\n"]
    for entry in net.enter().neighbors.entries():
        if len(entry.address) == 4 and not entry.state & NOARP:
            flags = (ATF_COM if entry.state & VALID else 0) | (ATF_PERM if entry.state == PERMANENT else 0)
            mac = ":".join(f"{byte:02x}" for byte in entry.mac or bytes(6)).encode()
            address = b".".join(b"%d" % byte for byte in entry.address)
            lines.append(
                b"%-16s 0x%-10x0x%-10x%s     *        %s\n" % (address, ARPHRD_ETHER, flags, mac, entry.iface.name)
            )
    return b"".join(lines)


def igmp(net: NetNamespace) -> bytes:
    lines = [b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"]
    for iface in _interfaces(net):
        groups = [entry for group, entry in iface.groups.items() if len(group) == 4]
        if not groups:
            continue
        lines.append(b"%d\t%-10s: %5d %7s\n" % (iface.index, iface.name, len(groups), b"V3"))
        lines += [
            b"\t\t\t\t%08X %5d %d:%08X\t\t%d\n"
            % (int.from_bytes(entry.address, "little"), max(1, len(entry.owners)), entry.timer is not None, 0, 0)
            for entry in groups
        ]
    return b"".join(lines)


def igmp6(net: NetNamespace) -> bytes:
    return b"".join(
        b"%-4d %-15s %s %5d %08X %d\n"
        % (iface.index, iface.name, group.hex().encode(), max(1, len(entry.owners)), 0x4, 0)
        for iface in _interfaces(net)
        for group, entry in iface.groups.items()
        if len(group) == 16
    )  # fmt: skip


def _sources(net: NetNamespace, size: int) -> Iterator[tuple[Interface, Group, bytes, int, int]]:
    """Every source that some owner of a group lets in or keeps out, and how many do each."""
    for iface in _interfaces(net):
        for group, entry in iface.groups.items():
            if len(group) != size:
                continue
            named: dict[bytes, list[int]] = {}
            for exclude, sources in entry.owners.values():
                for source in sources:
                    named.setdefault(source, [0, 0])[bool(exclude)] += 1
            for source, (included, excluded) in sorted(named.items()):
                yield iface, entry, source, included, excluded


def mcfilter(net: NetNamespace) -> bytes:
    return b"Idx Device        MCA        SRC    INC    EXC\n" + _filters(net, 4, b"0x")


def mcfilter6(net: NetNamespace) -> bytes:
    head = b"Idx Device                Multicast Address                   Source Address    INC    EXC\n"
    return head + _filters(net, 16, b"")


def _filters(net: NetNamespace, size: int, prefix: bytes) -> bytes:
    lines = []
    for iface, entry, source, included, excluded in _sources(net, size):
        group, member = prefix + entry.address.hex().encode(), prefix + source.hex().encode()
        lines.append(b"%3d %6.6s %b %b %6d %6d\n" % (iface.index, iface.name, group, member, included, excluded))
    return b"".join(lines)


def ptype(net: NetNamespace) -> bytes:
    return b"Type Device      Function\n0800          ip_rcv\n0806          arp_rcv\n86dd          ipv6_rcv\n"


def wireless(net: NetNamespace) -> bytes:
    return (
        b"Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
        b" face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
    )


FILES: dict[bytes, Callable[[NetNamespace], bytes]] = {
    b"dev": dev, b"dev_mcast": dev_mcast, b"if_inet6": if_inet6, b"arp": arp, b"igmp": igmp, b"igmp6": igmp6,
    b"mcfilter": mcfilter, b"mcfilter6": mcfilter6, b"ptype": ptype, b"wireless": wireless,
    b"psched": lambda net: b"000003e8 00000040 000f4240 3b9aca00\n", b"anycast6": lambda net: b"",
    b"ip6_flowlabel": lambda net: b"Label S Owner  Users  Linger Expires  Dst                              Opt\n",
}  # fmt: skip
