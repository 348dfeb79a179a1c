"""How fast: against what the path allows, and what Mathis et al. expect of a sender under random loss."""

from __future__ import annotations

import pytest

from netstack.link.fault import Faults
from tests.unit.netstack.simulation.test_transfers import Transfer
from tests.unit.netstack.simulation.world import MS, Path, World

MSS = 1448


def goodput(path: Path, size: int, algorithm: str = "cubic", back: Path | None = None, gso: bool = True) -> float:
    """Bytes per second of one transfer; the socket buffers grow as they do on Linux."""
    world = World(path, back, seed=7, gso=gso)
    for stack in world.stacks:
        stack.settings.tcp_congestion_control = algorithm
    transfer = Transfer(world, size, 0)
    return size / transfer.finish()


@pytest.mark.parametrize("algorithm", ["cubic", "reno"])
def test_clean_path_is_filled(algorithm: str) -> None:
    rate = 5_000_000
    assert goodput(Path(rate=rate, delay_ns=20 * MS), 10_000_000, algorithm) > 0.85 * rate


@pytest.mark.parametrize("algorithm", ["cubic", "reno"])
def test_shallow_queue(algorithm: str) -> None:
    """A queue of half of what the path holds: Reno's half window leaves gaps, and no more than that."""
    rate = 2_500_000
    path = Path(rate=rate, delay_ns=20 * MS, queue=50_000)
    assert goodput(path, 8_000_000, algorithm, Path(delay_ns=20 * MS)) > 0.75 * rate


@pytest.mark.parametrize("loss", [0.01, 0.05])
@pytest.mark.parametrize("algorithm", ["cubic", "reno"])
def test_random_loss(algorithm: str, loss: float) -> None:
    """MSS / RTT * sqrt(3 / 2p) (Mathis et al. 1997), of which six tenths."""
    path = Path(rate=10_000_000, delay_ns=10 * MS, faults=Faults(loss=loss))
    expected = MSS / 0.020 * (1.5 / loss) ** 0.5
    assert goodput(path, 2_000_000, algorithm, Path(delay_ns=10 * MS)) > 0.6 * expected


def test_heavy_loss_both_ways_goes_on() -> None:
    path = Path(rate=10_000_000, delay_ns=10 * MS, faults=Faults(loss=0.1))
    assert goodput(path, 500_000) > 60_000


def test_reordering_is_not_loss() -> None:
    path = Path(rate=5_000_000, delay_ns=10 * MS, faults=Faults(reorder=0.1, reorder_ns=4 * MS))
    assert goodput(path, 5_000_000, back=Path(delay_ns=10 * MS)) > 0.7 * 5_000_000


def test_long_fat_path_needs_wide_windows() -> None:
    rate = 20_000_000
    assert goodput(Path(rate=rate, delay_ns=50 * MS), 30_000_000) > 0.55 * rate


def test_marks_instead_of_losses() -> None:
    """ECN (RFC 3168): the queue stays short and nothing is lost."""
    path = Path(rate=2_500_000, delay_ns=20 * MS, queue=200_000, mark_bytes=50_000)
    world = World(path, Path(delay_ns=20 * MS))
    for stack in world.stacks:
        stack.settings.tcp_ecn = 1
    transfer = Transfer(world, 6_000_000, 0)
    assert 6_000_000 / transfer.finish() > 0.7 * 2_500_000
    assert world.pipes[0].marked > 0 and world.pipes[0].dropped == 0
