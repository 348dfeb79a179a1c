"""The project's environment .venv, made from the distribution's interpreter; venv(3), pip(1)."""

import os
import shutil
import sys
import tomllib
from pathlib import Path

from .progress import run, say
from .stamp import PROJECT, digest, forget, is_fresh, mark

VENV = PROJECT / ".venv"
INTERPRETER = "/usr/bin/python3"
DEVELOPMENT_GOALS = ("check", "test")


def interpreter() -> str:
    """The real path of the interpreter (python3 is a link that an upgrade of the distribution moves)."""
    return os.path.realpath(INTERPRETER if os.path.exists(INTERPRETER) else sys.executable)


def version() -> str:
    """`3.11`; taken from the name, as starting it would cost 10 ms on every run."""
    name = os.path.basename(interpreter())
    return name.removeprefix("python") if "." in name else "{}.{}".format(*sys.version_info)


def site_packages() -> Path:
    return VENV / "lib" / f"python{version()}" / "site-packages"


def requirements(goal: str) -> list[str]:
    """What pip has to provide, from pyproject.toml alone."""
    stated = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    project = stated["project"]
    names: list[str] = [*project["dependencies"], *stated["build-system"]["requires"]]
    names += project["optional-dependencies"]["ptrace"]
    if goal in DEVELOPMENT_GOALS:
        names += project["optional-dependencies"]["dev"]
    return list(dict.fromkeys(names))


def ensure(goal: str) -> None:
    python = interpreter()
    made = digest(["venv", python, version(), str(VENV)])
    if not (is_fresh("venv", made) and (VENV / "bin" / "python").exists()):
        say(f"making .venv with {python}")
        forget("pip", "pip-dev")
        shutil.rmtree(VENV, ignore_errors=True)
        run([python, "-I", "-m", "venv", str(VENV)])
        mark("venv", made)
    names = requirements(goal)
    stamps = ["pip"] if goal not in DEVELOPMENT_GOALS else ["pip", "pip-dev"]   # the development set holds the other
    key = digest([made, *names])
    if not is_fresh(stamps[-1], key):
        say(f"pip install {' '.join(name.split('>')[0].split('=')[0] for name in names)}")
        run([str(VENV / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check",
             "--no-input", "--progress-bar=off", *names],
            show=lambda line: line.startswith(("Collecting ", "Successfully ")))
        mark("pip", digest([made, *requirements("run")]))
        mark(stamps[-1], key)
    link = site_packages() / "runsc-py.pth"
    if not link.is_file() or link.read_text() != f"{PROJECT}\n":
        # so that .venv/bin/python, pytest and mypy find the packages from any directory
        link.write_text(f"{PROJECT}\n")
