"""Interfaces move into the stack whole, or not at all (sentry/net/attach.py)."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from netstack.errors import NetError
from netstack.stack import Stack
from sentry.net import attach, tun
from sentry.net.config import ConfigError
from tests.unit.netstack.two_hosts import chance
from tests.unit.sentry.net.test_config import GOOD


@pytest.fixture
def net() -> Any:
    stack = Stack(chance(1), lambda: None)
    return SimpleNamespace(stack=stack, enter=lambda: stack)


class Watching:
    """In place of the kernel."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(pcap_fd=-1)
        self.watched: list[int] = []

    def watch(self, fd: int, events: int, callback: object) -> None:
        self.watched.append(fd)

    def log(self, text: str) -> None:
        raise AssertionError(text)


def two() -> dict[str, Any]:
    raw = copy.deepcopy(GOOD)
    raw["interfaces"].append({**raw["interfaces"][0], "index": 8, "name": b"eth1".hex(), "wire": 1})
    return raw


def test_all_is_there(net: Any) -> None:
    kernel: Any = Watching()
    attach.attach(kernel, net, two(), [100, 101])
    assert [iface.name for iface in net.stack.interfaces.values()] == [b"lo", b"eth0", b"eth1"]
    assert kernel.watched == [100, 101] and net.stack.interface(b"eth0").up
    assert net.stack.routes.lookup(b"\x08\x08\x08\x08").gateway == b"\x0a\0\0\1"


@pytest.mark.parametrize("second", [b"eth0", b"lo", b"a/b"])
def test_nothing_is_left_of_what_does_not_fit(net: Any, second: bytes) -> None:
    raw, kernel = two(), Watching()
    raw["interfaces"][1]["name"] = second.hex()
    with pytest.raises((ConfigError, NetError)):
        attach.attach(kernel, net, raw, [100, 101])  # type: ignore[arg-type]
    assert list(net.stack.interfaces) == [1] and not kernel.watched


def test_a_tun_device_does_not_hold_its_namespace() -> None:
    """Also a persistent one goes with the last that holds the namespace."""
    link = tun.TunLink(SimpleNamespace(enter=lambda: None), 0)  # type: ignore[arg-type]
    assert not hasattr(link, "net")
