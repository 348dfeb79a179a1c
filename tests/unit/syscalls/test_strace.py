"""Lines of strace(1)."""

from __future__ import annotations

from typing import Any

import pytest

from syscalls import args as k
from syscalls import strace
from syscalls.registry import ENTRIES

AT_FDCWD = (1 << 64) - 100


def _line(t: Any, name: str, *raw: int, reply: int | None = 0) -> str:
    return strace.line(t, name, (*raw, 0, 0, 0, 0, 0, 0)[:6], reply)  # type: ignore[arg-type]


def test_lines(t: Any) -> None:
    t.mem.write(0x10000, b"/etc/hosts\0")
    t.mem.write(0x10100, b'a "quoted"\n\x01\xff' + b"x" * 40)
    assert _line(t, "openat", AT_FDCWD, 0x10000, 0o2000000, reply=3) == (
        '[   42] openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3'
    )
    assert _line(t, "openat", AT_FDCWD, 0x10000, 0o101, 0o644, reply=-2) == (
        '[   42] openat(AT_FDCWD, "/etc/hosts", O_WRONLY|O_CREAT, 0644) = -1 ENOENT (No such file or directory)'
    )
    assert _line(t, "write", 1, 0x10100, 5, reply=5) == '[   42] write(1, "a \\"qu", 5) = 5'
    long = _line(t, "write", 1, 0x10100, 53, reply=53)
    assert long.endswith('\\n\\x01\\xffxxxxxxxxxxxxxxxxxxx"..., 53) = 53')
    assert _line(t, "read", 0, 0x10000, 100, reply=4) == '[   42] read(0, "/etc", 100) = 4'
    assert _line(t, "read", 0, 0x10000, 100, reply=-4).startswith("[   42] read(0, 0x10000, 100) = -1 EINTR")


def test_unreadable(t: Any) -> None:
    assert _line(t, "stat", 0xDEAD0000, 0x10000, reply=-14) == (
        "[   42] stat(0xdead0000, 0x10000) = -1 EFAULT (Bad address)"
    )
    assert _line(t, "write", 1, 0xDEAD0000, 5, reply=-14).startswith("[   42] write(1, 0xdead0000, 5)")


def test_results(t: Any) -> None:
    assert _line(t, "exit_group", 1, reply=None).endswith(" = ?")
    assert _line(t, "brk", 0, reply=0x5000).endswith(" = 0x5000")
    assert _line(t, "pause", reply=-514).endswith(" = ? ERESTARTNOHAND")


def test_tracer(t: Any) -> None:
    lines: list[str] = []
    trace = strace.tracer(lines.append)
    trace(t, 39, (0,) * 6, 7)
    trace(t, 599, (0,) * 6, -38)
    trace(t, 100000, (0,) * 6, -38)
    assert lines[0].startswith("[   42] getpid(") and lines[0].endswith(" = 7")
    assert "sys_599(" in lines[1] and "sys_100000(" in lines[2] and "ENOSYS" in lines[2]


def test_arrays(t: Any) -> None:
    t.mem.write(0x10000, b"ls\0-l\0")
    t.mem.put_u64(0x10100, 0x10000)
    t.mem.put_u64(0x10108, 0x10003)
    assert '["ls", "-l"]' in _line(t, "execve", 0x10000, 0x10100, 0)
    for at in range(40):  # no end in sight
        t.mem.put_u64(0x10200 + 8 * at, 0x10000)
    assert _line(t, "execve", 0x10000, 0x10200, 0).count('"ls"') == 17


@pytest.mark.parametrize(
    ("kind", "raw", "text"),
    [
        (k.OpenFlags, 0o2101, "O_WRONLY|O_CREAT|O_APPEND"), (k.OpenFlags, 0o4010001, "O_WRONLY|O_SYNC"),
        (k.Prot, 0, "PROT_NONE"), (k.Prot, 5, "PROT_READ|PROT_EXEC"), (k.MapFlags, 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"),
        (k.CloneFlags, 0x1200011, "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"), (k.Signal, 15, "SIGTERM"),
        (k.Signal, 34, "SIGRT_2"), (k.Ioctl, 0x5401, "TCGETS"), (k.Ioctl, 0x12345, "0x12345"),
        (k.FcntlCmd, 1030, "F_DUPFD_CLOEXEC"), (k.SockType, 0o2000001, "SOCK_STREAM|SOCK_CLOEXEC"),
        (k.PrctlOp, 15, "PR_SET_NAME"), (k.WaitOptions, 3, "WNOHANG|WUNTRACED"), (k.AccessMode, 0, "F_OK"),
        (k.Mode, 0o644, "0644"), (k.Uid, 0xFFFFFFFF, "-1"), (k.StatxMask, 0x7FF, "STATX_BASIC_STATS"),
    ],
)  # fmt: skip
def test_kinds(t: Any, kind: Any, raw: int, text: str) -> None:
    assert kind.show(t, raw) == text


def test_every_entry_can_be_shown(t: Any) -> None:
    """Whatever the registers hold, a line comes out and stays short."""
    for name in [*strace.SHOWN, *ENTRIES]:
        for raw in (0, 1, 0x10000, 0xFFFFFFFF, (1 << 64) - 1):
            for reply in (0, 1 << 40, -1, None):
                assert len(_line(t, name, *[raw] * 6, reply=reply)) < 6000
