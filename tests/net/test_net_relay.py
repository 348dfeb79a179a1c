"""A bad wire: bytes are exact whatever it does, and a sandbox gets along with it about as well as the host does."""

from __future__ import annotations

from statistics import median

import pytest

from tests.net.conftest import Make
from tests.net.namespaces import FAR, NEAR
from tests.net.test_net_tcp import transfer

QUICK_SIZE, FULL_SIZE = 2_000_000, 20_000_000
LIMIT = 2.0  # times what the host needs
RATE = "--rate-mbit=100"  # a line's, so that the transport is measured and not the processor
WIRES = {
    "loss-1": ("--loss=0.01",),
    "loss-5": ("--loss=0.05",),
    "loss-10": ("--loss=0.1",),
    "reorder": ("--reorder=0.05", "--delay-ms=5"),
    "duplicate": ("--duplicate=0.05",),
    "delay": ("--delay-ms=25",),  # each way
    "all": ("--loss=0.02", "--reorder=0.02", "--duplicate=0.02", "--corrupt=0.01", "--delay-ms=5", "--jitter-ms=1"),
}
on_host: dict[tuple[str, bool], float] = {}


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("out", [True, False], ids=["out", "in"])
@pytest.mark.parametrize("kind", WIRES)
def test_bad_wire(kind: str, out: bool, place: str, make_net: Make, full: bool) -> None:
    """With --full the same transfer is done by the host, too, through the same relay with the same seed: three times
    each, and the medians are compared. What a lossy wire costs is chance."""
    if not full:
        if kind in ("loss-5", "loss-10"):
            pytest.skip("too long for a quick run")
        _transfer(make_net, kind, out, place, QUICK_SIZE)
        return
    seeds = range(1 if kind == "loss-10" else 3)  # that one takes minutes
    took_s = median(_transfer(make_net, kind, out, place, FULL_SIZE, seed) for seed in seeds)
    print(f"{kind} {place}: {took_s:.2f} s")
    if place != "host":
        if (kind, out) not in on_host:
            on_host[kind, out] = median(_transfer(make_net, kind, out, "host", FULL_SIZE, seed) for seed in seeds)
        print(f"{kind} host: {on_host[kind, out]:.2f} s")
        assert took_s < LIMIT * on_host[kind, out], f"{took_s:.2f} s, the host {on_host[kind, out]:.2f} s"


def _transfer(make_net: Make, kind: str, out: bool, place: str, size: int, seed: int = 1) -> float:
    net = make_net(RATE, *WIRES[kind], f"--seed={seed}", at=place)
    try:
        return transfer(net, size, out, NEAR, FAR, 600)
    finally:
        print(net.wire.carried())
        net.close()
