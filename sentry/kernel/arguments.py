"""Arguments and environment of execve(2): read once to see that the host will accept them (E2BIG, EFAULT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import E2BIG, EFAULT, ENAMETOOLONG

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MAX_ARG_STRLEN = 131072
ARG_MIN, ARG_MAX = 131072, 6 << 20  # execve(2): a quarter of the stack limit within these bounds
NEAR = 16384  # strings closer than this are read in one copy
SPAN = 1 << 20


def check_arguments(t: Task, argv_addr: int, envp_addr: int, execfn: bytes) -> None:
    """E2BIG or EFAULT as the host's exec would give; the strings themselves stay where they are."""
    limit = max(min(t.group.limits.stack // 4, ARG_MAX), ARG_MIN)
    pointers = _pointers(t, argv_addr, limit) + _pointers(t, envp_addr, limit)
    total = len(execfn) + 1 + 8 * len(pointers)
    if total > limit:
        raise E2BIG
    if _surely_fit(t, pointers, limit - total):
        return
    for length in _lengths(t, pointers, limit):
        total += length + 1
        if length >= MAX_ARG_STRLEN or total > limit:
            raise E2BIG


def _surely_fit(t: Task, pointers: list[int], room: int) -> bool:
    """The usual case, cheaply: all strings lie in a few short stretches of memory, and were each as long as its
    stretch, there would still be room."""
    order = sorted(pointers)
    at = 0
    while at < len(order):
        low = last = order[at]
        begin = at
        while at < len(order) and order[at] - last < NEAR:
            last = order[at]
            at += 1
        size = last - low + 256
        size += -(low + size) & 255  # to the end of a line within the page: a copy stops at a bad page
        if size >= MAX_ARG_STRLEN:
            return False
        room -= (at - begin) * size
        if room < 0 or t.mem.read_some(low, size).find(b"\0", last - low) < 0:
            return False
    return True


def _pointers(t: Task, addr: int, limit: int) -> list[int]:
    """A NULL-terminated array of pointers; NULL itself is an empty one."""
    out: list[int] = []
    if not addr:
        return out
    chunk = 512 - (addr & 511)  # most lists are short
    while True:
        if chunk < 8:
            chunk = 8
        chunk &= ~7
        words = memoryview(t.mem.read(addr, chunk)).cast("Q").tolist()
        try:
            out.extend(words[: words.index(0)])
            return out
        except ValueError:
            out.extend(words)
        addr += chunk
        chunk = 4096 - (addr & 4095)
        if 8 * len(out) > limit:
            raise E2BIG


def _lengths(t: Task, pointers: list[int], limit: int) -> list[int]:
    """Length of each string; neighbours are read together. E2BIG as soon as they are too long together, since many
    pointers into one long string would cost the square of it."""
    order = sorted(set(pointers))
    at = 0
    total = 0
    found: dict[int, int] = {}
    while at < len(order):
        low = order[at]
        end = at + 1
        while end < len(order) and order[end] - order[end - 1] < NEAR and order[end] - low < SPAN - 4096:
            end += 1
        size = order[end - 1] - low + 4096
        size -= (low + size) & 4095
        if size <= order[end - 1] - low:
            size = order[end - 1] - low + 1
        block = t.mem.read_some(low, size)
        for pointer in order[at:end]:
            nul = block.find(b"\0", pointer - low)
            length = found[pointer] = nul - (pointer - low) if nul >= 0 else _length(t, pointer)
            total += length
            if total > limit:
                raise E2BIG
        at = end
    return [found[p] for p in pointers]


def _length(t: Task, addr: int) -> int:
    try:
        return len(t.mem.cstring(addr, MAX_ARG_STRLEN))
    except ENAMETOOLONG:
        raise E2BIG from None
    except EFAULT:
        raise
