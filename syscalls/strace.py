"""One readable line a call, as strace(1) prints it.

Shown are the kinds of the declaration, or those of SHOWN where a handler takes plain numbers that have names. Guest
memory is read for strings only, bounded, and an address is printed where it cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import sentry.abi.flags  # noqa: F401  the names that `args` shows: loaded while there are files to load from
from sentry.abi.errno import BY_CODE, Errno
from syscalls import args as k
from syscalls.registry import CONTINUE, DEFERRED, ENTRIES, Registers, names

if TYPE_CHECKING:
    from sentry.kernel.task import Task

Kinds = tuple[type[k.Arg], ...]

HEX_RESULT = frozenset(("brk", "mmap", "mremap", "shmat", "arch_prctl"))
NO_NAME = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}

_AT_PATH = (k.DirFd, k.PathAddr)
SHOWN: dict[str, Kinds] = {
    "access": (k.PathAddr, k.AccessMode),
    "arch_prctl": (k.UInt, k.Addr),
    "brk": (k.Addr,),
    "chdir": (k.PathAddr,),
    "chmod": (k.PathAddr, k.Octal),
    "chown": (k.PathAddr, k.Uid, k.Gid),
    "clock_gettime": (k.ClockId, k.Addr),
    "clock_nanosleep": (k.ClockId, k.UInt, k.Addr, k.Addr),
    "clone": (k.CloneFlags, k.Addr, k.Addr, k.Addr, k.Addr),
    "close": (k.FdNum,),
    "connect": (k.FdNum, k.Addr, k.UInt),
    "creat": (k.PathAddr, k.Octal),
    "dup2": (k.FdNum, k.FdNum),
    "dup3": (k.FdNum, k.FdNum, k.OpenFlags),
    "epoll_ctl": (k.FdNum, k.EpollOp, k.FdNum, k.Addr),
    "eventfd2": (k.UInt, k.OpenFlags),
    "execve": (k.PathAddr, k.Strings, k.Addr),
    "execveat": (*_AT_PATH, k.Strings, k.Addr, k.AtFlags),
    "faccessat": (*_AT_PATH, k.AccessMode),
    "faccessat2": (*_AT_PATH, k.AccessMode, k.AtFlags),
    "fadvise64": (k.FdNum, k.Off, k.Off, k.FileAdvice),
    "fchmod": (k.FdNum, k.Octal),
    "fchmodat": (*_AT_PATH, k.Octal),
    "fchmodat2": (*_AT_PATH, k.Octal, k.AtFlags),
    "fchownat": (*_AT_PATH, k.Uid, k.Gid, k.AtFlags),
    "fcntl": (k.FdNum, k.FcntlCmd, k.Addr),
    "flock": (k.FdNum, k.LockOp),
    "fstat": (k.FdNum, k.Addr),
    "futex": (k.Addr, k.FutexOp, k.UInt, k.Addr, k.Addr, k.UInt),
    "getcwd": (k.OutBuffer, k.Size),
    "getdents64": (k.FdNum, k.Addr, k.UInt),
    "getrandom": (k.Addr, k.Size, k.RandomFlags),
    "getrlimit": (k.Resource, k.Addr),
    "getxattr": (k.PathAddr, k.Text, k.Addr, k.Size),
    "ioctl": (k.FdNum, k.Ioctl, k.Addr),
    "kill": (k.Pid, k.Signal),
    "lchown": (k.PathAddr, k.Uid, k.Gid),
    "lgetxattr": (k.PathAddr, k.Text, k.Addr, k.Size),
    "link": (k.PathAddr, k.PathAddr),
    "linkat": (*_AT_PATH, *_AT_PATH, k.AtFlags),
    "lseek": (k.FdNum, k.Off, k.Whence),
    "lstat": (k.PathAddr, k.Addr),
    "madvise": (k.Addr, k.Size, k.Advice),
    "memfd_create": (k.Text, k.UInt),
    "mkdir": (k.PathAddr, k.Octal),
    "mkdirat": (*_AT_PATH, k.Octal),
    "mknod": (k.PathAddr, k.Octal, k.UInt),
    "mknodat": (*_AT_PATH, k.Octal, k.UInt),
    "mmap": (k.Addr, k.Size, k.Prot, k.MapFlags, k.FdNum, k.Off),
    "mount": (k.PathAddr, k.PathAddr, k.Text, k.MountFlags, k.Addr),
    "mprotect": (k.Addr, k.Size, k.Prot),
    "newfstatat": (*_AT_PATH, k.Addr, k.AtFlags),
    "open": (k.PathAddr, k.OpenFlags, k.Octal),
    "openat": (*_AT_PATH, k.OpenFlags, k.Octal),
    "pipe2": (k.Addr, k.OpenFlags),
    "prctl": (k.PrctlOp, k.Addr, k.Addr, k.Addr, k.Addr),
    "pread64": (k.FdNum, k.OutBuffer, k.Size, k.Off),
    "prlimit64": (k.Pid, k.Resource, k.Addr, k.Addr),
    "pwrite64": (k.FdNum, k.Buffer, k.Size, k.Off),
    "read": (k.FdNum, k.OutBuffer, k.Size),
    "readlink": (k.PathAddr, k.OutBuffer, k.Size),
    "readlinkat": (*_AT_PATH, k.OutBuffer, k.Size),
    "recvfrom": (k.FdNum, k.OutBuffer, k.Size, k.MsgFlags, k.Addr, k.Addr),
    "recvmsg": (k.FdNum, k.Addr, k.MsgFlags),
    "rename": (k.PathAddr, k.PathAddr),
    "renameat": (*_AT_PATH, *_AT_PATH),
    "renameat2": (*_AT_PATH, *_AT_PATH, k.RenameFlags),
    "rmdir": (k.PathAddr,),
    "rt_sigaction": (k.Signal, k.Addr, k.Addr, k.Size),
    "rt_sigprocmask": (k.SigHow, k.Addr, k.Addr, k.Size),
    "rt_sigqueueinfo": (k.Pid, k.Signal, k.Addr),
    "sendmsg": (k.FdNum, k.Addr, k.MsgFlags),
    "sendto": (k.FdNum, k.Buffer, k.Size, k.MsgFlags, k.Addr, k.UInt),
    "setrlimit": (k.Resource, k.Addr),
    "setxattr": (k.PathAddr, k.Text, k.Addr, k.Size, k.UInt),
    "socket": (k.Family, k.SockType, k.Int),
    "socketpair": (k.Family, k.SockType, k.Int, k.Addr),
    "stat": (k.PathAddr, k.Addr),
    "statfs": (k.PathAddr, k.Addr),
    "statx": (*_AT_PATH, k.AtFlags, k.StatxMask, k.Addr),
    "symlink": (k.PathAddr, k.PathAddr),
    "symlinkat": (k.PathAddr, *_AT_PATH),
    "tgkill": (k.Pid, k.Pid, k.Signal),
    "tkill": (k.Pid, k.Signal),
    "truncate": (k.PathAddr, k.Off),
    "umask": (k.Octal,),
    "umount2": (k.PathAddr, k.UmountFlags),
    "unlink": (k.PathAddr,),
    "unlinkat": (*_AT_PATH, k.AtFlags),
    "unshare": (k.CloneFlags,),
    "utimensat": (*_AT_PATH, k.Addr, k.AtFlags),
    "wait4": (k.Pid, k.Addr, k.WaitOptions, k.Addr),
    "waitid": (k.Int, k.Pid, k.Addr, k.WaitOptions, k.Addr),
    "write": (k.FdNum, k.Buffer, k.Size),
}


def call(t: Task, name: str, raw: Registers, reply: int | None = None) -> str:
    """`name(arguments)`; `reply` tells how much of an output buffer is there, None shows its address."""
    return f"{name}({', '.join(_arguments(t, name, raw, reply))})"


def line(t: Task, name: str, raw: Registers, reply: int | None) -> str:
    """A whole line; `reply` is the number given to the guest (negative: an error), None when there is none (exit)."""
    return f"[{t.tid:5d}] {call(t, name, raw, reply)} = {result(name, reply)}"


def result(name: str, reply: int | None) -> str:
    if reply is None or reply in (CONTINUE, DEFERRED):
        return "?"
    if -4096 < reply < 0:
        word = NO_NAME.get(-reply) or _errno_name(-reply)
        return f"-1 {word} ({os.strerror(-reply)})" if -reply not in NO_NAME else f"? {word}"
    return hex(reply) if name in HEX_RESULT else str(reply)


def _errno_name(code: int) -> str:
    known = BY_CODE.get(code)
    return known.__name__ if known else f"errno {code}"


def _arguments(t: Task, name: str, raw: Registers, reply: int | None) -> list[str]:
    kinds = SHOWN.get(name)
    if kinds is None:
        entry = ENTRIES.get(name)
        kinds = entry.args if entry is not None and entry.func is not None else (k.Addr,) * 6
    if name in ("open", "openat") and not raw[len(kinds) - 2] & 0o20000100:
        kinds = kinds[:-1]  # no mode without O_CREAT or O_TMPFILE
    shown = []
    for at, kind in enumerate(kinds):
        value = raw[at]
        if kind is k.Buffer:
            shown.append(_data(t, value, raw[at + 1]))
        elif kind is k.OutBuffer and reply is not None and reply >= 0:
            shown.append(_data(t, value, reply))
        else:
            shown.append(kind.show(t, value))
    return shown


def _data(t: Task, addr: int, size: int) -> str:
    if not addr or not size:
        return '""' if addr else "NULL"
    try:
        return k.quoted(t.mem.read_some(addr, min(size, k.MAX_SHOWN)), more=size > k.MAX_SHOWN)
    except Errno:
        return f"0x{addr:x}"


def tracer(write: Callable[[str], None], arch: str = "x86_64") -> Callable[[Task, int, Registers, int | None], None]:
    """A function of (task, number, registers, reply) that writes one line a call."""
    by_number = names(arch)

    def trace(t: Task, nr: int, raw: Registers, reply: int | None) -> None:
        name = by_number[nr] if 0 <= nr < len(by_number) else f"sys_{nr}"
        try:
            text = line(t, name, raw, reply)
        except Exception as err:  # to look on must not end the sandbox
            text = f"BUG: strace: {name}: {type(err).__name__}"
        write(text)

    return trace
