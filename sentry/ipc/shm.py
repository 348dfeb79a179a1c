"""System V shared memory (shmget(2), shmat(2), shmctl(2)): segments, each a file of the Sentry's private tmpfs.

The host maps them into guests, and guests unmap natively; so who has a segment attached is read from the host's lists
of mappings when it matters (`Segments.count`), one attachment a mapping, as Linux counts. A segment that was removed
goes when nobody has it attached: that is looked at when a process ends, when somebody asks, and now and then.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.ipc.perm import IpcObject, Table, seconds
from vfs.fs import host_calls as host
from vfs.fs.backing import PAGE, Backing, Blob, Space
from vfs.fs.boot import backing_of

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.thread_group import ThreadGroup

SHM_DEST, SHM_LOCKED = 0o1000, 0o2000
MAPS_LIMIT = 32 << 20  # bytes of one process's list
COUNT_LIMIT = 200_000  # mapped files that one count looks at
FIRST_LOOK_NS, LAST_LOOK_NS = 1_000_000_000, 30_000_000_000


class Mapped:
    """One mapping of a segment in a process."""

    __slots__ = ("start", "end", "offset")

    def __init__(self, start: int, end: int, offset: int) -> None:
        self.start = start
        self.end = end
        self.offset = offset


class Segment(IpcObject):
    def __init__(self, key: int, mode: int, creds: Credentials, size: int, backing: Backing, pid: int) -> None:
        super().__init__(key, mode, creds)
        self.size = size  # as asked for; it has whole pages
        self.blob = Blob(backing, Space())
        self.blob.truncate(self.pages * PAGE)
        self.cpid, self.lpid = pid, 0
        self.atime = self.dtime = 0
        self.doomed = False  # IPC_RMID: goes with its last attachment
        self.locked = False
        self.attached = False  # ever
        self._key: tuple[int, int] | None = None

    @property
    def pages(self) -> int:
        return (self.size + PAGE - 1) // PAGE

    @property
    def shown_mode(self) -> int:
        return self.mode | (SHM_DEST if self.doomed else 0) | (SHM_LOCKED if self.locked else 0)

    @property
    def name(self) -> bytes:
        """As /proc/PID/maps has it."""
        return b"/SYSV%08x (deleted)" % (self.key & 0xFFFF_FFFF)

    def host_fd(self, writable: bool) -> int:
        self.attached = True
        return self.blob.host_fd(writable)

    def host_key(self) -> tuple[int, int]:
        """Device and inode number on the host."""
        if self._key is None:
            st = host.fstat(self.blob.host_fd(True))
            self._key = st.st_dev, st.st_ino
        return self._key

    def resident(self) -> int:
        """Pages that exist."""
        return self.blob.blocks() * 512 // PAGE if self.attached else 0


class Segments(Table[Segment]):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.backing = backing_of(kernel)
        self.pages = 0  # of all segments
        self._look_ns = 0  # how soon the doomed ones are looked at again, 0 when there are none
        kernel.group_death_hooks.append(self._process_died)

    def new(self, key: int, mode: int, creds: Credentials, size: int, pid: int) -> Segment:
        segment = Segment(key, mode, creds, size, self.backing, pid)
        self.pages += segment.pages
        return segment

    # who has it attached --------------------------------------------------------------------------------------------
    def count(self, segments: list[Segment]) -> dict[Segment, int]:
        """How often each is attached now."""
        counts = dict.fromkeys(segments, 0)
        wanted = {segment.host_key(): segment for segment in segments if segment.attached}
        if wanted:
            seen: set[object] = set()
            left = COUNT_LIMIT
            for group in tuple(self.kernel.groups.values()):
                if group.dead or not group.memory.segments or group.memory in seen:
                    continue
                seen.add(group.memory)
                found = mappings(group)
                left -= len(found)
                if left < 0:  # too many to look at them all: better kept too long than gone too soon
                    return {segment: max(count, 1) for segment, count in counts.items()}
                for key, _ in found:
                    segment = wanted.get(key)
                    if segment is not None:
                        counts[segment] += 1
        return counts

    def attachments(self, group: ThreadGroup) -> list[tuple[Segment, Mapped]]:
        """What `group` has attached, by address."""
        known = {segment.host_key(): segment for segment in self.slots.values() if segment.attached}
        if not known or not group.memory.segments:
            return []
        return [(known[key], mapped) for key, mapped in mappings(group) if key in known]

    # removal --------------------------------------------------------------------------------------------------------
    def doom(self, segment: Segment) -> None:
        """IPC_RMID."""
        segment.doomed = True
        self.forget_key(segment)
        segment.key = 0
        self.sweep()
        if not segment.removed and not self._look_ns:
            self._look_ns = FIRST_LOOK_NS
            self._look_later()

    def sweep(self) -> None:
        """Let go of the doomed ones that nobody has."""
        doomed = [segment for segment in self.slots.values() if segment.doomed]
        if not doomed:
            return
        for segment, count in self.count(doomed).items():
            if not count:
                self.remove(segment)
                self.pages -= segment.pages

    def _look_later(self) -> None:
        self.kernel.timers.add(self.kernel.now_ns() + self._look_ns, self._look)

    def _look(self) -> None:
        self.sweep()
        if any(segment.doomed for segment in self.slots.values()):
            self._look_ns = min(self._look_ns * 2, LAST_LOOK_NS)
            self._look_later()
        else:
            self._look_ns = 0

    def _process_died(self, group: ThreadGroup) -> None:
        if self._look_ns:
            self.kernel.defer(self.sweep)


def detached(segment: Segment, pid: int) -> None:
    segment.dtime, segment.lpid = seconds(), pid


def mappings(group: ThreadGroup) -> list[tuple[tuple[int, int], Mapped]]:
    """The mapped files of a process (proc_pid_maps(5)): (device, inode) and where."""
    try:
        with open(f"/proc/{group.host_pid}/maps", "rb") as f:
            text = f.read(MAPS_LIMIT)
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 5 or fields[4] == b"0":
            continue
        major, _, minor = fields[3].partition(b":")
        start, _, end = fields[0].partition(b"-")
        key = os.makedev(int(major, 16), int(minor, 16)), int(fields[4])
        found.append((key, Mapped(int(start, 16), int(end, 16), int(fields[2], 16))))
    return found
