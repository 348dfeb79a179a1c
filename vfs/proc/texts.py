"""The small files of /proc/PID (proc(5)): limits, io, cmdline, environ, auxv, maps of ids, scores, accounting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const.rights import CAP_SYS_RESOURCE
from sentry.abi.errno import EACCES, EINVAL, EPERM
from sentry.kernel.limits import INFINITY
from vfs.core.mount import mountinfo_text, mounts_of, mounts_text
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

ARGUMENT_LIMIT = 8 << 20  # execve(2) takes 6 MiB at most

# name, unit; by RLIMIT_* number
LIMITS = (
    (b"cpu time", b"seconds"), (b"file size", b"bytes"), (b"data size", b"bytes"), (b"stack size", b"bytes"),
    (b"core file size", b"bytes"), (b"resident set", b"bytes"), (b"processes", b"processes"), (b"open files", b"files"),
    (b"locked memory", b"bytes"), (b"address space", b"bytes"), (b"file locks", b"locks"),
    (b"pending signals", b"signals"), (b"msgqueue size", b"bytes"), (b"nice priority", b""),
    (b"realtime priority", b""), (b"realtime timeout", b"us"),
)  # fmt: skip


def limits_text(subject: Subject, t: Task) -> bytes:
    subject.check()
    lines = [b"Limit                     Soft Limit           Hard Limit           Units     \n"]
    for at, (name, unit) in enumerate(LIMITS):
        soft, hard = (b"unlimited" if n == INFINITY else b"%d" % n for n in subject.group.limits.get(at))
        line = b"%-25s %-20s %-20s " % (b"Max " + name, soft, hard)
        lines.append(line + (b"%-10s\n" % unit if unit else b"\n"))
    return b"".join(lines)


def cmdline_text(subject: Subject, t: Task) -> bytes:
    return subject.host("cmdline", ARGUMENT_LIMIT)


def environ_text(subject: Subject, t: Task) -> bytes:
    return subject.host("environ", ARGUMENT_LIMIT)


def auxv_text(subject: Subject, t: Task) -> bytes:
    return subject.host("auxv")


def comm_text(subject: Subject, t: Task) -> bytes:
    if subject.group.dead:  # a zombie keeps its name
        line = subject.host("stat")
        return line[line.find(b"(") + 1 : line.rfind(b")")] + b"\n"
    return subject.host("comm")


def io_text(subject: Subject, t: Task) -> bytes:
    """Calls are served by the kernel here, so the host counts none of them."""
    subject.check()
    names = (b"rchar", b"wchar", b"syscr", b"syscw", b"read_bytes", b"write_bytes", b"cancelled_write_bytes")
    return b"".join(b"%s: 0\n" % name for name in names)


def mounts(subject: Subject, t: Task) -> bytes:
    return mounts_text(mounts_of(subject.task), subject.task.fs.root)


def mountinfo(subject: Subject, t: Task) -> bytes:
    return mountinfo_text(mounts_of(subject.task), subject.task.fs.root)


def mountstats(subject: Subject, t: Task) -> bytes:
    lines = []
    for line in mounts(subject, t).splitlines():
        source, where, kind = line.split(b" ")[:3]
        lines.append(b"device %s mounted on %s with fstype %s\n" % (source, where, kind))
    return b"".join(lines)


def oom_score(subject: Subject, t: Task) -> bytes:
    subject.check()
    return b"%d\n" % max(0, 666 + subject.group.oom_score_adj * 2 // 3)


def oom_score_adj(subject: Subject, t: Task) -> bytes:
    subject.check()
    return b"%d\n" % subject.group.oom_score_adj


def set_oom_score_adj(subject: Subject, t: Task, data: bytes) -> None:
    """Lowering it below what it was takes CAP_SYS_RESOURCE."""
    value = number(data, -1000, 1000)
    subject.check()
    if value < subject.group.oom_score_adj and not t.creds.has(CAP_SYS_RESOURCE):
        raise EACCES
    subject.group.oom_score_adj = value


def personality(subject: Subject, t: Task) -> bytes:
    subject.check()
    return b"%08x\n" % subject.group.personality


def schedstat(subject: Subject, t: Task) -> bytes:
    return subject.host("schedstat") or b"0 0 0\n"


def children(subject: Subject, t: Task) -> bytes:
    """/proc/PID/task/TID/children; all are listed with the leader."""
    subject.check()
    group = subject.group
    if subject.task is not group.leader:
        return b""
    return b"".join(b"%d " % child.pid for child in sorted(group.children, key=lambda g: g.pid) if child.pid)


def timerslack(subject: Subject, t: Task) -> bytes:
    subject.check()
    return b"50000\n"


def set_timerslack(subject: Subject, t: Task, data: bytes) -> None:
    number(data, 0, (1 << 63) - 1)
    if subject.task is not t:
        raise EPERM


def syscall(subject: Subject, t: Task) -> bytes:
    """The call in which it sleeps, with its registers: the host knows them, for it is the guest's own call."""
    return subject.host("syscall") or b"running\n"


def number(data: bytes, low: int, high: int) -> int:
    """A decimal, octal or hexadecimal number as written to /proc; EINVAL."""
    text = data.strip(b" \t\n\0").decode("ascii", "replace")
    digits = text[1:] if text[:1] in ("+", "-") else text
    try:
        if not digits.isalnum() or len(digits) > 24:
            raise ValueError
        base = 16 if digits[:2].lower() == "0x" else 8 if digits[:1] == "0" else 10
        value = int(digits, base) * (-1 if text.startswith("-") else 1)
    except ValueError:
        raise EINVAL
    if not low <= value <= high:
        raise EINVAL
    return value
