"""The guest programs: each must pass on the host's Linux first, then in a sandbox (signal(7), syscalls(2))."""

from __future__ import annotations

import os
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BY_PTRACE

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
MANIFEST: dict[str, dict[str, Any]] = tomllib.loads((HERE / "manifest.toml").read_text())
PROGRAMS = [name for name, entry in MANIFEST.items() if "source" not in entry]
PTRACE_PATIENCE = 4         # a call costs several times as much there
SKIPPED = 77                # a program all of whose cases were skipped

FLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-pthread",
         # the tests hand over bad pointers and sizes on purpose, and use vfork
         "-Wno-clobbered", "-Wno-nonnull", "-Wno-stringop-overflow", "-Wno-stringop-overread",
         "-Wno-format-truncation", "-Wno-stringop-truncation")
LINK = {"dynamic": (), "static": ("-static",), "static-pie": ("-static-pie", "-fPIE"), "pie": ("-pie", "-fPIE"),
        "nopie": ("-no-pie", "-fno-pie")}


def build(name: str) -> None:
    """Compile one program unless it is newer than all that it is made of."""
    entry, target = MANIFEST[name], BUILD / name
    source = HERE / entry.get("source", f"{name}.c")
    made_of = (source, *HERE.glob("*.h"), HERE / "manifest.toml", Path(__file__))
    if target.exists() and target.stat().st_mtime > max(p.stat().st_mtime for p in made_of):
        return
    fresh = BUILD / f".{name}.{os.getpid()}"
    command = [os.environ.get("CC", "gcc"), *FLAGS, *LINK[entry.get("link", "dynamic")], "-o", str(fresh), str(source),
               *entry.get("libs", ())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    fresh.rename(target)


@pytest.fixture(scope="session")
def built() -> Path:
    BUILD.mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(build, MANIFEST))
    return BUILD


def limit_s(name: str, full: bool) -> int:
    return int(MANIFEST[name].get("full_limit_s", 600) if full else MANIFEST[name].get("limit_s", 60))


@pytest.mark.timeout(0)     # the runner has its own limit, which also ends the sandbox
@pytest.mark.parametrize("name", PROGRAMS)
def test_guest(name: str, place: str, built: Path, runner: Any, full: bool) -> None:
    run_guest(name, place, built, runner, full)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", [name for name in PROGRAMS if MANIFEST[name].get("ptrace")])
def test_by_ptrace(name: str, built: Path, runner: Any, request: pytest.FixtureRequest) -> None:
    """On the other platform: those programs that its own code decides about. `--on ptrace` runs them all."""
    if request.config.getoption("--on") != "both":
        pytest.skip("runs beside host and sandbox only")
    run_guest(name, BY_PTRACE, built, runner, False)


def run_guest(name: str, place: str, built: Path, runner: Any, full: bool) -> None:
    entry, limit = MANIFEST[name], limit_s(name, full) * (PTRACE_PATIENCE if place == BY_PTRACE else 1)
    sizes = entry.get("full" if full else "quick", [])
    where = "host" if place == "host" else "sandbox"
    result = runner.run(place, [str(built / name), *map(str, sizes)], limit,
                        env={"GUEST_IN": where, "GUEST_CASE_TIMEOUT": str(max(20, limit // 3))})
    text = result.output.decode(errors="replace")
    assert not result.timed_out, f"still running after {limit} s\n{text}"
    if result.status == SKIPPED:
        pytest.skip(text)
    assert result.status == 0, f"status {result.status}\n{text}"
    assert " 0 failed" in text, f"no summary line\n{text}"


def test_manifest_lists_every_program() -> None:
    sources = {p.name for p in HERE.glob("*.c")}
    listed = {entry.get("source", f"{name}.c") for name, entry in MANIFEST.items()}
    assert sources == listed
