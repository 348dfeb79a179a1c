"""TCP between a sandbox and the host's stack: large transfers checked by their sums, many connections, short ones."""

from __future__ import annotations

import pytest

from tests.net.conftest import Make, Net
from tests.net.namespaces import FAR, FAR6, NEAR, NEAR6
from tests.net.peers import digest_of

FAMILIES = pytest.mark.parametrize(("near", "far"), [(NEAR, FAR), (NEAR6, FAR6)], ids=["ipv4", "ipv6"])
QUICK_SIZE, FULL_SIZE = 30_000_000, 1 << 30


def transfer(net: Net, size: int, out: bool, near: str, far: str, timeout_s: float) -> float:
    """Send `size` bytes one way; the sum must be right. The seconds that it took, by the receiver's clock."""
    sender, receiver, address = (net.near, net.far, far) if out else (net.far, net.near, near)
    sink = receiver.peer("sink", address, "5100")
    sent = sender.run_peer("source", address, "5100", str(size), timeout_s=timeout_s)
    assert f"sent {size}\n" in sent.output, sent.output + sink.output
    got = sink.wait(30).output
    assert f"received {size} {digest_of(size)}\n" in got
    return float(got.partition("took ")[2])


@FAMILIES
@pytest.mark.parametrize("out", [True, False], ids=["out", "in"])
@pytest.mark.timeout(600)
def test_transfer(net: Net, near: str, far: str, out: bool, full: bool) -> None:
    transfer(net, FULL_SIZE if full else QUICK_SIZE, out, near, far, 500)


@pytest.mark.parametrize("out", [True, False], ids=["out", "in"])
@pytest.mark.timeout(600)
def test_short_connections(net: Net, out: bool, full: bool) -> None:
    """One after the other; each leaves a TIME_WAIT behind."""
    count = str(10_000 if full else 300)
    client, server, address = (net.near, net.far, FAR) if out else (net.far, net.near, NEAR)
    serving = server.peer("serve", address, "5101", count)
    asked = client.run_peer("short", address, "5101", count, "3000", timeout_s=500)
    assert f"done {count}" in asked.output, asked.output
    assert f"served {count}" in serving.wait(20).output


@pytest.mark.parametrize("out", [True, False], ids=["out", "in"])
@pytest.mark.timeout(300)
def test_many_at_once(net: Net, out: bool) -> None:
    count = "500"
    client, server, address = (net.near, net.far, FAR6) if out else (net.far, net.near, NEAR6)
    serving = server.peer("serve", address, "5102", count)
    asked = client.run_peer("together", address, "5102", count, "20000", timeout_s=200)
    assert f"done {count}" in asked.output, asked.output
    assert f"served {count}" in serving.wait(20).output


def test_last_words(make_net: Make) -> None:
    """What a program has sent arrives although it has ended, and a sandbox with it."""
    net = make_net("--delay-ms=20")
    sink = net.far.peer("sink", FAR, "5103")
    assert net.near.run_peer("blurt", FAR, "5103", "100000").output == ""
    assert f"received 100000 {digest_of(100_000)}\n" in sink.wait(20).output


@pytest.mark.parametrize("mtu", [1280, 9000])
def test_other_mtus(make_net: Make, mtu: int) -> None:
    net = make_net(mtu=mtu)
    for out in (True, False):
        transfer(net, 3_000_000, out, NEAR, FAR, 60)
