"""procfs: the top directory (proc(5)). Processes are those of this kernel, by the numbers that they themselves see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sentry.abi.const.files import S_IFDIR
from sentry.abi.const.mounts import PROC_SUPER_MAGIC
from sentry.abi.errno import EPERM
from vfs.core.node import FileSystem, Inode, Name
from vfs.core.synth import SynthDir, SynthFile, SynthFs, SynthLink, number
from vfs.proc import sysctl, system, sysvipc
from vfs.proc.locks import locks_text
from vfs.proc.process import ProcessDir
from vfs.proc.subject import Subject

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

PID_DIGITS = 10

# name: what it always says
FIXED: dict[bytes, bytes] = {
    b"cmdline": b"\n",
    b"consoles": b"",
    b"crypto": b"",
    b"devices": system.DEVICES,
    b"diskstats": b"",
    b"dma": b"",
    b"execdomains": b"0-0\tLinux           \t[kernel]\n",
    b"filesystems": system.FILESYSTEMS,
    b"kallsyms": b"",
    b"key-users": b"",
    b"keys": b"",
    b"misc": b"",
    b"modules": b"",
    b"partitions": b"major minor  #blocks  name\n\n",
    b"softirqs": b"",
    b"swaps": b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
}
COMPUTED: dict[bytes, Callable[[Task], bytes]] = {
    b"cgroups": system.cgroups,
    b"cpuinfo": system.cpuinfo,
    b"interrupts": system.interrupts,
    b"loadavg": system.loadavg,
    b"locks": locks_text,
    b"meminfo": system.meminfo,
    b"stat": system.stat,
    b"uptime": system.uptime,
    b"version": system.version,
    b"vmstat": system.vmstat,
}


def make(kernel: Kernel, options: bytes = b"") -> FileSystem:
    """A new instance; mount options of other systems (hidepid, gid, subset) are taken and mean nothing."""
    fs = SynthFs(b"proc", PROC_SUPER_MAGIC)
    entries: dict[bytes, Inode] = {
        b"self": SynthLink(fs, lambda t: b"%d" % t.group.pid),
        b"thread-self": SynthLink(fs, lambda t: b"%d/task/%d" % (t.group.pid, t.tid)),
        b"mounts": SynthLink(fs, b"self/mounts"),
        b"net": SynthLink(fs, b"self/net"),
        b"sys": sysctl.directory(fs),
        b"sysvipc": sysvipc.directory(fs),
        b"pressure": SynthDir(fs, {name: SynthFile(fs, system.pressure) for name in (b"cpu", b"io", b"memory")}),
        b"fs": SynthDir(fs),
        b"bus": SynthDir(fs),
        b"irq": SynthDir(fs),
        b"tty": SynthDir(fs, {b"drivers": SynthFile(fs, _tty_drivers)}),
        b"sysrq-trigger": SynthFile(fs, None, _refuse, mode=0o200),
    }
    for name, render in COMPUTED.items():
        entries[name] = SynthFile(fs, render)
    for name, text in FIXED.items():
        entries[name] = SynthFile(fs, _always(text))
    fs.set_root(SynthDir(fs, entries, find=lambda t, name: find(fs, t, name), names=processes, ino=1))
    return fs


def find(fs: FileSystem, t: Task, name: bytes) -> Inode | None:
    """/proc/PID; /proc/TID of a thread leads to its process, as on Linux, though it is not listed."""
    if not name.isdigit() or len(name) > PID_DIGITS or name[:1] == b"0":
        return None
    wanted = int(name)
    group = t.group if t.group.pid == wanted else t.kernel.find_group(wanted)
    if group is None:
        task = t.kernel.find_task(wanted)
        if task is None:
            return None
        group = task.group
    subject = Subject(group)
    return ProcessDir(fs, subject) if subject.alive() else None


def processes(t: Task) -> Iterable[Name]:
    found: list[ThreadGroup] = [
        group for group in tuple(t.kernel.groups.values()) if group.pid and Subject(group).alive()
    ]
    found.sort(key=lambda group: group.pid)
    return [Name(b"%d" % group.pid, number("process", group.host_pid, 0), S_IFDIR >> 12) for group in found]


def _always(text: bytes) -> Callable[[Task], bytes]:
    return lambda t: text


def _tty_drivers(t: Task) -> bytes:
    return (
        b"/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
        b"/dev/console         /dev/console    5       1 system:console\n"
        b"/dev/ptmx            /dev/ptmx       5       2 system\n"
        b"pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
        b"pty_master           /dev/ptm      128 0-1048575 pty:master\n"
    )


def _refuse(t: Task, data: bytes) -> None:
    raise EPERM
