"""One network namespace: its interfaces, addresses, routes, neighbours, and IP in both directions.

The stack is driven: somebody sets `now_ns`, calls `advance` when `next_ns` says so or `wakeup` was called, and hands
frames to `receive`. Nothing here waits, and nothing that a peer sends raises out of it (docs/netstack.md section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.addressing import Addressing, source4, source6
from netstack.arp import ArpProtocol
from netstack.autoconf import Autoconf
from netstack.counters import NetCounters
from netstack.errors import EBUSY, EEXIST, EINVAL, ENOBUFS, ENODEV, BadPacket, NetError
from netstack.flow import Flows
from netstack.forward import Forwarding
from netstack.icmp import IcmpProtocol
from netstack.icmp6 import Icmp6Protocol
from netstack.iface import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_LOWER_UP,
    IFF_MULTICAST,
    IFF_NOARP,
    IFF_RUNNING,
    IFF_UP,
    Address,
    Interface,
)  # fmt: skip
from netstack.ip_in import Input
from netstack.ip_out import Output
from netstack.membership import Memberships
from netstack.ndp import NdpProtocol
from netstack.neighbor import Neighbors
from netstack.packet import IcmpError, Packet
from netstack.reassembly import Reassembly
from netstack.route import LOCAL, Route, Routes, Rule
from netstack.settings import Settings
from netstack.socket.packet import PacketTable
from netstack.socket.ping import PingTable
from netstack.socket.raw import RawTable
from netstack.socket.udp_table import UdpTable
from netstack.tcp.table import TcpTable
from netstack.timers import Timers
from netstack.wire import icmp, icmp6, ipv4, ipv6

if TYPE_CHECKING:
    from netstack.link.base import Link

INTERFACES_AT_MOST = 4096
QUEUE_AT_MOST = 4096  # packets to own addresses that wait for `advance`
ROUND = 1024  # of them, delivered by one `advance`

MAX_QUOTE = 1232
_UNREACHABLE4 = {"port": icmp.PORT, "protocol": icmp.PROTOCOL, "host": icmp.HOST, "net": icmp.NET,
                 "prohibited": icmp.PROHIBITED}  # fmt: skip
_UNREACHABLE6 = {"port": icmp6.PORT, "host": icmp6.ADDRESS, "net": icmp6.NO_ROUTE, "prohibited": icmp6.PROHIBITED}

Receive = Callable[[Packet], None]
Error = Callable[[IcmpError], "bool | None"]
Tap = Callable[[Interface, "bytes | memoryview", bool], None]


class Stack:
    """`random(n)` gives n unpredictable bytes; `wakeup()` asks that `advance` be called soon."""

    def __init__(self, random: Callable[[int], bytes], wakeup: Callable[[], None]) -> None:
        self.random = random
        self.wakeup = wakeup
        self.now_ns = 0
        self.generation = 0  # of routes, addresses and path MTUs: what a Flow is made of
        self.settings = Settings(self._setting_changed)
        self.counters = NetCounters()
        self.timers = Timers(wakeup)
        self.interfaces: dict[int, Interface] = {}
        self.local: dict[bytes, int] = {}  # own addresses that may be used, and whose interface they are on
        self.observers: list[Callable[[str, object], None]] = []
        self.taps: list[Tap] = []
        self.receivers: dict[int, Receive] = {}
        self.error_receivers: dict[int, list[Error]] = {}
        self.raw_receive: Callable[[Packet], bool] | None = None  # set as long as there are raw sockets
        self.echo_reply: Receive | None = None  # ping sockets: an ICMP or ICMPv6 echo reply
        self.waiting: deque[Packet | memoryview] = deque()
        self._next_index = 1
        self.routes = Routes(self._usable, self._route_changed)
        self.addressing = Addressing(self)
        self.flows = Flows(self)
        self.flow = self.flows.find
        self.output = Output(self)
        self.send = self.output.send
        self.neighbors = Neighbors(self)
        self.arp = ArpProtocol(self)
        self.ndp = NdpProtocol(self)
        self.autoconf = Autoconf(self)
        self.memberships = Memberships(self)
        self.reassembly = Reassembly(self)
        self.forwarding = Forwarding(self)
        self.icmp = IcmpProtocol(self)
        self.icmp6 = Icmp6Protocol(self)
        self.input = Input(self)
        self.receive = self.input.receive
        self.register(ipv4.ICMP, self.icmp.receive)
        self.register(ipv4.IGMP, self.memberships.heard4)
        self.register(ipv6.ICMPV6, self.icmp6.receive)
        self.tcp = TcpTable(self)
        self.udp = UdpTable(self)
        self.raw = RawTable(self)
        self.ping = PingTable(self)
        self.packet = PacketTable(self)
        self.loopback = self._new(b"lo", "loopback", None, bytes(6), 65536, IFF_LOOPBACK)
        self.set_up(self.loopback, True)

    # Time.

    def advance(self, now_ns: int) -> None:
        """Run due timers and deliver what waits; what is left of a long queue waits for the next call."""
        self.now_ns = now_ns
        self.timers.run(now_ns)
        waiting = self.waiting
        for _ in range(min(len(waiting), ROUND)):
            packet = waiting.popleft()
            try:
                if isinstance(packet, Packet):
                    self.deliver(packet)
                else:
                    self.input.from_self(packet)
            except NetError:  # an answer that could not be sent
                self.loopback.counters.rx_dropped += 1
        if waiting:
            self.wakeup()

    def next_ns(self) -> int:
        return self.now_ns if self.waiting else self.timers.next_ns()

    def later(self, packet: Packet | memoryview) -> None:
        """Deliver a packet of our own by `advance`, never from within the call that sent it. One that came with a
        header of the caller's making is a memoryview, and looked at as if it were from outside."""
        waiting = self.waiting
        if len(waiting) >= QUEUE_AT_MOST:
            self.loopback.counters.rx_dropped += 1
            return
        waiting.append(packet)
        if len(waiting) == 1:
            self.wakeup()

    # Transports.

    def register(self, proto: int, receive: Receive) -> None:
        self.receivers[proto] = receive

    def register_error(self, proto: int, error: Error) -> None:
        """`error` hears of ICMP errors about packets of `proto`, and returns False when nobody of its own has sent that
        packet; -1 is for those of all protocols (raw sockets), and there True says that somebody has."""
        self.error_receivers.setdefault(proto, []).append(error)

    def error(self, error: IcmpError) -> bool:
        """Tell whoever sent the packet that an ICMP error, or our own failure to find its next hop, is about; whether
        there is anybody."""
        known = False
        for receive in self.error_receivers.get(error.proto, ()):
            known = receive(error) is not False or known
        for receive in self.error_receivers.get(-1, ()):
            known = receive(error) is True or known
        return known

    def next_hop_failed(self, iface: Interface, raw: memoryview) -> None:
        """Nobody answers for the next hop of a packet: our own sender hears of it as of an ICMP error from ourselves,
        another host gets one."""
        try:
            if raw[0] >> 4 == 4:
                quoted = icmp.quoted(raw)
                if not self.is_local(quoted.src):
                    self.icmp.error(iface, raw, icmp.UNREACHABLE, icmp.HOST)
                    return
                kind, code, version = icmp.UNREACHABLE, icmp.HOST, 4
            else:
                quoted = icmp6.quoted(raw)
                if not self.is_local(quoted.src):
                    self.icmp6.error(iface, raw, icmp6.UNREACHABLE, icmp6.ADDRESS)
                    return
                kind, code, version = icmp6.UNREACHABLE, icmp6.ADDRESS, 6
        except BadPacket:  # a raw socket's
            return
        if quoted.offset:
            return
        payload = bytes(quoted.payload[:MAX_QUOTE])
        src, dst = quoted.src, quoted.dst
        self.error(IcmpError(version, kind, code, 0, src, src, dst, quoted.proto, payload))

    def reassembly_expired(self, iface: Interface, raw: memoryview) -> None:
        if raw[0] >> 4 == 4:
            self.icmp.error(iface, raw, icmp.TIME_EXCEEDED, icmp.REASSEMBLY)
        else:
            self.icmp6.error(iface, raw, icmp6.TIME_EXCEEDED, icmp6.REASSEMBLY)

    def reject(self, packet: Packet, kind: str) -> None:
        """Answer with an ICMP error: what is not there is a "port", "protocol", "host" or "net", or "prohibited"."""
        if packet.to_us != "unicast" or packet.iface.shared and kind in ("port", "protocol"):
            return
        if packet.version == 4:
            code = _UNREACHABLE4[kind]
            self.icmp.error(packet.iface, packet.raw, icmp.UNREACHABLE, code)
        elif kind == "protocol":
            self.icmp6.unknown_next_header(packet)
        else:
            self.icmp6.error(packet.iface, packet.raw, icmp6.UNREACHABLE, _UNREACHABLE6[kind])

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
            self.reject(packet, "protocol")

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
        self.neighbors.flush(iface)
        self.memberships.gone(iface)
        del self.interfaces[iface.index]
        self.changed("link", iface)  # with its number, which observers tell
        iface.index = 0
        self.waiting = deque(entry for entry in self.waiting if not isinstance(entry, Packet) or entry.iface.index)

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

    def set_mac(self, iface: Interface, mac: bytes) -> None:
        """Another address for a device: what neighbours know of us is wrong, and headers are to be made anew."""
        if iface.kind != "ether" or len(mac) != 6 or mac[0] & 1 or not any(mac):
            raise EINVAL
        iface.mac = mac
        self.neighbors.flush(iface)
        self.changed("link", iface)
        for address in iface.addresses if iface.up else ():
            if len(address.local) == 4:
                self.arp.announce(iface, address.local)

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
            self.memberships.up(iface)
            self.autoconf.up(iface)
        else:
            self.autoconf.down(iface)
            self.memberships.down(iface)
            self.addressing.down(iface)
            self.neighbors.flush(iface, keep_permanent=False)

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

    def add_address(self, iface: Interface, address: Address, check: bool = True) -> None:
        """EEXIST, EINVAL, ENOBUFS, EACCES without IPv6. Brings the routes that Linux adds with it. `check`: an IPv6
        address is tentative until it is found that nobody else has it."""
        self.addressing.add(iface, address, check)

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

    def _setting_changed(self, name: str) -> None:
        self.generation += 1  # a flow holds the default TTL, and what forwarding means

    def _route_changed(self, event: str, route: Route | Rule) -> None:
        if event == "add" and isinstance(route, Route):
            self.addressing.of_route(route)
        self.changed("rule" if isinstance(route, Rule) else "route", (event, route))


def _checked(name: bytes) -> bytes:
    """dev_valid_name: 1 to 15 bytes, no slash, colon or space, not "." nor ".."."""
    if not 0 < len(name) < 16 or name in (b".", b"..") or any(byte in b"/: \t\n\v\f\r" for byte in name):
        raise EINVAL
    return name
