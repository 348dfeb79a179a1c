"""Every call of the host that file systems make: openat(2) and its family on one component below a directory fd.

A guest's names reach the host here and nowhere else, as a single component that is neither "." nor "..", relative to
an O_PATH descriptor of its directory and without following a link: such a call cannot leave the directory. Tests put a
double in the place of these functions. An OSError becomes the Errno of the same number.
"""

from __future__ import annotations

import os
import sys
from fcntl import F_SETFL, fcntl
from os import O_CLOEXEC, O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY

from sentry.abi.errno import BY_CODE, EINVAL, EIO, Errno
from sentry.engine._engine import ffi, lib
from vfs.core.node import Name

ENCODING = sys.getfilesystemencoding()
_SAFE = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY  # never wait for a fifo, never gain a terminal
COPY_STEP = 1 << 20
_proc_fd = -1


def error(err: OSError) -> Errno:
    return BY_CODE.get(err.errno or 0, EIO)()


def component(name: bytes) -> bytes:
    """`name` if it is a single proper component; everything else is a mistake of ours, refused here."""
    if not name or name == b"." or name == b".." or b"/" in name or b"\0" in name:
        raise EINVAL
    return name


def use_proc(fd: int) -> None:
    """Directory descriptor of a /proc in which `self` is this process; for `reopen`."""
    global _proc_fd
    _proc_fd = fd


# -- looking -------------------------------------------------------------------------------------------------------

def lstat(dir_fd: int, name: bytes) -> os.stat_result:
    """`name` was checked when its dentry was made: this is the hot one."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as err:
        raise error(err)


STAT_SIZE = 144
_stat = ffi.new("char[]", STAT_SIZE)
_stated = ffi.buffer(_stat)


def stat_record(dir_fd: int, name: bytes, host_dev: int, dev: int) -> tuple[int, bytes]:
    """Mode and struct stat of a name checked before, with `dev` for the device `host_dev`; mode 0 on another one."""
    mode = lib.eng_stat_name(dir_fd, name, host_dev, dev, _stat)
    if mode < 0:
        raise BY_CODE.get(-mode, EIO)
    return mode, _stated[:STAT_SIZE]


def fstat(fd: int) -> os.stat_result:
    try:
        return os.fstat(fd)
    except OSError as err:
        raise error(err)


def readlink(dir_fd: int, name: bytes) -> bytes:
    try:
        return os.readlink(component(name), dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def statvfs(fd: int) -> os.statvfs_result:
    try:
        return os.fstatvfs(fd)
    except OSError as err:
        raise error(err)


def names(dir_fd: int) -> list[Name]:
    """Everything in a directory but "." and ".."; a kind of 0 means that it takes a look to know."""
    try:
        fd = os.open(b".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)
    out: list[Name] = []
    make = tuple.__new__  # a third of the time that Name(...) takes
    try:
        with os.scandir(fd) as found:
            for entry in found:
                if entry.is_symlink():
                    kind = 10
                elif entry.is_dir(follow_symlinks=False):
                    kind = 4
                else:
                    kind = 8 if entry.is_file(follow_symlinks=False) else 0
                name = entry.name.encode(ENCODING, "surrogateescape")
                out.append(make(Name, (name, entry.inode(), kind)))
    except OSError as err:
        raise error(err)
    finally:
        os.close(fd)
    return out


LISTING = 65536
_part = ffi.new("uint64_t[2]")
_listing = ffi.new("char[]", LISTING)
_listed = ffi.buffer(_listing)


def listing(dir_fd: int, cookie: int) -> bytes:
    """The same as records of getdents64(2), whose d_off count from `cookie` on."""
    try:
        fd = os.open(b".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)
    parts: list[bytes] = []
    try:
        while size := lib.eng_list(fd, _listing, LISTING, cookie):
            if size < 0:
                raise BY_CODE.get(-size, EIO)
            parts.append(_listed[:size])
            cookie = int.from_bytes(_listed[8:16], "little") + lib.eng_slice(_listing, size, 0, 0, size, _part)
    finally:
        os.close(fd)
    return b"".join(parts)


# -- opening -------------------------------------------------------------------------------------------------------

def open_dir(dir_fd: int, name: bytes) -> int:
    """O_PATH descriptor of a directory."""
    try:
        return os.open(component(name), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def open_file(dir_fd: int, name: bytes, flags: int, mode: int = 0) -> int:
    try:
        return os.open(component(name), flags | _SAFE, mode, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def open_unnamed(dir_fd: int, mode: int) -> int:
    """O_TMPFILE."""
    try:
        return os.open(b".", os.O_TMPFILE | os.O_RDWR | O_CLOEXEC, mode, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def reopen(fd: int, flags: int) -> int:
    """A new open file description of what `fd` (which may be O_PATH) stands for: a regular file or a directory."""
    try:
        if _proc_fd >= 0:
            return os.open(b"self/fd/%d" % fd, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, dir_fd=_proc_fd)
        return os.open(b"/proc/self/fd/%d" % fd, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    except OSError as err:
        raise error(err)


def close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


# -- names ---------------------------------------------------------------------------------------------------------

def mkdir(dir_fd: int, name: bytes, mode: int) -> None:
    try:
        os.mkdir(component(name), mode, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def mknod(dir_fd: int, name: bytes, mode: int, rdev: int) -> None:
    try:
        os.mknod(component(name), mode, rdev, dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def symlink(target: bytes, dir_fd: int, name: bytes) -> None:
    try:
        os.symlink(target, component(name), dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def link(dir_fd: int, name: bytes, to_fd: int, to_name: bytes) -> None:
    try:
        os.link(component(name), component(to_name), src_dir_fd=dir_fd, dst_dir_fd=to_fd, follow_symlinks=False)
    except OSError as err:
        raise error(err)


def link_open(fd: int, to_fd: int, to_name: bytes) -> None:
    """Give an open file without a name (O_TMPFILE) one."""
    try:
        if _proc_fd >= 0:
            source, source_fd = b"self/fd/%d" % fd, _proc_fd
        else:
            source, source_fd = b"/proc/self/fd/%d" % fd, to_fd
        os.link(source, component(to_name), src_dir_fd=source_fd, dst_dir_fd=to_fd, follow_symlinks=True)
    except OSError as err:
        raise error(err)


def unlink(dir_fd: int, name: bytes) -> None:
    try:
        os.unlink(component(name), dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def rmdir(dir_fd: int, name: bytes) -> None:
    try:
        os.rmdir(component(name), dir_fd=dir_fd)
    except OSError as err:
        raise error(err)


def rename(dir_fd: int, name: bytes, to_fd: int, to_name: bytes) -> None:
    try:
        os.rename(component(name), component(to_name), src_dir_fd=dir_fd, dst_dir_fd=to_fd)
    except OSError as err:
        raise error(err)


# -- attributes ----------------------------------------------------------------------------------------------------

def lchown(dir_fd: int, name: bytes, uid: int, gid: int) -> None:
    try:
        os.chown(component(name), uid, gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as err:
        raise error(err)


def fchown(fd: int, uid: int, gid: int) -> None:
    """By the descriptor's own name where there is a /proc: fchownat(2) is then the only call of its kind."""
    try:
        if _proc_fd >= 0:
            os.chown(b"self/fd/%d" % fd, uid, gid, dir_fd=_proc_fd)
        else:
            os.fchown(fd, uid, gid)
    except OSError as err:
        raise error(err)


def fchmod(fd: int, mode: int) -> None:
    try:
        if _proc_fd >= 0:
            os.chmod(b"self/fd/%d" % fd, mode, dir_fd=_proc_fd)
        else:
            os.fchmod(fd, mode)
    except OSError as err:
        raise error(err)


def chmod(dir_fd: int, name: bytes, mode: int) -> None:
    """Of anything but a symbolic link: an O_PATH descriptor pins it first, so that no link can take its place."""
    try:
        fd = os.open(component(name), O_PATH | O_NOFOLLOW | O_CLOEXEC, dir_fd=dir_fd)
        try:
            if _proc_fd >= 0:
                os.chmod(b"self/fd/%d" % fd, mode, dir_fd=_proc_fd)
            else:
                os.chmod(b"/proc/self/fd/%d" % fd, mode)
        finally:
            os.close(fd)
    except OSError as err:
        raise error(err)


def lutime(dir_fd: int, name: bytes, atime_ns: int, mtime_ns: int) -> None:
    try:
        os.utime(component(name), ns=(atime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
    except OSError as err:
        raise error(err)


def futime(fd: int, atime_ns: int, mtime_ns: int) -> None:
    try:
        os.utime(fd, ns=(atime_ns, mtime_ns))
    except OSError as err:
        raise error(err)


def getxattr(fd: int, name: bytes) -> bytes:
    try:
        return os.getxattr(fd, name)
    except OSError as err:
        raise error(err)


def setxattr(fd: int, name: bytes, value: bytes, flags: int) -> None:
    try:
        os.setxattr(fd, name, value, flags)
    except OSError as err:
        raise error(err)


def removexattr(fd: int, name: bytes) -> None:
    try:
        os.removexattr(fd, name)
    except OSError as err:
        raise error(err)


def listxattr(fd: int) -> list[bytes]:
    try:
        return [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError as err:
        raise error(err)


# -- contents ------------------------------------------------------------------------------------------------------

def pread(fd: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(fd, size, offset)
    except OSError as err:
        raise error(err)


def pwrite(fd: int, data: bytes, offset: int) -> int:
    try:
        return os.pwrite(fd, data, offset)
    except OSError as err:
        raise error(err)


def set_append(fd: int, on: bool) -> None:
    try:
        fcntl(fd, F_SETFL, os.O_APPEND | O_NONBLOCK if on else O_NONBLOCK)
    except OSError as err:
        raise error(err)


def seek(fd: int, offset: int, whence: int) -> int:
    """SEEK_DATA and SEEK_HOLE; the descriptor's own position means nothing to us."""
    try:
        return os.lseek(fd, offset, whence)
    except OSError as err:
        raise error(err)


def truncate(fd: int, size: int) -> None:
    try:
        os.ftruncate(fd, size)
    except OSError as err:
        raise error(err)


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2): the host makes holes at once, whatever their size."""
    result = lib.eng_fallocate(fd, mode, offset, length)
    if result < 0:
        raise BY_CODE.get(-result, EIO)()


def sync(fd: int, data_only: bool) -> None:
    try:
        os.fsync(fd)  # also for fdatasync(2): it does more, and is one call for both
    except OSError as err:
        raise error(err)


def copy(source_fd: int, target_fd: int, size: int) -> None:
    """The first `size` bytes, holes and all, between two files; the target is empty."""
    try:
        os.ftruncate(target_fd, size)
        done = 0
        while done < size:
            try:
                done = os.lseek(source_fd, done, os.SEEK_DATA)
                end = min(os.lseek(source_fd, done, os.SEEK_HOLE), size)
            except OSError:
                break  # ENXIO: only a hole is left
            while done < end:
                data = os.pread(source_fd, min(end - done, COPY_STEP), done)
                if not data:
                    return
                done += os.pwrite(target_fd, data, done)
    except OSError as err:
        raise error(err)


def write_flags(flags: int) -> int:
    """Access mode, O_APPEND and O_SYNC of an open, as the host is asked for them."""
    return flags & (os.O_ACCMODE | os.O_APPEND | os.O_SYNC) if flags & (O_WRONLY | os.O_RDWR) else O_RDONLY
