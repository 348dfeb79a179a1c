"""One network namespace: its interfaces, addresses, routes, neighbours, and IP in both directions.

The stack is driven: somebody sets `now_ns`, calls `advance` when `next_ns` says so or `wakeup` was called, and hands
frames to `receive`. Nothing here waits, and nothing that a peer sends raises out of it (docs/netstack.md section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.addressing import Addressing, source4, source6
from netstack.counters import NetCounters
from netstack.errors import EBUSY, EEXIST, EINVAL, ENOBUFS, ENODEV, NetError
from netstack.flow import Flows
from netstack.iface import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_MULTICAST,
    IFF_NOARP,
    IFF_RUNNING,
    IFF_UP,
    SCOPE_HOST,
    Address,
    Interface,
)  # fmt: skip
from netstack.ip_out import Output
from netstack.packet import IcmpError, Packet
from netstack.route import LOCAL, Route, Routes, Rule
from netstack.settings import Settings
from netstack.socket.packet import PacketTable
from netstack.socket.ping import PingTable
from netstack.socket.raw import RawTable
from netstack.socket.udp_table import UdpTable
from netstack.timers import Timers

if TYPE_CHECKING:
    from netstack.link.base import Link
    from netstack.tcp.table import TcpTable

INTERFACES_AT_MOST = 4096
QUEUE_AT_MOST = 4096  # packets to own addresses that wait for `advance`
ROUND = 1024  # of them, delivered by one `advance`

Receive = Callable[[Packet], None]
Error = Callable[[IcmpError], None]
Tap = Callable[[Interface, "bytes | memoryview", bool], None]


class Stack:
    """`random(n)` gives n unpredictable bytes; `wakeup()` asks that `advance` be called soon."""

    def __init__(self, random: Callable[[int], bytes], wakeup: Callable[[], None]) -> None:
        self.random = random
        self.wakeup = wakeup
        self.now_ns = 0
        self.generation = 0  # of routes, addresses and path MTUs: what a Flow is made of
        self.settings = Settings()
        self.counters = NetCounters()
        self.timers = Timers(wakeup)
        self.tcp: TcpTable | None = None  # netstack.tcp.table.of makes it
        self.interfaces: dict[int, Interface] = {}
        self.local: dict[bytes, int] = {}  # own addresses that may be used, and whose interface they are on
        self.observers: list[Callable[[str, object], None]] = []
        self.taps: list[Tap] = []
        self.receivers: dict[int, Receive] = {}
        self.error_receivers: dict[int, list[Error]] = {}
        self.raw_receive: Callable[[Packet], bool] | None = None  # set as long as there are raw sockets
        self.echo_reply: Receive | None = None  # ping sockets: an ICMP or ICMPv6 echo reply
        self.waiting: deque[Packet] = deque()
        self._next_index = 1
        self.routes = Routes(self._usable, self._route_changed)
        self.addressing = Addressing(self)
        self.flows = Flows(self)
        self.flow = self.flows.find
        self.output = Output(self)
        self.send = self.output.send
        self.udp = UdpTable(self)
        self.raw = RawTable(self)
        self.ping = PingTable(self)
        self.packet = PacketTable(self)
        self.loopback = self._new(b"lo", "loopback", None, bytes(6), 65536, IFF_LOOPBACK)
        self.add_address(self.loopback, Address(b"\x7f\0\0\x01", 8, SCOPE_HOST, label=b"lo"))
        self.set_up(self.loopback, True)

    # Time.

    def advance(self, now_ns: int) -> None:
        """Run due timers and deliver what waits; what is left of a long queue waits for the next call."""
        self.now_ns = now_ns
        self.timers.run(now_ns)
        waiting, deliver = self.waiting, self.deliver
        for _ in range(min(len(waiting), ROUND)):
            deliver(waiting.popleft())
        if waiting:
            self.wakeup()

    def next_ns(self) -> int:
        return self.now_ns if self.waiting else self.timers.next_ns()

    def later(self, packet: Packet) -> None:
        """Deliver a packet of our own by `advance`, never from within the call that sent it."""
        waiting = self.waiting
        if len(waiting) >= QUEUE_AT_MOST:
            packet.iface.counters.rx_dropped += 1
            return
        waiting.append(packet)
        if len(waiting) == 1:
            self.wakeup()

    # Transports.

    def register(self, proto: int, receive: Receive) -> None:
        self.receivers[proto] = receive

    def register_error(self, proto: int, error: Error) -> None:
        """`error` hears of ICMP errors about packets of `proto`; -1 for those of all protocols (raw sockets)."""
        self.error_receivers.setdefault(proto, []).append(error)

    def error(self, error: IcmpError) -> None:
        """Tell whoever sent the packet that an ICMP error, or our own failure to find its next hop, is about."""
        for receive in self.error_receivers.get(error.proto, ()):
            receive(error)
        for receive in self.error_receivers.get(-1, ()):
            receive(error)

    def deliver(self, packet: Packet) -> None:
        """A packet for us: to raw sockets, each its own copy, and to its transport."""
        raw = self.raw_receive is not None and self.raw_receive(packet)
        receive = self.receivers.get(packet.proto)
        counters = self.counters.ip if packet.version == 4 else self.counters.ip6
        if receive is not None:
            counters["InDelivers"] += 1
            receive(packet)
        elif raw:
            counters["InDelivers"] += 1
        else:
            counters["InUnknownProtos"] += 1

    # Interfaces.

    def add_interface(self, name: bytes, link: Link | None, mac: bytes, mtu: int, kind: str = "ether") -> Interface:
        """A new interface, down and without addresses. `kind` "none" has no link header: packets are frames (TUN)."""
        flags = IFF_BROADCAST | IFF_MULTICAST if kind == "ether" else IFF_NOARP | IFF_MULTICAST
        return self._new(name, kind, link, mac, mtu, flags)

    def _new(self, name: bytes, kind: str, link: Link | None, mac: bytes, mtu: int, flags: int) -> Interface:
        if self.interface(name) is not None:
            raise EEXIST
        if len(self.interfaces) >= INTERFACES_AT_MOST:
            raise ENOBUFS
        if kind == "ether" and len(mac) != 6:
            raise EINVAL
        iface = Interface(self._next_index, _checked(name), kind, link, mac, mtu, flags)
        self._next_index += 1
        self.interfaces[iface.index] = iface
        self.changed("link", iface)
        return iface

    def remove_interface(self, iface: Interface) -> None:
        if iface is self.loopback:
            raise EBUSY
        if self.interfaces.get(iface.index) is not iface:
            raise ENODEV
        self.set_up(iface, False)
        for address in list(iface.addresses):
            if address in iface.addresses:  # not gone with its primary
                self.remove_address(iface, address)
        self.routes.remove_where(lambda route: route.oif == iface.index)
        del self.interfaces[iface.index]
        iface.index, index = 0, iface.index
        self.changed("link", iface)
        self.waiting = deque(packet for packet in self.waiting if packet.iface.index not in (0, index))

    def rename(self, iface: Interface, name: bytes) -> None:
        """EEXIST for a name that is taken, EINVAL for one that is none. Renaming while up is allowed (Linux 6.2)."""
        if name == iface.name:
            return
        if self.interface(name) is not None:
            raise EEXIST
        old, iface.name = iface.name, _checked(name)
        for place, address in enumerate(iface.addresses):
            if address.label.split(b":")[0] == old:
                iface.addresses[place] = address._replace(label=name + address.label[len(old) :])
        self.changed("link", iface)

    def set_mtu(self, iface: Interface, mtu: int) -> None:
        if not 68 <= mtu <= (65536 if iface.kind == "loopback" else 65535):  # RFC 791
            raise EINVAL
        iface.mtu = mtu
        self.changed("link", iface)

    def set_up(self, iface: Interface, up: bool) -> None:
        if iface.up == up:
            return
        if up:
            iface.flags |= IFF_UP | IFF_RUNNING | IFF_LOWER_UP
        else:
            iface.flags &= ~(IFF_UP | IFF_RUNNING | IFF_LOWER_UP)
        self.changed("link", iface)
        if up:
            self.addressing.up(iface)
        else:
            self.addressing.down(iface)

    def interface(self, name: bytes) -> Interface | None:
        for iface in self.interfaces.values():
            if iface.name == name:
                return iface
        return None

    def changed(self, event: str, thing: object) -> None:
        """Something that flows depend on is different: "link", "address", "route" or "neighbor" to the observers."""
        if event != "neighbor":
            self.generation += 1
        for observer in self.observers:
            observer(event, thing)

    # Addresses.

    def add_address(self, iface: Interface, address: Address) -> None:
        """EEXIST, EINVAL, ENOBUFS. Brings the routes that Linux adds with it."""
        self.addressing.add(iface, address)

    def remove_address(self, iface: Interface, address: Address) -> None:
        """EADDRNOTAVAIL when the interface has no such address and prefix."""
        self.addressing.remove(iface, address)

    def is_local(self, address: bytes) -> bool:
        """May an endpoint be bound to it: an own address, or one that a route of kind "local" covers (127/8)."""
        if address in self.local:
            return True
        try:
            return self.routes.lookup(address).kind == LOCAL
        except NetError:
            return False

    def index_of(self, address: bytes) -> int:
        """The interface that an own address is on; 0 for none."""
        return self.local.get(address, 0)

    def source4(self, iface: Interface, next_hop: bytes) -> bytes:
        return source4(self, iface, next_hop)

    def source6(self, iface: Interface, dst: bytes) -> bytes:
        return source6(self, iface, dst)

    def _usable(self, index: int) -> bool:
        iface = self.interfaces.get(index)
        return iface is not None and iface.up

    def _route_changed(self, event: str, route: Route | Rule) -> None:
        self.changed("rule" if isinstance(route, Rule) else "route", (event, route))


def _checked(name: bytes) -> bytes:
    """dev_valid_name: 1 to 15 bytes, no slash, colon or space, not "." nor ".."."""
    if not 0 < len(name) < 16 or name in (b".", b"..") or any(byte in b"/: \t\n\v\f\r" for byte in name):
        raise EINVAL
    return name
