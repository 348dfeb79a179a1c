"""/proc/PID/maps, smaps, smaps_rollup (proc_pid_maps(5)): the host's list, with the guest's names of files.

A mapped file is known by its host device and inode number; what the kernel does not know as one of the guest's files
is shown as anonymous memory. The pages of the loader are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from sentry.abi.errno import Errno
from vfs.core.walk import path_name
from vfs.proc.subject import BIG_LIMIT, Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

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

    def __init__(self, subject: Subject, t: Task) -> None:
        self._known: dict[tuple[bytes, int], bytes | None] = {}
        self._lookup = getattr(t.kernel, "mapped_name", None)
        self._root = t.fs.root
        self._exe = _exe_key(subject.group)
        self._hidden = subject.group.loader_range

    def guest(self, mapping: Mapping) -> Mapping | None:
        """The mapping as the guest may see it; None for pages of the loader."""
        low, high = self._hidden
        if low < high and mapping.start < high and mapping.end > low:
            return None
        if mapping.ino == 0:
            if mapping.name and not mapping.name.startswith(b"[anon:") and mapping.name not in SPECIAL:
                return mapping._replace(name=b"")
            return mapping
        name = self._name(mapping)
        if name is None:
            return mapping._replace(offset=0, dev=b"00:00", ino=0, name=b"")
        return mapping._replace(name=name.replace(b"\n", b"\\012"))

    def _name(self, mapping: Mapping) -> bytes | None:
        key = mapping.dev, mapping.ino
        if key not in self._known:
            found: bytes | None = None
            major, _, minor = mapping.dev.partition(b":")
            dev = os.makedev(int(major, 16), int(minor, 16))
            if self._lookup is not None:
                found = self._lookup(dev, mapping.ino)
            if found is None and self._exe is not None and self._exe[:2] == (dev, mapping.ino):
                found = path_name(self._exe[2], self._root)
            self._known[key] = found
        return self._known[key]


def maps_text(subject: Subject, t: Task) -> bytes:
    names = Names(subject, t)
    shown = []
    for line in subject.host("maps", BIG_LIMIT).splitlines():
        mapping = parse(line)
        mapping = names.guest(mapping) if mapping is not None else None
        if mapping is not None:
            shown.append(show(mapping))
    return b"".join(shown)


def smaps_text(subject: Subject, t: Task) -> bytes:
    return b"".join(_detailed(subject, t, subject.host("smaps", BIG_LIMIT)))


def _detailed(subject: Subject, t: Task, text: bytes) -> Iterator[bytes]:
    names = Names(subject, t)
    visible = False
    for line in text.splitlines(keepends=True):
        mapping = parse(line)
        if mapping is None:
            if visible:
                yield line
            continue
        mapping = names.guest(mapping)
        visible = mapping is not None
        if mapping is not None:
            yield show(mapping)


def rollup_text(subject: Subject, t: Task) -> bytes:
    return subject.host("smaps_rollup")


def _exe_key(group: ThreadGroup) -> tuple[int, int, Path] | None:
    """Host device and inode of the program, which has a name even when nothing else is known."""
    if group.exe is None or group.exe_file is None:
        return None
    try:
        stat = os.fstat(group.exe_file.host_fd(False))
    except (Errno, OSError):
        return None
    return stat.st_dev, stat.st_ino, group.exe


if TYPE_CHECKING:
    from vfs.core.dentry import Path
