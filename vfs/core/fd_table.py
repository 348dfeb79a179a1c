"""The table of file descriptors of a process (open(2), dup(2), fcntl(2), CLONE_FILES in clone(2))."""

from __future__ import annotations

from collections.abc import Iterator

from sentry.abi.errno import EBADF, EMFILE
from vfs.core.file import O_PATH, File


class FdTable:
    """fd number -> open file; shared by tasks with CLONE_FILES (`users` counts them), copied by fork.

    `injected` remembers which file's host descriptor sits at a number of the guest's *real* table (for mmap), so that
    it is injected once and closed with the guest's own close.
    """

    __slots__ = ("files", "cloexec", "injected", "users", "_lowest", "limit", "loader_lost")

    def __init__(self, limit: int = 1024) -> None:
        self.files: dict[int, File] = {}
        self.cloexec: set[int] = set()
        self.injected: dict[int, tuple[File, bool]] = {}
        self.loader_lost = False  # a mapped file took the loader's number in the real table
        self.users = 1
        self.limit = limit  # RLIMIT_NOFILE of the owner: no number at or above it is handed out
        self._lowest = 0  # no free number below this one

    def get(self, fd: int) -> File:
        """The file at `fd` for I/O; EBADF if there is none or it is an O_PATH descriptor."""
        file = self.files.get(fd)
        if file is None or file.flags & O_PATH:
            raise EBADF
        return file

    def any(self, fd: int) -> File:
        """The file at `fd`, O_PATH ones included (fstat, close, dup, fchdir, *at)."""
        file = self.files.get(fd)
        if file is None:
            raise EBADF
        return file

    def install(self, file: File, cloexec: bool = False, lowest: int = 0) -> int:
        """Put `file` at the lowest free number >= `lowest` and count a reference. EMFILE at the limit; the file is then
        released if nobody else holds it."""
        files = self.files
        fd = lowest if lowest > self._lowest else self._lowest
        while fd in files:
            fd += 1
        if fd >= self.limit:
            if not file.refs:
                file.ref().unref()
            raise EMFILE
        if lowest <= self._lowest:
            self._lowest = fd + 1
        files[fd] = file
        file.refs += 1
        if cloexec:
            self.cloexec.add(fd)
        return fd

    def need_room(self) -> None:
        """EMFILE where `install` would raise it: for who must know before anything is made. Numbers above a limit that
        was lowered stay open, so that their count alone says nothing."""
        if len(self.files) >= self.limit:
            fd = self._lowest
            while fd in self.files:
                fd += 1
            if fd >= self.limit:
                raise EMFILE

    def put(self, fd: int, file: File, cloexec: bool = False) -> None:
        """dup2/dup3: `fd` names `file` from now on; what it named before is closed silently. EBADF at the limit."""
        if fd >= self.limit or fd < 0:
            raise EBADF
        file.refs += 1
        if fd in self.files:
            self.close(fd)
        self.files[fd] = file
        if cloexec:
            self.cloexec.add(fd)

    def close(self, fd: int) -> None:
        """EBADF if there is nothing at `fd`."""
        file = self.files.pop(fd, None)
        if file is None:
            raise EBADF
        self.cloexec.discard(fd)
        if fd < self._lowest:
            self._lowest = fd
        file.flush(self)
        file.unref()

    def copy(self) -> FdTable:
        """For fork: the same open files, own numbers."""
        new = FdTable(self.limit)
        new.files = dict(self.files)
        new.cloexec = set(self.cloexec)
        new.injected = dict(self.injected)
        new._lowest = self._lowest
        new.loader_lost = self.loader_lost
        for file in new.files.values():
            file.refs += 1
        return new

    def close_on_exec(self) -> None:
        """execve: FD_CLOEXEC descriptors go; injected host descriptors were O_CLOEXEC and are gone already."""
        self.injected.clear()
        for fd in sorted(self.cloexec):
            self.close(fd)

    def release(self) -> None:
        """A task that used this table is gone; the last one closes everything."""
        self.users -= 1
        if self.users == 0:
            for fd in sorted(self.files):
                self.close(fd)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.files))

    def __contains__(self, fd: int) -> bool:
        return fd in self.files
