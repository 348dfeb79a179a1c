"""What sockets above IP do the same way (ip(7), ipv6(7)): names, the way to a destination, ICMP errors, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from netstack.errors import EACCES, EAFNOSUPPORT, EMSGSIZE, ENETUNREACH, ENOTCONN
from netstack.poll import ERR, HUP, RDHUP
from netstack.socket.base import (
    PMTUDISC_DO,
    PMTUDISC_DONT,
    PMTUDISC_INTERFACE,
    PMTUDISC_PROBE,
    PMTUDISC_WANT,
    Options,
    is_multicast,
)  # fmt: skip
from netstack.socket.datagram import READABLE, WRITABLE, DatagramSocket
from netstack.socket.error_queue import ICMP, ICMP6, LOCAL, ExtendedError, meaning, too_big

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.packet import IcmpError
    from netstack.socket.groups import Groups
    from netstack.stack import Stack


class Control(NamedTuple):
    """What a sender says of one message (cmsg): IP_PKTINFO, IP_TTL, IP_TOS and their IPv6 sisters, UDP_SEGMENT; -1 is
    unsaid."""

    source: bytes | None = None
    iface: int = 0
    ttl: int = -1
    tos: int = -1
    dont_fragment: int = -1
    options: bytes | None = None
    segment: int = -1


NO_CONTROL = Control()


class IpSocket(DatagramSocket):
    """A datagram socket above IP.

    source       what it sends from: the bound address, but for groups' and broadcast ones; all zeros for any
    own_address  bind(2) gave the address, so disconnect leaves it
    any4, any6   it hears what goes to any IPv4, any IPv6 address
    flow         to the peer
    groups       its multicast groups, made by the first join
    """

    __slots__ = ("any4", "any6", "flow", "groups", "has_peer", "own_address", "source")

    def __init__(self, stack: Stack, family: int, options: Options | None = None) -> None:
        super().__init__(stack, family, options)
        self.source = self.any
        self.own_address = False
        self.has_peer = False
        self.flow: Flow | None = None
        self.groups: Groups | None = None
        self.any4 = family == 4 or not self.v6only
        self.any6 = family == 6

    # names --------------------------------------------------------------------------------------------------------
    def take_port(self, address: bytes, port: int) -> None:
        """Get `port`, or any, at `address`: what a transport with ports does. EADDRINUSE."""
        self.hear_at(address, port)

    def need_port(self) -> None:
        """A socket that sends or connects unbound gets a port of its own."""

    def drop_port(self) -> None:
        """connect(2) to AF_UNSPEC: a port that nobody asked for goes."""

    def hear_at(self, address: bytes, port: int) -> None:
        """From now on it is found by this address."""
        self.local = (address, port)
        wild = not any(address)
        self.any6 = wild and len(address) == 16
        self.any4 = wild and (len(address) == 4 or not self.v6only)

    def bind(self, address: bytes, port: int) -> None:
        """EADDRINUSE, EADDRNOTAVAIL."""
        self.check_local(address, group=True)
        self.take_port(address, port)
        self.own_address = any(address)
        if self.own_address and not is_multicast(address) and not self.is_broadcast(address):
            self.source = address

    def connect(self, address: bytes, port: int, control: Control = NO_CONTROL) -> None:
        """Set the peer: only what it sends is heard, and errors about what it was sent. `control.iface` is the
        interface of a link-local address. ENETUNREACH and what else a route says, EACCES for a broadcast."""
        self.check_family(address)
        self.need_port()
        flow = self.way(address, control)
        self.flow = flow
        self.peer = (flow.dst, port)
        self.has_peer = True
        if not any(self.source) or len(self.source) != len(address):
            self.source = flow.src
        if not any(self.local[0]) or len(self.local[0]) != len(address):
            self.hear_at(flow.src, self.local[1])

    def disconnect(self) -> None:
        """connect(2) to AF_UNSPEC: no peer; what bind(2) did not give goes with it."""
        self.flow = None
        self.has_peer = False
        self.peer = (self.any, 0)
        if not self.own_address:
            self.source = self.any
            self.hear_at(self.any, self.local[1])
        self.drop_port()

    def check_family(self, address: bytes) -> None:
        """A socket that has an address of one family reaches no other."""
        own = self.local[0]
        if not self.speaks(address) or (self.own_address and len(own) > len(address)):
            raise ENETUNREACH
        if len(own) < len(address):
            raise EAFNOSUPPORT

    def hears(self, dst: bytes, src: bytes, sport: int, iface: int) -> bool:
        """What came from `src` to `dst` is for this socket, as far as addresses and interface say."""
        if self.local[0] != dst and not (self.any4 if len(dst) == 4 else self.any6):
            return False
        if self.has_peer and self.peer != (src, sport):
            return False
        return self.options.bound_iface in (0, iface)

    def wants_group(self, group: bytes, source: bytes, iface: int) -> bool:
        """What `source` sent to a multicast group is for this socket: by its own filter, or because it hears the groups
        of all (ip(7) IP_MULTICAST_ALL)."""
        if self.groups is not None:
            wanted = self.groups.hears(group, source, iface)
            if wanted is not None:
                return wanted
        return self.options.multicast_all if len(group) == 4 else self.options.multicast_all6

    # errors -------------------------------------------------------------------------------------------------------
    def hear(self, error: IcmpError, peer: tuple[bytes, int], payload: bytes) -> None:
        """An ICMP error about what was sent to `peer`: `payload` is what is known of the data. Without IP_RECVERR only
        hard errors count, and only for a connected socket (ip(7), udp(7))."""
        code, hard = meaning(error)
        if not code:
            return
        options = self.options
        wanted = options.receive_errors if error.version == 4 else options.receive_errors6
        if too_big(error):
            discover = options.mtu_discover if error.version == 4 else options.mtu_discover6
            if discover == PMTUDISC_DONT:
                return
            hard = True
        if wanted:
            origin = ICMP if error.version == 4 else ICMP6
            self.errors.add(
                ExtendedError(
                    code, origin, error.kind, error.code, error.info, error.offender, peer, payload,
                    time_ns=self.stack.now_ns,
                ),
                options.receive_buffer,
            )  # fmt: skip
        elif not (hard and self.has_peer):
            return
        self.fail(code)

    def discovery(self, flow: Flow, control: Control) -> int:
        """IP_MTU_DISCOVER of a message."""
        options = self.options
        if flow.version == 4:
            return options.mtu_discover
        if control.dont_fragment > 0 or (control.dont_fragment < 0 and options.dont_fragment):
            return PMTUDISC_DO
        return options.mtu_discover6

    def whole(self, flow: Flow, size: int, discovery: int, peer: tuple[bytes, int]) -> bool:
        """Whether a packet of `size` bytes in all goes with DF; EMSGSIZE, also as an extended error of our own
        (ip(7) IP_MTU_DISCOVER), when it is too long."""
        mtu = flow.mtu if discovery <= PMTUDISC_DO else flow.iface.mtu
        if flow.version == 6:
            most, narrow = 65575, self.options.mtu6
            if narrow:
                mtu = min(mtu, narrow)
        else:
            most = 65535
            mtu = min(mtu, most)
        strict = discovery in (PMTUDISC_DO, PMTUDISC_PROBE)
        if size > (mtu if strict or discovery == PMTUDISC_INTERFACE else most):
            self._too_long(flow, mtu, peer)
        return strict or (discovery == PMTUDISC_WANT and size <= mtu)

    def _too_long(self, flow: Flow, mtu: int, peer: tuple[bytes, int]) -> None:
        options = self.options
        if options.receive_errors if flow.version == 4 else options.receive_errors6:
            if flow.version == 4:
                peer = peer[0], self.peer[1]
            error = ExtendedError(EMSGSIZE.code, LOCAL, 0, 0, mtu, b"", peer, b"", time_ns=self.stack.now_ns)
            if self.errors.add(error, options.receive_buffer):
                self.notify(ERR)
        raise EMSGSIZE

    # the way to somebody ------------------------------------------------------------------------------------------
    def way(self, dst: bytes, control: Control = NO_CONTROL) -> Flow:
        """The flow of one message: by the options of groups or of single addresses, and what the message says itself.
        EACCES for a broadcast without SO_BROADCAST."""
        options = self.options
        four = len(dst) == 4
        source = self.source if control.source is None else control.source
        if len(source) != len(dst) or not any(source):
            source = b""
        oif = control.iface or options.bound_iface
        if is_multicast(dst):
            if not oif:
                oif = options.multicast_iface if four else options.multicast_iface6
            if four and not source and any(options.multicast_source):
                source = options.multicast_source
        elif not oif:
            oif = options.unicast_iface if four else options.unicast_iface6
        tos = (options.tos if four else max(options.traffic_class, 0)) if control.tos < 0 else control.tos
        flow = self.stack.flow(dst, source or None, oif, tos, options.transparent or options.header_included)
        if flow.broadcast and not options.broadcast:
            raise EACCES
        return flow

    def traffic_class(self, flow: Flow, control: Control) -> int:
        """IP_TOS or IPV6_TCLASS of a message."""
        if control.tos >= 0:
            return control.tos
        return self.options.tos if flow.version == 4 else max(self.options.traffic_class, 0)

    def hops(self, flow: Flow, control: Control) -> int:
        """The TTL or hop limit of a message, as `stack.send` takes it: 0 is the default, -1 stands for none."""
        hops = control.ttl
        if hops < 0:
            options = self.options
            if flow.version == 4:
                hops = options.multicast_ttl if flow.multicast else options.ttl
            else:
                hops = options.multicast_hops if flow.multicast else options.hop_limit
        return hops or -1 if hops >= 0 else 0

    # the end ------------------------------------------------------------------------------------------------------
    def shutdown(self, sides: int) -> None:
        """shutdown(2): an unconnected socket is shut down too, and told ENOTCONN nevertheless, as Linux has it."""
        self.shut |= sides
        self.notify(READABLE | RDHUP | WRITABLE | HUP)
        if not self.has_peer:
            raise ENOTCONN

    def close(self) -> None:
        if self.groups is not None:
            self.groups.leave_all()
        super().close()
