"""Where a packet goes and what it costs to find out once: the cached decision of `stack.flow`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.errors import EAFNOSUPPORT, EINVAL, ENETUNREACH, ENODEV
from netstack.iface import IFF_LOOPBACK
from netstack.neighbor import FAILED
from netstack.route import BROADCAST, LOCAL, Route

if TYPE_CHECKING:
    from netstack.iface import Interface
    from netstack.neighbor import Neighbor
    from netstack.stack import Stack

ANY4, ANY6 = bytes(4), bytes(16)
LOOPBACK4, LOOPBACK6 = b"\x7f\0\0\x01", bytes(15) + b"\x01"
BROADCAST4 = b"\xff\xff\xff\xff"
FLOWS_AT_MOST = 4096
PATHS_AT_MOST = 4096  # of which a path MTU, or a redirect, is known


class Flow:
    """A way to one destination. Shared by all that ask for the same; nobody changes it.

    iface, src, dst, next_hop   next_hop is the gateway, or dst when it is on the link
    mtu        of the path, as far as it is known (RFC 1191, RFC 8201)
    local      dst is an address of this stack; broadcast, multicast say what kind of address it is
    neighbor   the next hop's entry in the cache; None where a link knows none
    sum        of the source and destination address, for IPv4's and the transports' checksums (not folded)
    """

    __slots__ = (
        "broadcast", "bucket", "dst", "expires_ns", "generation", "iface", "limit", "local", "mtu", "multicast",
        "neighbor", "next_hop", "special", "src", "stack", "sum", "ttl", "version",
    )  # fmt: skip

    def __init__(
        self, stack: Stack, iface: Interface, src: bytes, dst: bytes, next_hop: bytes, mtu: int, *, local: bool = False,
        broadcast: bool = False, multicast: bool = False, neighbor: Neighbor | None = None, expires_ns: int = 0,
    ) -> None:  # fmt: skip
        self.stack = stack
        self.generation = stack.generation
        self.iface = iface
        self.src = src
        self.dst = dst
        self.next_hop = next_hop
        self.mtu = mtu
        self.local = local
        self.broadcast = broadcast
        self.multicast = multicast
        self.neighbor = neighbor
        self.expires_ns = expires_ns  # when a path MTU is forgotten; 0 for never
        self.sum = int.from_bytes(src) + int.from_bytes(dst)  # 2**16 is 1 modulo 65535: a number is its words' sum
        self.version = 4 if len(dst) == 4 else 6
        self.special = local or broadcast or multicast
        self.bucket = stack.output.bucket(dst)
        settings = stack.settings
        if self.version == 4:
            self.limit = min(mtu, 65535)
            self.ttl = 1 if multicast else settings.default_ttl
        else:
            self.limit = min(mtu, 65575)
            self.ttl = 1 if multicast else iface.hop_limit or settings.ipv6_hop_limit

    def fresh(self) -> bool:
        """False once routes, addresses or a path MTU changed: ask for the flow again."""
        stack = self.stack
        return self.generation == stack.generation and (not self.expires_ns or stack.now_ns < self.expires_ns)

    def confirm(self) -> None:
        """The peer has got what we sent: its neighbour is reachable (RFC 4861 section 7.3.1, MSG_CONFIRM)."""
        if self.neighbor is not None:
            self.neighbor.confirm()


class Flows:
    """Finds flows, and remembers the last ones: a UDP socket asks for every datagram that it sends."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._known: dict[tuple[bytes, bytes | None, int, int, bool], Flow] = {}
        self.path_mtus: dict[bytes, tuple[int, int]] = {}  # by destination: the MTU and when it is forgotten
        self.redirects: dict[bytes, tuple[bytes, int]] = {}  # by destination: the first hop, and until when

    def find(self, dst: bytes, src: bytes | None = None, oif: int = 0, tos: int = 0, any_source: bool = False) -> Flow:
        """The way to `dst`: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL (also for a source that is not ours, unless
        `any_source`: ip(7) IP_TRANSPARENT, or a header that the caller made), ENODEV, EADDRNOTAVAIL."""
        key = (dst, src, oif, tos & 0x1C, any_source)
        flow = self._known.get(key)
        if flow is not None and flow.fresh():
            return flow
        counters = self.stack.counters
        try:
            if len(dst) == 4:
                flow = self._find4(dst, src, oif, tos, any_source)
            elif len(dst) == 16:
                flow = self._find6(dst, src, oif, tos, any_source)
            else:
                raise EAFNOSUPPORT
        except ENETUNREACH:
            (counters.ip if len(dst) == 4 else counters.ip6)["OutNoRoutes"] += 1
            raise
        if len(self._known) >= FLOWS_AT_MOST:
            self._known.clear()
        self._known[key] = flow
        return flow

    def _find4(self, dst: bytes, src: bytes | None, oif: int, tos: int, any_source: bool) -> Flow:
        stack = self.stack
        if src == ANY4:
            src = None
        if src is not None and not any_source and not stack.is_local(src):
            raise EINVAL
        if dst == ANY4:  # this host, as ever: connect(2) to INADDR_ANY
            dst = src or LOOPBACK4
        multicast, everybody = 0xE0 <= dst[0] <= 0xEF, dst == BROADCAST4
        if (multicast or everybody) and not oif and src is not None:
            oif = stack.index_of(src)
        iface = self._interface(oif)
        route = None
        if iface is None or not (everybody or multicast and dst[:3] == b"\xe0\x00\x00"):
            try:
                route = self._lookup(dst, src or b"", iface, tos)
            except ENETUNREACH:
                if iface is None or not iface.addresses and not multicast:
                    raise  # with an interface given, what no route knows is taken to be on that link
        if route is not None:
            iface = stack.interfaces[route.oif] if route.oif else stack.loopback
            if route.kind == LOCAL:
                return Flow(stack, stack.loopback, src or route.source or dst, dst, dst, stack.loopback.mtu, local=True)
        assert iface is not None
        next_hop = route.gateway if route is not None and route.gateway and not (multicast or everybody) else dst
        broadcast = everybody or route is not None and route.kind == BROADCAST
        if src is None:
            src = route.source if route is not None and route.source else stack.source4(iface, next_hop)
        if src[0] == 127 and not iface.flags & IFF_LOOPBACK:
            raise EINVAL  # RFC 1122 section 3.2.1.3: never outside a host
        return self._made(iface, src, dst, next_hop, route, broadcast, multicast)

    def _find6(self, dst: bytes, src: bytes | None, oif: int, tos: int, any_source: bool) -> Flow:
        stack = self.stack
        if src == ANY6:
            src = None
        if src is not None and not any_source and not stack.is_local(src):
            raise EINVAL
        if dst == ANY6:
            dst = src or LOOPBACK6
        iface = self._interface(oif)
        route = self._lookup(dst, src or b"", iface, tos)
        if route.kind == LOCAL:
            return Flow(stack, stack.loopback, src or route.source or dst, dst, dst, stack.loopback.mtu, local=True)
        out = stack.interfaces[route.oif]
        if src is None:
            src = route.source or stack.source6(out, dst)
        if src == LOOPBACK6 and not out.flags & IFF_LOOPBACK:
            raise EINVAL
        multicast = dst[0] == 0xFF
        return self._made(out, src, dst, dst if multicast else route.gateway or dst, route, False, multicast)

    def _interface(self, oif: int) -> Interface | None:
        if not oif:
            return None
        iface = self.stack.interfaces.get(oif)
        if iface is None:
            raise ENODEV
        if not iface.up:
            raise ENETUNREACH
        return iface

    def _lookup(self, dst: bytes, src: bytes, iface: Interface | None, tos: int) -> Route:
        routes = self.stack.routes
        if iface is None:
            return routes.lookup(dst, src, tos=tos)
        return routes.lookup(dst, src, iface.index, tos, oif_name=iface.name)

    def _made(
        self, iface: Interface, src: bytes, dst: bytes, next_hop: bytes, route: Route | None, broadcast: bool,
        multicast: bool,
    ) -> Flow:  # fmt: skip
        stack = self.stack
        mtu, expires_ns = iface.mtu, 0
        if route is not None and route.mtu:
            mtu = min(mtu, route.mtu)
        if len(dst) == 16 and iface.mtu6:
            mtu = min(mtu, iface.mtu6)
        if dst in self.path_mtus:
            path_mtu, expires_ns = self.path_mtus[dst]
            if expires_ns > stack.now_ns:
                mtu = min(mtu, path_mtu)
            else:
                del self.path_mtus[dst]
                expires_ns = 0
        if dst in self.redirects and not broadcast and not multicast:
            gateway, until_ns = self._redirected(dst, iface)
            if gateway:
                next_hop = gateway
                expires_ns = min(expires_ns or until_ns, until_ns)
        neighbor = None
        if iface.kind == "ether":
            neighbor = stack.neighbors.hop(iface, next_hop, broadcast, multicast)
        return Flow(
            stack, iface, src, dst, next_hop, mtu, broadcast=broadcast, multicast=multicast, neighbor=neighbor,
            expires_ns=expires_ns,
        )  # fmt: skip

    def try_mtu(self, dst: bytes, mtu: int, lifetime_ns: int, tell: Callable[[], bool]) -> None:
        """A router says that the path to `dst` is this narrow (RFC 1191 section 5, RFC 8201 section 5.2). It is
        believed when `tell` finds somebody who has sent the packet that it is about. A path never gets wider by this,
        and the table is bounded: the oldest goes."""
        known = self.path_mtus.get(dst)
        now_ns = self.stack.now_ns
        if known is not None and known[0] <= mtu and known[1] > now_ns:
            tell()
            return
        self.path_mtus[dst] = (mtu, now_ns + lifetime_ns)
        self.stack.generation += 1
        if tell():
            while len(self.path_mtus) > PATHS_AT_MOST:
                del self.path_mtus[next(iter(self.path_mtus))]
            return
        if known is None:
            self.path_mtus.pop(dst, None)
        else:
            self.path_mtus[dst] = known
        self.stack.generation += 1

    def redirect(self, dst: bytes, gateway: bytes, lifetime_ns: int) -> None:
        """A router knows a better first hop on the same link; it is taken for a while."""
        while len(self.redirects) >= PATHS_AT_MOST:
            del self.redirects[next(iter(self.redirects))]
        self.redirects[dst] = (gateway, self.stack.now_ns + lifetime_ns)
        self.stack.generation += 1

    def _redirected(self, dst: bytes, iface: Interface) -> tuple[bytes, int]:
        """The hop that a redirect has named, and until when; nothing when the link does not know it any more."""
        gateway, until_ns = self.redirects[dst]
        if until_ns <= self.stack.now_ns:
            del self.redirects[dst]
            return b"", 0
        neighbor = self.stack.neighbors.find(iface, gateway)
        return (b"", 0) if neighbor is not None and neighbor.state == FAILED else (gateway, until_ns)
