"""/proc/PID/status (proc_pid_status(5)): identity from the kernel here, memory and signal masks from the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import ESRCH
from sentry.kernel.limits import SIGPENDING
from vfs.proc.stat import parent_pid, process_group, session, state_letter
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.task import Task

STATES = {
    b"R": b"R (running)", b"S": b"S (sleeping)", b"D": b"D (disk sleep)", b"T": b"T (stopped)",
    b"t": b"t (tracing stop)", b"Z": b"Z (zombie)",
}  # fmt: skip
# Lines that are the host's as they stand, in the host's order.
KEPT = (
    b"VmPeak", b"VmSize", b"VmLck", b"VmPin", b"VmHWM", b"VmRSS", b"RssAnon", b"RssFile", b"RssShmem", b"VmData",
    b"VmStk", b"VmExe", b"VmLib", b"VmPTE", b"VmSwap", b"HugetlbPages", b"Threads", b"SigPnd", b"ShdPnd", b"SigBlk",
    b"SigIgn", b"SigCgt", b"Cpus_allowed", b"Cpus_allowed_list", b"Mems_allowed", b"Mems_allowed_list",
    b"voluntary_ctxt_switches", b"nonvoluntary_ctxt_switches",
)  # fmt: skip
OWN = (
    b"Name", b"Umask", b"State", b"Tgid", b"Ngid", b"Pid", b"PPid", b"TracerPid", b"Uid", b"Gid", b"FDSize", b"Groups",
    b"NStgid", b"NSpid", b"NSpgid", b"NSsid", b"Kthread", b"SigQ", b"CapInh", b"CapPrm", b"CapEff", b"CapBnd",
    b"CapAmb", b"NoNewPrivs", b"Seccomp", b"Seccomp_filters", b"CoreDumping",
)  # fmt: skip
KNOWN = frozenset(KEPT + OWN)


def host_fields(text: bytes) -> dict[bytes, bytes]:
    """`Key:\\tvalue` lines."""
    return {key: value.strip() for key, colon, value in (line.partition(b":") for line in text.splitlines()) if colon}


def status_text(subject: Subject, t: Task) -> bytes:
    text = subject.host("status")
    host = host_fields(text)
    letter = host.get(b"State", b"")[:1]
    if subject.group.dead and letter not in (b"Z", b"X"):
        raise ESRCH
    own = _own(subject, t, host, letter)
    lines = []
    for key in (line.partition(b":")[0] for line in text.splitlines()):
        if key in own:
            lines.append(b"%s:\t%s\n" % (key, own[key]))
        elif key in KEPT:
            lines.append(b"%s:\t%s\n" % (key, _aligned(key, host[key])))
    return b"".join(lines)


def _aligned(key: bytes, value: bytes) -> bytes:
    """Sizes stand to the right, as programs that read by columns expect."""
    return b"%11s" % value if value.endswith(b" kB") else value


def _own(subject: Subject, t: Task, host: dict[bytes, bytes], letter: bytes) -> dict[bytes, bytes]:
    group, task, kernel = subject.group, subject.task, t.kernel
    creds = task.creds
    files = subject.files()
    number = subject.number
    pgrp, sid = process_group(kernel, group), session(kernel, group)
    queued = host.get(b"SigQ", b"0/0").partition(b"/")[0]
    own = {
        b"Name": host.get(b"Name", b""),
        b"Umask": b"%04o" % task.fs.umask,
        b"State": STATES.get(state_letter(subject, t, letter), b"S (sleeping)"),
        b"Tgid": b"%d" % group.pid,
        b"Ngid": b"0",
        b"Pid": b"%d" % number,
        b"PPid": b"%d" % parent_pid(group),
        b"TracerPid": b"0",
        b"Uid": b"%d\t%d\t%d\t%d" % (creds.ruid, creds.euid, creds.suid, creds.fsuid),
        b"Gid": b"%d\t%d\t%d\t%d" % (creds.rgid, creds.egid, creds.sgid, creds.fsgid),
        b"FDSize": b"%d" % _table_size(max(files, default=0)),
        b"Groups": b"".join(b"%d " % gid for gid in creds.groups),
        b"NStgid": b"%d" % group.pid,
        b"NSpid": b"%d" % number,
        b"NSpgid": b"%d" % pgrp,
        b"NSsid": b"%d" % sid,
        b"Kthread": b"0",
        b"CoreDumping": b"0",
        b"SigQ": b"%s/%d" % (queued, group.limits.get(SIGPENDING)[0]),
        b"CapInh": b"%016x" % creds.inheritable,
        b"CapPrm": b"%016x" % creds.permitted,
        b"CapEff": b"%016x" % creds.effective,
        b"CapBnd": b"%016x" % creds.bounding,
        b"CapAmb": b"%016x" % creds.ambient,
        b"NoNewPrivs": b"%d" % creds.no_new_privs,
        b"Seccomp": b"0" if kernel.config.oci_seccomp is None else b"2",
        b"Seccomp_filters": b"0" if kernel.config.oci_seccomp is None else b"1",
    }
    if letter in (b"Z", b"X"):
        own[b"FDSize"] = b"0"
    return own


def _table_size(highest: int) -> int:
    """As the kernel grows tables: powers of two from 64 on."""
    size = 64
    while size <= highest:
        size *= 2
    return size
