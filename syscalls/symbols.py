"""Kinds of registers that strace(1) shows by name: flags and enumerations of section 2's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.signals import SIG_NAMES, SIGRTMIN
from syscalls.registers import Flags, Int, Named, int32, named

if TYPE_CHECKING:
    from sentry.kernel.task import Task


class OpenFlags(Flags):
    prefix, skip = "O_", ("O_ACCMODE", "O_NDELAY", "O_FSYNC", "O_RSYNC")
    choice, zero = 3, "O_RDONLY"


class AtFlags(Flags):
    prefix = "AT_"
    skip = ("AT_EACCESS", "AT_STATX_SYNC_TYPE", "AT_HANDLE_FID", "AT_HANDLE_CONNECTABLE", "AT_HANDLE_MNT_ID_UNIQUE")

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        names = {0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_REMOVEDIR|AT_EACCESS", 0x400: "AT_SYMLINK_FOLLOW"}
        names |= {0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH", 0x2000: "AT_STATX_FORCE_SYNC"}
        names |= {0x4000: "AT_STATX_DONT_SYNC", 0x8000: "AT_RECURSIVE"}
        found = [name for bit, name in names.items() if raw & bit]
        rest = raw & 0xFFFFFFFF & ~0xFF00
        return "|".join([*found, hex(rest)] if rest else found) or "0"


class Prot(Flags):
    expr = "{a}"
    module, prefix, zero = "memory", "PROT_", "PROT_NONE"


class MapFlags(Flags):
    expr = "{a}"
    module, prefix, choice = "memory", "MAP_", 3
    skip = ("MAP_TYPE", "MAP_FILE", "MAP_ANON", "MAP_DROPPABLE", "MAP_HUGE_MASK", "MAP_HUGE_SHIFT")


class CloneFlags(Flags):
    expr = "{a}"
    module, prefix, skip = "tasks", "CLONE_", ("CLONE_CLEAR_SIGHAND", "CLONE_INTO_CGROUP", "CLONE_NEWTIME")

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        flags = super().show(t, raw & ~0xFF)
        signal = Signal.show(t, raw & 0xFF) if raw & 0xFF else ""
        return "|".join(p for p in (flags if flags != "0" else "", signal) if p) or "0"


class Signal(Int):
    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        number = int32(raw)
        if SIGRTMIN <= number <= 64:
            return f"SIGRT_{number - SIGRTMIN}"
        return SIG_NAMES.get(number, str(number))


class SigHow(Named):
    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return {0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"}.get(int32(raw), str(int32(raw)))


class Whence(Named):
    prefix, skip = "SEEK_", ("SEEK_MAX",)


class FcntlCmd(Named):
    prefix = "F_"
    skip = ("F_OK", "F_LOCK", "F_TEST", "F_TLOCK", "F_ULOCK", "F_RDLCK", "F_WRLCK", "F_UNLCK", "F_EXLCK", "F_SHLCK",
            "F_OWNER_TID", "F_OWNER_PID", "F_OWNER_PGRP", "F_OWNER_GID", "F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW",
            "F_SEAL_WRITE", "F_SEAL_FUTURE_WRITE", "F_SEAL_EXEC", "F_GETLK64", "F_SETLK64", "F_SETLKW64",
            "F_LINUX_SPECIFIC_BASE")  # fmt: skip


class AccessMode(Flags):
    zero = "F_OK"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        found = [name for bit, name in ((4, "R_OK"), (2, "W_OK"), (1, "X_OK")) if raw & bit]
        return "|".join(found) or "F_OK"


class Ioctl(Named):
    expr = "{a} & 0xffffffff"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        for module, prefix in (("tty", "TC"), ("tty", "TIO"), ("tty", "FIO"), ("files", "FS_IOC"), ("files", "FI")):
            for value, name in named(module, prefix, ()):
                if value == raw & 0xFFFFFFFF and value > 255:
                    return name
        return hex(raw & 0xFFFFFFFF)


class LockOp(Flags):
    prefix, skip = "LOCK_", ("LOCK_MAND", "LOCK_READ", "LOCK_WRITE", "LOCK_RW")


class Advice(Named):
    module, prefix = "memory", "MADV_"


class FileAdvice(Named):
    prefix = "POSIX_FADV_"


class Resource(Named):
    module, prefix = "tasks", "RLIMIT_"


class PrctlOp(Named):
    module, prefix = "rights", "PR_"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        for prefix in ("PR_SET_", "PR_GET_", "PR_CAP"):
            for value, name in named(cls.module, prefix, ("PR_SET_MM_START_CODE",)):
                if value == raw & 0xFFFFFFFF and not name.startswith(("PR_SET_MM_", "PR_CAP_AMBIENT_")):
                    return name
        return hex(raw & 0xFFFFFFFF) if raw > 255 else str(int32(raw))


class ClockId(Named):
    module, prefix = "clock", "CLOCK_"


class Family(Named):
    module, prefix, skip = "sockets", "AF_", ("AF_FILE", "AF_LOCAL", "AF_ROUTE")


class SockType(Int):
    NAMES = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 10: "SOCK_PACKET"}

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        kind = cls.NAMES.get(raw & 15, str(raw & 15))
        return kind + ("|SOCK_NONBLOCK" if raw & 0o4000 else "") + ("|SOCK_CLOEXEC" if raw & 0o2000000 else "")


class MsgFlags(Flags):
    module, prefix = "sockets", "MSG_"
    skip = ("MSG_TRYHARD", "MSG_COPY", "MSG_EXCEPT", "MSG_NOERROR", "MSG_INFO", "MSG_STAT", "MSG_STAT_ANY")


class EpollOp(Named):
    module, prefix = "events", "EPOLL_CTL_"


class FutexOp(Int):
    NAMES = ("WAIT", "WAKE", "FD", "REQUEUE", "CMP_REQUEUE", "WAKE_OP", "LOCK_PI", "UNLOCK_PI", "TRYLOCK_PI",
             "WAIT_BITSET", "WAKE_BITSET", "WAIT_REQUEUE_PI", "CMP_REQUEUE_PI", "LOCK_PI2")  # fmt: skip

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        op = raw & 0x7F
        name = f"FUTEX_{cls.NAMES[op]}" if op < len(cls.NAMES) else str(op)
        return name + ("|FUTEX_PRIVATE_FLAG" if raw & 128 else "") + ("|FUTEX_CLOCK_REALTIME" if raw & 256 else "")


class WaitOptions(Flags):
    module = "tasks"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        names = {1: "WNOHANG", 2: "WUNTRACED", 4: "WEXITED", 8: "WCONTINUED", 0x1000000: "WNOWAIT"}
        names |= {0x20000000: "__WNOTHREAD", 0x40000000: "__WALL", 0x80000000: "__WCLONE"}
        found = [name for bit, name in names.items() if raw & bit]
        rest = raw & 0xFFFFFFFF & ~sum(names)
        return "|".join([*found, hex(rest)] if rest else found) or "0"


class RandomFlags(Flags):
    prefix = "GRND_"


class RenameFlags(Flags):
    prefix = "RENAME_"


class MountFlags(Flags):
    expr = "{a}"
    module, prefix = "mounts", "MS_"
    skip = ("MS_MGC_MSK", "MS_MGC_VAL", "MS_RMT_MASK", "MS_VERBOSE", "MS_BORN", "MS_ACTIVE")


class UmountFlags(Flags):
    module = "mounts"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        bits = ((1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW"))
        return "|".join(name for bit, name in bits if raw & bit) or "0"


class StatxMask(Flags):
    prefix, skip = "STATX_", ("STATX_ALL", "STATX_BASIC_STATS", "STATX__RESERVED")

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        named = {0x7FF: "STATX_BASIC_STATS", 0xFFF: "STATX_ALL"}.get(raw & 0xFFFFFFFF)
        return named or hex(raw & 0xFFFFFFFF)
