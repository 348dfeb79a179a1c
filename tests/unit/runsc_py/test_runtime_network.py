"""What `start` reads in a network namespace, takes away there, and puts back (rtnetlink(7)); on one of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from runsc_py.host.linux import LinuxHost
from runsc_py.host.network import open_namespace
from runsc_py.host.rtnetlink import Rtnetlink
from runsc_py.sandbox import network
from runsc_py.sandbox.directory import Directory
from runsc_py.sandbox.interfaces import Found
from runsc_py.sandbox.process import has_interfaces
from sentry.net import config

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
MAC = "02:00:00:00:12:34"


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"runsc-py-{os.getpid()}"
    ip("netns", "add", name)
    try:
        yield name
    finally:
        ip("netns", "del", name)


@pytest.fixture
def furnished(namespace: str) -> str:
    def inside(words: str) -> None:
        ip("-n", namespace, *words.split())

    inside("link set lo up")
    inside("link add far type veth peer name eth0")
    inside(f"link set eth0 address {MAC} mtu 1400 up")
    inside("link set far up")
    inside("link add dark type veth peer name darker")
    inside("addr add 10.99.1.2/24 broadcast 10.99.1.255 dev eth0")
    inside("addr add 10.99.1.3/24 dev eth0")
    inside("addr add fd99::2/64 dev eth0 nodad")
    inside("addr add fd99::3/64 dev eth0 nodad valid_lft 1000 preferred_lft 500")
    inside("addr add 127.0.0.9/8 dev lo")
    inside("route add default via 10.99.1.1")
    inside("route add 10.98.0.0/16 via 10.99.1.7 metric 77 src 10.99.1.3 mtu 1300")
    inside("route add blackhole 10.97.0.0/16")
    inside("route add 10.96.0.0/16 table 123 dev eth0")
    inside("-6 route add default via fd99::1")
    inside("neigh add 10.99.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent")
    inside("neigh add 10.99.1.4 lladdr 02:00:00:00:00:04 dev eth0 nud stale")
    return namespace


def found_in(name: str) -> dict[str, Any]:
    with network.Inside(LinuxHost(), open_namespace(f"/run/netns/{name}")):
        netlink = Rtnetlink()
        found = Found(netlink)
        netlink.close()
    for number, interface in enumerate(found.interfaces):
        interface["wire"] = number
    return cast("dict[str, Any]", json.loads(json.dumps({**found.description(), "shared": False})))


def test_the_loopback_alone(namespace: str) -> None:
    assert found_in(namespace)["interfaces"] == []


def test_interfaces(furnished: str) -> None:
    """Those that are up: `dark` is not."""
    found = {bytes.fromhex(i["name"]): i for i in found_in(furnished)["interfaces"]}
    assert set(found) == {b"eth0", b"far"}
    assert (found[b"eth0"]["mac"], found[b"eth0"]["mtu"]) == (MAC.replace(":", ""), 1400)
    assert found[b"eth0"]["ipv6"] is True


def test_all_of_it_as_the_sentry_reads_it(furnished: str) -> None:
    read = config.read(found_in(furnished), 0, 2)
    eth0 = next(wire for wire in read.interfaces if wire.name == b"eth0")
    assert (eth0.kind, eth0.mtu, eth0.mac) == ("ether", 1400, bytes.fromhex(MAC.replace(":", "")))
    addresses = {a.local: a for number, a in read.addresses if number == eth0.number}
    assert {bytes((10, 99, 1, 2)), bytes((10, 99, 1, 3)), bytes.fromhex("fd99" + "00" * 13 + "02")} <= set(addresses)
    first = addresses[bytes((10, 99, 1, 2))]
    assert (first.prefix, first.broadcast, first.label, first.valid_ns) == (24, bytes((10, 99, 1, 255)), b"eth0", None)
    fading = addresses[bytes.fromhex("fd99" + "00" * 13 + "03")]
    assert fading.valid_ns is not None and 900e9 < fading.valid_ns <= 1000e9
    assert fading.preferred_ns is not None and fading.preferred_ns <= 500e9
    assert (1, bytes((127, 0, 0, 9))) in [(number, a.local) for number, a in read.addresses]
    routes = {(r.dst, r.prefix, r.table): r for r in read.routes}
    default = routes[bytes(4), 0, 254]
    assert (default.gateway, default.oif, default.kind) == (bytes((10, 99, 1, 1)), eth0.number, 1)
    special = routes[bytes((10, 98, 0, 0)), 16, 254]
    assert (special.metric, special.source, special.mtu) == (77, bytes((10, 99, 1, 3)), 1300)
    assert routes[bytes((10, 97, 0, 0)), 16, 254].kind == 6
    assert routes[bytes((10, 96, 0, 0)), 16, 123].oif == eth0.number
    assert routes[bytes(16), 0, 254].gateway == bytes.fromhex("fd99" + "00" * 13 + "01")
    assert not any(r.table == 255 for r in read.routes)
    assert read.neighbors == [(eth0.number, bytes((10, 99, 1, 1)), bytes.fromhex("020000000001"))]


def test_a_multipath_route_becomes_one_for_each_next_hop(furnished: str) -> None:
    hops = ["nexthop", "via", "10.99.1.8", "nexthop", "via", "10.99.1.9"]
    ip("-n", furnished, "route", "add", "10.95.0.0/16", *hops)
    routes = [r for r in config.read(found_in(furnished), 0, 2).routes if r.dst == bytes((10, 95, 0, 0))]
    assert [r.gateway for r in routes] == [bytes((10, 99, 1, 8)), bytes((10, 99, 1, 9))]


def shown(name: str) -> list[str]:
    """Addresses and routes, without what passes by itself."""
    text = ip("-n", name, "-o", "addr") + ip("-n", name, "route", "show", "table", "all")
    text += ip("-n", name, "-6", "route", "show", "table", "all")
    lines = [" ".join(line.split()) for line in text.splitlines() if "fe80:" not in line and "ff00::/8" not in line]
    return sorted(line.replace("linkdown ", "").partition("valid_lft")[0] for line in lines if "anycast" not in line)


def test_taken_and_given_back(furnished: str, tmp_path: Path) -> None:
    path = f"/run/netns/{furnished}"
    before = shown(furnished)
    directory = Directory.create(str(tmp_path), "one")
    with network.Inside(LinuxHost(), open_namespace(path)):
        netlink = Rtnetlink()
        found = Found(netlink)
        network._write_note(f"{directory.path}/network", {
            "namespace": network._identity(path), "taken": found.taken(), "ipv6": found.with_ipv6,
        })  # fmt: skip
        found.take_away(netlink)
        netlink.close()
    assert "eth0" not in "".join(shown(furnished))
    assert "127.0.0.1/8" in ip("-n", furnished, "-o", "addr")  # nobody else's business
    network.give_back(directory, path)
    assert shown(furnished) == before


def test_not_given_to_another_namespace(furnished: str, tmp_path: Path) -> None:
    directory = Directory.create(str(tmp_path), "one")
    before = shown(furnished)
    with network.Inside(LinuxHost(), open_namespace(f"/run/netns/{furnished}")):
        netlink = Rtnetlink()
        found = Found(netlink)
        network._write_note(f"{directory.path}/network", {"namespace": [1, 2], "taken": found.taken(), "ipv6": []})
        found.take_away(netlink)
        netlink.close()
    network.give_back(directory, f"/run/netns/{furnished}")
    assert shown(furnished) != before


def test_a_wire_hears_the_interface_and_sends_on_it(furnished: str) -> None:
    indexes = {bytes.fromhex(i["name"]): i["index"] for i in found_in(furnished)["interfaces"]}
    with network.Inside(LinuxHost(), open_namespace(f"/run/netns/{furnished}")):
        near, far = network.open_wire(indexes[b"eth0"]), network.open_wire(indexes[b"far"])
    frame = b"\xff" * 6 + bytes.fromhex(MAC.replace(":", "")) + b"\x88\xb5" + b"x" * 50
    os.write(near, bytes(10) + frame)
    for _ in range(100):
        try:
            text = os.read(far, 70000)
        except BlockingIOError:
            break
        if text[10:] == frame:
            break
    else:
        text = b""
    assert text[10:] == frame
    os.close(near)
    os.close(far)


def test_who_has_interfaces(furnished: str) -> None:
    for name, expected in ((furnished, True),):
        child = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "30"])
        try:
            for _ in range(100):
                if os.readlink(f"/proc/{child.pid}/ns/net") != os.readlink("/proc/self/ns/net"):
                    break
                subprocess.run(["sleep", "0.02"], check=True)
            assert has_interfaces(child.pid) is expected
            assert network.is_private(child.pid)
        finally:
            child.kill()
            child.wait()
    assert not network.is_private(os.getpid())
    assert not has_interfaces(1 << 30)
