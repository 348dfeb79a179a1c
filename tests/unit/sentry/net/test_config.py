"""The network that `start` hands over is read strictly (sentry/net/config.py)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from netstack.iface import SECONDARY, TENTATIVE
from sentry.net import config

GOOD: dict[str, Any] = {
    "shared": False,
    "interfaces": [
        {"index": 7, "name": "65746830", "kind": "ether", "mac": "020000000001", "mtu": 1500, "flags": 4163,
         "ipv6": True, "wire": 0}
    ],
    "addresses": [
        {"interface": 7, "local": "0a000002", "prefix": 24, "scope": 0, "broadcast": "0a0000ff", "peer": "",
         "label": "65746830", "flags": 128, "preferred_s": -1, "valid_s": -1}
    ],
    "routes": [
        {"dst": "00000000", "prefix": 0, "interface": 7, "gateway": "0a000001", "source": "", "metric": 0,
         "table": 254, "kind": 1, "protocol": 3, "scope": 0, "tos": 0, "mtu": 0, "flags": 0}
    ],
    "neighbors": [{"interface": 7, "address": "0a000001", "mac": "020000000009"}],
}  # fmt: skip


def test_good() -> None:
    read = config.read(GOOD, 0, 1)
    assert read.interfaces[0].name == b"eth0"
    assert read.routes[0].gateway == bytes((10, 0, 0, 1))
    assert read.neighbors[0].mac == bytes.fromhex("020000000009")


def test_lifetimes_and_flags() -> None:
    raw = copy.deepcopy(GOOD)
    raw["addresses"][0].update(preferred_s=5, valid_s=9, flags=TENTATIVE | SECONDARY)
    address = config.read(raw, 1_000_000_000, 1).addresses[0][1]
    assert (address.preferred_ns, address.valid_ns, address.flags) == (6_000_000_000, 10_000_000_000, 0)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("interfaces", "index", 1), ("interfaces", "index", True), ("interfaces", "name", ""),
        ("interfaces", "name", "61" * 16), ("interfaces", "name", "xyz"), ("interfaces", "kind", "token"),
        ("interfaces", "mac", "0200"), ("interfaces", "mtu", 10), ("interfaces", "mtu", 1e3),
        ("interfaces", "wire", 1), ("interfaces", "wire", -1), ("interfaces", "ipv6", "yes"),
        ("interfaces", "flags", -1),
        ("addresses", "local", "0a00"), ("addresses", "prefix", 33), ("addresses", "interface", 8),
        ("addresses", "broadcast", "00" * 16), ("addresses", "valid_s", -2), ("addresses", "flags", None),
        ("routes", "gateway", "00" * 16), ("routes", "prefix", -1), ("routes", "kind", 0), ("routes", "dst", 5),
        ("neighbors", "mac", ""), ("neighbors", "interface", 3), ("neighbors", "address", ""),
    ],
)  # fmt: skip
def test_bad(table: str, key: str, value: object) -> None:
    raw = copy.deepcopy(GOOD)
    raw[table][0][key] = value
    with pytest.raises(config.ConfigError):
        config.read(raw, 0, 1)


@pytest.mark.parametrize("raw", [None, [], {}, {**GOOD, "routes": {}}, {**GOOD, "routes": [3]},
                                 {**GOOD, "interfaces": GOOD["interfaces"] * 2},
                                 {**GOOD, "routes": GOOD["routes"] * 5000}])  # fmt: skip
def test_bad_shape(raw: object) -> None:
    with pytest.raises(config.ConfigError):
        config.read(raw, 0, 1)
