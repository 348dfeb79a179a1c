"""mmap(2) calls that load one ELF image, as the records of a plan: what execve(2) does with PT_LOAD segments.

Everything is relative to the image's base, so the packed steps of a file can be kept as long as the file is unchanged.
"""

import struct
from itertools import pairwise
from typing import NamedTuple

from sentry.abi.const.memory import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_NORESERVE,
    MAP_PRIVATE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)

PAGE = 4096
STEP_MAP, STEP_ZERO = 0, 1

STEP = struct.Struct("<IIIIQQQ")        # kind prot flags 0 address length file-offset; as in engine/loader.c


class Load(NamedTuple):
    """A PT_LOAD segment; `offset` is where its first byte lies in the file."""

    vaddr: int
    offset: int
    filesz: int
    memsz: int
    prot: int

    @property
    def start(self) -> int:
        return self.vaddr & -PAGE

    @property
    def file_end(self) -> int:
        """End of the pages mapped from the file."""
        return page_up(self.vaddr + self.filesz) if self.filesz else self.start

    @property
    def end(self) -> int:
        return page_up(self.vaddr + self.memsz) if self.memsz else self.start


def page_up(addr: int) -> int:
    return (addr + PAGE - 1) & -PAGE


def fixed_steps(loads: list[Load]) -> bytes:
    """An image at its own addresses, which must be free, unless its own segments share pages."""
    ordered = sorted((load.start, load.end) for load in loads)
    shared = any(later[0] < earlier[1] for earlier, later in pairwise(ordered))
    steps = _segment(loads[0], MAP_FIXED_NOREPLACE)
    for load in loads[1:]:
        steps += _segment(load, MAP_FIXED if shared else MAP_FIXED_NOREPLACE)
    return b"".join(steps)


def movable_steps(loads: list[Load]) -> bytes:
    """An image at any base: the loader maps the first step over the whole span to find room, then cuts it to length."""
    low, _ = span(loads)
    steps: list[bytes] = []
    first = loads[0]
    if first.start != low or not first.filesz or first.prot & PROT_WRITE:
        steps.append(STEP.pack(STEP_MAP, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, 0, low, PAGE, 0))
    for load in loads:
        steps += _segment(load, MAP_FIXED)
    return b"".join(steps)


def span(loads: list[Load]) -> tuple[int, int]:
    return min(load.start for load in loads), max(load.end for load in loads)


def _segment(load: Load, how: int) -> list[bytes]:
    steps: list[bytes] = []
    if load.filesz:
        offset, length = load.offset - (load.vaddr - load.start), load.file_end - load.start
        steps.append(STEP.pack(STEP_MAP, load.prot, MAP_PRIVATE | how, 0, load.start, length, offset))
        tail = load.file_end - (load.vaddr + load.filesz)
        # The file's bytes behind the data are cleared to the page's end; in a read-only segment Linux leaves them.
        if tail and load.memsz > load.filesz and load.prot & PROT_WRITE:
            steps.append(STEP.pack(STEP_ZERO, 0, 0, 0, load.file_end - tail, tail, 0))
    if load.end > load.file_end:
        prot = PROT_READ | PROT_WRITE | load.prot & PROT_EXEC       # whatever the segment says, as in Linux
        flags = MAP_PRIVATE | MAP_ANONYMOUS | how
        steps.append(STEP.pack(STEP_MAP, prot, flags, 0, load.file_end, load.end - load.file_end, 0))
    return steps
