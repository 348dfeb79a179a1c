"""Inode numbers of namespaces (namespaces(7)): those of a system's first ones, and new ones."""

from __future__ import annotations

from itertools import count

FIRST = {
    b"time": 4026531834, b"cgroup": 4026531835, b"pid": 4026531836, b"user": 4026531837, b"uts": 4026531838,
    b"ipc": 4026531839, b"net": 4026531840, b"mnt": 4026531841,
}  # fmt: skip

_numbers = count(4026532200)


def new_number() -> int:
    return next(_numbers)
