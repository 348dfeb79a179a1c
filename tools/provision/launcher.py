"""The launcher: a script with an absolute interpreter path that works in an empty environment and starts lean.

`-I` ignores PYTHON* variables, the user's site directory and the script's own directory. `-S` skips the scan of
site-packages and of the .pth files there, a quarter of the interpreter's start (7.6 against 10.5 ms); the two
directories that matter are named instead, behind the standard library, which is then found without looking into them.
"""

import os
from pathlib import Path

from .stamp import PROJECT
from .venv import VENV, interpreter, site_packages

TEXT = """\
#!{interpreter} -IS
import sys

sys.path += [{project!r}, {packages!r}]
from runsc_py.cli.main import main

sys.exit(main())
"""


def text() -> str:
    return TEXT.format(interpreter=interpreter(), project=str(PROJECT), packages=str(site_packages()))


def write(path: Path) -> bool:
    """Put the launcher at `path`, by rename: a container engine may be starting it at this moment."""
    wanted = text()
    if path.is_file() and not path.is_symlink() and path.read_text() == wanted and os.access(path, os.X_OK):
        return False
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(wanted)
    fresh.chmod(0o755)
    fresh.rename(path)
    return True


def ensure() -> None:
    write(VENV / "bin" / "runsc-py")
