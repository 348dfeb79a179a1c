"""Who has which port: bind(2), SO_REUSEADDR and SO_REUSEPORT (socket(7)), IPV6_V6ONLY (ipv6(7)), ephemeral ports
(ip(7), ip_local_port_range; RFC 6056).

One table for each transport of a stack. A port's holders are Bindings: they outlive a socket that waits in TIME_WAIT.
Options are read when the next one asks for the port, as Linux reads them: setting SO_REUSEADDR late counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.errors import EADDRINUSE, EADDRNOTAVAIL

if TYPE_CHECKING:
    from netstack.socket.base import Options
    from netstack.stack import Stack

ANY4, ANY6 = bytes(4), bytes(16)


class Binding:
    """A port held by somebody.

    address    its own, all zeros for any; the length is the family (a v4-mapped one is 4 bytes)
    dual       the address is :: and IPv4 is taken too
    uid        whose it is: SO_REUSEPORT shares among one user's sockets only
    listening  a TCP socket that accepts connections: SO_REUSEADDR does not share with it
    explicit   it was asked for by bind(2) or inherited from such a socket; others were found for a connect
    """

    __slots__ = ("address", "dual", "explicit", "listening", "options", "port", "uid")

    def __init__(self, options: Options, address: bytes, port: int, dual: bool, uid: int, explicit: bool) -> None:
        self.options = options
        self.address = address
        self.port = port
        self.dual = dual
        self.uid = uid
        self.listening = False
        self.explicit = explicit

    def covers(self, address: bytes, dual: bool) -> bool:
        """Both would hear what is sent to some address: equal ones, or one of them takes all of a family."""
        mine = self.address
        if len(mine) == len(address):
            return mine == address or not any(mine) or not any(address)
        return self.dual or dual

    def meets(self, other: Binding) -> bool:
        """Both would hear what comes by some interface to some address."""
        mine, its = self.options.bound_iface, other.options.bound_iface
        return (not mine or not its or mine == its) and self.covers(other.address, other.dual)

    def shares_with(self, other: Binding) -> bool:
        """SO_REUSEADDR or SO_REUSEPORT lets both have the port; `other` had it first."""
        mine, its = self.options, other.options
        if mine.reuse_address and its.reuse_address and not other.listening:
            return True
        return mine.reuse_port and its.reuse_port and self.uid == other.uid


class Ports:
    """The ports of one transport. `parity` keeps bind and connect from taking each other's ephemeral ports as long as
    there are enough: binds take odd ones first, connects even ones, as Linux does for TCP."""

    __slots__ = ("_holders", "_parity", "_stack")

    def __init__(self, stack: Stack, parity: bool = False) -> None:
        self._stack = stack
        self._parity = parity
        self._holders: dict[int, dict[Binding, None]] = {}

    def bind(self, options: Options, address: bytes, port: int, dual: bool = False, uid: int = 0) -> Binding:
        """bind(2): the port asked for, or with 0 a free one. EADDRINUSE."""
        binding = Binding(options, address, port, dual, uid, explicit=True)
        if port:
            if not self._allows(binding):
                raise EADDRINUSE
        else:
            binding.port = self._search(1, lambda port: self._unheard(binding, port))
            if not binding.port:
                raise EADDRINUSE
        self._hold(binding)
        return binding

    def bind_to_connect(
        self, options: Options, address: bytes, free: Callable[[int], bool], dual: bool = False, uid: int = 0
    ) -> Binding:
        """A local port for a connection: ports of other connections are shared as long as `free(port)`, which knows
        the four-tuples; those of a bind(2) are not. EADDRNOTAVAIL."""
        holders = self._holders

        def usable(port: int) -> bool:
            held = holders.get(port)
            if held is None:
                return True
            # The first holder decides, as it does for Linux' buckets: a listener's port has 10 000 of them.
            return not next(iter(held)).explicit and free(port)

        port = self._search(0, usable)
        if not port:
            raise EADDRNOTAVAIL
        binding = Binding(options, address, port, dual, uid, explicit=False)
        self._hold(binding)
        return binding

    def inherit(self, parent: Binding, options: Options, address: bytes) -> Binding:
        """What an accepted connection has of its listener's port: it keeps others from the port after the listener's
        end, unless both say SO_REUSEADDR."""
        binding = Binding(options, address, parent.port, False, parent.uid, explicit=True)
        self._hold(binding)
        return binding

    def listen(self, binding: Binding) -> None:
        """listen(2): a port that was shared by SO_REUSEADDR has one listener only. EADDRINUSE."""
        if not self._allows(binding):
            raise EADDRINUSE
        binding.listening = True

    def release(self, binding: Binding) -> None:
        held = self._holders.get(binding.port)
        if held is not None and binding in held:
            del held[binding]
            if not held:
                del self._holders[binding.port]

    def taken(self, port: int) -> bool:
        """Somebody holds the port, by whatever address."""
        return port in self._holders

    def _hold(self, binding: Binding) -> None:
        self._holders.setdefault(binding.port, {})[binding] = None

    def _allows(self, binding: Binding) -> bool:
        for other in self._holders.get(binding.port, ()):
            if other is not binding and binding.meets(other) and not binding.shares_with(other):
                return False
        return True

    def _unheard(self, binding: Binding, port: int) -> bool:
        """Nobody else hears at this port: what was not asked for by number is never shared."""
        return not any(binding.meets(other) for other in self._holders.get(port, ()))

    def _search(self, parity: int, usable: Callable[[int], bool]) -> int:
        """The first usable ephemeral port from a random one on, 0 when there is none: each is looked at once."""
        settings = self._stack.settings
        low, high = settings.ip_local_port_range
        reserved = settings.ip_local_reserved_ports
        random = int.from_bytes(self._stack.random(4))
        if self._parity:
            halves = [(low + ((low ^ half) & 1), 2) for half in (parity, parity ^ 1)]
        else:
            halves = [(low, 1)]
        for first, stride in halves:
            count = (high - first) // stride + 1
            for step in range(count):
                port = first + stride * ((random + step) % count)
                if not any(begin <= port <= end for begin, end in reserved) and usable(port):
                    return port
        return 0
