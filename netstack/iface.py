"""Interfaces and their addresses (netdevice(7), rtnetlink(7))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from netstack.link.segment import Segmenting

if TYPE_CHECKING:
    from netstack.link.base import Link
    from netstack.membership import Group
    from netstack.packet import Offload

IFF_UP, IFF_BROADCAST, IFF_LOOPBACK, IFF_POINTOPOINT, IFF_RUNNING = 0x1, 0x2, 0x8, 0x10, 0x40
IFF_NOARP, IFF_PROMISC, IFF_ALLMULTI, IFF_MULTICAST, IFF_LOWER_UP = 0x80, 0x100, 0x200, 0x1000, 0x10000
SCOPE_UNIVERSE, SCOPE_SITE, SCOPE_LINK, SCOPE_HOST = 0, 200, 253, 254

# IFA_F_*, of Address.flags
SECONDARY, NODAD, OPTIMISTIC, DADFAILED, DEPRECATED, TENTATIVE, PERMANENT = 0x1, 0x2, 0x4, 0x8, 0x20, 0x40, 0x80
MANAGETEMPADDR, NOPREFIXROUTE = 0x100, 0x200


class Address(NamedTuple):
    """An address of an interface; `local` is 4 or 16 bytes, lifetimes are ends on the stack's clock, None for ever."""

    local: bytes
    prefix: int
    scope: int = SCOPE_UNIVERSE
    broadcast: bytes | None = None
    peer: bytes | None = None
    label: bytes = b""
    flags: int = 0
    preferred_ns: int | None = None
    valid_ns: int | None = None


class Interface:
    """A device of one stack. `link` is None for the loopback, whose packets never become frames. `index` is 0 once the
    interface was removed. `groups` are the multicast groups whose packets it takes in, `hop_limit` and `mtu6` what a
    router advertised (0 for nothing). `shared`: others answer at the same addresses, so that nothing is said of ports
    that nobody here listens on. `transmit` is the link's `send`, with what the device cannot done before."""

    __slots__ = (
        "addresses", "alias", "counters", "device_group", "flags", "groups", "hop_limit", "index", "ipv6", "kind",
        "link", "mac", "mtu", "mtu6", "name", "queue_length", "shared", "sources", "sources_generation", "transmit",
    )  # fmt: skip

    def __init__(self, index: int, name: bytes, kind: str, link: Link | None, mac: bytes, mtu: int, flags: int) -> None:
        self.index = index
        self.name = name
        self.kind = kind  # "loopback", "ether" or "none" (packets without a link header)
        self.mac = mac
        self.mtu = mtu
        self.flags = flags
        self.addresses: list[Address] = []
        self.groups: dict[bytes, Group] = {}
        self.counters = Counters()
        self.alias = b""  # ip-link(8): alias, group, txqueuelen; they mean nothing to the stack
        self.device_group = 0
        self.queue_length = 1000
        self.ipv6 = True  # the sysctl disable_ipv6 of this interface says otherwise
        self.shared = False
        self.hop_limit = 0
        self.mtu6 = 0
        self.sources: set[bytes] = set()  # senders found to be no martians, as long as sources_generation is current
        self.sources_generation = -1
        self.transmit: Callable[[Sequence[bytes | memoryview], Offload], bool] = _nowhere
        self.attach(link)

    def attach(self, link: Link | None) -> None:
        """Put a device behind it, or a wrapper around the one that it has."""
        self.link = link
        if link is not None:
            whole = link.gso and link.checksum
            self.transmit = link.send if whole else Segmenting(link, 14 if self.kind == "ether" else 0).send

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)

    def find(self, local: bytes) -> Address | None:
        """Its address with these bytes."""
        for address in self.addresses:
            if address.local == local:
                return address
        return None


def _nowhere(parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
    """`transmit` of the loopback."""
    return False


class Counters:
    """struct rtnl_link_stats64, as far as it is counted."""

    __slots__ = (
        "multicast", "rx_bytes", "rx_dropped", "rx_errors", "rx_packets", "tx_bytes", "tx_dropped", "tx_errors",
        "tx_packets",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rx_packets = self.rx_bytes = self.rx_errors = self.rx_dropped = self.multicast = 0
        self.tx_packets = self.tx_bytes = self.tx_errors = self.tx_dropped = 0
