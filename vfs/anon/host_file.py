"""Descriptors of the host that the container starts with: its stdin, stdout, stderr (stdio(3)), --preserve-fds.

A `HostObject` is the host's side, shared by every open file that the guest makes of it; the host descriptor is closed
with the last of them, so that the engine sees end of file. What is read lies in its buffer until it was copied out.
"""

from __future__ import annotations

import fcntl
import os
import stat as modes
from typing import TYPE_CHECKING

from sentry.abi.errno import EACCES, EINVAL, ENODEV, ENOTTY, ENXIO, WouldBlock
from sentry.abi.flags import FIONREAD, O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDONLY, O_RDWR, TCGETS, TIOCGWINSZ
from sentry.socket import host
from sentry.wait import ERR, HUP, IN, OUT, PRI, RDHUP, RDNORM, WRNORM, Entry, WaitQueue
from vfs.anon.inode import DEV_PIPEFS, AnonInode
from vfs.anon.memfd import errno_of
from vfs.core.file import File, Stat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task

CHUNK = 1 << 16
PIPE_BUF = 4096
EDGE = 1 << 31  # EPOLLET: one call of the watch for each change, so that nothing spins while the guest is busy
WATCHED = IN | OUT | PRI | RDHUP | EDGE
ANSWERS = {TCGETS: 36, TIOCGWINSZ: 8}  # what a terminal of the host tells the guest, and the answer's size


class HostQueue(WaitQueue):
    """Sleepers on a host descriptor, which the loop watches while there is one."""

    __slots__ = ("fd", "kernel")

    def __init__(self, kernel: Kernel, fd: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.fd = fd

    def add(self, entry: Entry) -> None:
        idle = not self
        super().add(entry)
        if idle and self.fd >= 0:
            try:
                self.kernel.watch(self.fd, WATCHED, self._changed)
            except PermissionError:
                pass  # a device that is always ready

    def remove(self, entry: Entry) -> None:
        super().remove(entry)
        if not self and self.fd >= 0:
            self.kernel.unwatch(self.fd)

    def _changed(self, events: int) -> None:
        if events & IN:
            events |= RDNORM
        if events & OUT:
            events |= WRNORM
        self.notify(events)


class HostObject:
    """`kind` is the host's file type; `blocking` that the host would not give a description of our own."""

    __slots__ = ("access", "blocking", "buffer", "fd", "inode", "is_tty", "kernel", "kind", "queue", "users")

    def __init__(self, fd: int, kernel: Kernel, uid: int = 0, gid: int = 0) -> None:
        status = os.fstat(fd)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        self.fd = fd
        self.kernel = kernel
        self.kind = modes.S_IFMT(status.st_mode)
        self.access = flags & O_ACCMODE
        self.blocking = not flags & O_NONBLOCK
        self.is_tty = self.kind == modes.S_IFCHR and os.isatty(fd)
        self.buffer = b""
        self.queue = HostQueue(kernel, fd)
        self.users = 0
        permissions = 0o620 if self.is_tty else modes.S_IMODE(status.st_mode) & 0o777 or 0o600
        self.inode = AnonInode(DEV_PIPEFS, self.kind | permissions, uid, gid, kernel.realtime_ns())

    @property
    def seekable(self) -> bool:
        return self.kind in (modes.S_IFREG, modes.S_IFBLK)

    def fill(self, size: int) -> bytes:
        """Up to `size` bytes, left in the buffer; b"" at the end."""
        if self.buffer or not size:
            return self.buffer[:size]
        size = min(size, CHUNK)
        if self.kind == modes.S_IFSOCK:
            self.buffer = host.receive(self.fd, size)
            return self.buffer
        if self.blocking and not host.ready(self.fd, IN):
            raise WouldBlock
        try:
            self.buffer = os.read(self.fd, size)
        except BlockingIOError:
            raise WouldBlock
        except OSError as err:
            raise errno_of(err)
        return self.buffer

    def drain(self, data: bytes) -> int:
        if self.kind == modes.S_IFSOCK:
            return host.send(self.fd, data)
        if self.blocking and self.kind != modes.S_IFREG and data:
            if not host.ready(self.fd, OUT) & (OUT | ERR):
                raise WouldBlock
            data = data[:PIPE_BUF]  # a writable pipe takes as much without waiting
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            raise WouldBlock
        except OSError as err:
            raise errno_of(err)

    def close(self) -> None:
        if self.queue:
            self.kernel.unwatch(self.fd)
        os.close(self.fd)
        self.fd = self.queue.fd = -1


class HostFile(File):
    """An open file on a host pipe, socket, terminal or character device."""

    __slots__ = ("host",)

    def __init__(self, fd: int, flags: int, kernel: Kernel, host_object: HostObject | None = None) -> None:
        super().__init__(flags)
        self.host = host_object or HostObject(fd, kernel)
        self.host.users += 1
        self.queue = self.host.queue

    def peek(self, size: int) -> bytes:
        return self.host.fill(size)

    def consume(self, count: int) -> None:
        self.host.buffer = self.host.buffer[count:]

    def write(self, data: bytes) -> int:
        return self.host.drain(data)

    def poll(self) -> int:
        host_object = self.host
        events = host.ready(host_object.fd, IN | OUT | PRI | RDHUP)
        if host_object.buffer:
            events |= IN
        if events & IN:
            events |= RDNORM
        if events & OUT:
            events |= WRNORM
        allowed = PRI | RDHUP | ERR | HUP
        if self.readable:
            allowed |= IN | RDNORM
        if self.writable:
            allowed |= OUT | WRNORM
        return events & allowed

    # the object behind --------------------------------------------------------------------------------------------
    def stat(self) -> Stat:
        return self.host.inode.stat()

    def name(self) -> bytes:
        kind = {modes.S_IFIFO: b"pipe", modes.S_IFSOCK: b"socket"}.get(self.host.kind, b"host")
        return b"%s:[%d]" % (kind, self.host.inode.ino)

    def reopen(self, flags: int, t: Task) -> File:
        """/dev/stdout and its like, as far as the host's access mode goes: a file at its beginning, else the host's
        description again."""
        if self.host.kind == modes.S_IFSOCK:
            raise ENXIO
        return open_host(self.host, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), again=True)

    def ioctl(self, t: Task, request: int, arg: int) -> int:
        host_object = self.host
        if request != FIONREAD and not (host_object.is_tty and request in ANSWERS):
            raise ENOTTY
        size = ANSWERS.get(request, 4)
        try:
            answer = fcntl.ioctl(host_object.fd, request, bytes(size))
        except OSError as err:
            raise errno_of(err)
        if request == FIONREAD:
            t.mem.put_i32(arg, int.from_bytes(answer, "little") + len(host_object.buffer))
        else:
            t.mem.write(arg, answer)
        return 0

    def release(self) -> None:
        self.host.users -= 1
        if not self.host.users:
            self.host.close()


class HostPlainFile(HostFile):
    """An open file on a regular file of the host; its offset is the host description's, shared with whoever has it."""

    __slots__ = ()

    poll = File.poll  # always ready, and refused by epoll_ctl(2)

    def peek(self, size: int) -> bytes:
        return self.pread(size, self.seek(0, os.SEEK_CUR))

    def consume(self, count: int) -> None:
        self.seek(count, os.SEEK_CUR)

    def pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self.host.fd, size, offset)
        except OSError as err:
            raise errno_of(err)

    def pwrite(self, data: bytes, offset: int) -> int:
        try:
            return os.pwrite(self.host.fd, data, offset)
        except OSError as err:
            raise errno_of(err)

    def seek(self, offset: int, whence: int) -> int:
        try:
            self.pos = os.lseek(self.host.fd, offset, whence)
        except OverflowError:
            raise EINVAL
        except OSError as err:
            raise errno_of(err)
        return self.pos

    def stat(self) -> Stat:
        found, inode = os.fstat(self.host.fd), self.host.inode
        return Stat(
            inode.dev, inode.ino, inode.mode, 1, inode.uid, inode.gid, 0, found.st_size, 4096, found.st_blocks,
            found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns,
        )  # fmt: skip

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self.host.fd, size)
        except OSError as err:
            raise errno_of(err)

    def sync(self, data_only: bool = False) -> None:
        pass  # the engine's file: its durability is not the guest's business, and fsync could hold up the loop

    def host_fd(self, write_shared: bool) -> int:
        """For mmap: a description that allows more than the guest may is never handed out."""
        if self.host.kind != modes.S_IFREG:
            raise ENODEV
        if self.host.access != (O_RDWR if write_shared else O_RDONLY):
            raise EACCES
        return self.host.fd


class ReopenedPlainFile(HostPlainFile):
    """The same file opened once more, by /proc/PID/fd/N: the offset is its own."""

    __slots__ = ()

    def consume(self, count: int) -> None:
        self.pos += count

    def write(self, data: bytes) -> int:
        if self.flags & O_APPEND:
            self.pos = os.fstat(self.host.fd).st_size
        count = self.pwrite(data, self.pos)
        self.pos += count
        return count

    def seek(self, offset: int, whence: int) -> int:
        shared = os.lseek(self.host.fd, 0, os.SEEK_CUR)
        try:
            if whence == os.SEEK_CUR:
                offset, whence = offset + self.pos, os.SEEK_SET
            return super().seek(offset, whence)
        finally:
            os.lseek(self.host.fd, shared, os.SEEK_SET)


def open_host(host_object: HostObject, flags: int, again: bool = False) -> HostFile:
    """An open file on `host_object`; the access mode is narrowed to what the host's descriptor allows. `again`: not one
    of those that the container starts with."""
    allowed, wanted = host_object.access, flags & O_ACCMODE
    if allowed != O_RDWR and wanted not in (allowed, O_RDWR):
        raise EACCES
    access = wanted if allowed == O_RDWR else allowed
    kind = HostFile
    if host_object.seekable:
        kind = ReopenedPlainFile if again else HostPlainFile
    return kind(host_object.fd, flags & ~O_ACCMODE | access, host_object.kernel, host_object)


def adopt(fd: int) -> int:
    """A description of our own of `fd`, opened without blocking where it can be; `fd` is closed then.

    Regular files keep the shared description and its offset; sockets, and pipes whose other end is gone, cannot be
    opened again and are asked before every transfer.
    """
    mode = os.fstat(fd).st_mode
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & O_NONBLOCK or not (modes.S_ISFIFO(mode) or modes.S_ISCHR(mode)):
        return fd
    try:
        own = os.open(
            f"/proc/self/fd/{fd}", flags & (O_ACCMODE | O_APPEND) | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:
        return fd
    os.close(fd)
    return own


def stdio(fds: Sequence[int], kernel: Kernel, uid: int = 0, gid: int = 0) -> list[HostFile]:
    """Open files for host descriptors, owned by the container's user. Several of one pipe, terminal or socket become
    one object with one buffer, as far as they have the same access mode."""
    objects: dict[tuple[int, int, int, int], HostObject] = {}
    files = []
    for fd in fds:
        own = adopt(fd)
        status = os.fstat(own)
        found = HostObject(own, kernel, uid, gid)
        key = (status.st_dev, status.st_ino, status.st_rdev, found.access)
        known = objects.setdefault(key, found)
        if known is not found:
            if found.seekable:  # descriptions with offsets of their own must stay apart, but are one inode
                found.inode = known.inode
                known = found
            else:
                os.close(own)
        files.append(open_host(known, known.access | fcntl.fcntl(known.fd, fcntl.F_GETFL) & O_APPEND))
    return files
