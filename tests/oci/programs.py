"""C programs of tests/oci/escape, built once (static, for a root without libraries) and put into a container's root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.oci.container import Container

HERE = Path(__file__).resolve().parent / "escape"
FLAGS = ("-O1", "-g", "-static", "-pthread", "-Wall", "-Wextra", "-Wno-nonnull", "-Wno-stringop-overflow",
         "-Wno-stringop-overread", "-Wno-unused-result", "-Wno-array-bounds", "-Wno-format-truncation")


class Programs:
    def __init__(self, at: Path) -> None:
        self.at = at

    def build(self, name: str, source: Path | None = None) -> Path:
        target = self.at / name
        if not target.exists():
            made_of = source or HERE / f"{name}.c"
            done = subprocess.run([os.environ.get("CC", "gcc"), *FLAGS, "-o", str(target), str(made_of)],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        return target

    def put(self, name: str, c: Container, source: Path | None = None) -> None:
        shutil.copy(self.build(name, source), c.bundle / "rootfs" / "bin" / name)
