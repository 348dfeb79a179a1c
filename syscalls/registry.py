"""The declarations of all system calls (syscalls(2)) and the table made from them.

A handler says its name and the meaning of its registers in the decorator; numbers stand in sentry.abi.nr alone:

    @syscall("read", Fd, Addr, Size, support="full", note="")
    def sys_read(t: Task, file: File, buf_addr: int, size: int) -> int: ...

`native` says that the host may run a call (or a listed part of it) and why; both may hold for one name (mmap).
`stub` and `missing` are rows without a handler. docs/syscalls.md, strace and the table are all printed from here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from sentry.abi.errno import ENOSYS, Errno
from sentry.verdict import CONTINUE, DEFERRED

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from syscalls.registers import Arg

__all__ = [
    "CONTINUE", "DEFERRED", "ENTRIES", "LAST", "Call", "Entry", "Registers", "names", "native", "numbers", "refused",
    "syscall", "table",
]  # fmt: skip

Registers = tuple[int, int, int, int, int, int]
Call = Callable[["Task", Registers], int]
F = TypeVar("F", bound=Callable[..., int])

LAST = 600  # the table covers every number up to here, unknown ones included
SUPPORT = ("full", "partial", "stub", "missing")


class Entry:
    """One row: what a call is given, who runs it and how much of it works."""

    __slots__ = ("args", "error", "func", "name", "native_note", "note", "reason", "support")

    def __init__(self, name: str) -> None:
        self.name = name
        self.func: Callable[..., int] | None = None  # None: native only, or a row that answers `error`
        self.args: tuple[type[Arg], ...] = ()
        self.support = "full"
        self.note = ""
        self.reason = ""  # why the host may run it; empty if it may not
        self.native_note = ""
        self.error: type[Errno] = ENOSYS

    @property
    def way(self) -> str:
        """Who answers: 'sentry', 'native', or 'both' where the filter's argument checks divide the calls."""
        if self.func is not None:
            return "both" if self.reason else "sentry"
        return "native" if self.reason else "error"


ENTRIES: dict[str, Entry] = {}


def _entry(name: str) -> Entry:
    entry = ENTRIES.get(name)
    if entry is None:
        entry = ENTRIES[name] = Entry(name)
    return entry


def syscall(name: str, *args: type[Arg], support: str = "full", note: str = "") -> Callable[[F], F]:
    """Declare the decorated function as the handler of `name`; may be given several times for several names."""
    if support not in SUPPORT:
        raise ValueError(f"{name}: support={support!r}")

    def declare(func: F) -> F:
        entry = _entry(name)
        if entry.func is not None:
            raise ValueError(f"{name} is declared by {entry.func.__module__} and {func.__module__}")
        entry.func, entry.args, entry.support, entry.note = func, args, support, note
        return func

    return declare


def native(name: str, reason: str, note: str = "", support: str = "full") -> None:
    """The host runs `name` (the filter says with which arguments), because of `reason`."""
    entry = _entry(name)
    entry.reason, entry.native_note = reason, note
    if entry.func is None:
        entry.support, entry.note = support, ""


def refused(name: str, error: type[Errno], support: str = "missing", note: str = "") -> None:
    """A row that always answers `error`; ignored where a handler or the host answers."""
    if name not in ENTRIES:
        entry = _entry(name)
        entry.error, entry.support, entry.note = error, support, note


def _caller(entry: Entry) -> Call:
    """The code that decodes the registers and calls the handler, written once an entry."""
    if entry.func is None:
        return _refuser(entry.error)
    parts = ["t", *(kind.expr.format(a=f"a[{i}]") for i, kind in enumerate(entry.args))]
    env: dict[str, Any] = {"f": entry.func}
    exec(f"def call(t, a): return f({', '.join(parts)})", env)
    call: Call = env["call"]
    return call


def _refuser(error: type[Errno]) -> Call:
    def refuse(t: Task, a: Registers) -> int:
        raise error

    return refuse


def _first(calls: list[Call], nr: int, entry: Entry) -> Call:
    """Write an entry's code when it is called first: most programs use a quarter of the table."""

    def first(t: Task, a: Registers) -> int:
        call = calls[nr] = _caller(entry)
        return call(t, a)

    return first


def numbers(arch: str) -> dict[str, int]:
    """Name -> number of an architecture ('x86_64' or 'aarch64')."""
    if arch not in ("x86_64", "aarch64"):
        raise ValueError(arch)
    found: dict[str, int] = import_module(f"sentry.abi.nr.{arch}").NR
    return found


def table(arch: str) -> list[Call]:
    """A callable `call(t, registers)` for every number 0..LAST; syscalls.table imports the handlers first."""
    calls: list[Call] = [_refuser(ENOSYS)] * (LAST + 1)
    for name, nr in numbers(arch).items():
        entry = ENTRIES.get(name)
        if entry is not None:
            calls[nr] = _first(calls, nr, entry)
    return calls


def names(arch: str) -> list[str]:
    """The name of every number 0..LAST, 'sys_N' for those without one."""
    by_number = {nr: name for name, nr in numbers(arch).items()}
    return [by_number.get(nr, f"sys_{nr}") for nr in range(LAST + 1)]
