"""execve(2): the loader built by the command in its own source, and a way to run a program through it and natively."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
ENVIRON = {"PATH": "/usr/bin:/bin", "A": "1", "LANG": "C.UTF-8"}


class Outcome:
    """What a run gave; two runs are equal if a user could not tell them apart."""

    def __init__(self, status: int, out: str, err: str, report: dict[str, Any] | None = None) -> None:
        self.status, self.out, self.err, self.report = status, out, err, report or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) | {"report": 0} == vars(other) | {"report": 0}

    def __repr__(self) -> str:
        return f"status {self.status}\n{self.out}\n{self.err}"


class Runner:
    def __init__(self, loader: Path, folder: Path) -> None:
        self.loader, self.folder = loader, folder

    def native(self, *argv: str, env: dict[str, str] | None = None) -> Outcome:
        return self._run([*argv], env)

    def loaded(self, *argv: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Outcome:
        command = [sys.executable, "-S", str(HERE / "run_loaded.py"), *options, str(self.loader), *argv]
        return self._run(command, env)

    def traced(self, *argv: str) -> Outcome:
        report = self.folder / "report"
        outcome = self.loaded(*argv, options=("--report", str(report)))
        outcome.report = json.loads(report.read_text())
        return outcome

    def _run(self, command: list[str], env: dict[str, str] | None) -> Outcome:
        # PYTHONPATH is for the supervisor; the program sees it in both cases
        environ = {**ENVIRON, **(env or {}), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False, cwd=self.folder)
        return Outcome(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1"))


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    if os.uname().machine != "x86_64":
        pytest.skip("the loader is for x86_64")
    folder = tmp_path_factory.mktemp("loader")
    engine = ROOT / "sentry/engine"
    command = re.search(r"^ +(cc .*-o loader loader\.c)$", (engine / "loader.c").read_text(), re.MULTILINE)
    assert command is not None
    words = command[1].replace("-o loader ", f"-o {folder}/ld ").split()
    subprocess.run(words, cwd=engine, check=True)
    return Runner(folder / "ld", folder)


@pytest.fixture(scope="session")
def compiled(runner: Runner) -> Callable[..., str]:
    """Compiles a source of this folder with the given flags, once."""

    def build(source: str, *flags: str) -> str:
        name = re.sub(r"[^a-z0-9]+", "-", " ".join((source, *flags)).lower())
        path = runner.folder / name
        if not path.exists():
            subprocess.run(["gcc", "-O1", *flags, "-o", str(path), str(HERE / source)], check=True)
        return str(path)

    return build
