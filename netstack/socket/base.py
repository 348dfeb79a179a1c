"""What all endpoints have: options (socket(7), ip(7), ipv6(7)), addresses, a pending error, and who is told of events.

The owner, a socket of the Sentry, sets `notify`; it is called with poll bits from within the stack and may only mark
sleepers. Endpoints never wait and never call back otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.errors import BY_CODE, EADDRNOTAVAIL, EINVAL, EPROTO, NetError
from netstack.poll import ERR
from netstack.route import BROADCAST

if TYPE_CHECKING:
    from netstack.stack import Stack

ANY4, ANY6 = bytes(4), bytes(16)
BROADCAST4 = b"\xff\xff\xff\xff"
SHUT_READ, SHUT_WRITE = 1, 2  # bits of `shutdown`'s sides
PMTUDISC_DONT, PMTUDISC_WANT, PMTUDISC_DO, PMTUDISC_PROBE, PMTUDISC_INTERFACE, PMTUDISC_OMIT = range(6)


class Options:
    """Options by what they mean, readable back; -1 where the option has never been set and a default holds.

    `packet_info` and `receive_*` say which control messages a datagram brings. They cost nothing here: a datagram knows
    all of it, and the Sentry turns the wanted ones into control messages. Options that are only read back are no
    business of the stack's."""

    __slots__ = (
        # SOL_SOCKET
        "bound_iface", "broadcast", "count_drops", "dont_route", "keepalive", "linger_s", "low_water", "mark",
        "no_check", "oob_inline", "peek_offset", "priority", "receive_buffer", "reuse_address", "reuse_port",
        "send_buffer", "timestamp",
        # IPPROTO_IP
        "bind_no_port", "free_bind", "header_included", "ip_options", "minimum_ttl", "mtu_discover", "multicast_all",
        "multicast_iface", "multicast_loop", "multicast_source", "multicast_ttl", "packet_info", "receive_errors",
        "receive_options", "receive_original_address", "receive_tos", "receive_ttl", "return_options", "tos",
        "transparent", "ttl", "unicast_iface",
        # IPPROTO_IPV6
        "dont_fragment", "hop_limit", "minimum_hops", "mtu6", "mtu_discover6", "multicast_all6", "multicast_hops",
        "multicast_iface6", "multicast_loop6", "packet_info6", "receive_errors6", "receive_hop_limit",
        "receive_traffic_class", "traffic_class", "unicast_iface6",
    )  # fmt: skip

    def __init__(self, stack: Stack) -> None:
        settings = stack.settings
        self.bound_iface = 0  # SO_BINDTODEVICE, SO_BINDTOIFINDEX
        self.broadcast = False
        self.count_drops = False  # SO_RXQ_OVFL
        self.dont_route = False
        self.keepalive = False
        self.linger_s = -1  # SO_LINGER: -1 is off
        self.low_water = 1  # SO_RCVLOWAT
        self.mark = 0
        self.no_check = False
        self.oob_inline = False
        self.peek_offset = -1
        self.priority = 0
        self.receive_buffer = settings.rmem_default  # as getsockopt says it: twice what was set
        self.reuse_address = False
        self.reuse_port = False
        self.send_buffer = settings.wmem_default
        self.timestamp = 0  # the option's number: SO_TIMESTAMP, SO_TIMESTAMPNS and their _NEW forms; 0 for none

        self.bind_no_port = False
        self.free_bind = False
        self.header_included = False  # IP_HDRINCL, IPV6_HDRINCL
        self.ip_options = b""
        self.minimum_ttl = 0
        self.mtu_discover = PMTUDISC_DONT if settings.ip_no_pmtu_disc else PMTUDISC_WANT
        self.multicast_all = True
        self.multicast_iface = 0
        self.multicast_loop = True
        self.multicast_source = ANY4  # of IP_MULTICAST_IF by address
        self.multicast_ttl = 1
        self.packet_info = False
        self.receive_errors = False
        self.receive_options = False
        self.receive_original_address = False
        self.receive_tos = False
        self.receive_ttl = False
        self.return_options = False
        self.tos = 0
        self.transparent = False
        self.ttl = -1
        self.unicast_iface = 0

        self.dont_fragment = False
        self.hop_limit = -1
        self.minimum_hops = 0
        self.mtu6 = 0  # IPV6_MTU as set: a limit of this socket's packets
        self.mtu_discover6 = PMTUDISC_WANT
        self.multicast_all6 = True
        self.multicast_hops = 1
        self.multicast_iface6 = 0
        self.multicast_loop6 = True
        self.packet_info6 = False
        self.receive_errors6 = False
        self.receive_hop_limit = False
        self.receive_traffic_class = False
        self.traffic_class = 0
        self.unicast_iface6 = 0


def _unheard(bits: int) -> None:
    """`notify` of an endpoint that nobody waits for."""


class Endpoint:
    """One socket of the stack, without anything of system calls.

    local, peer  (address, port); the address is all zeros, and the port 0, as long as there is none. Its length is the
                 family of the traffic: 4 bytes on a socket of family 6 stand for a v4-mapped address.
    owner_uid    of whoever made it: SO_REUSEPORT, sock_diag
    shut         sides that shutdown(2) has ended, SHUT_READ | SHUT_WRITE
    """

    __slots__ = ("error", "family", "local", "notify", "options", "owner_uid", "peer", "shut", "stack", "v6only")

    mapped = True  # of family 6, it speaks IPv4 too, unless it is `v6only`

    def __init__(self, stack: Stack, family: int, options: Options | None = None) -> None:
        self.stack = stack
        self.family = family
        self.v6only = family == 6 and bool(stack.settings.ipv6_bindv6only)
        self.notify: Callable[[int], None] = _unheard
        self.error = 0
        self.options = Options(stack) if options is None else options
        self.owner_uid = 0
        self.shut = 0
        self.local: tuple[bytes, int] = (ANY4 if family == 4 else ANY6, 0)
        self.peer: tuple[bytes, int] = (ANY4 if family == 4 else ANY6, 0)

    @property
    def any(self) -> bytes:
        """The address that stands for none."""
        return ANY4 if self.family == 4 else ANY6

    def dual(self, address: bytes) -> bool:
        """Bound to this address, the socket takes IPv4 and IPv6."""
        return len(address) == 16 and not self.v6only and not any(address)

    def speaks(self, address: bytes) -> bool:
        """The address is of a family that this socket can use."""
        if len(address) == (4 if self.family == 4 else 16):
            return True
        return self.family == 6 and self.mapped and not self.v6only

    def take_error(self) -> int:
        """SO_ERROR: the pending errno, which is pending no more."""
        error = self.error
        self.error = 0
        return error

    def raise_error(self) -> None:
        """Raise the pending error, once, if there is one."""
        error = self.error
        if error:
            self.error = 0
            raise BY_CODE.get(error, EPROTO)

    def fail(self, code: int) -> None:
        """An error for the next call to report."""
        self.error = code
        self.notify(ERR)

    def check_local(self, address: bytes, group: bool = False) -> None:
        """bind(2) to this address is possible. `group` allows multicast and broadcast addresses (UDP, raw).
        EADDRNOTAVAIL, EINVAL for a family that the socket has not."""
        if not self.speaks(address):
            raise EINVAL
        options, stack = self.options, self.stack
        if not any(address) or stack.is_local(address):
            return
        if options.free_bind or options.transparent or stack.settings.ip_nonlocal_bind:
            return
        if not (group and (is_multicast(address) or self.is_broadcast(address))):
            raise EADDRNOTAVAIL

    def is_broadcast(self, address: bytes) -> bool:
        if address == BROADCAST4:
            return True
        try:
            return len(address) == 4 and self.stack.routes.lookup(address).kind == BROADCAST
        except NetError:
            return False


def is_multicast(address: bytes) -> bool:
    """RFC 5771, RFC 4291 section 2.7."""
    return address[0] >> 4 == 0xE if len(address) == 4 else address[0] == 0xFF
