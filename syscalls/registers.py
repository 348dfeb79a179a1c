"""What a register of a system call means: how it is decoded (`expr`) and how strace shows it (`show`).

`expr` is Python text in which {a} stands for the register as an unsigned 64-bit number and `t` for the calling task;
registry._caller pastes it into the code of an entry. A 32-bit C type ignores the upper half of its register.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from sentry.abi.errno import Errno

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MAX_SHOWN = 32  # bytes of a string or buffer that strace shows
MAX_PATH_SHOWN = 256
INT = "((({a} & 0xffffffff) ^ 0x80000000) - 0x80000000)"
LONG = "(({a} ^ 0x8000000000000000) - 0x8000000000000000)"


def int32(raw: int) -> int:
    return ((raw & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def int64(raw: int) -> int:
    return (raw ^ 0x8000000000000000) - 0x8000000000000000


def quoted(data: bytes, more: bool = False) -> str:
    """A C-like string literal; printable ASCII as it is."""
    escapes = {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}
    text = "".join(escapes.get(c) or (chr(c) if 32 <= c < 127 else f"\\x{c:02x}") for c in data)
    return f'"{text}"' + ("..." if more else "")


class Arg:
    """Kind of a register; subclasses are never instantiated."""

    expr: ClassVar[str] = "{a}"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return str(raw)


class ULong(Arg):
    """unsigned long, unsigned long long"""


class Size(ULong):
    """size_t"""


class Addr(Arg):
    """A guest pointer, as a number."""

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return f"0x{raw:x}" if raw else "NULL"


class UInt(Arg):
    expr = "{a} & 0xffffffff"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return str(raw & 0xFFFFFFFF)


class Int(Arg):
    expr = INT

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return str(int32(raw))


class Long(Arg):
    expr = LONG

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return str(int64(raw))


class Off(Long):
    """off_t, loff_t"""


class Uid(UInt):
    """uid_t or gid_t; -1 means 'leave it' in many calls and arrives as 0xffffffff."""

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return str(int32(raw)) if raw & 0xFFFFFFFF == 0xFFFFFFFF else str(raw & 0xFFFFFFFF)


class Gid(Uid):
    pass


class Pid(Int):
    pass


class FdNum(Int):
    """A descriptor's number, not looked up."""


class Fd(Int):
    """An open file for I/O; EBADF for an O_PATH one."""

    expr = "t.fds.get({a} & 0xffffffff)"


class FdAny(Int):
    """An open file, O_PATH ones included."""

    expr = "t.fds.any({a} & 0xffffffff)"


class DirFd(Int):
    """The directory of a *at call: a number or AT_FDCWD."""

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return "AT_FDCWD" if int32(raw) == -100 else str(int32(raw))


class Text(Addr):
    """A pointer to a string: decoded as a pointer, shown as the string."""

    limit: ClassVar[int] = MAX_SHOWN

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        if raw == 0:
            return "NULL"
        try:
            data = t.mem.read_some(raw, cls.limit + 1)
        except Errno:
            return f"0x{raw:x}"
        end = data.find(b"\0")
        return quoted(data[: min(end, cls.limit)] if end >= 0 else data[: cls.limit], more=end < 0)


class Path(Text):
    """A path name; ENAMETOOLONG and EFAULT as path_resolution(7)."""

    expr = "t.mem.path({a})"
    limit = MAX_PATH_SHOWN


class PathOrNull(Path):
    """A path name or NULL (utimensat, pivot of a descriptor)."""

    expr = "(t.mem.path({a}) if {a} else None)"


class PathAddr(Path):
    """A path name that the handler reads itself."""

    expr = "{a}"


class Strings(Addr):
    """A NULL-terminated array of strings (execve): decoded as a pointer."""

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        shown: list[str] = []
        try:
            while raw and len(shown) < 16:
                at = t.mem.u64(raw + 8 * len(shown))
                if at == 0:
                    return f"[{', '.join(shown)}]"
                shown.append(Text.show(t, at))
        except Errno:
            return f"0x{raw:x}"
        return f"[{', '.join(shown)}, ...]" if raw else "NULL"


class Buffer(Addr):
    """Data that the guest gives; strace shows it with the size of the next register."""


class OutBuffer(Addr):
    """Data that the guest gets; strace shows as much as the result says."""


class Octal(Arg):
    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        return f"0{raw & 0xFFFF:o}" if raw & 0xFFFF else "0"


class Mode(Octal):
    """umode_t: 16 bits."""

    expr = "{a} & 0xffff"


@cache
def named(module: str, prefix: str, skip: tuple[str, ...]) -> list[tuple[int, str]]:
    """(value, name) of the constants with a prefix, those with most bits first; loaded when strace needs them."""
    constants = vars(import_module(f"sentry.abi.const.{module}")).items()
    found = [(v, n) for n, v in constants if n.startswith(prefix) and isinstance(v, int) and v >= 0 and n not in skip]
    return sorted(found, key=lambda e: (-e[0].bit_count(), e[0]))


class Named(Int):
    """One of a set of names."""

    module: ClassVar[str] = "files"
    prefix: ClassVar[str] = ""
    skip: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        value = raw & 0xFFFFFFFF
        return next((n for v, n in named(cls.module, cls.prefix, cls.skip) if v == value), str(int32(raw)))


class Flags(UInt):
    """Names joined by |; `choice` is the mask of a field whose values exclude each other, `zero` its name for 0."""

    module: ClassVar[str] = "files"
    prefix: ClassVar[str] = ""
    skip: ClassVar[tuple[str, ...]] = ()
    choice: ClassVar[int] = 0
    zero: ClassVar[str] = "0"

    @classmethod
    def show(cls, t: Task, raw: int) -> str:
        value, found = raw & 0xFFFFFFFF, []
        table = named(cls.module, cls.prefix, cls.skip)
        if cls.choice:
            part = value & cls.choice
            found.append(next((n for v, n in table if v == part), hex(part)) if part or cls.zero != "0" else "")
            value &= ~cls.choice
        for bits, name in table:
            if bits and not bits & cls.choice and value & bits == bits:
                found.append(name)
                value &= ~bits
        found = [n for n in found if n]
        if value:
            found.append(hex(value))
        return "|".join(found) or cls.zero
