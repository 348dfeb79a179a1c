"""Neighbour discovery: the messages behind ICMPv6 133 to 137 (RFC 4861, RFC 4862).

All go with a hop limit of 255, which whoever receives them checks; packers give the message without the first four
bytes: `rest` and `payload` for icmp6.pack.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from netstack.errors import BadPacket
from netstack.wire import icmp6

HOP_LIMIT = 255
OPT_SOURCE_LINK, OPT_TARGET_LINK, OPT_PREFIX, OPT_REDIRECTED, OPT_MTU, OPT_NONCE = 1, 2, 3, 4, 5, 14
MAX_PREFIXES = 32
FOREVER_S = 0xFFFFFFFF
_ROUTER, _SOLICITED, _OVERRIDE = 1 << 31, 1 << 30, 1 << 29
_PREFIX = struct.Struct("!BBIII16s")
_ADVERTISEMENT = struct.Struct("!II")


class NeighborSolicitation(NamedTuple):
    """`source_link` is the sender's MAC; without one it checks for a duplicate (RFC 4862, 5.4.2). `nonce`: RFC 7527."""

    target: bytes
    source_link: bytes | None = None
    nonce: bytes | None = None


class NeighborAdvertisement(NamedTuple):
    target: bytes
    router: bool = False
    solicited: bool = False
    override: bool = False
    target_link: bytes | None = None


class RouterSolicitation(NamedTuple):
    source_link: bytes | None = None


class Prefix(NamedTuple):
    """Prefix information (RFC 4861, 4.6.2); lifetimes in seconds, FOREVER_S without end."""

    prefix: bytes
    length: int
    on_link: bool
    autonomous: bool
    valid_s: int
    preferred_s: int


class RouterAdvertisement(NamedTuple):
    """0 is "unspecified" for hop limit, times in ms and MTU; a router with `lifetime_s` 0 is no default router."""

    hop_limit: int
    managed: bool
    other: bool
    lifetime_s: int
    reachable_ms: int
    retransmit_ms: int
    source_link: bytes | None = None
    mtu: int = 0
    prefixes: tuple[Prefix, ...] = ()


class Redirect(NamedTuple):
    target: bytes
    destination: bytes
    target_link: bytes | None = None
    quoted: bytes = b""


Message = NeighborSolicitation | NeighborAdvertisement | RouterSolicitation | RouterAdvertisement | Redirect


def parse(message: icmp6.Icmp6) -> Message:
    """What an ICMPv6 message says; BadPacket also for one that is none of these."""
    if message.code:
        raise BadPacket("ndp code", message.code)
    try:
        reader = _READERS[message.kind]
    except KeyError:
        raise BadPacket("ndp message", message.kind)
    return reader(message.rest, message.payload)


def _options(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and whole option, with kind and length; one of length 0 makes the packet bad (RFC 4861, 4.6)."""
    at = 0
    while at < len(data):
        if at + 2 > len(data) or not data[at + 1] or at + data[at + 1] * 8 > len(data):
            raise BadPacket("ndp option length", data[at])
        end = at + data[at + 1] * 8
        yield data[at], data[at:end]
        at = end


def _target(data: memoryview) -> bytes:
    if len(data) < 16:
        raise BadPacket("ndp message is short", len(data))
    target = bytes(data[:16])
    if target[0] == 0xFF:
        raise BadPacket("ndp target is a group", target)
    return target


def _solicitation(rest: int, data: memoryview) -> NeighborSolicitation:
    target = _target(data)
    link = nonce = None
    for kind, option in _options(data[16:]):
        if kind == OPT_SOURCE_LINK:
            link = bytes(option[2:8])
        elif kind == OPT_NONCE:
            nonce = bytes(option[2:])
    return NeighborSolicitation(target, link, nonce)


def _advertisement(rest: int, data: memoryview) -> NeighborAdvertisement:
    target = _target(data)
    link = None
    for kind, option in _options(data[16:]):
        if kind == OPT_TARGET_LINK:
            link = bytes(option[2:8])
    return NeighborAdvertisement(target, bool(rest & _ROUTER), bool(rest & _SOLICITED), bool(rest & _OVERRIDE), link)


def _router_solicitation(rest: int, data: memoryview) -> RouterSolicitation:
    link = None
    for kind, option in _options(data):
        if kind == OPT_SOURCE_LINK:
            link = bytes(option[2:8])
    return RouterSolicitation(link)


def _router_advertisement(rest: int, data: memoryview) -> RouterAdvertisement:
    if len(data) < 8:
        raise BadPacket("router advertisement is short", len(data))
    reachable_ms, retransmit_ms = _ADVERTISEMENT.unpack_from(data)
    link = None
    mtu = 0
    prefixes: list[Prefix] = []
    for kind, option in _options(data[8:]):
        if kind == OPT_SOURCE_LINK:
            link = bytes(option[2:8])
        elif kind == OPT_MTU:
            mtu = int.from_bytes(option[4:8], "big")
        elif kind == OPT_PREFIX and len(option) == 32 and len(prefixes) < MAX_PREFIXES:
            length, flags, valid_s, preferred_s, _, prefix = _PREFIX.unpack_from(option, 2)
            if length <= 128 and preferred_s <= valid_s:  # RFC 4862, 5.5.3 c: ignore it otherwise
                prefixes.append(Prefix(prefix, length, bool(flags & 0x80), bool(flags & 0x40), valid_s, preferred_s))
    flags = rest >> 16 & 0xFF
    return RouterAdvertisement(
        rest >> 24, bool(flags & 0x80), bool(flags & 0x40), rest & 0xFFFF, reachable_ms, retransmit_ms, link, mtu,
        tuple(prefixes),
    )  # fmt: skip


def _redirect(rest: int, data: memoryview) -> Redirect:
    target = _target(data)
    if len(data) < 32 or data[16] == 0xFF:
        raise BadPacket("ndp redirect has no destination", len(data))
    link = None
    quoted = b""
    for kind, option in _options(data[32:]):
        if kind == OPT_TARGET_LINK:
            link = bytes(option[2:8])
        elif kind == OPT_REDIRECTED:
            quoted = bytes(option[8:])
    return Redirect(target, bytes(data[16:32]), link, quoted)


_READERS: dict[int, Callable[[int, memoryview], Message]] = {
    icmp6.NEIGHBOR_SOLICITATION: _solicitation,
    icmp6.NEIGHBOR_ADVERTISEMENT: _advertisement,
    icmp6.ROUTER_SOLICITATION: _router_solicitation,
    icmp6.ROUTER_ADVERTISEMENT: _router_advertisement,
    icmp6.REDIRECT: _redirect,
}


def _link_option(kind: int, mac: bytes | None) -> bytes:
    return b"" if mac is None else bytes((kind, 1)) + mac


def pack(message: Message) -> tuple[int, int, bytes]:
    """ICMPv6 type, second word and payload, as icmp6.pack takes them."""
    match message:
        case NeighborSolicitation(target, link, nonce):
            extra = b"" if nonce is None else bytes((OPT_NONCE, (len(nonce) + 9) // 8)) + nonce
            extra += bytes(-len(extra) & 7)
            return icmp6.NEIGHBOR_SOLICITATION, 0, target + _link_option(OPT_SOURCE_LINK, link) + extra
        case NeighborAdvertisement(target, router, solicited, override, link):
            rest = router * _ROUTER | solicited * _SOLICITED | override * _OVERRIDE
            return icmp6.NEIGHBOR_ADVERTISEMENT, rest, target + _link_option(OPT_TARGET_LINK, link)
        case RouterSolicitation(link):
            return icmp6.ROUTER_SOLICITATION, 0, _link_option(OPT_SOURCE_LINK, link)
        case RouterAdvertisement():
            return _pack_router_advertisement(message)
        case Redirect(target, destination, link, quoted):
            quote = quoted[: len(quoted) & ~7]
            option = bytes((OPT_REDIRECTED, 1 + len(quote) // 8)) + bytes(6) + quote if quote else b""
            return icmp6.REDIRECT, 0, target + destination + _link_option(OPT_TARGET_LINK, link) + option


def _pack_router_advertisement(message: RouterAdvertisement) -> tuple[int, int, bytes]:
    rest = message.hop_limit << 24 | message.managed << 23 | message.other << 22 | message.lifetime_s
    parts = [_ADVERTISEMENT.pack(message.reachable_ms, message.retransmit_ms)]
    parts.append(_link_option(OPT_SOURCE_LINK, message.source_link))
    if message.mtu:
        parts.append(struct.pack("!BBHI", OPT_MTU, 1, 0, message.mtu))
    for entry in message.prefixes:
        flags = entry.on_link << 7 | entry.autonomous << 6
        body = _PREFIX.pack(entry.length, flags, entry.valid_s, entry.preferred_s, 0, entry.prefix)
        parts.append(bytes((OPT_PREFIX, 4)) + body)
    return icmp6.ROUTER_ADVERTISEMENT, rest, b"".join(parts)
