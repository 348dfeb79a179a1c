"""netstack.ports: what bind(2) allows, as man 7 socket, ip and ipv6 and Linux have it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import EADDRINUSE, EADDRNOTAVAIL
from netstack.ports import ANY4, ANY6, Binding, Ports
from netstack.settings import Settings
from netstack.socket.base import Options

A4, B4, A6, B6 = b"\x0a\0\0\1", b"\x0a\0\0\2", b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"


class FakeStack:
    """What Ports and Options ask of a stack."""

    def __init__(self, low: int = 32768, high: int = 60999) -> None:
        self.settings = Settings()
        self.settings.ip_local_port_range = (low, high)
        self._count = itertools.count(7, 13)

    def random(self, size: int) -> bytes:
        return (next(self._count) * 2654435761 % 2**32).to_bytes(4)[:size]


def make(low: int = 32768, high: int = 60999, parity: bool = False) -> tuple[Ports, Callable[..., Options]]:
    stack: Any = FakeStack(low, high)

    def options(**wanted: Any) -> Options:
        made = Options(stack)
        for name, value in wanted.items():
            assert hasattr(made, name)
            setattr(made, name, value)
        return made

    return Ports(stack, parity), options


def dual(address: bytes, v6only: bool = False) -> bool:
    return address == ANY6 and not v6only


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ((A4, False), (A4, False), True),
        ((A4, False), (B4, False), False),
        ((A4, False), (ANY4, False), True),
        ((ANY4, False), (A4, False), True),
        ((ANY4, False), (ANY4, False), True),
        ((A6, False), (B6, False), False),
        ((A6, False), (ANY6, False), True),
        ((A6, False), (ANY6, True), True),
        ((ANY6, False), (ANY4, False), True),
        ((ANY6, False), (A4, False), True),
        ((ANY6, True), (ANY4, False), False),
        ((ANY6, True), (A4, False), False),
        ((A6, False), (ANY4, False), False),
        ((A6, False), (A4, False), False),
    ],
)
def test_which_addresses_meet(first: tuple[bytes, bool], second: tuple[bytes, bool], clash: bool) -> None:
    for one, other in ((first, second), (second, first)):
        ports, options = make()
        ports.bind(options(), one[0], 53, dual(*one))
        if clash:
            with pytest.raises(EADDRINUSE):
                ports.bind(options(), other[0], 53, dual(*other))
        else:
            ports.bind(options(), other[0], 53, dual(*other))
        ports.bind(options(), other[0], 54, dual(*other))


def test_reuse_address_must_be_set_on_both_and_counts_when_set_late() -> None:
    ports, options = make()
    first = options()
    ports.bind(first, ANY4, 80)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(reuse_address=True), ANY4, 80)
    first.reuse_address = True
    ports.bind(options(reuse_address=True), ANY4, 80)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), ANY4, 80)


def test_reuse_address_does_not_share_with_a_listener() -> None:
    ports, options = make()
    first = ports.bind(options(reuse_address=True), ANY4, 80)
    second = ports.bind(options(reuse_address=True), A4, 80)
    ports.listen(first)
    with pytest.raises(EADDRINUSE):
        ports.listen(second)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(reuse_address=True), B4, 80)
    ports.release(first)
    ports.listen(second)


def test_reuse_port_shares_among_one_users_sockets_listening_or_not() -> None:
    ports, options = make()
    ports.listen(ports.bind(options(reuse_port=True), ANY4, 80, uid=5))
    ports.listen(ports.bind(options(reuse_port=True), ANY4, 80, uid=5))
    with pytest.raises(EADDRINUSE):
        ports.bind(options(reuse_port=True), ANY4, 80, uid=6)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), ANY4, 80, uid=5)


def test_bound_interfaces_keep_sockets_apart() -> None:
    ports, options = make()
    ports.bind(options(bound_iface=1), ANY4, 68)
    ports.bind(options(bound_iface=2), ANY4, 68)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(bound_iface=1), A4, 68)
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), ANY4, 68)


def test_a_connection_keeps_its_listeners_port() -> None:
    ports, options = make()
    listener = ports.bind(options(reuse_address=True), ANY4, 80)
    ports.listen(listener)
    child = ports.inherit(listener, listener.options, A4)
    ports.release(listener)
    ports.release(listener)  # twice does no harm
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), ANY4, 80)
    again = ports.bind(options(reuse_address=True), ANY4, 80)
    ports.listen(again)
    ports.release(child)
    ports.release(again)
    assert not ports.taken(80)


def test_ephemeral_ports_end() -> None:
    ports, options = make(40000, 40009)
    found = {ports.bind(options(reuse_address=True, reuse_port=True), ANY4, 0).port for _ in range(10)}
    assert found == set(range(40000, 40010))
    with pytest.raises(EADDRINUSE):
        ports.bind(options(reuse_address=True, reuse_port=True), ANY4, 0)
    with pytest.raises(EADDRNOTAVAIL):
        ports.bind_to_connect(options(), ANY4, lambda port: True)


def test_reserved_ports_are_left_alone() -> None:
    ports, options = make(40000, 40009)
    ports._stack.settings.ip_local_reserved_ports = ((40001, 40003), (40007, 40007))
    assert {ports.bind(options(), ANY4, 0).port for _ in range(6)} == {40000, 40004, 40005, 40006, 40008, 40009}
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), ANY4, 0)
    ports.bind(options(), ANY4, 40002)


def test_parity_keeps_binds_and_connects_apart_at_first() -> None:
    ports, options = make(40000, 40009, parity=True)
    assert {ports.bind(options(), ANY4, 0).port & 1 for _ in range(5)} == {1}
    assert {ports.bind_to_connect(options(), A4, lambda port: False).port & 1 for _ in range(5)} == {0}
    ports, options = make(40001, 40004, parity=True)
    assert {ports.bind(options(), ANY4, 0).port for _ in range(4)} == {40001, 40002, 40003, 40004}
    ports, options = make(40001, 40001, parity=True)
    assert ports.bind_to_connect(options(), A4, lambda port: True).port == 40001


def test_connections_share_ports_by_their_four_tuples() -> None:
    ports, options = make(40000, 40001)
    used: set[tuple[int, str]] = set()

    def connect(peer: str) -> int:
        port = ports.bind_to_connect(options(), A4, lambda port: (port, peer) not in used).port
        used.add((port, peer))
        return port

    assert {connect("x"), connect("x")} == {40000, 40001}
    assert {connect("y"), connect("y")} == {40000, 40001}
    with pytest.raises(EADDRNOTAVAIL):
        connect("x")
    with pytest.raises(EADDRINUSE):
        ports.bind(options(), A4, 40000)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_two_unwilling_sockets_hear_the_same(data: st.DataObject) -> None:
    ports, options = make(40000, 40003)
    held: list[Binding] = []
    for _ in range(data.draw(st.integers(1, 15))):
        if data.draw(st.booleans()) and held:
            ports.release(held.pop(data.draw(st.integers(0, len(held) - 1))))
            continue
        address = data.draw(st.sampled_from([ANY4, A4, B4, ANY6, A6]))
        wanted = options(
            reuse_address=data.draw(st.booleans()),
            reuse_port=data.draw(st.booleans()),
            bound_iface=data.draw(st.sampled_from([0, 0, 1, 2])),
        )
        port = data.draw(st.sampled_from([0, 40000, 40001, 9]))
        try:
            binding = ports.bind(wanted, address, port, dual(address, data.draw(st.booleans())), 0)
        except EADDRINUSE:
            rivals = [other for other in held if not port or other.port == port]
            assert rivals
            continue
        assert binding.port == port or (not port and 40000 <= binding.port <= 40003)
        for other in held:
            if other.port == binding.port and other.meets(binding):
                both = other.options.reuse_address and wanted.reuse_address
                assert port, "an ephemeral port is nobody else's"
                assert both or (other.options.reuse_port and wanted.reuse_port)
        held.append(binding)
    assert {port for port in (*range(40000, 40004), 9) if ports.taken(port)} == {binding.port for binding in held}
