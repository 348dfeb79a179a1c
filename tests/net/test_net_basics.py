"""Interoperation with the host's stack over a wire: ping, routes of two hops, UDP, multicast, resets."""

from __future__ import annotations

import hashlib

import pytest

from tests.net.conftest import Net
from tests.net.namespaces import BEYOND, BEYOND6, DEVICE, FAR, FAR6, NEAR, NEAR6

FAMILIES = pytest.mark.parametrize(("near", "far"), [(NEAR, FAR), (NEAR6, FAR6)], ids=["ipv4", "ipv6"])
UDP_SIZES = ("0", "1", "1000", "1472", "1473", "4000", "20000", "60000")


@FAMILIES
def test_ping_out(net: Net, near: str, far: str) -> None:
    net.need("ping")
    for size in ("56", "4000"):
        done = net.near.run("ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", size, far)
        assert done.status == 0 and "2 received" in done.output, done.output


@FAMILIES
def test_ping_in(net: Net, near: str, far: str) -> None:
    net.need("ping")
    net.near.begin("sh", "-c", "echo running; sleep 60").until("running\n")
    for size in ("56", "8000"):
        done = net.far.run("ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", size, near)
        assert done.status == 0 and "2 received" in done.output, done.output


@pytest.mark.parametrize(("router", "beyond"), [(FAR, BEYOND), (FAR6, BEYOND6)], ids=["ipv4", "ipv6"])
def test_two_hops(net: Net, router: str, beyond: str) -> None:
    """What the router in between says comes to the program, and what is beyond it answers."""
    net.need("ping")
    net.add_beyond()
    done = net.near.run("ping", "-c", "1", "-W", "2", "-t", "1", beyond)
    assert "Time to live exceeded" in done.output or "Hop limit" in done.output, done.output
    assert router in done.output
    done = net.near.run("ping", "-c", "1", "-W", "2", "-t", "2", beyond)
    assert done.status == 0, done.output


@pytest.mark.parametrize(("router", "beyond"), [(FAR, BEYOND), (FAR6, BEYOND6)], ids=["ipv4", "ipv6"])
def test_traceroute(net: Net, router: str, beyond: str) -> None:
    net.need("traceroute")
    net.add_beyond()
    for method in ((), ("-I",), ("-T", "-p", "80")):
        done = net.near.run("traceroute", *method, "-n", "-q", "1", "-w", "2", "-m", "5", beyond)
        hops = [line.split()[1] for line in done.output.splitlines()[1:]]
        assert hops == [router, beyond], done.output


@FAMILIES
def test_udp_out(net: Net, near: str, far: str) -> None:
    server = net.far.peer("echo_udp", far, "5000")
    asked = net.near.run_peer("ask_udp", far, "5000", *UDP_SIZES)
    assert asked.output == f"asked {len(UDP_SIZES)}, then refused\n"
    assert f"echoed {len(UDP_SIZES)}" in server.wait(10).output


@FAMILIES
def test_udp_in(net: Net, near: str, far: str) -> None:
    """The server stays where it is until it has been asked: its interface goes with the sandbox."""
    server = net.near.begin("sh", "-c", f"python3 /mnt/peers.py echo_udp {near} 5000; sleep 20")
    server.until("listening\n")
    asked = net.far.run_peer("ask_udp", near, "5000", *UDP_SIZES)
    assert asked.output == f"asked {len(UDP_SIZES)}, then refused\n"
    assert f"echoed {len(UDP_SIZES)}" in server.output


GROUPS = [
    ("239.77.0.1", NEAR, FAR, NEAR, FAR),
    ("255.255.255.255", NEAR, FAR, NEAR, FAR),
    ("ff15::77", DEVICE, DEVICE, NEAR6, FAR6),
    ("ff12::77", DEVICE, DEVICE, "fe80:", "fe80:"),
]
BY_GROUP = pytest.mark.parametrize(
    ("group", "near", "far", "from_near", "from_far"), GROUPS, ids=["ip", "all", "ip6", "ip6-link"]
)


@pytest.mark.parametrize(
    ("group", "near", "far", "from_near", "from_far"), GROUPS, ids=["ip", "all", "ip6", "ip6-link"]
)
def test_multicast_out(net: Net, group: str, near: str, far: str, from_near: str, from_far: str) -> None:
    hearer = net.far.peer("hear", group, "5001", far)
    told = net.near.run_peer("tell", group, "5001", near, "hello")
    assert told.output == "told\n"
    assert f"heard hello from {from_near}" in hearer.wait(10).output


@pytest.mark.parametrize(
    ("group", "near", "far", "from_near", "from_far"), GROUPS, ids=["ip", "all", "ip6", "ip6-link"]
)
def test_multicast_in(net: Net, group: str, near: str, far: str, from_near: str, from_far: str) -> None:
    hearer = net.near.peer("hear", group, "5001", near)
    net.far.peer("tell", group, "5001", far, "hello", ready="")
    assert f"heard hello from {from_far}" in hearer.wait(10).output


@FAMILIES
def test_nobody_listens(net: Net, near: str, far: str) -> None:
    assert net.near.run_peer("refused", far, "6000", "6001").output == "ECONNREFUSED\n" * 2
    net.near.begin("sh", "-c", "echo running; sleep 60").until("running\n")
    assert net.far.run_peer("refused", near, "6000", "6001").output == "ECONNREFUSED\n" * 2


def test_nobody_is_there(net: Net) -> None:
    assert net.near.run_peer("refused", "10.77.0.99", "6000").output == "EHOSTUNREACH\n"
    assert net.near.run_peer("refused", "fd77::99", "6000").output == "EHOSTUNREACH\n"


@FAMILIES
def test_half_close(net: Net, near: str, far: str) -> None:
    expected = (200_000, hashlib.sha256(b"b" * 200_000).hexdigest())
    net.far.peer("answer_half", far, "5002")
    assert net.near.run_peer("half", far, "5002").output == f"answer {expected}\n"
    net.near.peer("answer_half", near, "5002")
    assert net.far.run_peer("half", near, "5002").output == f"answer {expected}\n"


@FAMILIES
def test_resets(net: Net, near: str, far: str) -> None:
    net.far.peer("reset", far, "5003")
    assert net.near.run_peer("see_reset", far, "5003").output == "ECONNRESET\nECONNRESET\n"
    net.near.peer("reset", near, "5003")
    assert net.far.run_peer("see_reset", near, "5003").output == "ECONNRESET\nECONNRESET\n"


@pytest.mark.parametrize("beyond", [BEYOND, BEYOND6], ids=["ipv4", "ipv6"])
def test_narrow_path(net: Net, beyond: str) -> None:
    """A router on the way takes less than the first link: its "too big" is heeded, for UDP and for TCP."""
    far = net.add_beyond(mtu=1300)
    far.peer("echo_udp", beyond, "5004")
    asked = net.near.run_peer("small_mtu", beyond, "5004", "1400")
    assert asked.output == "came back 1400\nmtu 1300\n"
    sink = far.peer("sink", beyond, "5005")
    assert "sent 300000" in net.near.run_peer("source", beyond, "5005", "300000").output
    assert "received 300000" in sink.wait(10).output
