"""The tables of options and the sockaddrs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from netstack.socket.udp import UdpSocket
from netstack.stack import Stack
from netstack.tcp.socket import TcpSocket
from sentry.abi import flags as abi
from sentry.abi.errno import EAFNOSUPPORT, EINVAL
from sentry.socket.inet import address, tables

# Known to the adapter only: kept and given back, without effect.
KEPT = set("""
    router_alert pass_security no_defragmentation receive_checksum receive_fragment_size receive_errors_rfc4884
    packet_info6_2292 receive_hop_options_2292 receive_destination_options_2292 receive_routing_header_2292
    receive_hop_limit_2292 receive_flow_info router_alert_isolate flow_info_send receive_hop_options
    receive_routing_header receive_destination_options receive_path_mtu auto_flow_label address_preferences
    fast_open_no_cookie inquire transmit_delay_us zero_copy_receive
""".split())


@pytest.fixture
def endpoints() -> list[Any]:
    stack = Stack(os.urandom, lambda: None)
    return [TcpSocket(stack, 4), UdpSocket(stack, 6)]


def test_every_name_is_one_of_the_stack_or_listed_as_kept(endpoints: list[Any]) -> None:
    stack = endpoints[0].stack
    for table in tables.LEVELS.values():
        for number, option in table.items():
            known = any(hasattr(endpoint.options, option.name) for endpoint in endpoints)
            assert known != (option.name in KEPT), (number, option.name)
            assert not option.system or hasattr(stack.settings, option.system)
    for name in tables.TOLD.values():
        assert hasattr(endpoints[1].options, name)


def test_sockaddr_in() -> None:
    raw = b"\2\0\x1f\x90\x7f\0\0\1" + bytes(8)
    assert address.parse4(raw) == (b"\x7f\0\0\1", 8080, 0, 0)
    assert address.pack(abi.AF_INET, b"\x7f\0\0\1", 8080) == raw
    with pytest.raises(EINVAL):
        address.parse4(raw[:15])
    with pytest.raises(EAFNOSUPPORT):
        address.parse4(b"\0\0" + raw[2:], unspec_any=True)
    assert address.parse4(bytes(16), unspec_any=True).host == bytes(4)


def test_sockaddr_in6() -> None:
    mapped = address.pack(abi.AF_INET6, b"\x7f\0\0\1", 80)
    assert len(mapped) == 28 and mapped[8:24] == address.MAPPED + b"\x7f\0\0\1"
    assert address.parse6(mapped).host == b"\x7f\0\0\1"
    local = bytes.fromhex("fe80" + 13 * "00" + "01")
    place = address.parse6(address.pack(abi.AF_INET6, local, 80, 7))
    assert place == (local, 80, 7, 0)
    assert address.parse6(address.pack(abi.AF_INET6, address.LOOPBACK6, 80, 7)).scope == 0
    with pytest.raises(EINVAL):
        address.parse6(mapped[:23])
    assert address.parse6(mapped[:24]).port == 80
