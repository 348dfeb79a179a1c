"""Odd arguments to every call of the file system: an errno, never a traceback, and nothing outside is touched."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from sentry.abi.errno import Errno
from sentry.wait import Park
from syscalls.registry import ENTRIES
from tests.unit.vfs.fs.vfs_guest import BASE, MASK, SCRATCH, SIZE, Guest
from vfs.fs.backing import Backing
from vfs.fs.hostfs import HostFs
from vfs.fs.overlay import OverlayFs

MODULES = ("attr", "copy", "dir", "locks", "mount", "open", "path", "read_write", "stat", "statfs", "sync", "xattr")
NUMBERS = (0, 1, 2, 3, 4, 5, 8, 0x100, 0x1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, MASK, MASK - 99, 0o100644)
PATHS = (
    b"", b"/", b".", b"..", b"a", b"a/", b"/a/b", b"//a//b//", b"../../../etc/passwd", b"a" * 255, b"a" * 256, b"l",
    b"/d/../d/./f", b"\xff\xfe", b"\n", b"x" * 4095, b"x" * 5000, b"d/" * 1000, b"/proc/self/exe", b"user.x", b"tmpfs",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_random_registers(tmp_path: Path, seed: int) -> None:
    for name in ("root", "memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "root/d").mkdir()
    (tmp_path / "root/d/f").write_bytes(b"x" * 1000)
    (tmp_path / "root/a").write_bytes(b"y")
    os.symlink("/a", tmp_path / "root/l")
    (tmp_path / "outside").write_bytes(b"keep")
    lower = HostFs(os.open(tmp_path / "root", os.O_PATH))
    fs: Any = OverlayFs(lower, Backing(os.open(tmp_path / "memory", os.O_PATH))) if seed % 2 else lower
    guest = Guest(fs)
    guest.t.kernel.tasks = {7: guest.t}
    rng = random.Random(seed)
    ours = tuple(f"syscalls.{module}" for module in MODULES)
    names = sorted(e.name for e in ENTRIES.values() if e.func and e.func.__module__ in ours)
    assert len(names) > 90
    spots = [guest.place(path + b"\0") for path in PATHS]
    for _ in range(6000):
        name = rng.choice(names)
        registers = []
        for _ in range(6):
            kind = rng.random()
            if kind < 0.35:
                registers.append(rng.choice(spots))
            elif kind < 0.45:
                registers.append(rng.choice((BASE, SCRATCH - 8, BASE + SIZE - 4, 8)))
            elif kind < 0.9:
                registers.append(rng.choice(NUMBERS))
            else:
                registers.append(rng.getrandbits(64))
        try:
            result = guest.calls[guest.numbers[name]](guest.t, tuple(registers))  # type: ignore[arg-type]
        except (Errno, Park):
            continue
        assert isinstance(result, int) and result >= 0, (name, registers)
        if name.startswith("open") and len(guest.t.fds.files) > 200:
            for fd in list(guest.t.fds):
                guest.t.fds.close(fd)
        if name in ("chroot", "pivot_root"):
            guest.t.fs.root = guest.t.fs.cwd = guest.mounts.root.top()
    assert (tmp_path / "outside").read_bytes() == b"keep"
    assert sorted(os.listdir(tmp_path)) == ["memory", "outside", "root"]
