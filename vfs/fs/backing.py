"""Where the contents of memory files live: bytes while they are small, then one file each on a private host tmpfs.

The host's tmpfs gives read, write and shared mmap the same pages, holes, and accounting in the container's cgroup
(tmpfs(5)). Files are numbered, never named by a guest; descriptors are opened on demand and kept in two LRU tables.
"""

from __future__ import annotations

from itertools import count
from os import O_CREAT, O_EXCL, O_RDONLY, O_RDWR
from time import monotonic_ns

from sentry.abi.const.files import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, SEEK_DATA, SEEK_HOLE
from sentry.abi.errno import EFBIG, ENOSPC, ENXIO, Errno
from vfs.fs import host_calls as host

SMALL = 16 * 1024  # files up to this size stay bytes until they are mapped
MAX_OPEN = 1000  # descriptors kept of each kind
MAX_SIZE = (1 << 63) - 1
PAGE = 4096


class Backing:
    """`dir_fd` is the private tmpfs; -1 keeps everything in bytes (tests, and tools without one)."""

    __slots__ = ("_numbers", "_prefix", "_readers", "_writers", "dir_fd")

    def __init__(self, dir_fd: int) -> None:
        self.dir_fd = dir_fd
        self._numbers = count(1)
        self._prefix = b"%x" % (monotonic_ns() & 0xFFFF_FFFF)
        self._writers: dict[int, int] = {}
        self._readers: dict[int, int] = {}

    def _name(self, number: int) -> bytes:
        return b"%s.%d" % (self._prefix, number)

    def new(self) -> int:
        number = next(self._numbers)
        fd = host.open_file(self.dir_fd, self._name(number), O_RDWR | O_CREAT | O_EXCL, 0o600)
        self._keep(self._writers, number, fd)
        return number

    def fd(self, number: int) -> int:
        """A descriptor for reading and writing; good until the next call of this object."""
        fd = self._writers.get(number, -1)
        if fd < 0:
            fd = host.open_file(self.dir_fd, self._name(number), O_RDWR)
            self._keep(self._writers, number, fd)
        return fd

    def read_fd(self, number: int) -> int:
        """A read-only one, for guests that may not map the file writable."""
        fd = self._readers.get(number, -1)
        if fd < 0:
            fd = host.open_file(self.dir_fd, self._name(number), O_RDONLY)
            self._keep(self._readers, number, fd)
        return fd

    def _keep(self, table: dict[int, int], number: int, fd: int) -> None:
        if len(table) >= MAX_OPEN:
            oldest = next(iter(table))
            host.close(table.pop(oldest))
        table[number] = fd

    def remove(self, number: int) -> None:
        for table in (self._writers, self._readers):
            fd = table.pop(number, -1)
            if fd >= 0:
                host.close(fd)
        host.unlink(self.dir_fd, self._name(number))


MAX_INODES = 1 << 20  # where no mount option says otherwise; each is about 1 KiB of the Sentry's memory


class Space:
    """How much the files of one file system may hold: bytes and inodes; 0 means no limit."""

    __slots__ = ("inodes", "max_inodes", "max_size", "used")

    def __init__(self, max_size: int = 0, max_inodes: int = 0) -> None:
        self.max_size = max_size
        self.max_inodes = max_inodes
        self.used = 0
        self.inodes = 0

    def take(self, size: int) -> None:
        if self.max_size and self.used + size > self.max_size and size > 0:
            raise ENOSPC
        self.used += size

    def room(self) -> int:
        return max(0, self.max_size - self.used) if self.max_size else MAX_SIZE

    def take_inode(self) -> None:
        if self.max_inodes and self.inodes >= self.max_inodes:
            raise ENOSPC
        self.inodes += 1


class Blob:
    """The contents of one regular file. `charged` is what it has taken of `space`: data up to its end, no holes behind
    a write (a hole that is filled later is not charged again). `dense`: there never was a hole."""

    __slots__ = ("backing", "charged", "dense", "number", "size", "small", "space")

    def __init__(self, backing: Backing, space: Space) -> None:
        self.backing = backing
        self.space = space
        self.small: bytearray | None = bytearray()
        self.number = 0
        self.size = 0
        self.charged = 0
        self.dense = True

    def __del__(self) -> None:
        self.space.used -= self.charged
        if self.number and self.backing.dir_fd >= 0:
            try:
                self.backing.remove(self.number)
            except Errno:
                pass  # the store itself is gone

    def spill(self) -> int:
        """Move to the host's tmpfs; the file's number there."""
        small = self.small
        if small is not None:
            if self.backing.dir_fd < 0:
                raise ENXIO
            number = self.backing.new()
            fd = self.backing.fd(number)
            if small:
                host.pwrite(fd, bytes(small), 0)
            if self.size > len(small):
                host.truncate(fd, self.size)
            self.number = number
            self.small = None
        return self.number

    def pread(self, size: int, offset: int) -> bytes:
        if offset >= self.size:
            return b""
        if self.small is not None:
            return bytes(self.small[offset : offset + size])
        return host.pread(self.backing.fd(self.number), size, offset)

    def _charge(self, start: int, end: int) -> None:
        """Data from `start` to `end` is about to exist."""
        added = (end + PAGE - 1 & -PAGE) - max(start & -PAGE, self.size + PAGE - 1 & -PAGE)
        if added > 0:
            self.space.take(added)
            self.charged += added

    def pwrite(self, data: bytes, offset: int) -> int:
        if not data:
            return 0
        if offset >= MAX_SIZE:
            raise EFBIG
        end = offset + len(data)
        if end > self.size:
            if offset > self.size:
                self.dense = False
            room = self.space.room()
            if end > offset + room and room < len(data) + PAGE:
                # As much as fits, as in Linux, page by page.
                fits = max(0, max(self.size + PAGE - 1 & -PAGE, offset & -PAGE) + (room & -PAGE) - offset)
                if fits < len(data):
                    if not fits:
                        raise ENOSPC
                    data = data[:fits]
                    end = offset + fits
            self._charge(offset, end)
        small = self.small
        if small is not None:
            if end <= SMALL or self.backing.dir_fd < 0:
                if len(small) < offset:
                    small.extend(bytes(offset - len(small)))
                small[offset:end] = data
                if end > self.size:
                    self.size = end
                return len(data)
            self.spill()
        done = host.pwrite(self.backing.fd(self.number), data, offset)
        if offset + done > self.size:
            self.size = offset + done
        return done

    def truncate(self, size: int) -> None:
        small = self.small
        if size > self.size:
            self.dense = False
        if size < self.size:
            kept = min(self.charged, size + PAGE - 1 & -PAGE)
            self.space.used -= self.charged - kept
            self.charged = kept
        if small is not None:
            if size <= SMALL or (self.backing.dir_fd < 0 and size < 1 << 26):
                del small[size:]
                small.extend(bytes(size - len(small)))
                self.size = size
                return
            self.spill()
        host.truncate(self.backing.fd(self.number), size)
        self.size = size

    def clear(self, start: int, end: int) -> None:
        """Zeros in place of what is there; the host's pages go."""
        if start >= end:
            return
        self.dense = False
        if self.small is None:
            host.allocate(self.backing.fd(self.number), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end - start)
        elif start < len(self.small):
            stop = min(end, len(self.small))
            self.small[start:stop] = bytes(stop - start)

    def blocks(self) -> int:
        """In units of 512 bytes."""
        if self.small is not None:
            return (len(self.small) + PAGE - 1) // PAGE * 8
        if self.dense:
            return (self.size + PAGE - 1) // PAGE * 8
        return host.fstat(self.backing.fd(self.number)).st_blocks

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_DATA and SEEK_HOLE."""
        if offset < 0 or offset >= self.size:
            raise ENXIO
        if self.small is not None:
            return offset if whence == SEEK_DATA else self.size
        assert whence in (SEEK_DATA, SEEK_HOLE)
        return host.seek(self.backing.fd(self.number), offset, whence)

    def host_fd(self, writable: bool) -> int:
        number = self.spill()
        self.dense = self.dense and not writable  # madvise(2) MADV_REMOVE makes holes through a mapping
        return self.backing.fd(number) if writable else self.backing.read_fd(number)

    def fill(self, source_fd: int, size: int) -> None:
        """Become a copy of the first `size` bytes of a host file."""
        if size <= SMALL or self.backing.dir_fd < 0:
            self.pwrite(host.pread(source_fd, size, 0), 0)
            return
        self._charge(0, size)
        self.dense = False  # the source may have holes
        fd = self.backing.fd(self.spill())
        host.copy(source_fd, fd, size)
        self.size = size
