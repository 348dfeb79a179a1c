"""Fixtures of the network tests: `net` is a wire with a program's place at each end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, runtime
from tests.net.namespaces import Wire
from tests.net.sides import Host, Sandbox, Side

sys.path.insert(0, str(PROJECT / "tools"))

from provision import debian_root


class Net:
    """`near` is the host or a sandbox, as the parameter `place` says; `far` always is on the host's stack."""

    def __init__(self, place: str, root: Path, scratch: Path, *faults: str, mtu: int = 1500) -> None:
        self.wire = Wire(*faults, mtu=mtu)
        self.near: Side = (Host if place == "host" else Sandbox)(self.wire.near, root, scratch / "near" / "work")
        self.far = Host(self.wire.far, root, scratch / "far" / "work")
        self.root, self.scratch = root, scratch
        self._beyond: Host | None = None

    def add_beyond(self, mtu: int = 1500) -> Host:
        """A place two hops from `near`, the second of which takes no more than `mtu`."""
        self.wire.add_beyond(mtu)
        self._beyond = Host(self.wire.beyond, self.root, self.scratch / "beyond" / "work")
        return self._beyond

    def need(self, *programs: str) -> None:
        absent = [name for name in programs if not self.far.has(name)]
        if absent:
            pytest.skip(f"not installed: {' '.join(absent)}")

    def close(self) -> None:
        for side in (self.near, self.far, self._beyond):
            if side is not None:
                side.close()
        self.wire.close()


Make = Callable[..., Net]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What the host does with itself is worth a look with --full and --on=host: it says whether the tests are right."""
    if config.getoption("--on") == "both" and not config.getoption("--full"):
        here = Path(__file__).parent
        native = [item for item in items if here in item.path.parents and _is_native(item)]
        items[:] = [item for item in items if item not in native]
        config.hook.pytest_deselected(items=native)


def _is_native(item: pytest.Item) -> bool:
    return getattr(item, "callspec", None) is not None and item.callspec.params.get("place") == "host"  # type: ignore[attr-defined]


@pytest.fixture(scope="session", autouse=True)
def _prepared() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("ip") is None:
        pytest.skip("not installed: iproute2")
    if shutil.which(runtime()[0]) is None:
        pytest.fail(f"no runtime: {runtime()[0]}")


@pytest.fixture(scope="session")
def root(full: bool) -> Path:
    """With --full a Debian root that has every program; else this machine's own."""
    return debian_root.ensure(debian_root.NETWORK) if full else Path("/")


@pytest.fixture
def make_net(place: str, root: Path, tmp_path: Path) -> Iterator[Make]:
    """make_net("--loss=0.01", mtu=9000) for a wire of that kind."""
    made: list[Net] = []

    def make(*faults: str, mtu: int = 1500, at: str = place) -> Net:
        if faults and not Path("/dev/net/tun").exists():
            pytest.skip("no /dev/net/tun, which the relay is made of")
        made.append(Net(at, root, tmp_path / str(len(made)), *faults, mtu=mtu))
        return made[-1]

    yield make
    for net in made:
        net.close()


@pytest.fixture
def net(make_net: Make) -> Net:
    return make_net()
