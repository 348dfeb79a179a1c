"""The network that `start` hands over, from JSON to values (runsc_py/sandbox/interfaces.py writes it).

Whoever may speak on the control socket is trusted; what comes is read strictly all the same, since interfaces have
names and numbers from the host, and nothing half-understood may become a route. Addresses are hexadecimal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from netstack.iface import DADFAILED, OPTIMISTIC, SECONDARY, TENTATIVE, Address
from netstack.route import Route

INTERFACES_AT_MOST = 64
ENTRIES_AT_MOST = 4096  # of each other kind
U32 = 0xFFFFFFFF
S_NS = 1_000_000_000
LOOPBACK = 1

T = TypeVar("T")


class ConfigError(ValueError):
    """What does not fit; the text says where."""


class Wire(NamedTuple):
    """An interface; `number` is the host's index, `wire` the place of its descriptor among those that came along."""

    number: int
    name: bytes
    kind: str
    mac: bytes
    mtu: int
    flags: int
    ipv6: bool
    wire: int


class Neighbor(NamedTuple):
    number: int
    address: bytes
    mac: bytes


class NetworkConfig(NamedTuple):
    """Interfaces are named by the host's index throughout. `shared`: another sandbox is on them, too."""

    interfaces: list[Wire]
    addresses: list[tuple[int, Address]]
    routes: list[Route]
    neighbors: list[Neighbor]
    shared: bool


class _Entry:
    """A JSON object, with what it must hold."""

    __slots__ = ("what", "_raw")

    def __init__(self, raw: object, what: str) -> None:
        if not isinstance(raw, dict):
            raise ConfigError(f"{what}: not an object")
        self._raw = raw
        self.what = what

    def number(self, name: str, low: int = 0, high: int = U32) -> int:
        value = self._raw.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(f"{self.what}: {name}: {value!r}")
        return value

    def octets(self, name: str, *lengths: int) -> bytes:
        """Of one of these lengths; any for none."""
        value = self._raw.get(name)
        try:
            octets = bytes.fromhex(value) if isinstance(value, str) else None
        except ValueError:
            octets = None
        if octets is None or lengths and len(octets) not in lengths:
            raise ConfigError(f"{self.what}: {name}: {value!r}")
        return octets

    def choice(self, name: str, among: tuple[object, ...]) -> object:
        value = self._raw.get(name)
        if value not in among:
            raise ConfigError(f"{self.what}: {name}: {value!r}")
        return value

    def entries(self, name: str, read: Callable[[_Entry], T], at_most: int) -> list[T]:
        value = self._raw.get(name)
        if not isinstance(value, list) or len(value) > at_most:
            raise ConfigError(f"{self.what}: {name}: not a list, or too long")
        return [read(_Entry(item, f"{name}[{number}]")) for number, item in enumerate(value)]


def read(raw: object, now_ns: int, wires: int) -> NetworkConfig:
    """`wires` descriptors came along; lifetimes become ends on the stack's clock."""
    top = _Entry(raw, "network")
    config = NetworkConfig(
        top.entries("interfaces", lambda entry: _interface(entry, wires), INTERFACES_AT_MOST),
        top.entries("addresses", lambda entry: _address(entry, now_ns), ENTRIES_AT_MOST),
        top.entries("routes", _route, ENTRIES_AT_MOST),
        top.entries("neighbors", _neighbor, ENTRIES_AT_MOST),
        bool(top.choice("shared", (True, False))),
    )
    known = {LOOPBACK, *(wire.number for wire in config.interfaces)}
    if len({wire.wire for wire in config.interfaces}) != len(config.interfaces) or len(known) <= len(config.interfaces):
        raise ConfigError("interfaces: the same twice")
    named = {index for index, _ in config.addresses} | {neighbor.number for neighbor in config.neighbors}
    if not named <= known:
        raise ConfigError("an interface that is not there")
    return config


def _interface(entry: _Entry, wires: int) -> Wire:
    kind = str(entry.choice("kind", ("ether", "none")))
    return Wire(
        entry.number("index", 2, 0x7FFFFFFF),
        entry.octets("name", *range(1, 16)),
        kind,
        entry.octets("mac", 6 if kind == "ether" else 0),
        entry.number("mtu", 68, 65535),
        entry.number("flags"),
        bool(entry.choice("ipv6", (True, False))),
        entry.number("wire", 0, wires - 1),
    )


def _address(entry: _Entry, now_ns: int) -> tuple[int, Address]:
    local = entry.octets("local", 4, 16)
    size = len(local)
    preferred, valid = (entry.number(name, -1) for name in ("preferred_s", "valid_s"))
    # the host has found it to be free, or would be about to; the stack tells by itself which are secondaries
    flags = entry.number("flags") & ~(TENTATIVE | OPTIMISTIC | DADFAILED | SECONDARY)
    return entry.number("interface", 1), Address(
        local,
        entry.number("prefix", 0, size * 8),
        entry.number("scope", 0, 255),
        entry.octets("broadcast", 0, size) or None,
        entry.octets("peer", 0, size) or None,
        entry.octets("label", *range(16)),
        flags,
        None if preferred < 0 else now_ns + preferred * S_NS,
        None if valid < 0 else now_ns + valid * S_NS,
    )


def _route(entry: _Entry) -> Route:
    dst = entry.octets("dst", 4, 16)
    size = len(dst)
    return Route(
        dst,
        entry.number("prefix", 0, size * 8),
        entry.number("interface"),
        entry.octets("gateway", 0, size),
        entry.octets("source", 0, size),
        entry.number("metric"),
        entry.number("table"),
        entry.number("kind", 1, 11),
        entry.number("protocol", 0, 255),
        entry.number("scope", 0, 255),
        entry.number("tos", 0, 255),
        entry.number("mtu"),
        entry.number("flags", 0, 255),
    )


def _neighbor(entry: _Entry) -> Neighbor:
    return Neighbor(entry.number("interface", 2), entry.octets("address", 4, 16), entry.octets("mac", 6))
