"""Constructors of file systems by name (filesystems(5)); mount(2) and the start of a container look them up here.

    register("proc", make)      make(kernel, options) -> FileSystem; options as in mount(8), b"mode=755,size=64k"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL, ENODEV

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from vfs.core.node import FileSystem

Make = Callable[["Kernel", bytes], "FileSystem"]
_makers: dict[str, Make] = {}


def register(kind: str, make: Make) -> None:
    _makers[kind] = make


def known(kind: str) -> bool:
    return kind in _makers


def make(kernel: Kernel, kind: str, options: bytes = b"") -> FileSystem:
    """A new file system of `kind`; ENODEV for an unknown one."""
    maker = _makers.get(kind)
    if maker is None:
        raise ENODEV
    return maker(kernel, options)


def kinds() -> list[str]:
    return sorted(_makers)


def parse_options(data: bytes) -> dict[bytes, bytes]:
    """b"mode=755,size=64k" as a table; a word without a value maps to b""."""
    found = {}
    for option in data.split(b","):
        key, _, value = option.partition(b"=")
        if key:
            found[key] = value
    return found


def parse_size(value: bytes, whole: int) -> int:
    """b"64k", b"2g", b"50%" (of `whole`); EINVAL for anything else."""
    scale = {b"k": 10, b"m": 20, b"g": 30, b"t": 40}.get(value[-1:].lower())
    digits = value[:-1] if scale or value.endswith(b"%") else value
    if not digits.isdigit() or len(digits) > 19:
        raise EINVAL
    size = int(digits)
    if value.endswith(b"%"):
        return whole * size // 100
    return size << (scale or 0)


def parse_number(value: bytes, base: int = 10) -> int:
    try:
        number = int(value, base)
    except ValueError:
        raise EINVAL
    if number < 0 or number > 0xFFFF_FFFF:
        raise EINVAL
    return number
