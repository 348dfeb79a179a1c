"""/proc/PID/maps, smaps, smaps_rollup (proc_pid_maps(5)): the host's list, with the guest's names of files.

A mapped file is known by its host device and inode number; what the kernel does not know as one of the guest's files
is shown as anonymous memory. The pages of the loader are left out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from vfs.proc.mapped import find_files
from vfs.proc.subject import BIG_LIMIT, Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

# Names in brackets that the host gives and a guest may see; [anon:...] is the guest's own (prctl(2), PR_SET_VMA).
SPECIAL = (b"[heap]", b"[stack]", b"[vdso]", b"[vvar]", b"[vsyscall]", b"[vvar_vclock]")
NAME_COLUMN = 73


class Mapping(NamedTuple):
    start: int
    end: int
    perms: bytes
    offset: int
    dev: bytes  # "major:minor" in hexadecimal
    ino: int
    name: bytes


def parse(line: bytes) -> Mapping | None:
    """One line of maps, None for anything else (the details in smaps)."""
    fields = line.rstrip(b"\n").split(None, 5)
    if len(fields) < 5 or b"-" not in fields[0] or fields[0].endswith(b":"):
        return None
    start, _, end = fields[0].partition(b"-")
    try:
        numbers = int(start, 16), int(end, 16), int(fields[2], 16), int(fields[4])
    except ValueError:
        return None
    name = fields[5] if len(fields) > 5 else b""
    return Mapping(numbers[0], numbers[1], fields[1], numbers[2], fields[3], numbers[3], name)


def show(mapping: Mapping) -> bytes:
    head = b"%08x-%08x %s %08x %s %d " % mapping[:6]
    return head.ljust(NAME_COLUMN) + mapping.name + b"\n" if mapping.name else head + b"\n"


class Names:
    """What the guest calls the files that one process has mapped."""

    def __init__(self, subject: Subject, t: Task, mappings: list[Mapping]) -> None:
        wanted = {key for mapping in mappings if (key := _key(mapping)) is not None}
        self._files = find_files(t, subject.group, wanted) if wanted else {}
        self._hidden = subject.group.loader_range

    def guest(self, mapping: Mapping) -> Mapping | None:
        """The mapping as the guest may see it; None for pages of the loader."""
        low, high = self._hidden
        if low < high and mapping.start < high and mapping.end > low:
            return None
        key = _key(mapping)
        if key is None:
            if mapping.name and not mapping.name.startswith(b"[anon:") and mapping.name not in SPECIAL:
                return mapping._replace(name=b"")
            return mapping
        found = self._files.get(key)
        if found is None:
            return mapping._replace(offset=0, dev=b"00:00", ino=0, name=b"")
        dev = b"%02x:%02x" % (os.major(found.dev), os.minor(found.dev))
        return mapping._replace(dev=dev, ino=found.ino, name=found.name.replace(b"\n", b"\\012"))


def _key(mapping: Mapping) -> tuple[int, int] | None:
    """Host device and inode of a mapped file, None for memory without one."""
    if not mapping.ino:
        return None
    major, _, minor = mapping.dev.partition(b":")
    return os.makedev(int(major, 16), int(minor, 16)), mapping.ino


def maps_text(subject: Subject, t: Task) -> bytes:
    parsed = (parse(line) for line in subject.host("maps", BIG_LIMIT).splitlines())
    mappings = [mapping for mapping in parsed if mapping is not None]
    names = Names(subject, t, mappings)
    return b"".join(show(shown) for mapping in mappings if (shown := names.guest(mapping)) is not None)


def smaps_text(subject: Subject, t: Task) -> bytes:
    lines = subject.host("smaps", BIG_LIMIT).splitlines(keepends=True)
    parsed = [parse(line) for line in lines]
    names = Names(subject, t, [mapping for mapping in parsed if mapping is not None])
    text = []
    visible = False
    for line, mapping in zip(lines, parsed, strict=True):
        if mapping is None:
            if visible:
                text.append(line)
            continue
        shown = names.guest(mapping)
        visible = shown is not None
        if shown is not None:
            text.append(show(shown))
    return b"".join(text)


def rollup_text(subject: Subject, t: Task) -> bytes:
    return subject.host("smaps_rollup")
